/**
 * Novelty of a single stream of which nothing is known: how rare are, by everything seen so far, its value, its level
 * over the last rows, and its level against the time of day? Each is ranked in its own history, the ranks are combined,
 * and the combination is ranked once more, so that the same score means the same rarity in every stream. Beside that
 * stands a second judgement by the largest sizes these and three more features usually reach: ranks cannot tell a record
 * from a far record. A short history is believed less.
 * It ranks rows for a person who looks at one stream; episodes and alerts come from the residual and drift.
 */
import { initMaxima, learnMaximum, type MaximaRules, type MaximaState, maximaDeviate } from '../stats/block-maxima.ts';
import { normalSurprise } from '../stats/normal.ts';
import { initRankTail, learnRank, type RankTailState, rankSurprise } from '../stats/rank-tail.ts';
import { type Detector, isPresent, MISSING } from './detector.ts';

export interface NoveltyParams {
  /** Rows before the first score. */
  readonly warmupRows: number;
  /** Length of the rhythm of use, looked at in 24 parts; absent = none. */
  readonly seasonMs?: number;
  /** How much the judgement by largest sizes counts beside the ranks; absent = as found best, and so below. */
  readonly maximaShare?: number;
  /** Rows of history that are believed √½. */
  readonly doubtRows?: number;
}

/** Plain JSON. */
export interface NoveltyState {
  readonly params: NoveltyParams;
  seen: number;
  last: number;
  /** Exponentially weighted means: the last rows, the very last, and the long run. */
  level: number;
  fast: number;
  slow: number;
  /** Of the steps from row to row: over the last rows, and in the long run. */
  step: number;
  slowStep: number;
  /** Mean deviation from the part of the season over the last rows. */
  seasonal: number;
  readonly seasonMeans: number[];
  readonly seasonCounts: number[];
  /** By feature: mean absolute size, so that sizes are about 1 when ordinary. */
  readonly sizes: number[];
  /** Of the first {@link RANKED} features. */
  readonly ranks: RankTailState[];
  readonly combinedRank: RankTailState;
  /** Of all features. */
  readonly maxima: MaximaState[];
}

/** value, level, level against the season; then level over a few rows, value against the season, unrest. */
const FEATURES = 6;
const RANKED = 3;
const LEVEL_WEIGHT = 0.04;
const FAST_WEIGHT = 0.15;
const SLOW_ROWS = 3_000;
const SIZE_ROWS = 3_000;
const SEASON_PARTS = 24;
const SEASON_WEIGHT = 0.02;
/** A part of the season counts once it was seen so often. */
const SEASON_SEEN = 3;
/** Ranks and maxima are kept from here on: the first rows only show what the means do not know yet. */
const LEARN_AFTER = 30;
const MAXIMA_SHARE = 0.3;
const DOUBT_ROWS = 500;
/** What was seen once is no longer new. */
const EAGER: MaximaRules = { heldBlocks: 0, dropsOldest: true };

export const novelty: Detector<NoveltyParams, NoveltyState> = {
  name: 'novelty',
  version: '3',
  init: (params) => ({
    params,
    seen: 0,
    last: 0,
    level: 0,
    fast: 0,
    slow: 0,
    step: 0,
    slowStep: 0,
    seasonal: 0,
    seasonMeans: new Array<number>(SEASON_PARTS).fill(0),
    seasonCounts: new Array<number>(SEASON_PARTS).fill(0),
    sizes: new Array<number>(FEATURES).fill(0),
    ranks: Array.from({ length: RANKED }, initRankTail),
    combinedRank: initRankTail(),
    maxima: Array.from({ length: FEATURES }, () => initMaxima()),
  }),

  score(state, input) {
    if (!isPresent(input.value)) return MISSING;
    const need = state.params.warmupRows;
    if (state.seen < need) return { kind: 'warmingUp', have: state.seen, need };
    const { value } = input;
    const relative = relativeSizes(state, featuresOf(state, input.at, value).deviations);
    const rank = rankSurprise(state.combinedRank, combinedSurprise(state, relative));
    const { maximaShare = MAXIMA_SHARE, doubtRows = DOUBT_ROWS } = state.params;
    const belief = Math.sqrt(state.seen / (state.seen + doubtRows));
    const band = 3 * (state.sizes[0] as number);
    return {
      kind: 'scored',
      surprise: belief * (rank + maximaShare * maximaSurprise(state, relative)),
      direction: value >= state.slow ? 'up' : 'down',
      expected: state.slow,
      low: state.slow - band,
      high: state.slow + band,
    };
  },

  learn(state, input, trusted) {
    if (!isPresent(input.value) || !trusted) return state;
    const { value } = input;
    if (state.seen === 0) {
      state.last = value;
      state.level = value;
      state.fast = value;
      state.slow = value;
    }
    const features = featuresOf(state, input.at, value);
    if (state.seen >= LEARN_AFTER) learnUsual(state, relativeSizes(state, features.deviations));
    state.seen++;
    learnMeans(state, input.at, value, features);
    return state;
  },
};

