/** Alarms whose silence has ended: what is still active is acted upon now, as if it had just been raised. */
import { and, eq, inArray, isNull, or } from 'drizzle-orm';
import type { SilencedAlarm } from '../../contract/http/alarms.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { alarmHolds } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { alerts } from '../db/schema.ts';
import { actOnAlert } from '../tickets/act-on-alert.ts';
import type { AlarmRow } from './announce.ts';
import { type Batch, current, type DeskContext, openBatch } from './batch.ts';
import { endHolds, holdersOf, recordHolds } from './holds.ts';
import { type AppliedAlerts, closeBatch, NOTHING_APPLIED } from './news.ts';

export async function reconsider(
  tx: Transaction,
  which: readonly { tenant: string; id: string }[],
  context: DeskContext,
): Promise<AppliedAlerts> {
  if (which.length === 0) return NOTHING_APPLIED;
  const rows = await readActive(tx, which);
  await endOrphans(tx, which, rows, context.now);
  const batch = await openBatch(
    tx,
    rows.map((row) => ({ tenant: row.tenant, device: row.device, episode: row.id })),
    context,
  );
  for (const row of rows) await reconsiderOne(batch, current(batch, row));
  return closeBatch(batch);
}

/** Of alarms that are not open any more nothing is left to consider; a hold of theirs must not be looked at for ever. */
async function endOrphans(
  tx: Transaction,
  which: readonly { tenant: string; id: string }[],
  rows: readonly AlarmRow[],
  now: number,
): Promise<void> {
  const active = new Set(rows.map((row) => `${row.tenant}\n${row.id}`));
  for (const { tenant, id } of which) {
    if (active.has(`${tenant}\n${id}`)) continue;
    await tx
      .update(alarmHolds)
      .set({ endedAt: now, outcome: 'cleared' })
      .where(and(eq(alarmHolds.tenant, tenant), eq(alarmHolds.alertId, id), isNull(alarmHolds.endedAt)));
  }
}

async function reconsiderOne(batch: Batch, row: AlarmRow): Promise<SilencedAlarm['outcome']> {
  // Cleared while we waited for the lock: its holds have ended with it.
  if (row.state !== 'open') return 'cleared';
  const holders = await holdersOf(batch, row);
  if (holders.length > 0) {
    await endHolds(batch, row, 'held', holders);
    await recordHolds(batch, row, holders);
    return 'held';
  }
  const outcome = await actOnAlert(batch, findingOf(row), row, { before: row, worsened: false, released: true });
  await endHolds(batch, row, outcome);
  return outcome;
}

/** By tenant and id, oldest first: that one opens the ticket to which the others attach. */
async function readActive(tx: Transaction, which: readonly { tenant: string; id: string }[]): Promise<AlarmRow[]> {
  const tenants = [...new Set(which.map((one) => one.tenant))];
  const ofTenants = tenants.map((tenant) =>
    and(
      eq(alerts.tenant, tenant),
      inArray(
        alerts.id,
        which.filter((one) => one.tenant === tenant).map((one) => one.id),
      ),
    ),
  );
  return tx
    .select()
    .from(alerts)
    .where(and(or(...ofTenants), eq(alerts.state, 'open')))
    .orderBy(alerts.tenant, alerts.raisedAt, alerts.id);
}

/** The newest finding of an alarm, as far as acting on it needs it. */
function findingOf(row: AlarmRow): AlertFinding {
  return {
    id: `${row.id}-released`,
    tenant: row.tenant,
    device: row.device,
    model: row.model,
    at: row.updatedAt,
    position: row.position,
    kind: 'alertUpdated',
    episode: row.id,
    faultKey: row.faultKey,
    component: row.component,
    severity: row.severity,
    confirmed: row.confirmed,
    onset: row.onset,
    evidence: row.evidence,
  };
}
