/**
 * What every detector of one signal has in common. `score` comes before `learn`, so no sample explains itself; learning
 * can be withheld, so a fault is not taught as normal. State is plain JSON: a restart resumes in the middle of anything.
 * O(1) work and memory a sample, deterministic, no clock, no look-ahead.
 */
import type { BaselineRow } from './design.ts';

export interface DetectorInput {
  /** Device time, epoch ms; never falls. */
  readonly at: number;
  /** `undefined` or not finite = missing. */
  readonly value: number | undefined;
  /** Scaled values that explain the signal (load, weather); always of the same length for one detector. */
  readonly context: readonly number[];
  /** What the context and the time are worth, where many signals share them: see design.ts. */
  readonly row?: BaselineRow;
}

export type DetectorResult =
  | { readonly kind: 'missing' }
  | { readonly kind: 'warmingUp'; readonly have: number; readonly need: number }
  | {
      readonly kind: 'scored';
      /** −log10 of the chance that a healthy stream is at least this unusual in one sample; ≥ 0, finite. */
      readonly surprise: number;
      /** The same without regard to whether it matters, where that differs: decides what may be learned as normal. */
      readonly rarity?: number;
      /** Which way it deviates. */
      readonly direction: 'up' | 'down';
      /** Middle and edges of the expected band (about 3 sigma), in the unit of the input. */
      readonly expected: number;
      readonly low: number;
      readonly high: number;
    };

export interface Detector<Params, State> {
  readonly name: string;
  readonly version: string;
  init(params: Params): State;
  /** Changes nothing. */
  score(state: State, input: DetectorInput): DetectorResult;
  /**
   * Takes one sample in; mutates and returns `state`. With `trusted` false the sample is only tracked: what counts as
   * normal stays as it was.
   */
  learn(state: State, input: DetectorInput, trusted: boolean): State;
}

export const MISSING: DetectorResult = { kind: 'missing' };

export function isPresent(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value);
}
