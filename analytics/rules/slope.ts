/** How fast a signal changes, in bounded memory however often it is sent. */
import type { NodeState } from './node-state.ts';

/** Parts of the time that a slope is taken over. */
const SLOTS = 24;

/** Least squares through the means of at most {@link SLOTS} parts of the time: as exact, and bounded however often it is sent. */
export function takeIntoSlope(state: NodeState, at: number, value: number, overMs: number): void {
  const { slots = [] } = state;
  state.slots = slots;
  const slotMs = overMs / SLOTS;
  const slot = Math.floor(at / slotMs);
  const last = slots.at(-1);
  if (last && last[0] === slot) {
    last[1]++;
    last[2] += (at - last[2]) / last[1];
    last[3] += (value - last[3]) / last[1];
  } else slots.push([slot, 1, at, value]);
  while ((slots[0]?.[0] ?? slot) <= slot - SLOTS) slots.shift();
  state.slope = slopeOf(slots, overMs);
}

/** `null` while less than half of the time is known. */
function slopeOf(slots: NonNullable<NodeState['slots']>, overMs: number): number | null {
  const first = slots[0];
  const last = slots.at(-1);
  if (!first || !last || last[2] - first[2] < overMs / 2) return null;
  let meanAt = 0;
  let meanValue = 0;
  for (const [, , at, value] of slots) {
    meanAt += (at - first[2]) / slots.length;
    meanValue += value / slots.length;
  }
  let products = 0;
  let squares = 0;
  for (const [, , at, value] of slots) {
    const distance = at - first[2] - meanAt;
    products += distance * (value - meanValue);
    squares += distance * distance;
  }
  return squares > 0 ? products / squares : null;
}
