/**
 * What every detector of a whole device has in common: it sees all condition signals of a sample at once. The rules are
 * those of detector.ts: `score` before `learn` and without a trace, learning can be withheld, state is plain JSON, work and
 * memory a sample depend on the number of signals only, no clock, no randomness, no look-ahead.
 */

export interface DeviceInput {
  /** Device time, epoch ms; never falls. */
  readonly at: number;
  /** Signals that the sample holds, and their values: finite, in the order of the names. */
  readonly names: readonly string[];
  readonly values: readonly number[];
}

/** What one signal has to do with a device's surprise. */
export interface DeviceLine {
  readonly signal: string;
  /** −log10 of the chance that this signal of a healthy device is at least this unusual in one sample; > 0. */
  readonly surprise: number;
  readonly direction: 'up' | 'down';
  readonly value: number;
  /** Middle and edges of what was expected of it, in its unit. */
  readonly expected: number;
  readonly low: number;
  readonly high: number;
}

export interface DeviceScore {
  /** −log10 of the chance that a healthy device is at least this unusual in one sample, all its signals together; ≥ 0, finite. */
  readonly surprise: number;
  /** Signals behind it, most surprising first. */
  readonly lines: readonly DeviceLine[];
}

export interface DeviceDetector<State> {
  readonly name: string;
  readonly version: string;
  init(): State;
  /** Changes nothing. Nothing to say, also while warming up: surprise 0, no lines. */
  score(state: State, input: DeviceInput): DeviceScore;
  /** Takes one sample in; mutates `state`. With `trusted` false what counts as normal stays as it was. */
  learn(state: State, input: DeviceInput, trusted: boolean): void;
  /** A gap or a new recording: what is normal stays known, what was under way is history. */
  restart(state: State): void;
}

export const QUIET_DEVICE: DeviceScore = { surprise: 0, lines: [] };
