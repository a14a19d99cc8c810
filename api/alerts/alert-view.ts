/** Alerts as clients see them: what analytics said, what people did, and what keeps them quiet at the moment. */
import { and, asc, desc, eq, gt, isNull, lte, or, type SQL, sql } from 'drizzle-orm';
import type { AlarmEvent } from '../../contract/http/alarms.ts';
import type { Alert } from '../../contract/http/resources.ts';
import { alarmEvents, silences } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { alerts, devices, ticketAlerts } from '../db/schema.ts';
import { alarmStateOf, type Quiet } from '../desk/alarm-state.ts';
import { covers } from '../desk/silences.ts';
import { eventOf } from './alarm-events.ts';
import type { AlarmRow } from './announce.ts';

const MAX_EVENTS = 500;

type SilenceRow = typeof silences.$inferSelect;

/** Silences that run now. */
export function runningSilences(tx: Transaction, tenant: string, now: number): Promise<SilenceRow[]> {
  return tx
    .select()
    .from(silences)
    .where(and(eq(silences.tenant, tenant), isRunningNow(now)))
    .orderBy(asc(silences.createdAt), asc(silences.id));
}

export const isRunningNow = (now: number): SQL | undefined =>
  and(isNull(silences.endedAt), lte(silences.from, now), or(isNull(silences.until), gt(silences.until, now)));

/** Whether the alert stands on a shelf now. Names are written out: drizzle leaves out the table's, which would mean `s`'s. */
export const isShelved = (now: number): SQL => sql`EXISTS (SELECT 1 FROM silences s
  WHERE s.tenant_id = alerts.tenant_id AND s.kind = 'shelve' AND s.device = alerts.device AND s.fault_key = alerts.fault_key
    AND s.ended_at IS NULL AND s.from_at <= ${now} AND s.until_at > ${now})`;

/** Alerts that meet `condition`, newest first. */
export async function selectAlerts(
  tx: Transaction,
  tenant: string,
  condition: SQL | undefined,
  limit: number,
  now: number,
): Promise<Alert[]> {
  const rows = await tx
    .select({ alert: alerts, ticketKey: ticketAlerts.ticketKey, centre: devices.centre })
    .from(alerts)
    .leftJoin(ticketAlerts, and(eq(ticketAlerts.tenant, alerts.tenant), eq(ticketAlerts.alertId, alerts.id)))
    .leftJoin(devices, and(eq(devices.tenant, alerts.tenant), eq(devices.id, alerts.device)))
    .where(condition)
    .orderBy(desc(alerts.raisedAt), desc(alerts.id))
    .limit(limit);
  const running = rows.length > 0 ? await runningSilences(tx, tenant, now) : [];
  return rows.map(({ alert, ticketKey, centre }) => viewOf(alert, ticketKey, centre, running));
}

export async function selectHistory(tx: Transaction, tenant: string, alertId: string): Promise<AlarmEvent[]> {
  const rows = await tx
    .select()
    .from(alarmEvents)
    .where(and(eq(alarmEvents.tenant, tenant), eq(alarmEvents.alertId, alertId)))
    .orderBy(desc(alarmEvents.id))
    .limit(MAX_EVENTS);
  return rows.reverse().map(eventOf);
}

function viewOf(row: AlarmRow, ticketKey: string | null, centre: string | null, running: SilenceRow[]): Alert {
  const silenced = running.filter((one) => covers(one, { ...row, centre: centre ?? undefined }));
  return {
    id: row.id,
    device: row.device,
    model: row.model,
    component: row.component,
    faultKey: row.faultKey,
    severity: row.severity,
    state: row.state,
    confirmed: row.confirmed,
    onset: row.onset,
    raisedAt: row.raisedAt,
    updatedAt: row.updatedAt,
    ...(row.clearedAt === null ? {} : { clearedAt: row.clearedAt }),
    evidence: row.evidence,
    ...(ticketKey === null ? {} : { ticketKey }),
    version: row.version,
    alarmState: alarmStateOf(
      { active: row.state === 'open', acknowledged: row.acknowledgedAt !== null, latched: row.latched },
      quietOf(row, silenced),
      row.closedAt !== null,
    ),
    ...(row.acknowledgedAt === null ? {} : { acknowledgedAt: row.acknowledgedAt }),
    ...(row.acknowledgedBy === null ? {} : { acknowledgedBy: row.acknowledgedBy }),
    ...(row.assignee === null ? {} : { assignee: row.assignee }),
    latched: row.latched,
    flapping: row.flapping,
    ...(row.annunciatedAt === null ? {} : { annunciatedAt: row.annunciatedAt }),
    ...(row.closedAt === null ? {} : { closedAt: row.closedAt }),
    ...(row.suppressedBy === null ? {} : { suppressedBy: row.suppressedBy }),
    ...(row.groupId === null ? {} : { group: row.groupId }),
    silencedBy: silenced.map(({ id, kind, reason, createdBy, until }) => ({
      id,
      kind,
      reason,
      by: createdBy,
      ...(until === null ? {} : { until }),
    })),
  };
}

export function quietOf(row: Pick<AlarmRow, 'suppressedBy'>, silenced: readonly Pick<SilenceRow, 'kind'>[]): Quiet {
  return {
    shelved: silenced.some((one) => one.kind === 'shelve'),
    suppressed: row.suppressedBy !== null || silenced.some((one) => one.kind === 'maintenance'),
    outOfService: silenced.some((one) => one.kind === 'outOfService'),
  };
}
