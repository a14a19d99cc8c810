/** What keeps an alarm from asking for attention now, and the record of it. */
import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { HoldKind, SilencedAlarm } from '../../contract/http/alarms.ts';
import { MINUTE_MS, SECOND_MS } from '../../contract/kernel/time.ts';
import type { Severity } from '../../contract/ports/findings.ts';
import { alarmGroups, alarmHolds, silences } from '../db/alarm-schema.ts';
import { waitsForGroup } from '../desk/grouping.ts';
import { covers, isRunning } from '../desk/silences.ts';
import { SYSTEM_ACTOR } from './alarm-events.ts';
import type { AlarmRow } from './announce.ts';
import { type Batch, current, flush, keyOf, note, policyOf, silencesOf } from './batch.ts';

export interface Holder {
  readonly kind: HoldKind;
  readonly holder: string;
  /** Ends by itself then; absent = when its holder says so. */
  readonly until?: number;
}

/** Everything that keeps the alarm quiet; empty = it may ask. */
export async function holdersOf(batch: Batch, before: AlarmRow): Promise<Holder[]> {
  await flush(batch);
  const row = current(batch, before);
  const holders: Holder[] = [];
  const centre = batch.known.devices.get(keyOf(row.tenant, row.device))?.centre;
  for (const silence of await silencesOf(batch, row.tenant)) {
    if (isRunning(silence, batch.context.now) && covers(silence, { ...row, centre })) {
      holders.push({ kind: 'silence', holder: silence.id });
    }
  }
  if (row.suppressedBy !== null) holders.push({ kind: 'inhibition', holder: row.suppressedBy });
  if (row.groupId !== null && (await waits(batch, row, row.groupId))) {
    holders.push({ kind: 'group', holder: row.groupId });
  }
  const settling = holders.length === 0 ? await settlingOf(batch, row) : undefined;
  return settling ? [settling] : holders;
}

async function waits(batch: Batch, row: { tenant: string; severity: Severity }, id: string): Promise<boolean> {
  const [group] = await batch.tx
    .select()
    .from(alarmGroups)
    .where(and(eq(alarmGroups.tenant, row.tenant), eq(alarmGroups.id, id), eq(alarmGroups.state, 'open')));
  return (
    group !== undefined &&
    waitsForGroup(row.severity, group, batch.context.now, policyOf(batch, row.tenant).alarms.group)
  );
}

/** A silent device below another one: for a moment that one may be the reason, and only not have been noticed yet. */
async function settlingOf(batch: Batch, row: AlarmRow): Promise<Holder | undefined> {
  const { inhibitingFaultKeys, inhibitSettleSeconds } = policyOf(batch, row.tenant).alarms;
  const parent = batch.known.devices.get(keyOf(row.tenant, row.device))?.parent ?? null;
  if (parent === null || inhibitSettleSeconds === 0 || !inhibitingFaultKeys.includes(row.faultKey)) return undefined;
  const [known] = await batch.tx
    .select({ until: alarmHolds.until })
    .from(alarmHolds)
    .where(and(eq(alarmHolds.tenant, row.tenant), eq(alarmHolds.alertId, row.id), eq(alarmHolds.kind, 'settling')));
  const until = known?.until ?? batch.context.now + inhibitSettleSeconds * SECOND_MS;
  return batch.context.now < until ? { kind: 'settling', holder: parent, until } : undefined;
}

/** Records that the alarm would have asked for attention. Saying so again changes nothing. */
export async function recordHolds(batch: Batch, row: AlarmRow, holders: readonly Holder[]): Promise<void> {
  const added = await batch.tx
    .insert(alarmHolds)
    .values(
      holders.map(({ kind, holder, until }) => ({
        tenant: row.tenant,
        alertId: row.id,
        kind,
        holder,
        since: batch.context.now,
        until: until ?? null,
      })),
    )
    .onConflictDoNothing()
    .returning({ kind: alarmHolds.kind, holder: alarmHolds.holder });
  for (const facts of added) note(batch, row, 'held', { facts });
}

/** Ends the alarm's open holds, all or those that are not in `still`. */
export async function endHolds(
  batch: Batch,
  row: AlarmRow,
  outcome: SilencedAlarm['outcome'],
  still: readonly Holder[] = [],
): Promise<void> {
  const open = await batch.tx
    .select()
    .from(alarmHolds)
    .where(and(eq(alarmHolds.tenant, row.tenant), eq(alarmHolds.alertId, row.id), isNull(alarmHolds.endedAt)));
  const over = open.filter((hold) => !still.some((one) => one.kind === hold.kind && one.holder === hold.holder));
  if (over.length === 0) return;
  await batch.tx
    .update(alarmHolds)
    .set({ endedAt: batch.context.now, outcome })
    .where(
      and(
        eq(alarmHolds.tenant, row.tenant),
        eq(alarmHolds.alertId, row.id),
        inArray(
          alarmHolds.id,
          over.map((hold) => hold.id),
        ),
      ),
    );
  const facts = { outcome, by: over.map(({ kind, holder }) => ({ kind, holder })) };
  note(batch, row, 'released', { facts });
}

/** An alarm that got worse than what was shelved is not what was shelved. */
export async function endShelf(batch: Batch, row: AlarmRow): Promise<void> {
  const ended = await batch.tx
    .update(silences)
    .set({
      endedAt: batch.context.now,
      endedBy: SYSTEM_ACTOR,
      endReason: `its severity rose to ${row.severity}`,
      settleAt: batch.context.now,
      version: sql`${silences.version} + 1`,
    })
    .where(
      and(
        eq(silences.tenant, row.tenant),
        eq(silences.kind, 'shelve'),
        eq(silences.device, row.device),
        eq(silences.faultKey, row.faultKey),
        isNull(silences.endedAt),
      ),
    )
    .returning({ id: silences.id });
  if (ended.length === 0) return;
  const left = (await silencesOf(batch, row.tenant)).filter((one) => !ended.some(({ id }) => id === one.id));
  batch.known.silences.set(row.tenant, left);
}

/** When people are reminded of an alarm that is not acknowledged; `null` = never. */
export function reminderAt(row: Pick<AlarmRow, 'severity'>, policy: EscalationPolicy, now: number): number | null {
  return policy.escalations > 0 ? now + policy.acknowledgeWithinMinutes[row.severity] * MINUTE_MS : null;
}
interface EscalationPolicy {
  readonly escalations: number;
  readonly acknowledgeWithinMinutes: Readonly<Record<Severity, number>>;
}
