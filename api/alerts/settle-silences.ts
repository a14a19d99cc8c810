/**
 * What happens when a silence ends, by time or by a person: what it kept quiet and is still active is acted upon, and it
 * says what it kept quiet. In steps that a crash may interrupt: the next one goes on where this one stopped.
 */
import { and, asc, eq, gte, isNull, lte, sql } from 'drizzle-orm';
import type { SilencedAlarm, SilenceReport } from '../../contract/http/alarms.ts';
import { alarmHolds, silenceReports, silences } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { alerts, tenants } from '../db/schema.ts';
import { nextSpan } from '../desk/schedule.ts';
import { isRunning } from '../desk/silences.ts';
import { centreOfDevice } from './alarm-acts.ts';
import { appendAlarmEvents, lockAlarms, SYSTEM_ACTOR } from './alarm-events.ts';
import { announce } from './announce.ts';
import type { DeskContext } from './batch.ts';
import { type AppliedAlerts, NOTHING_APPLIED } from './news.ts';
import { reconsider } from './reconsider.ts';
import { silenceOf } from './silence-view.ts';

/** Alarms acted upon in one transaction: each may open a ticket. */
export const STEP_ALARMS = 100;
const MAX_ITEMS = 200;

type SilenceRow = typeof silences.$inferSelect;

export interface Settled {
  readonly applied: AppliedAlerts;
  /** Its time is over and told; absent = there is more to do, or somebody else did it. */
  readonly ended?: { readonly tenant: string; readonly silence: SilenceRow; readonly report: SilenceReport };
  readonly more: boolean;
}

const NOTHING: Settled = { applied: NOTHING_APPLIED, more: false };

export function dueSilences(tx: Transaction, now: number, limit: number): Promise<SilenceRow[]> {
  return tx.select().from(silences).where(lte(silences.settleAt, now)).orderBy(asc(silences.settleAt)).limit(limit);
}

/** One step. */
export async function settleSilence(
  tx: Transaction,
  { tenant, id }: { tenant: string; id: string },
  context: DeskContext,
): Promise<Settled> {
  await lockAlarms(tx, [tenant]);
  const isIt = and(eq(silences.tenant, tenant), eq(silences.id, id));
  const [row] = await tx.select().from(silences).where(isIt);
  if (!row || row.settleAt === null || row.settleAt > context.now) return NOTHING;
  if (isRunning(row, context.now)) {
    // Prolonged meanwhile.
    await tx.update(silences).set({ settleAt: row.until }).where(isIt);
    return NOTHING;
  }
  const held = await heldBy(tx, row, STEP_ALARMS);
  if (held.length > 0) {
    const applied = await reconsider(
      tx,
      held.map((alertId) => ({ tenant, id: alertId })),
      context,
    );
    return { applied, more: true };
  }
  const report = await writeReport(tx, row);
  const after = await advance(tx, row, context.now);
  if (row.kind === 'shelve') await noteUnshelved(tx, row, context.now);
  if (report.silenced > 0) await tell(tx, after, report, context);
  return { applied: NOTHING_APPLIED, ended: { tenant, silence: after, report }, more: false };
}

async function heldBy(tx: Transaction, row: SilenceRow, limit: number): Promise<string[]> {
  const rows = await tx
    .select({ alertId: alarmHolds.alertId })
    .from(alarmHolds)
    .where(and(ofSilence(row), isNull(alarmHolds.endedAt)))
    .orderBy(asc(alarmHolds.id))
    .limit(limit);
  return rows.map((one) => one.alertId);
}

const ofSilence = (row: SilenceRow) =>
  and(eq(alarmHolds.tenant, row.tenant), eq(alarmHolds.kind, 'silence'), eq(alarmHolds.holder, row.id));

const endOf = (row: SilenceRow) =>
  Math.min(row.endedAt ?? Number.POSITIVE_INFINITY, row.until ?? Number.POSITIVE_INFINITY);

