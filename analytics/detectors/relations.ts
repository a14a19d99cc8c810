/**
 * Relations between the signals of one device: does each still stand where the others say it should, and does it still
 * move as it used to? Learned row by row without any knowledge of the machine. The inverse of the signals' covariance
 * holds the regression of every signal on all others (stats/precision.ts), so a fault that leaves each signal inside its
 * own range is still seen. Five statistics a signal are judged by the largest values they usually reach
 * (stats/block-maxima.ts), so one threshold means the same for noisy and quiet, free and regulated signals.
 */
import {
  FEWEST_BLOCKS,
  forgetHeld,
  initMaxima,
  learnMaximum,
  type MaximaState,
  maximaDeviate,
} from '../stats/block-maxima.ts';
import { combineSurprises } from '../stats/combine.ts';
import { normalSurprise } from '../stats/normal.ts';
import { invertRidged } from '../stats/precision.ts';
import { type DeviceDetector, type DeviceInput, type DeviceLine, QUIET_DEVICE } from './device-detector.ts';

/** Plain JSON; arrays have one entry a signal unless they say otherwise. */
export interface RelationsState {
  readonly names: string[];
  /** Rows learned, and the count at which the relations are worked out again. */
  seen: number;
  fitAt: number;
  /** `seen` at the last fit. */
  fitted: number;
  mean: number[];
  /** Covariance, n × n by rows. */
  covariance: number[];
  /** Spread at the last fit, and the inverse correlation, n × n by rows; empty before the first fit. */
  scale: number[];
  precision: number[];
  /** Usual size of what the others do not explain, and of a step from row to row. */
  residualSize: number[];
  stepSize: number[];
  /** Smallest step ever seen, 0 = none; and how many there were. */
  resolution: number[];
  moves: number[];
  /** Value of the row before; `null` = none. */
  last: (number | null)[];
  /** By statistic, then by signal: where it stands. */
  tracks: number[][];
  maxima: MaximaState[][];
  /** The same of all statistics joined: how surprised one is by this device when it is healthy. */
  record: MaximaState;
  /** Rows in a row with a signal that was not there when learning began. */
  strangers: number;
  /** Rows in a row that were not trusted. */
  doubted: number;
}

/**
 * level: the value itself over some seven rows. relation: what the others do not explain, over some three rows. step: a jump
 * from row to row. unrest: how much it jitters. standstill: rows without any change.
 */
const STATISTICS = 5;
const [LEVEL, RELATION, STEP, UNREST, STANDSTILL] = [0, 1, 2, 3, 4] as const;
/** Weights of a new row in the first four. */
const WEIGHTS = [0.15, 0.3, 0.15, 0.05] as const;
/** One row moves a statistic by at most so many times its usual size. */
const LIMITS = [6, 6, 40, 10] as const;

/** Rows that mean and covariance remember. */
const MEMORY_ROWS = 2_000;
/** Signals beyond these are left to the detectors of single signals. */
const MAX_SIGNALS = 64;
/** Rows before the first fit: two a signal, at least this many. */
const MIN_FIT_ROWS = 30;
/** The relations are worked out anew when the rows learned have grown by this share. */
const REFIT_SHARE = 8;
/** Added to the diagonal of the correlation matrix. */
const RIDGE = 0.02;
/** A signal that hardly ever moved has no habits yet. */
const MIN_MOVES = 20;
/** A signal that is new for so many rows makes everything start anew, with it. */
const STRANGER_ROWS = 200;
/** So many rows in a row that are not trusted take back what was learned just before them. */
const DOUBTED_ROWS = 3;
const MAD_TO_SIGMA = Math.sqrt(Math.PI / 2);
/** Lines below this are left out: p = 0.1. */
const NOTABLE = 1;
/** Added to joined surprises before their record is kept: differences among quiet rows say nothing. */
const RECORD_START = 0.3;
/** How much that record counts. */
const RECORD_SHARE = 1 / 3;
const BAND = 3;

