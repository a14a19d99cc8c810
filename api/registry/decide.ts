/** What may happen to a version, decided from all versions of its tenant, kind and model. Pure; every refusal says why. */
import { MAX_SHADOWS, type RegistryAct, type RegistryKind, type RegistryState } from '../../contract/ports/versions.ts';

export interface KnownVersion {
  readonly id: string;
  readonly kind: RegistryKind;
  readonly version: string;
  readonly state: RegistryState;
  /** This build has the parts it is made of. */
  readonly runnable: boolean;
}

/** One line of the history, oldest first. */
export interface PastChange {
  readonly entryId: string;
  readonly act: RegistryAct;
  readonly to: RegistryState;
}

export type RegistryMove = 'promote' | 'rollBack' | 'retire' | 'shadow';

export interface StateChange {
  readonly id: string;
  readonly act: RegistryAct;
  readonly from: RegistryState;
  readonly to: RegistryState;
}

export type RegistryDecision =
  | { readonly kind: 'change'; readonly changes: readonly StateChange[] }
  | { readonly kind: 'refused'; readonly reason: string };

export function decideMove(
  move: RegistryMove,
  entry: KnownVersion,
  all: readonly KnownVersion[],
  history: readonly PastChange[],
): RegistryDecision {
  switch (move) {
    case 'promote':
      return promote(entry, all, 'promoted');
    case 'rollBack':
      return rollBack(entry, all, history);
    case 'retire':
      return retire(entry);
    case 'shadow':
      return shadow(entry, all);
  }
}

const refused = (reason: string): RegistryDecision => ({ kind: 'refused', reason });

function promote(entry: KnownVersion, all: readonly KnownVersion[], act: RegistryAct): RegistryDecision {
  if (entry.state === 'active') return refused('it is active already');
  if (!entry.runnable) return refused(NOT_RUNNABLE);
  const before = all.filter((one) => one.state === 'active');
  return {
    kind: 'change',
    changes: [
      ...before.map(({ id }): StateChange => ({ id, act: 'retired', from: 'active', to: 'retired' })),
      { id: entry.id, act, from: entry.state, to: 'active' },
    ],
  };
}

const NOT_RUNNABLE = 'this build does not have the parts it is made of; register its parameters as a new version';

function rollBack(entry: KnownVersion, all: readonly KnownVersion[], history: readonly PastChange[]): RegistryDecision {
  if (entry.state !== 'active') return refused('only the active version can be rolled back');
  const id = activeBefore(history);
  const target = all.find((one) => one.id === id);
  if (!target) return refused('nothing was active before it');
  return promote(target, all, 'rolledBack');
}

/**
 * What was active before what is active now: promotions stack up and a roll back takes the topmost off, so that rolling
 * back twice goes back by two and not to and fro.
 */
export function activeBefore(history: readonly PastChange[]): string | undefined {
  const stack: string[] = [];
  for (const { entryId, act, to } of history) {
    if (to !== 'active') continue;
    if (act === 'rolledBack') stack.pop();
    // What took the place of a version that can run no more stands for it.
    else if (act === 'succeeded') stack.splice(-1, 1, entryId);
    else stack.push(entryId);
  }
  return stack.at(-2);
}

function retire(entry: KnownVersion): RegistryDecision {
  if (entry.state === 'retired') return refused('it is retired already');
  if (entry.state === 'active') return refused('one version must be active: promote another one, or roll back');
  return { kind: 'change', changes: [{ id: entry.id, act: 'retired', from: 'shadow', to: 'retired' }] };
}

function shadow(entry: KnownVersion, all: readonly KnownVersion[]): RegistryDecision {
  if (entry.kind !== 'ensemble') return refused('only ensembles can run beside the active version');
  if (entry.state !== 'retired') return refused(`it is ${entry.state} already`);
  if (!entry.runnable) return refused(NOT_RUNNABLE);
  const room = shadowRoom(all);
  if (room.kind === 'refused') return room;
  return { kind: 'change', changes: [{ id: entry.id, act: 'shadowed', from: 'retired', to: 'shadow' }] };
}

/** Whether one more may run beside: each costs as much as the active version does. */
export function shadowRoom(all: readonly KnownVersion[]): RegistryDecision {
  const beside = all.filter((one) => one.state === 'shadow');
  if (beside.length < MAX_SHADOWS) return { kind: 'change', changes: [] };
  return refused(`${beside.map((one) => one.version).join(' and ')} run beside already; retire one first`);
}
