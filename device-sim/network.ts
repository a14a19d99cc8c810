/** A bad network on purpose: what happens to each message, decided by a seed so that a run can be repeated. Pure. */
import type { Random } from '../contract/kernel/random.ts';

/** Chance of each mishap per message, 0..1; together at most 0.9, so that everything arrives in the end. */
export interface NetworkFaults {
  /** Lost before it is sent; the device sends it again later. */
  readonly loss: number;
  /** Sent twice. */
  readonly duplicate: number;
  /** Held back until after its successor. */
  readonly reorder: number;
  /** The connection breaks right after it was sent. */
  readonly disconnect: number;
}

export const PERFECT_NETWORK: NetworkFaults = { loss: 0, duplicate: 0, reorder: 0, disconnect: 0 };
const MAX_TOTAL = 0.9;

export type Fate = 'deliver' | 'lose' | 'duplicate' | 'holdBack' | 'disconnect';

export interface Network {
  fate(): Fate;
}

/** @throws RangeError when a chance is not in 0..1 or all of them pass 0.9 together */
export function createNetwork(faults: NetworkFaults, random: Random): Network {
  const chances: readonly (readonly [Fate, number])[] = [
    ['lose', faults.loss],
    ['duplicate', faults.duplicate],
    ['holdBack', faults.reorder],
    ['disconnect', faults.disconnect],
  ];
  const total = chances.reduce((sum, [, chance]) => sum + chance, 0);
  if (chances.some(([, chance]) => !(chance >= 0 && chance <= 1)) || total > MAX_TOTAL + 1e-9) {
    throw new RangeError(`Chances of network faults must be in 0..1 and sum to at most ${MAX_TOTAL}`);
  }
  return { fate: () => pick(chances, random()) };
}

function pick(chances: readonly (readonly [Fate, number])[], draw: number): Fate {
  let edge = 0;
  for (const [fate, chance] of chances) {
    edge += chance;
    if (draw < edge) return fate;
  }
  return 'deliver';
}
