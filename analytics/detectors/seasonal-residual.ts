/**
 * Robust seasonal residual: what should this signal be now, given the time of season and the context, and how unusual
 * is what it is? The baseline is a regression on the context and two harmonics of the season that learns with limited
 * residuals (Huber 1964), so single outliers hardly move it; the spread is a clipped mean absolute deviation; the tails
 * are learned per side. Slow by design: its memory is weeks, so wear over days stands out instead of being absorbed.
 */
import { initRegression, learnRow, leverage, predict, type RegressionState } from '../stats/regression.ts';
import { initTail, learnTail, type TailState, tailSurprise } from '../stats/tail.ts';
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
  readonly baseline: RegressionState;
  readonly up: TailState;
  readonly down: TailState;
}

/** Mean absolute deviation to standard deviation, for the normal distribution: sqrt(pi / 2). */
const DEVIATION_TO_SIGMA = Math.sqrt(Math.PI / 2);
/** A residual moves the baseline by no more than this many sigma (Huber's k is 1.345; wider here because sigma lags). */
const CLIP_SIGMA = 2.5;
const HARMONICS = 2;
const BAND_SIGMA = 3;
/** The spread follows within about this many samples. */
const SPREAD_MEMORY = 1_000;
const TAIL_MEMORY = 5_000;

export const seasonalResidual: Detector<SeasonalParams, SeasonalState> = {
  name: 'seasonal-residual',
  version: '1',
  init: (params) => ({
    params,
    seen: 0,
    origin: 0,
    last: 0,
    resolution: 0,
    deviation: 0,
    baseline: initRegression(1 + params.contextCount + (params.seasonMs ? 2 * HARMONICS : 0)),
    up: initTail(),
    down: initTail(),
  }),

  score(state, input) {
    if (!isPresent(input.value)) return MISSING;
    if (state.seen < state.params.warmupSamples) {
      return { kind: 'warmingUp', have: state.seen, need: state.params.warmupSamples };
    }
    return scoreResidual(state, residualOf(state, input, input.value), input.value);
  },

  learn(state, input, trusted) {
    if (!isPresent(input.value)) return state;
    learnResolution(state, input.value);
    if (!trusted) return state;
    if (state.seen === 0) state.origin = input.value;
    const features = featuresOf(state.params, input);
    const residual = input.value - state.origin - predict(state.baseline, features);
    const sigma = sigmaOf(state);
    if (state.seen >= state.params.warmupSamples) {
      const z = residual / (sigma * Math.sqrt(1 + leverage(state.baseline, features)));
      learnTail(state.up, z, TAIL_MEMORY);
      learnTail(state.down, -z, TAIL_MEMORY);
    }
    learnSpread(state, residual, sigma);
    const limit = state.seen < features.length + 4 ? Number.POSITIVE_INFINITY : CLIP_SIGMA * sigma;
    const limited = Math.max(-limit, Math.min(limit, residual));
    learnRow(state.baseline, features, limited, 1 / state.params.memorySamples ** 2);
    state.seen++;
    return state;
  },
};

/** Standardised residual of a value against the baseline, before the value is learned; 0 while nothing is known. */
export function standardisedResidual(state: SeasonalState, input: DetectorInput): number {
  if (state.seen === 0 || !isPresent(input.value)) return 0;
  const { residual, sigma } = residualOf(state, input, input.value);
  return residual / sigma;
}

interface Residual {
  readonly residual: number;
  /** Spread of the signal and doubt about the baseline together. */
  readonly sigma: number;
}

function residualOf(state: SeasonalState, input: DetectorInput, value: number): Residual {
  const features = featuresOf(state.params, input);
  return {
    residual: value - state.origin - predict(state.baseline, features),
    sigma: sigmaOf(state) * Math.sqrt(1 + leverage(state.baseline, features)),
  };
}

function scoreResidual(state: SeasonalState, { residual, sigma }: Residual, value: number): DetectorResult {
  const z = residual / sigma;
  const expected = value - residual;
  return {
    kind: 'scored',
    surprise: z >= 0 ? tailSurprise(state.up, z) : tailSurprise(state.down, -z),
    direction: z >= 0 ? 'up' : 'down',
    expected,
    low: expected - BAND_SIGMA * sigma,
    high: expected + BAND_SIGMA * sigma,
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
  if (state.resolution === 0 || step < state.resolution) state.resolution = step;
}

/** The first residuals are the baseline's own ignorance: they are averaged away fast. */
function learnSpread(state: SeasonalState, residual: number, sigma: number): void {
  const size = Math.abs(residual);
  const settled = state.seen - state.baseline.coefficients.length;
  if (settled < 1) {
    state.deviation = state.seen === 0 ? 0 : Math.max(state.deviation, size);
    return;
  }
  const limited = settled < 12 ? size : Math.min(size, 4 * sigma);
  state.deviation += (limited - state.deviation) / Math.min(SPREAD_MEMORY, 1 + settled / 2);
}

function featuresOf(params: SeasonalParams, input: DetectorInput): number[] {
  const features = [1];
  for (let i = 0; i < params.contextCount; i++) features.push(input.context[i] ?? 0);
  if (params.seasonMs) {
    const angle = (2 * Math.PI * (input.at % params.seasonMs)) / params.seasonMs;
    for (let harmonic = 1; harmonic <= HARMONICS; harmonic++) {
      features.push(Math.sin(harmonic * angle), Math.cos(harmonic * angle));
    }
  }
  return features;
}