interface Features {
  /** By feature, as they would stand after this value, in the unit of the value. */
  readonly deviations: readonly number[];
  /** Of the value itself from its part of the season. */
  readonly fromSeason: number;
  /** Size of the step from the value before. */
  readonly step: number;
}

function featuresOf(state: NoveltyState, at: number, value: number): Features {
  const part = partOf(state, at);
  const known = part !== undefined && (state.seasonCounts[part] as number) > SEASON_SEEN;
  const fromSeason = value - (known ? (state.seasonMeans[part] as number) : state.slow);
  const step = Math.abs(value - state.last);
  const follow = (mean: number, to: number, weight: number): number => mean + weight * (to - mean);
  return {
    deviations: [
      value - state.slow,
      follow(state.level, value, LEVEL_WEIGHT) - state.slow,
      follow(state.seasonal, fromSeason, LEVEL_WEIGHT),
      follow(state.fast, value, FAST_WEIGHT) - state.slow,
      fromSeason,
      follow(state.step, step, LEVEL_WEIGHT) - state.slowStep,
    ],
    fromSeason,
    step,
  };
}

function partOf(state: NoveltyState, at: number): number | undefined {
  const { seasonMs } = state.params;
  if (!seasonMs) return undefined;
  const phase = ((at % seasonMs) + seasonMs) % seasonMs;
  return Math.min(SEASON_PARTS - 1, Math.floor((phase / seasonMs) * SEASON_PARTS));
}

/** Sizes of the deviations in units of their usual size. */
function relativeSizes(state: NoveltyState, deviations: readonly number[]): number[] {
  return deviations.map((deviation, i) => {
    const size = Math.abs(deviation);
    return size / Math.max(state.sizes[i] as number, 1e-9 * size, 1e-12);
  });
}

/** Mean of the ranked features: what all of them find rare is rarer than what one does. */
function combinedSurprise(state: NoveltyState, relative: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < RANKED; i++) sum += rankSurprise(state.ranks[i] as RankTailState, relative[i] as number);
  return sum / RANKED;
}

/** Mean over all features of how much larger they are than they usually get. */
function maximaSurprise(state: NoveltyState, relative: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < FEATURES; i++) {
    const deviate = maximaDeviate(state.maxima[i] as MaximaState, relative[i] as number);
    if (deviate > 0) sum += normalSurprise(deviate);
  }
  return sum / FEATURES;
}

function learnUsual(state: NoveltyState, relative: readonly number[]): void {
  learnRank(state.combinedRank, combinedSurprise(state, relative));
  for (let i = 0; i < FEATURES; i++) {
    if (i < RANKED) learnRank(state.ranks[i] as RankTailState, relative[i] as number);
    learnMaximum(state.maxima[i] as MaximaState, relative[i] as number, EAGER);
  }
}

function learnMeans(state: NoveltyState, at: number, value: number, features: Features): void {
  const { deviations, fromSeason, step } = features;
  const count = state.seen;
  const sizeWeight = Math.max(1 / count, 1 / SIZE_ROWS);
  const slowWeight = Math.max(1 / count, 1 / SLOW_ROWS);
  const levelWeight = Math.max(1 / count, LEVEL_WEIGHT);
  for (let i = 0; i < FEATURES; i++) {
    const size = state.sizes[i] as number;
    state.sizes[i] = size + sizeWeight * (Math.abs(deviations[i] as number) - size);
  }
  state.last = value;
  state.level += levelWeight * (value - state.level);
  state.fast += Math.max(1 / count, FAST_WEIGHT) * (value - state.fast);
  state.slow += slowWeight * (value - state.slow);
  state.step += levelWeight * (step - state.step);
  state.slowStep += slowWeight * (step - state.slowStep);
  state.seasonal += LEVEL_WEIGHT * (fromSeason - state.seasonal);
  const part = partOf(state, at);
  if (part === undefined) return;
  const seen = (state.seasonCounts[part] as number) + 1;
  // Counts beyond this no longer change a weight.
  state.seasonCounts[part] = Math.min(seen, 1 / SEASON_WEIGHT);
  const mean = state.seasonMeans[part] as number;
  state.seasonMeans[part] = mean + Math.max(1 / seen, SEASON_WEIGHT) * (value - mean);
}
