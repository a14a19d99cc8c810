/**
 * Does the sensor still measure? Three ways in which a sensor fails show in its own values, whatever the machine does: it is
 * stuck (the same value again and again where it used to move), it drops out (values are missing more often than usual), or
 * it is noisy (it jumps from sample to sample as it never did while its level stays). Each is judged against the sensor's
 * own habits in the same operating mode, so a signal that rests at zero while the machine is off is not stuck, a signal that
 * is sent now and then is not missing, and a rough one is not noisy. O(1) a sample; plain JSON.
 */
import { normalSurprise, studentToNormal } from '../stats/normal.ts';

/** Habits in one operating mode. */
interface SensorHabits {
  /** Samples in which it should have been. */
  samples: number;
  /** Share of samples in which it was missing. */
  missing: number;
  /** Share of values that equal the one before. */
  same: number;
  /** Mean size of a step from one value to the next. */
  step: number;
  steps: number;
}

export interface SensorState {
  /** by operating mode */
  readonly modes: Record<string, SensorHabits>;
  /** Newest value and the mode it came in; null before the first. */
  last: number | null;
  lastMode: string;
  /** How surprising the values are that equal the ones before, added up since the last change; and the most that ever was. */
  stuck: number;
  longest: number;
  /** Values at which the signal is known to stay longest and to leave again (a stop, a lowest speed), and for how many. */
  readonly rests: { readonly value: number; run: number }[];
  /** Values in a row that equal the ones before. */
  run: number;
  /** Values seen, up to {@link KNOWN_VALUES}. */
  values: number;
  /** Page's sum of missing samples. */
  lost: number;
  /** Mean size of the last steps in units of the usual one, and the mean and variance of its logarithm. */
  unrest: number;
  sinceKept: number;
  kept: number;
  level: number;
  variance: number;
}

export type SensorFault = 'stuck' | 'missing' | 'noisy';

export interface SensorVerdict {
  readonly fault: SensorFault;
  /** −log10 of the chance that a good sensor does this. */
  readonly surprise: number;
}

export const SENSOR_DETECTOR = { name: 'sensor-health', version: '1' } as const;

const MEMORY = 2_000;
/** Samples of a mode before its habits are known. */
const KNOWN_SAMPLES = 50;
/** Beyond this surprise nothing is learned: a fault must not become a habit. */
const LEARN_BELOW = 2;
/** The longest standstill that ever was counts so many times. */
const LONGEST_FACTOR = 1.5;
/** Share of missing samples that is looked for, at least. */
const LOST_SHARE = 0.2;
/** Believed of every sensor: one value in two hundred is lost on the way. */
const LEAST_MISSING = 0.005;
const FORGET_LONGEST = 0.9999;
/** One equal value is never more surprising than one in fifty. */
const LEAST_SAME = 0.02;
const MAX_RESTS = 4;
/** So many equal values in a row that ended by themselves make a rest. */
const REST_RUN = 10;
/** Values before a standstill is judged: its stops must have been seen. */
const KNOWN_VALUES = 1_500;
const UNREST_WEIGHT = 0.05;
/** One step counts at most so many times the usual one. */
const MOST_STEP = 12;
/** The unrest of so many samples counts as one observation. */
const KEEP_EVERY = 20;
const KNOWN_UNREST = 30;
const LEAST_UNREST_SIGMA = 0.2;
/** Less than a doubling of the noise is of no consequence. */
const LEAST_UNREST = 2;
const MOST_SURPRISE = 40;
const single = Math.fround;

export function initSensor(): SensorState {
  return {
    modes: {},
    last: null,
    lastMode: '',
    stuck: 0,
    longest: 0,
    rests: [],
    run: 0,
    values: 0,
    lost: 0,
    unrest: 1,
    sinceKept: 0,
    kept: 0,
    level: 0,
    variance: 0,
  };
}

/**
 * Takes one sample in and judges the sensor by it and those before; mutates `state`.
 * @param value `undefined` = missing from the sample
 * @param leastStep a step below it is no noise: the tolerance of the sensor, in the signal's unit
 * @returns the most surprising fault; `undefined` = nothing to say
 */
export function watchSensor(
  state: SensorState,
  mode: string,
  value: number | undefined,
  leastStep: number,
): SensorVerdict | undefined {
  // A sensor that never said anything is not fitted.
  if (state.last === null && value === undefined) return undefined;
  const habits = habitsOf(state, mode);
  watchPresence(state, habits, value !== undefined);
  if (value !== undefined) {
    if (state.last !== null) {
      watchStandstill(state, habits, value, state.last);
      if (state.lastMode === mode) watchUnrest(state, habits, Math.abs(value - state.last), leastStep);
    }
    state.values = Math.min(KNOWN_VALUES, state.values + 1);
    state.last = value;
    state.lastMode = mode;
  }
  return worst(state);
}

/** Between two recordings: habits stay, what was under way is history. */
export function restartSensor(state: SensorState): void {
  state.stuck = 0;
  state.run = 0;
  state.lost = 0;
  state.unrest = 1;
  state.lastMode = '';
}

