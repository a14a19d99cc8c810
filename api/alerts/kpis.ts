/** Reads what the KPIs of a range are made of. Bounded: a range with too much in it is refused, not cut. */
import { and, asc, eq, gte, lt, sql } from 'drizzle-orm';
import type { AlarmKpis } from '../../contract/http/alarms.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Severity } from '../../contract/ports/findings.ts';
import { alarmEvents } from '../db/alarm-schema.ts';
import type { TenantScope, Transaction } from '../db/database.ts';
import { alerts } from '../db/schema.ts';
import { kpisOf, STALE_MS } from '../desk/alarm-kpis.ts';
import { policyOfTenant } from './alarm-acts.ts';
import { isShelved, runningSilences } from './alert-view.ts';

const MAX_ROWS = 100_000;

export interface KpiRange {
  readonly from: number;
  readonly to: number;
  readonly operators: number;
}

/** @throws AppError REQUEST_NOT_ALLOWED when the range holds more than 100,000 events */
export async function readKpis(tx: Transaction, scope: TenantScope, range: KpiRange, now: number): Promise<AlarmKpis> {
  const { tenant } = scope;
  const { acknowledgeWithinMinutes } = (await policyOfTenant(tx, tenant)).alarms;
  const annunciations = await readAnnunciations(tx, tenant, range);
  const raised = await readRaised(tx, tenant, range);
  if (annunciations.length > MAX_ROWS || raised.length > MAX_ROWS) {
    throw new AppError('REQUEST_NOT_ALLOWED', `the range holds more than ${MAX_ROWS} alarms; choose a shorter one`);
  }
  return kpisOf({
    ...range,
    now,
    annunciations: annunciations.map(({ severity, acknowledgedAt, ...one }) => ({
      ...one,
      targetMs: acknowledgeWithinMinutes[severity] * MINUTE_MS,
      acknowledgedAt: acknowledgedAt === null ? undefined : Number(acknowledgedAt),
    })),
    raised,
    ...(await readStanding(tx, tenant, range.to, now)),
  });
}

/** With the first acknowledgement after it, as the history tells it: the alarm itself knows only the last one. */
function readAnnunciations(tx: Transaction, tenant: string, { from, to }: KpiRange) {
  return tx
    .select({
      at: alarmEvents.at,
      device: alerts.device,
      faultKey: alerts.faultKey,
      severity: sql<Severity>`COALESCE(${alarmEvents.facts}->>'severity', ${alerts.severity})`,
      acknowledgedAt: sql<
        string | null
      >`(SELECT min(e.at) FROM alarm_events e WHERE e.tenant_id = alarm_events.tenant_id
        AND e.alert_id = alarm_events.alert_id AND e.type = 'acknowledged' AND e.id > alarm_events.id)`,
    })
    .from(alarmEvents)
    .innerJoin(alerts, and(eq(alerts.tenant, alarmEvents.tenant), eq(alerts.id, alarmEvents.alertId)))
    .where(
      and(
        eq(alarmEvents.tenant, tenant),
        eq(alarmEvents.type, 'annunciated'),
        gte(alarmEvents.at, from),
        lt(alarmEvents.at, to),
      ),
    )
    .orderBy(asc(alarmEvents.at))
    .limit(MAX_ROWS + 1);
}

function readRaised(tx: Transaction, tenant: string, { from, to }: KpiRange) {
  return tx
    .select({ at: alerts.raisedAt, device: alerts.device, faultKey: alerts.faultKey, flapping: alerts.flapping })
    .from(alerts)
    .where(and(eq(alerts.tenant, tenant), gte(alerts.raisedAt, from), lt(alerts.raisedAt, to)))
    .limit(MAX_ROWS + 1);
}

async function readStanding(tx: Transaction, tenant: string, to: number, now: number) {
  const stale = sql`${alerts.annunciatedAt} <= ${to - STALE_MS} AND (${alerts.clearedAt} IS NULL OR ${alerts.clearedAt} > ${to})`;
  const standing = sql`${alerts.closedAt} IS NULL`;
  const [counts] = await tx
    .select({
      stale: sql<number>`(count(*) FILTER (WHERE ${stale}))::int`,
      shelvedNow: sql<number>`(count(*) FILTER (WHERE ${standing} AND ${isShelved(now)}))::int`,
      suppressedNow: sql<number>`(count(*) FILTER (WHERE ${standing} AND ${alerts.suppressedBy} IS NOT NULL))::int`,
    })
    .from(alerts)
    .where(eq(alerts.tenant, tenant));
  const running = await runningSilences(tx, tenant, now);
  return {
    stale: counts?.stale ?? 0,
    shelvedNow: counts?.shelvedNow ?? 0,
    suppressedNow: counts?.suppressedNow ?? 0,
    outOfServiceNow: running.filter((one) => one.kind === 'outOfService').length,
  };
}
