/** What all parts of a condition have in common: how they are asked, and what they keep. */
import type { SignalValue } from '../../contract/wire/payloads.ts';
import type { Comparison, Quantity } from './ast.ts';
import type { Held, NodeState } from './node-state.ts';
import type { convert } from './units.ts';

/** Unknown is neither true nor false: it raises nothing and clears nothing (Kleene 1938). */
export type Truth = boolean | null;

/** What a part of a condition is asked with. */
export interface Moment {
  readonly at: number;
  /** Of the last sample or report. */
  readonly heardAt: number | null;
  /** Up to here we did not listen. */
  readonly resumedAt: number | null;
  readonly values: Readonly<Record<string, Held>>;
  readonly reports: Readonly<Record<string, Held>>;
  /** Signals of this very sample. */
  readonly fresh: (signal: string) => boolean;
  /** `fault:code` and `event:name` of this very report. */
  readonly reported: readonly string[];
  /** Ask again then, even if nothing comes. */
  readonly due: (at: number) => void;
  /** The same, because an alert may depend on it. */
  readonly wake: (at: number) => void;
}

/** A test as evidence shows it. */
export interface Fact {
  readonly test: string;
  readonly holds: Truth;
  readonly signal?: string;
  readonly value?: SignalValue;
  readonly limit?: number;
  readonly unit?: string;
  /** Device time of the value. */
  readonly at?: number;
}

export interface Node {
  /** Answers at a moment, and keeps `states[slot].since`; asked once for each moment, in the order of time. */
  evaluate(states: NodeState[], moment: Moment): Truth;
  /** What it has just seen. */
  facts(moment: Moment, into: Fact[], states: readonly NodeState[]): void;
}

export function sinceOf(states: readonly NodeState[], slot: number): number | null {
  return states[slot]?.since ?? null;
}

/** Keeps since when it is true: a part that was already true keeps its time. */
export function settle(states: NodeState[], slot: number, truth: Truth, since: number): Truth {
  const state = states[slot] as NodeState;
  if (truth === true) state.since ??= since;
  else state.since = null;
  return truth;
}

export function truthOf(
  states: readonly NodeState[],
  slot: number,
  held: Held | undefined,
  moment: Moment,
  holdMs: number,
): Truth {
  if (!held || moment.at >= held.at + holdMs) return null;
  return sinceOf(states, slot) !== null;
}

export function heldOf(values: Readonly<Record<string, Held>>, name: string): Held | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

/** With a dead band (`ends` known) true until it ends. */
export function latched(state: NodeState, isBeyond: boolean, ends: boolean | null): boolean {
  if (ends === null) return isBeyond;
  state.on = isBeyond || (state.on === true && !ends);
  return state.on;
}

export function compare(value: number, comparison: Comparison, limit: number): boolean {
  switch (comparison) {
    case '>':
      return value > limit;
    case '>=':
      return value >= limit;
    case '<':
      return value < limit;
    case '<=':
      return value <= limit;
    case '=':
      return value === limit;
    case '!=':
      return value !== limit;
  }
}

/** A limit in the signal's own unit; it was checked that it can be turned into it. */
export function inUnit({ value, unit }: Quantity, own: string, how: typeof convert): number {
  return unit === null ? value : (how(value, unit, own) ?? Number.NaN);
}
