/**
 * Alert findings of one log batch into episodes and tickets, in the caller's transaction: what is known is read once,
 * each finding is decided in memory by the rules of the desk, and changed episodes are written together.
 */
import { findModel } from '../../contract/devices/catalogue.ts';
import type { AlarmEventType } from '../../contract/http/alarms.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { AlarmRow } from '../alerts/announce.ts';
import {
  type Batch,
  current,
  type DeskContext,
  faultKeyOf,
  keyOf,
  note,
  openBatch,
  policyOf,
  remember,
  silencesOf,
} from '../alerts/batch.ts';
import { closeGroups, joinGroup } from '../alerts/groups.ts';
import { endShelf } from '../alerts/holds.ts';
import { type AppliedAlerts, closeBatch, mergeApplied } from '../alerts/news.ts';
import { reconsider } from '../alerts/reconsider.ts';
import type { Transaction } from '../db/database.ts';
import type { AlarmPolicy } from '../desk/alarm-policy.ts';
import { type Alarm, type Followed, followCondition, isOver } from '../desk/alarm-state.ts';
import { mergeAlert, supersede } from '../desk/merge-alert.ts';
import { covers, isRunning } from '../desk/silences.ts';
import { actOnAlert } from './act-on-alert.ts';

export async function applyAlerts(
  tx: Transaction,
  findings: readonly AlertFinding[],
  context: DeskContext,
): Promise<AppliedAlerts> {
  const batch = await openBatch(tx, findings, context);
  for (const finding of findings) {
    if (batch.known.tenants.has(finding.tenant)) await applyOne(batch, finding); // Else the tenant is gone; so are its tickets.
  }
  const applied = await closeBatch(batch);
  await closeGroups(
    batch,
    applied.episodes.filter((one) => one.state === 'cleared'),
  );
  return mergeApplied(applied, await reconsider(tx, [...batch.released.values()], context));
}

async function applyOne(batch: Batch, finding: AlertFinding): Promise<void> {
  const before = batch.known.episodes.get(keyOf(finding.tenant, finding.episode));
  const merged = mergeAlert(before, finding);
  if (merged === before) return;
  const { alarms } = policyOf(batch, finding.tenant);
  const followed = followCondition(
    before && alarmOf(before),
    {
      active: merged.state === 'open',
      severity: merged.severity,
      confirmed: merged.confirmed,
      flapping: merged.evidence.flapping !== undefined,
    },
    isSafety(finding, alarms),
  );
  const base = before ?? freshRow(batch, finding);
  remember(batch, {
    ...base,
    ...merged,
    ...standing(base, followed, alarms, batch.context.now),
    position: finding.position,
  });
  const row = current(batch, base);
  tellChanges(batch, row, finding, followed.changes);
  await takePlace(batch, row, before === undefined);
  if (followed.worsened) await endShelf(batch, row);
  markExplained(batch, row, followed.changes, alarms);
  const newlySure = row.state === 'open' && row.confirmed && !(before?.confirmed ?? false);
  if (newlySure) await joinGroup(batch, row);
  await actOnAlert(batch, finding, current(batch, row), { before, worsened: followed.worsened, released: false });
}

/** What the desk adds to an episode, as it is at first. */
function freshRow(batch: Batch, finding: AlertFinding): AlarmRow {
  const device = batch.known.devices.get(keyOf(finding.tenant, finding.device));
  return {
    ...mergeAlert(undefined, finding),
    version: 0,
    position: finding.position,
    acknowledgedAt: null,
    acknowledgedBy: null,
    assignee: null,
    latched: false,
    flapping: false,
    suppressedBy: null,
    groupId: null,
    batch: device?.batch ?? null,
    firmware: device?.firmware ?? null,
    annunciatedAt: null,
    escalateAt: null,
    escalationLevel: 0,
    closedAt: null,
  };
}

export function alarmOf(row: AlarmRow): Alarm {
  return {
    active: row.state === 'open',
    severity: row.severity,
    confirmed: row.confirmed,
    acknowledged: row.acknowledgedAt !== null,
    latched: row.latched,
    flapping: row.flapping,
  };
}

function standing(base: AlarmRow, { alarm, changes }: Followed, policy: AlarmPolicy, now: number): Partial<AlarmRow> {
  return {
    version: base.version + (changes.length > 0 ? 1 : 0),
    latched: alarm.latched,
    flapping: alarm.flapping,
    ...(alarm.acknowledged ? {} : { acknowledgedAt: null, acknowledgedBy: null }),
    closedAt: isOver(alarm, policy) ? (base.closedAt ?? now) : null,
    // What is over on its own reminds nobody and needs no explanation.
    ...(alarm.active ? {} : { escalateAt: null, suppressedBy: null }),
  };
}