export const relations: DeviceDetector<RelationsState> = {
  name: 'relations',
  version: '1',
  init: () => emptyState([]),

  score(state, input) {
    if (state.precision.length === 0) return QUIET_DEVICE;
    const row = standingOf(state, input);
    const { surprises, lines } = judgeAll(state, row);
    lines.sort((a, b) => b.surprise - a.surprise);
    const joined = combineSurprises(surprises);
    newest = { state, input, row, joined };
    return { surprise: joined + RECORD_SHARE * (surpriseByRecord(state.record, joined) - joined), lines };
  },

  learn(state, input, trusted) {
    const { row, joined } = admit(state, input) ? standingAfresh(state, input) : standingAgain(state, input);
    if (trusted) learnRecord(state, joined);
    else if (state.doubted + 1 === DOUBTED_ROWS) forgetHeld(state.record);
    if (trusted) learnHabits(state, row);
    else if (state.doubted + 1 === DOUBTED_ROWS) for (const maxima of state.maxima) maxima.forEach(forgetHeld);
    state.doubted = trusted ? 0 : state.doubted + 1;
    track(state, row);
    if (trusted) learnRelations(state, row);
  },

  restart(state) {
    newest = undefined;
    state.last.fill(null);
    for (const track of state.tracks) track.fill(0);
  },
};

function emptyState(names: readonly string[]): RelationsState {
  const zeros = (): number[] => new Array<number>(names.length).fill(0);
  return {
    names: [...names],
    seen: 0,
    fitted: 0,
    fitAt: Math.max(MIN_FIT_ROWS, 2 * names.length),
    mean: zeros(),
    covariance: new Array<number>(names.length ** 2).fill(0),
    scale: [],
    precision: [],
    residualSize: zeros(),
    stepSize: zeros(),
    resolution: zeros(),
    moves: zeros(),
    last: new Array<number | null>(names.length).fill(null),
    tracks: Array.from({ length: STATISTICS }, zeros),
    maxima: Array.from({ length: STATISTICS }, () => names.map(() => initMaxima())),
    record: initMaxima(),
    strangers: 0,
    doubted: 0,
  };
}

/** New signals join as long as nothing was learned, or when they have come to stay. @returns whether any did */
function admit(state: RelationsState, input: DeviceInput): boolean {
  const fresh = input.names.filter((name) => !state.names.includes(name));
  if (fresh.length === 0 || state.names.length >= MAX_SIGNALS) {
    state.strangers = 0;
    return false;
  }
  state.strangers++;
  if (state.precision.length > 0 && state.strangers < STRANGER_ROWS) return false;
  newest = undefined;
  Object.assign(state, emptyState([...state.names, ...fresh].slice(0, MAX_SIGNALS)));
  return true;
}

/** One row against what was learned; entries follow `state.names`. */
interface Standing {
  /** NaN = missing. */
  readonly values: Float64Array;
  /** What the others do not explain, in units of its usual spread given the others; 0 before the first fit. */
  readonly residual: Float64Array;
  /** Step from the row before, in units of the usual step; NaN = no row before. */
  readonly step: Float64Array;
  readonly tracks: readonly Float64Array[];
}

/** Every statistic of every signal, and a line for each signal that deviates. */
function judgeAll(
  state: RelationsState,
  row: Standing,
): { readonly surprises: number[]; readonly lines: DeviceLine[] } {
  const surprises: number[] = [];
  const lines: DeviceLine[] = [];
  for (let i = 0; i < state.names.length; i++) {
    if (Number.isNaN(row.values[i]) || (state.moves[i] as number) < MIN_MOVES) continue;
    let own = 0;
    let statistic = 0;
    for (let s = 0; s < STATISTICS; s++) {
      const surprise = surpriseOf(state, row, s, i);
      surprises.push(surprise);
      if (surprise <= own) continue;
      own = surprise;
      statistic = s;
    }
    if (own >= NOTABLE) lines.push(lineOf(state, row, i, statistic, own));
  }
  return { surprises, lines };
}

/** Chance a row of one statistic of one signal: the chance a block, spread over its rows. */
function surpriseOf(state: RelationsState, row: Standing, statistic: number, i: number): number {
  const maxima = (state.maxima[statistic] as MaximaState[])[i] as MaximaState;
  const deviate = maximaDeviate(maxima, Math.abs(standOf(row.tracks, statistic)[i] as number));
  return deviate === 0 ? 0 : normalSurprise(deviate) + Math.log10(maxima.length);
}

/** What was worked out last: `learn` mostly follows the `score` of the same row, and half of the work is done then. */
let newest: (Known & { readonly state: RelationsState; readonly input: DeviceInput }) | undefined;

interface Known {
  readonly row: Standing;
  readonly joined: number;
}

function standingAgain(state: RelationsState, input: DeviceInput): Known {
  const known = newest?.state === state && newest.input === input ? newest : undefined;
  newest = undefined;
  return known ?? standingAfresh(state, input);
}