function habitsOf(state: SensorState, mode: string): SensorHabits {
  const known = Object.hasOwn(state.modes, mode) ? state.modes[mode] : undefined;
  if (known) return known;
  const fresh: SensorHabits = { samples: 0, missing: 0, same: 0.5, step: 0, steps: 0 };
  state.modes[mode] = fresh;
  return fresh;
}

function watchPresence(state: SensorState, habits: SensorHabits, present: boolean): void {
  // Nearly every sample has its value: nothing to weigh.
  if (habits.samples >= KNOWN_SAMPLES && !(present && state.lost === 0)) weighLoss(state, habits, present);
  if (state.lost >= LEARN_BELOW) return;
  habits.samples = Math.min(MEMORY, habits.samples + 1);
  habits.missing = single(habits.missing + ((present ? 0 : 1) - habits.missing) / habits.samples);
}

function weighLoss(state: SensorState, habits: SensorHabits, present: boolean): void {
  const usual = Math.max(LEAST_MISSING, habits.missing);
  const wanted = Math.min(0.98, Math.max(LOST_SHARE, 5 * usual));
  if (wanted <= usual) return;
  const evidence = present ? Math.log10((1 - wanted) / (1 - usual)) : Math.log10(wanted / usual);
  state.lost = single(Math.max(0, Math.min(MOST_SURPRISE, state.lost + evidence)));
}

/** A sensor that moves again was not stuck, however long it stood: signals have stops. */
function endStandstill(state: SensorState, at: number): void {
  state.longest = single(Math.max(state.longest * FORGET_LONGEST, state.stuck));
  if (state.run >= REST_RUN) noteRest(state.rests, at, state.run);
  state.stuck = 0;
  state.run = 0;
}

/** The longest rests are kept. */
function noteRest(rests: SensorState['rests'], value: number, run: number): void {
  const known = rests.find((rest) => rest.value === value);
  if (known) known.run = Math.max(known.run, run);
  else if (rests.length < MAX_RESTS) rests.push({ value, run });
  else {
    const shortest = rests.reduce((least, rest, i) => (rest.run < (rests[least]?.run ?? 0) ? i : least), 0);
    if ((rests[shortest]?.run ?? 0) < run) rests[shortest] = { value, run };
  }
}

function watchStandstill(state: SensorState, habits: SensorHabits, value: number, last: number): void {
  const same = value === last;
  if (same) state.run++;
  else endStandstill(state, last);
  if (same && habits.steps >= KNOWN_SAMPLES && !state.rests.some((rest) => rest.value === value)) {
    const rarity = -Math.log10(Math.max(LEAST_SAME, Math.min(1, habits.same)));
    state.stuck = single(Math.min(MOST_SURPRISE, state.stuck + rarity));
  }
  if (state.stuck >= LEARN_BELOW + state.longest) return;
  const weight = 1 / Math.min(MEMORY, habits.steps + 2);
  habits.same = single(habits.same + weight * ((same ? 1 : 0) - habits.same));
}

function watchUnrest(state: SensorState, habits: SensorHabits, step: number, leastStep: number): void {
  const known = habits.steps >= KNOWN_SAMPLES;
  const usual = Math.max(habits.step, leastStep, 1e-12);
  if (known) state.unrest = single(state.unrest + UNREST_WEIGHT * (Math.min(MOST_STEP, step / usual) - state.unrest));
  const trusted = unrestSurprise(state) < LEARN_BELOW;
  if (trusted || !known) {
    habits.steps = Math.min(MEMORY, habits.steps + 1);
    habits.step = single(habits.step + (Math.min(step, known ? MOST_STEP * usual : step) - habits.step) / habits.steps);
  }
  if (!known || !trusted || ++state.sinceKept < KEEP_EVERY) return;
  state.sinceKept = 0;
  state.kept = Math.min(MEMORY / KEEP_EVERY, state.kept + 1);
  const before = logUnrest(state) - state.level;
  state.level = single(state.level + before / state.kept);
  state.variance = single(state.variance + (before * before - state.variance) / state.kept);
}

/** Quieter than usual is no matter: a mode in which nothing moves is. */
function logUnrest(state: SensorState): number {
  return Math.log(Math.max(1, state.unrest));
}

function unrestSurprise(state: SensorState): number {
  if (state.kept < KNOWN_UNREST || state.unrest <= LEAST_UNREST) return 0;
  const above = logUnrest(state) - state.level - Math.log(LEAST_UNREST);
  if (above <= 0) return 0;
  const deviate = above / Math.max(LEAST_UNREST_SIGMA, Math.sqrt(state.variance));
  return Math.min(MOST_SURPRISE, normalSurprise(studentToNormal(deviate, state.kept - 1)));
}

function worst(state: SensorState): SensorVerdict | undefined {
  const stuck = state.values < KNOWN_VALUES ? 0 : Math.max(0, state.stuck - LONGEST_FACTOR * state.longest);
  const noisy = unrestSurprise(state);
  const surprise = Math.max(stuck, state.lost, noisy);
  if (surprise <= 0) return undefined;
  const fault: SensorFault = surprise === stuck ? 'stuck' : surprise === state.lost ? 'missing' : 'noisy';
  return { fault, surprise };
}
