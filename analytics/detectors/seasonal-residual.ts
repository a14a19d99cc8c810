/**
 * Robust seasonal residual: what should this signal be now, given the time of season and the context, and how unusual
 * is what it is? The baseline is a regression on the context and two harmonics of the season that learns with limited
 * residuals (Huber 1964), so single outliers hardly move it; the spread is a clipped mean absolute deviation; the tails
 * are learned per side. Slow by design: its memory is weeks, so wear over days stands out instead of being absorbed.
 *
 * It doubts itself where a straight line is not to be trusted. Rows that resemble each other (a warm day, one long
 * charge) teach less than their number says, so the doubt about the baseline grows with the correlation of its
 * residuals. What it expects beyond everything it has ever seen is doubtful by as much as it lies beyond, and where the
 * context leaves what is usual for it, the signal may go on as far as it has ever gone for as much context.
 */
import { initCovariance, learnCoefficients, learnCovariance, predict, rowOf } from '../stats/regression.ts';
import { initTail, learnTail, type TailState, tailSurprise } from '../stats/tail.ts';
import { type Consequence, leastChange } from './consequence.ts';
import { type BaselineRow, featureCount, featuresOf } from './design.ts';
import { type Detector, type DetectorInput, type DetectorResult, isPresent, MISSING } from './detector.ts';

export interface SeasonalParams {
  /** Length of `input.context`. */
  readonly contextCount: number;
  /** Length of the rhythm of use; absent = none. */
  readonly seasonMs?: number;
  /** Samples before the first score. */
  readonly warmupSamples: number;
  /** Samples that the baseline remembers. */
  readonly memorySamples: number;
  /** Smallest believable spread, in the signal's unit: below it a deviation is of no consequence. */
  readonly minSpread: number;
  /** Which deviations are of consequence, where the catalogue says so. */
  readonly consequence?: Consequence;
}

/** Plain JSON. */
export interface SeasonalState {
  readonly params: SeasonalParams;
  seen: number;
  /** First value: the regression works on distances from it, which keeps its numbers small. */
  origin: number;
  last: number;
  /** Smallest step ever seen between two values: a coarse or two-level signal has no meaning below half of it. 0 = none. */
  resolution: number;
  /** Mean absolute deviation from the baseline. */
  deviation: number;
  /** Mean square of the limited residuals, mean product of neighbouring ones, and the last one: how they hang together. */
  power: number;
  lagPower: number;
  lastResidual: number;
  /** Lowest and highest value learned. */
  lowest: number;
  highest: number;
  readonly coefficients: number[];
  /** Empty where the design is shared. */
  readonly covariance: number[];
  readonly up: TailState;
  readonly down: TailState;
}

/** Mean absolute deviation to standard deviation, for the normal distribution: sqrt(pi / 2). */
const DEVIATION_TO_SIGMA = Math.sqrt(Math.PI / 2);
/** A residual moves the baseline by no more than this many sigma (Huber's k is 1.345; wider here because sigma lags). */
const CLIP_SIGMA = 2.5;
const BAND_SIGMA = 3;
/** The spread follows within about this many samples. */
const SPREAD_MEMORY = 1_000;
const TAIL_MEMORY = 5_000;
/** Residuals correlated more than this count as this: a day's weather at a sample a minute. */
const MAX_CORRELATION = 0.99;
/** The baseline may expect this share of the seen span more than was ever seen. */
const BEYOND_SHARE = 0.1;
/** A value further off than this does not widen what has been seen. */
const SEEN_SIGMA = 4;
/** What is remembered is rounded to single precision: more than enough, and half as long in a checkpoint. */
const single = Math.fround;

export const seasonalResidual: Detector<SeasonalParams, SeasonalState> = {
  name: 'seasonal-residual',
  version: '2',
  init: (params) => ({
    params,
    seen: 0,
    origin: 0,
    last: 0,
    resolution: 0,
    deviation: 0,
    power: 0,
    lagPower: 0,
    lastResidual: 0,
    lowest: 0,
    highest: 0,
    coefficients: new Array<number>(featureCount(params.contextCount, params.seasonMs)).fill(0),
    covariance: [],
    up: initTail(),
    down: initTail(),
  }),

  score(state, input) {
    if (!isPresent(input.value)) return MISSING;
    if (state.seen < state.params.warmupSamples) {
      return { kind: 'warmingUp', have: state.seen, need: state.params.warmupSamples };
    }
    const row = rowFor(state, input);
    const judged = judge(state, row, input.value);
    newest = { state, input, row, judged };
    return scoreResidual(state, judged);
  },

  learn(state, input, trusted) {
    if (!isPresent(input.value)) return state;
    if (trusted && state.seen === 0) {
      state.origin = input.value;
      state.lowest = input.value;
      state.highest = input.value;
    }
    const { row, judged } = judgedAgain(state, input, input.value);
    newest = undefined;
    learnResolution(state, input.value);
    if (!trusted) return state;
    const { sigma } = judged;
    if (state.seen >= state.params.warmupSamples) {
      const z = judged.residual / sigma;
      learnTail(state.up, z, TAIL_MEMORY);
      learnTail(state.down, -z, TAIL_MEMORY);
    }
    const residual = input.value - state.origin - predict(state, row.features);
    const spread = sigmaOf(state);
    learnSpread(state, residual, spread);
    const settling = state.seen < row.features.length + 4;
    learnSeen(state, input.value, settling || Math.abs(judged.residual) <= SEEN_SIGMA * sigma);
    // Where the baseline knows little it may move a lot.
    const limit = settling ? Number.POSITIVE_INFINITY : CLIP_SIGMA * sigma;
    learnCoefficients(state.coefficients, row, Math.max(-limit, Math.min(limit, residual)));
    for (let i = 0; i < row.features.length; i++) state.coefficients[i] = single(state.coefficients[i] as number);
    if (!input.row) learnCovariance(state.covariance, row, 1 / state.params.memorySamples ** 2);
    state.seen++;
    return state;
  },
};