function standingAfresh(state: RelationsState, input: DeviceInput): Known {
  const row = standingOf(state, input);
  return { row, joined: state.precision.length === 0 ? 0 : combineSurprises(judgeAll(state, row).surprises) };
}

/** A third of the judgement is the device's own record: what its statistics have to do with each other, no formula knows. */
function surpriseByRecord(record: MaximaState, joined: number): number {
  const deviate = maximaDeviate(record, joined + RECORD_START);
  return deviate === 0 ? 0 : normalSurprise(deviate) + Math.log10(record.length);
}

/** Kept once the statistics themselves are judged. */
function learnRecord(state: RelationsState, joined: number): void {
  const ready = state.maxima[LEVEL]?.some(({ maxima }) => maxima.length >= FEWEST_BLOCKS);
  if (ready) learnMaximum(state.record, joined + RECORD_START);
}

function standingOf(state: RelationsState, input: DeviceInput): Standing {
  const count = state.names.length;
  const values = new Float64Array(count).fill(Number.NaN);
  for (let i = 0; i < input.names.length; i++) {
    const at = state.names[i] === input.names[i] ? i : state.names.indexOf(input.names[i] as string);
    if (at >= 0) values[at] = input.values[i] as number;
  }
  const residual = residualOf(state, values);
  const step = new Float64Array(count);
  const tracks = state.tracks.map((track) => Float64Array.from(track));
  const fitted = state.precision.length > 0;
  for (let i = 0; i < count; i++) {
    const value = values[i] as number;
    if (Number.isNaN(value)) continue;
    const last = state.last[i] as number | null;
    step[i] = last === null ? Number.NaN : (value - last) / stepScale(state, i);
    if (last !== null)
      standOf(tracks, STANDSTILL)[i] = value === last ? (standOf(tracks, STANDSTILL)[i] as number) + 1 : 1;
    if (!fitted) continue;
    follow(tracks, LEVEL, i, (value - (state.mean[i] as number)) / (state.scale[i] as number));
    follow(tracks, RELATION, i, (residual[i] as number) / residualScale(state, i));
    if (last === null) continue;
    follow(tracks, STEP, i, step[i] as number);
    follow(tracks, UNREST, i, Math.abs(step[i] as number));
  }
  return { values, residual, step, tracks };
}

function standOf(tracks: readonly Float64Array[], statistic: number): Float64Array {
  return tracks[statistic] as Float64Array;
}

function follow(tracks: readonly Float64Array[], statistic: 0 | 1 | 2 | 3, i: number, size: number): void {
  const track = standOf(tracks, statistic);
  const limit = LIMITS[statistic];
  const limited = Math.max(-limit, Math.min(limit, size));
  track[i] = (track[i] as number) + WEIGHTS[statistic] * (limited - (track[i] as number));
}

function stepScale(state: RelationsState, i: number): number {
  return Math.max(
    (state.stepSize[i] as number) * MAD_TO_SIGMA,
    (state.resolution[i] as number) / 2,
    1e-9 * Math.abs(state.mean[i] as number),
    1e-12,
  );
}

function residualScale(state: RelationsState, i: number): number {
  return Math.max((state.residualSize[i] as number) * MAD_TO_SIGMA, 0.02);
}

/** A missing value stands at its mean. */
function residualOf(state: RelationsState, values: Float64Array): Float64Array {
  const count = values.length;
  const residual = new Float64Array(count);
  const { precision } = state;
  if (precision.length === 0) return residual;
  const z = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const value = values[i] as number;
    z[i] = Number.isNaN(value) ? 0 : (value - (state.mean[i] as number)) / (state.scale[i] as number);
  }
  // Relations found in few rows fit those rows better than any other: what is left over elsewhere is larger by this much.
  const shrink = Math.sqrt(1 - count / (count + state.fitted));
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let j = 0, at = i * count; j < count; j++, at++) sum += (precision[at] as number) * (z[j] as number);
    residual[i] = (shrink * sum) / Math.sqrt(precision[i * count + i] as number);
  }
  return residual;
}

