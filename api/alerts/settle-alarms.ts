/** What time does to alarms: reminders of unacknowledged ones, holds that end by themselves, groups without a decision. */
import { and, asc, eq, isNull, lte, sql } from 'drizzle-orm';
import { alarmGroups, alarmHolds } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { alerts } from '../db/schema.ts';
import { lockAlarms, SYSTEM_ACTOR } from './alarm-events.ts';
import { type AlarmRow, alertChanged, announce } from './announce.ts';
import { type Batch, centreOf, current, type DeskContext, note, openBatch, policyOf, remember } from './batch.ts';
import { holdersOf, recordHolds, reminderAt } from './holds.ts';
import { type AppliedAlerts, closeBatch, NOTHING_APPLIED } from './news.ts';
import { reconsider } from './reconsider.ts';
import { STEP_ALARMS } from './settle-silences.ts';

/** Reminders that are due, of one tenant at a time. */
export async function escalateDue(tx: Transaction, context: DeskContext): Promise<AppliedAlerts> {
  const [first] = await tx
    .select({ tenant: alerts.tenant })
    .from(alerts)
    .where(lte(alerts.escalateAt, context.now))
    .orderBy(asc(alerts.escalateAt))
    .limit(1);
  if (!first) return NOTHING_APPLIED;
  await lockAlarms(tx, [first.tenant]);
  const due = await tx
    .select()
    .from(alerts)
    .where(and(eq(alerts.tenant, first.tenant), lte(alerts.escalateAt, context.now)))
    .orderBy(asc(alerts.escalateAt), asc(alerts.id))
    .limit(STEP_ALARMS);
  const batch = await openBatch(
    tx,
    due.map((row) => ({ tenant: row.tenant, device: row.device, episode: row.id })),
    context,
  );
  for (const row of due) await escalate(batch, row);
  return closeBatch(batch);
}

async function escalate(batch: Batch, before: AlarmRow): Promise<void> {
  const row = current(batch, before);
  const isOver = row.state !== 'open' || row.acknowledgedAt !== null;
  const holders = isOver ? [] : await holdersOf(batch, row);
  const { alarms } = policyOf(batch, row.tenant);
  if (isOver || holders.length > 0 || row.escalationLevel >= alarms.escalations) {
    remember(batch, { ...current(batch, row), escalateAt: null });
    // Whatever keeps it quiet ends the running escalation; when that is over, attention is asked for anew.
    if (holders.length > 0) await recordHolds(batch, row, holders);
    return;
  }
  const level = row.escalationLevel + 1;
  const { now } = batch.context;
  const escalateAt = level < alarms.escalations ? reminderAt(row, alarms, now) : null;
  const after = remember(batch, { ...current(batch, row), escalationLevel: level, escalateAt });
  note(batch, row, 'escalated', { facts: { level } });
  const body = alertChanged(after, { change: 'escalated', actor: SYSTEM_ACTOR, level }, batch.context);
  await announce(batch.tx, { tenant: row.tenant, centre: centreOf(batch, row), now, body });
}

/** Holds whose own time is over. */
export async function releaseDue(tx: Transaction, context: DeskContext): Promise<AppliedAlerts> {
  const due = await tx
    .select({ tenant: alarmHolds.tenant, id: alarmHolds.alertId })
    .from(alarmHolds)
    .where(and(isNull(alarmHolds.endedAt), lte(alarmHolds.until, context.now)))
    .orderBy(asc(alarmHolds.until))
    .limit(STEP_ALARMS);
  return reconsider(tx, due, context);
}

/** The next group whose members wait no longer, because somebody said so or nobody said anything. */
export async function settleGroup(
  tx: Transaction,
  context: DeskContext,
): Promise<{ readonly applied: AppliedAlerts; readonly more: boolean }> {
  const [due] = await tx
    .select({ tenant: alarmGroups.tenant, id: alarmGroups.id })
    .from(alarmGroups)
    .where(lte(alarmGroups.settleAt, context.now))
    .orderBy(asc(alarmGroups.settleAt))
    .limit(1);
  if (!due) return { applied: NOTHING_APPLIED, more: false };
  await lockAlarms(tx, [due.tenant]);
  const isIt = and(eq(alarmGroups.tenant, due.tenant), eq(alarmGroups.id, due.id));
  const waiting = await tx
    .select({ tenant: alarmHolds.tenant, id: alarmHolds.alertId })
    .from(alarmHolds)
    .where(
      and(
        eq(alarmHolds.tenant, due.tenant),
        eq(alarmHolds.kind, 'group'),
        eq(alarmHolds.holder, due.id),
        isNull(alarmHolds.endedAt),
      ),
    )
    .orderBy(asc(alarmHolds.id))
    .limit(STEP_ALARMS);
  const [group] = await tx.select().from(alarmGroups).where(isIt);
  // A campaign keeps its members; and with nobody waiting there is nothing to settle.
  if (group?.decision === 'campaign' || waiting.length === 0) {
    await tx
      .update(alarmGroups)
      .set({ settleAt: null, version: sql`${alarmGroups.version} + 1` })
      .where(isIt);
    return { applied: { ...NOTHING_APPLIED, groups: [due] }, more: true };
  }
  const applied = await reconsider(tx, waiting, context);
  return { applied: { ...applied, groups: [...applied.groups, due] }, more: true };
}