/**
 * Residual of a value before it is learned, in units of the spread or of the smallest change of consequence, whichever is
 * larger: what the search for drift adds up. 0 while nothing is known.
 */
export function standardisedResidual(state: SeasonalState, input: DetectorInput): number {
  if (state.seen === 0 || !isPresent(input.value)) return 0;
  const { residual, sigma, least } = judgedAgain(state, input, input.value).judged;
  // Drift believes block means to a quarter of this: half of the smallest change of consequence.
  return residual / Math.max(sigma, 2 * least);
}

/** What was judged last: a sample is mostly learned right after it was scored, and need not be judged again. */
let newest: (Known & { readonly state: SeasonalState; readonly input: DetectorInput }) | undefined;

interface Known {
  readonly row: BaselineRow;
  readonly judged: Judged;
}

function judgedAgain(state: SeasonalState, input: DetectorInput, value: number): Known {
  if (newest?.state === state && newest.input === input) return newest;
  const row = rowFor(state, input);
  return { row, judged: judge(state, row, value) };
}

/** A design of its own for a detector that shares none. */
function rowFor(state: SeasonalState, input: DetectorInput): BaselineRow {
  if (input.row) return input.row;
  const { contextCount, seasonMs } = state.params;
  const features = featuresOf(contextCount, seasonMs, input.at, input.context);
  if (state.covariance.length === 0) state.covariance.push(...initCovariance(features.length));
  return { ...rowOf(state.covariance, features), strangeness: 0 };
}

interface Judged {
  readonly expected: number;
  readonly residual: number;
  /** Spread of the signal and doubt about the baseline together. */
  readonly sigma: number;
  /** Smallest change of consequence; 0 = unknown. */
  readonly least: number;
}

function judge(state: SeasonalState, row: BaselineRow, value: number): Judged {
  const guess = state.origin + predict(state, row.features);
  const span = state.highest - state.lowest;
  const margin = BEYOND_SHARE * span;
  const expected = Math.max(state.lowest - margin, Math.min(state.highest + margin, guess));
  const beyond = Math.abs(guess - expected) + row.strangeness * span;
  const doubt = row.leverage * repetition(state);
  const sigma = Math.sqrt(sigmaOf(state) ** 2 * (1 + doubt) + beyond * beyond);
  return { expected, residual: value - expected, sigma, least: leastChange(state.params.consequence, expected) };
}

/** How many rows teach as much as one would if residuals had nothing to do with each other: (1 + r) / (1 − r). */
function repetition(state: SeasonalState): number {
  if (!(state.power > 0)) return 1;
  const correlation = Math.max(0, Math.min(MAX_CORRELATION, state.lagPower / state.power));
  return (1 + correlation) / (1 - correlation);
}

function scoreResidual(state: SeasonalState, judged: Judged): DetectorResult {
  const { expected, residual, sigma, least } = judged;
  // What lies within half of the smallest change of consequence does not count.
  const harmless = least / 2;
  const size = Math.abs(residual);
  const tail = residual >= 0 ? state.up : state.down;
  const band = harmless + BAND_SIGMA * sigma;
  return {
    kind: 'scored',
    surprise: tailSurprise(tail, (size - harmless) / sigma),
    rarity: tailSurprise(tail, size / sigma),
    direction: residual >= 0 ? 'up' : 'down',
    expected,
    low: expected - band,
    high: expected + band,
  };
}

function sigmaOf(state: SeasonalState): number {
  return Math.max(
    state.params.minSpread,
    state.deviation * DEVIATION_TO_SIGMA,
    state.resolution / 2,
    1e-9 * Math.abs(state.origin),
    1e-12,
  );
}

function learnResolution(state: SeasonalState, value: number): void {
  const step = Math.abs(value - state.last);
  state.last = value;
  // The first value has no predecessor; rounding noise of arithmetic is no step.
  if (state.seen === 0 || step <= 1e-9 * Math.abs(value)) return;
  if (state.resolution === 0 || step < state.resolution) state.resolution = single(step);
}

/** The first residuals are the baseline's own ignorance: they are averaged away fast. */
function learnSpread(state: SeasonalState, residual: number, sigma: number): void {
  const size = Math.abs(residual);
  const settled = state.seen - state.coefficients.length;
  if (settled < 1) {
    state.deviation = state.seen === 0 ? 0 : Math.max(state.deviation, size);
    return;
  }
  const limited = settled < 12 ? size : Math.min(size, 4 * sigma);
  const weight = 1 / Math.min(SPREAD_MEMORY, 1 + settled / 2);
  state.deviation = single(state.deviation + (limited - state.deviation) * weight);
  const signed = residual < 0 ? -limited : limited;
  state.power = single(state.power + (signed * signed - state.power) * weight);
  state.lagPower = single(state.lagPower + (signed * state.lastResidual - state.lagPower) * weight);
  state.lastResidual = single(signed);
}

function learnSeen(state: SeasonalState, value: number, usual: boolean): void {
  if (!usual) return;
  state.lowest = Math.min(state.lowest, value);
  state.highest = Math.max(state.highest, value);
}