/** What is usual for the statistics: sizes, resolution, maxima. */
function learnHabits(state: RelationsState, row: Standing): void {
  const fitted = state.precision.length > 0;
  const weight = 1 / Math.min(MEMORY_ROWS, state.seen + 1);
  for (let i = 0; i < state.names.length; i++) {
    const value = row.values[i] as number;
    if (Number.isNaN(value)) continue;
    const last = state.last[i] as number | null;
    if (last !== null) learnStep(state, i, Math.abs(value - last), weight);
    if (!fitted) continue;
    const size = Math.abs(row.residual[i] as number);
    const before = state.residualSize[i] as number;
    // The first fits know too little of the relations: their residuals are forgotten.
    const fast = Math.max(weight, 1 / Math.max(1, state.seen - MIN_FIT_ROWS));
    state.residualSize[i] = before === 0 ? size : before + Math.min(0.2, fast) * (size - before);
    if ((state.moves[i] as number) < MIN_MOVES) continue;
    for (let s = 0; s < STATISTICS; s++) {
      learnMaximum((state.maxima[s] as MaximaState[])[i] as MaximaState, Math.abs(standOf(row.tracks, s)[i] as number));
    }
  }
}

function learnStep(state: RelationsState, i: number, step: number, weight: number): void {
  state.stepSize[i] = (state.stepSize[i] as number) + weight * (step - (state.stepSize[i] as number));
  // Rounding noise of arithmetic is no step.
  if (step <= 1e-9 * Math.abs(state.mean[i] as number)) return;
  state.moves[i] = Math.min(MIN_MOVES, (state.moves[i] as number) + 1);
  const known = state.resolution[i] as number;
  if (known === 0 || step < known) state.resolution[i] = step;
}

function track(state: RelationsState, row: Standing): void {
  for (let i = 0; i < state.names.length; i++) {
    const value = row.values[i] as number;
    if (!Number.isNaN(value)) state.last[i] = value;
  }
  state.tracks = row.tracks.map((one) => Array.from(one));
}

function learnRelations(state: RelationsState, row: Standing): void {
  const count = state.names.length;
  if (count === 0) return;
  state.seen++;
  const weight = 1 / Math.min(MEMORY_ROWS, state.seen);
  const before = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const value = row.values[i] as number;
    if (Number.isNaN(value)) continue;
    before[i] = state.seen === 1 ? 0 : value - (state.mean[i] as number);
    state.mean[i] = state.seen === 1 ? value : (state.mean[i] as number) + weight * (before[i] as number);
  }
  const { covariance } = state;
  for (let i = 0; i < count; i++) {
    const own = (1 - weight) * (before[i] as number);
    // Only the lower triangle is kept up to date.
    for (let j = 0, at = i * count; j <= i; j++, at++) {
      covariance[at] = (covariance[at] as number) + weight * (own * (before[j] as number) - (covariance[at] as number));
    }
  }
  if (state.seen >= state.fitAt) relate(state);
}

/** Works the relations out of the covariance, O(n³); how often falls with the rows learned, so O(n²) a row. */
function relate(state: RelationsState): void {
  const count = state.names.length;
  const { covariance } = state;
  state.fitted = state.seen;
  state.fitAt = state.seen + Math.max(count, Math.round(Math.min(state.seen, MEMORY_ROWS) / REFIT_SHARE));
  state.scale = state.names.map((_, i) =>
    Math.max(
      Math.sqrt(Math.max(0, covariance[i * count + i] as number)),
      (state.resolution[i] as number) / 2,
      1e-6 * Math.abs(state.mean[i] as number),
      1e-9,
    ),
  );
  const correlation = new Array<number>(count * count).fill(0);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) {
      correlation[i * count + j] =
        (covariance[i * count + j] as number) / (state.scale[i] as number) / (state.scale[j] as number);
    }
    correlation[i * count + i] = 1;
  }
  state.precision = invertRidged(correlation, count, RIDGE).map(shorten);
}

/** Six digits are plenty and keep the state short. */
function shorten(value: number): number {
  return Number(value.toPrecision(6));
}

function lineOf(state: RelationsState, row: Standing, i: number, statistic: number, surprise: number): DeviceLine {
  const value = row.values[i] as number;
  const scale = state.scale[i] as number;
  const byOthers = statistic === RELATION;
  const count = state.names.length;
  const own = Math.sqrt(state.precision[i * count + i] as number);
  const expected = byOthers ? value - ((row.residual[i] as number) / own) * scale : (state.mean[i] as number);
  const half = BAND * (byOthers ? (residualScale(state, i) / own) * scale : scale);
  const signed = standOf(row.tracks, statistic)[i] as number;
  const direction = statistic <= STEP ? signed >= 0 : value >= expected;
  return {
    signal: state.names[i] as string,
    surprise,
    direction: direction ? 'up' : 'down',
    value,
    expected,
    low: expected - half,
    high: expected + half,
  };
}