async function writeReport(tx: Transaction, row: SilenceRow): Promise<SilenceReport> {
  const rows = await tx
    .select({
      alert: alarmHolds.alertId,
      device: alerts.device,
      faultKey: alerts.faultKey,
      severity: alerts.severity,
      since: alarmHolds.since,
      outcome: alarmHolds.outcome,
    })
    .from(alarmHolds)
    .innerJoin(alerts, and(eq(alerts.tenant, alarmHolds.tenant), eq(alerts.id, alarmHolds.alertId)))
    .where(and(ofSilence(row), gte(alarmHolds.since, row.from)))
    .orderBy(asc(alarmHolds.id));
  const items = rows.map((one): SilencedAlarm => ({ ...one, outcome: one.outcome ?? 'watched' }));
  const acted = items.filter(({ outcome }) => ['ticket', 'attached', 'annunciated'].includes(outcome)).length;
  const report = {
    from: row.from,
    until: endOf(row),
    endedBy: row.endedBy ?? SYSTEM_ACTOR,
    silenced: items.length,
    acted,
    items: items.slice(0, MAX_ITEMS),
  };
  await tx
    .insert(silenceReports)
    .values({ tenant: row.tenant, silenceId: row.id, ...report })
    .onConflictDoNothing();
  return report;
}

/** To its next time, or to its end. */
async function advance(tx: Transaction, row: SilenceRow, now: number): Promise<SilenceRow> {
  const next = row.weekly && row.endedAt === null ? nextSpan(row.weekly, Math.max(now, row.until ?? now)) : undefined;
  const [after] = await tx
    .update(silences)
    .set({
      ...(next
        ? { from: next.from, until: next.until, settleAt: next.until }
        : { settleAt: null, endedAt: row.endedAt ?? row.until, endedBy: row.endedBy ?? SYSTEM_ACTOR }),
      version: sql`${silences.version} + 1`,
    })
    .where(and(eq(silences.tenant, row.tenant), eq(silences.id, row.id)))
    .returning();
  return after ?? row;
}

/** Where a person ended it, that is in the history already. */
async function noteUnshelved(tx: Transaction, row: SilenceRow, now: number): Promise<void> {
  if (row.device === null || row.faultKey === null || (row.endedBy ?? SYSTEM_ACTOR) !== SYSTEM_ACTOR) return;
  const standing = await tx
    .select({ id: alerts.id })
    .from(alerts)
    .where(
      and(
        eq(alerts.tenant, row.tenant),
        eq(alerts.device, row.device),
        eq(alerts.faultKey, row.faultKey),
        isNull(alerts.closedAt),
      ),
    );
  await appendAlarmEvents(
    tx,
    standing.map(({ id }) => ({
      tenant: row.tenant,
      alertId: id,
      at: now,
      actor: SYSTEM_ACTOR,
      type: 'unshelved',
      reason: row.endReason ?? 'its time was over',
      facts: { silence: row.id },
    })),
  );
}

async function tell(tx: Transaction, row: SilenceRow, report: SilenceReport, context: DeskContext): Promise<void> {
  const { now, publicUrl } = context;
  await announce(tx, {
    tenant: row.tenant,
    centre: await centreOf(tx, row),
    now,
    body: {
      type: 'silence.ended',
      timestamp: new Date(now).toISOString(),
      data: {
        tenant: row.tenant,
        silence: silenceOf(row, now),
        report,
        silenceUrl: `${publicUrl}/api/v1/silences/${row.id}`,
      },
    },
  });
}

async function centreOf(tx: Transaction, row: SilenceRow): Promise<string> {
  if (row.centre !== null) return row.centre;
  if (row.device !== null) return centreOfDevice(tx, { tenant: row.tenant, device: row.device });
  const [owner] = await tx
    .select({ centre: tenants.defaultCentre })
    .from(tenants)
    .where(eq(tenants.tenant, row.tenant));
  return owner?.centre ?? '';
}