function isSafety({ model, faultKey }: AlertFinding, { latch }: AlarmPolicy): boolean {
  if (latch.includes(faultKey)) return true;
  return findModel(model)?.failureModes.find((mode) => mode.code === faultKey)?.safety === true;
}

/** `raised` says which detector, and which version of it, made this alarm, and why it was sure. */
function tellChanges(batch: Batch, row: AlarmRow, finding: AlertFinding, changes: readonly AlarmEventType[]): void {
  const { detector, score, threshold } = finding.evidence;
  for (const type of changes) {
    const facts =
      type === 'raised'
        ? { detector, score, threshold, faultKey: row.faultKey, severity: row.severity, finding: finding.id }
        : { severity: row.severity };
    note(batch, row, type, { facts });
  }
}

/** Keeps one open episode a fault key, and leaves one thing to do about it: the newest episode takes over from older ones. */
async function takePlace(batch: Batch, row: AlarmRow, isNew: boolean): Promise<void> {
  const fault = faultKeyOf(row);
  const openId = batch.known.openByFault.get(fault);
  if (row.state === 'cleared') {
    if (openId === row.id) batch.known.openByFault.delete(fault);
    if (row.closedAt === null) addStanding(batch, row);
    return;
  }
  batch.known.openByFault.set(fault, row.id);
  const replaced = openId === row.id ? undefined : openId && batch.known.episodes.get(keyOf(row.tenant, openId));
  if (replaced) endReplaced(batch, replaced, row);
  if (!isNew) return;
  carryOver(batch, row);
  await noteShelf(batch, row);
}

function addStanding(batch: Batch, row: AlarmRow): void {
  const known = batch.known.standing.get(faultKeyOf(row)) ?? [];
  if (!known.includes(row.id)) batch.known.standing.set(faultKeyOf(row), [...known, row.id]);
}

/** Its clearing was never seen. */
function endReplaced(batch: Batch, replaced: AlarmRow, by: AlarmRow): void {
  const row = remember(batch, {
    ...replaced,
    ...supersede(replaced, by.onset),
    version: replaced.version + 1,
    escalateAt: null,
    suppressedBy: null,
  });
  note(batch, row, 'cleared', { reason: 'a newer episode took its place', facts: { episode: by.id } });
  addStanding(batch, row);
}

function carryOver(batch: Batch, to: AlarmRow): void {
  let row = to;
  for (const id of batch.known.standing.get(faultKeyOf(to)) ?? []) {
    const older = batch.known.episodes.get(keyOf(to.tenant, id));
    if (!older || older.id === to.id || older.closedAt !== null) continue;
    remember(batch, { ...older, latched: false, closedAt: batch.context.now, version: older.version + 1 });
    note(batch, older, 'carried', { reason: 'the fault came again', facts: { to: to.id } });
    if (older.latched && !row.latched) note(batch, row, 'latched', { facts: { from: older.id } });
    row = remember(batch, {
      ...row,
      latched: row.latched || older.latched,
      assignee: row.assignee ?? older.assignee,
    });
  }
  batch.known.standing.delete(faultKeyOf(to));
}

/** A shelf is about a fault of a device, not about one episode: a fault that flaps stays on it. */
async function noteShelf(batch: Batch, row: AlarmRow): Promise<void> {
  const { now } = batch.context;
  const shelf = (await silencesOf(batch, row.tenant)).find(
    (one) => one.kind === 'shelve' && isRunning(one, now) && covers(one, row),
  );
  if (shelf) note(batch, row, 'shelved', { reason: shelf.reason, facts: { silence: shelf.id, until: shelf.until } });
}

function markExplained(
  batch: Batch,
  row: AlarmRow,
  changes: readonly AlarmEventType[],
  { inhibitingFaultKeys }: AlarmPolicy,
): void {
  const explains = inhibitingFaultKeys.includes(row.faultKey);
  const cameOrWent = changes.includes('raised') || changes.includes('cleared');
  if (explains && cameOrWent) add(batch.explaining, row);
  // Critical and latched ones are not hidden: a change of either asks again.
  else if (changes.some((one) => one !== 'flapping' && one !== 'cleared')) add(batch.dirty, row);
}

function add(devices: Map<string, Set<string>>, { tenant, device }: AlarmRow): void {
  const known = devices.get(tenant);
  if (known) known.add(device);
  else devices.set(tenant, new Set([device]));
}
