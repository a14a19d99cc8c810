/**
 * How surprising a standardised value is, learned from the stream itself: real signals have far heavier tails than the
 * normal distribution (a door opens, a pump starts), and each side has its own. Above a fixed point the share of values
 * and their mean excess are tracked and continued by a generalised Pareto tail (Pickands 1975) of fixed, heavy shape.
 */

/** Plain JSON; one side of one signal. */
export interface TailState {
  /** Share of values beyond {@link TAIL_START}. */
  rate: number;
  /** Their mean distance beyond it. */
  excess: number;
  seen: number;
}

/** Where the tail begins, in standard deviations. */
export const TAIL_START = 1.5;
/** Shape of the tail: 0 would be exponential; 0.15 keeps six finite moments. */
const SHAPE = 0.15;
/** What a normal distribution has beyond 1.5 sigma; the belief before data. */
const NORMAL_RATE = 0.0668;
const NORMAL_EXCESS = 0.439;
/** Weight of that belief, in values. */
const PRIOR_VALUES = 60;
/** One value teaches at most this much excess. */
const MAX_EXCESS = 12;

export function initTail(): TailState {
  return { rate: NORMAL_RATE, excess: NORMAL_EXCESS, seen: 0 };
}

/**
 * Surprise −log10 P(Z > z) of a value `z` on this side; 0 for values on the other side.
 * Inside the body it rises with z² to its value at the start of the tail: there only the order matters.
 * @example tailSurprise(initTail(), 0) // => 0
 */
export function tailSurprise(tail: TailState, z: number): number {
  if (z <= 0) return 0;
  const atStart = -Math.log10(tail.rate);
  if (z <= TAIL_START) return atStart * (z / TAIL_START) ** 2;
  const scale = Math.max(0.1, tail.excess) * (1 - SHAPE);
  return atStart + Math.log10(1 + (SHAPE * (z - TAIL_START)) / scale) / SHAPE;
}

/** Takes one value into both figures, with a memory of `memory` values. O(1). Single precision is plenty, and short in a checkpoint. */
export function learnTail(tail: TailState, z: number, memory: number): void {
  tail.seen = Math.min(memory, tail.seen + 1);
  const weight = 1 / (tail.seen + PRIOR_VALUES);
  const beyond = z > TAIL_START;
  tail.rate = Math.fround(Math.min(0.5, Math.max(1e-4, tail.rate + weight * ((beyond ? 1 : 0) - tail.rate))));
  if (!beyond) return;
  const excessWeight = Math.min(0.2, weight / NORMAL_RATE);
  tail.excess = Math.fround(tail.excess + excessWeight * (Math.min(MAX_EXCESS, z - TAIL_START) - tail.excess));
}
