/**
 * Novelty of a single stream of which nothing is known: how rare are, by everything seen so far, its value, its level
 * over the last rows, and its level against the time of day? Each is ranked in its own history, the ranks are combined,
 * and the combination is ranked once more, so that the same score means the same rarity in every stream.
 * It ranks rows for a person who looks at one stream; episodes and alerts come from the residual and drift.
 */
import { initRankTail, learnRank, type RankTailState, rankSurprise } from '../stats/rank-tail.ts';
import { type Detector, isPresent, MISSING } from './detector.ts';

export interface NoveltyParams {
  /** Rows before the first score. */
  readonly warmupRows: number;
  /** Length of the rhythm of use, looked at in 24 parts; absent = none. */
  readonly seasonMs?: number;
}

/** Mean absolute size of each feature, so that sizes are about 1 when ordinary. */
interface Sizes {
  value: number;
  level: number;
  seasonal: number;
}

/** Plain JSON. */
export interface NoveltyState {
  readonly params: NoveltyParams;
  seen: number;
  /** Exponentially weighted means: the last rows, and the long run. */
  level: number;
  slow: number;
  /** Mean deviation from the part of the season over the last rows. */
  seasonal: number;
  readonly seasonMeans: number[];
  readonly seasonCounts: number[];
  readonly sizes: Sizes;
  readonly valueRank: RankTailState;
  readonly levelRank: RankTailState;
  readonly seasonalRank: RankTailState;
  readonly combinedRank: RankTailState;
}

const LEVEL_WEIGHT = 0.04;
const SLOW_ROWS = 3_000;
const SIZE_ROWS = 3_000;
const SEASON_PARTS = 24;
const SEASON_WEIGHT = 0.02;
/** A part of the season counts once it was seen so often. */
const SEASON_SEEN = 3;
/** Ranks are kept from here on: the first rows only show what the means do not know yet. */
const RANK_AFTER = 30;

export const novelty: Detector<NoveltyParams, NoveltyState> = {
  name: 'novelty',
  version: '2',
  init: (params) => ({
    params,
    seen: 0,
    level: 0,
    slow: 0,
    seasonal: 0,
    seasonMeans: new Array<number>(SEASON_PARTS).fill(0),
    seasonCounts: new Array<number>(SEASON_PARTS).fill(0),
    sizes: { value: 0, level: 0, seasonal: 0 },
    valueRank: initRankTail(),
    levelRank: initRankTail(),
    seasonalRank: initRankTail(),
    combinedRank: initRankTail(),
  }),

  score(state, input) {
    if (!isPresent(input.value)) return MISSING;
    const need = state.params.warmupRows;
    if (state.seen < need) return { kind: 'warmingUp', have: state.seen, need };
    const { value } = input;
    const band = 3 * state.sizes.value;
    return {
      kind: 'scored',
      surprise: rankSurprise(state.combinedRank, combinedSurprise(state, featuresOf(state, input.at, value))),
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
      state.level = value;
      state.slow = value;
    }
    const features = featuresOf(state, input.at, value);
    if (state.seen >= RANK_AFTER) learnRanks(state, features);
    state.seen++;
    learnMeans(state, input.at, value, features);
    return state;
  },
};

/** Deviations as they would stand after this value, in the unit of the value. */
interface Features extends Sizes {
  /** Deviation of the value itself from its part of the season. */
  readonly fromSeason: number;
}

function featuresOf(state: NoveltyState, at: number, value: number): Features {
  const part = partOf(state, at);
  const known = part !== undefined && (state.seasonCounts[part] as number) > SEASON_SEEN;
  const fromSeason = value - (known ? (state.seasonMeans[part] as number) : state.slow);
  return {
    value: value - state.slow,
    level: state.level + LEVEL_WEIGHT * (value - state.level) - state.slow,
    seasonal: state.seasonal + LEVEL_WEIGHT * (fromSeason - state.seasonal),
    fromSeason,
  };
}

function partOf(state: NoveltyState, at: number): number | undefined {
  const { seasonMs } = state.params;
  if (!seasonMs) return undefined;
  const phase = ((at % seasonMs) + seasonMs) % seasonMs;
  return Math.min(SEASON_PARTS - 1, Math.floor((phase / seasonMs) * SEASON_PARTS));
}

function relative(feature: number, usual: number): number {
  return Math.abs(feature) / Math.max(usual, 1e-9 * Math.abs(feature), 1e-12);
}

/** Mean of the three surprises: what all of them find rare is rarer than what one does. */
function combinedSurprise(state: NoveltyState, features: Features): number {
  const value = rankSurprise(state.valueRank, relative(features.value, state.sizes.value));
  const level = rankSurprise(state.levelRank, relative(features.level, state.sizes.level));
  const seasonal = rankSurprise(state.seasonalRank, relative(features.seasonal, state.sizes.seasonal));
  return (value + level + seasonal) / 3;
}

function learnRanks(state: NoveltyState, features: Features): void {
  learnRank(state.combinedRank, combinedSurprise(state, features));
  learnRank(state.valueRank, relative(features.value, state.sizes.value));
  learnRank(state.levelRank, relative(features.level, state.sizes.level));
  learnRank(state.seasonalRank, relative(features.seasonal, state.sizes.seasonal));
}

function learnMeans(state: NoveltyState, at: number, value: number, features: Features): void {
  const weight = Math.max(1 / state.seen, 1 / SIZE_ROWS);
  state.sizes.value += weight * (Math.abs(features.value) - state.sizes.value);
  state.sizes.level += weight * (Math.abs(features.level) - state.sizes.level);
  state.sizes.seasonal += weight * (Math.abs(features.seasonal) - state.sizes.seasonal);
  state.seasonal = features.seasonal;
  state.level += Math.max(1 / state.seen, LEVEL_WEIGHT) * (value - state.level);
  state.slow += Math.max(1 / state.seen, 1 / SLOW_ROWS) * (value - state.slow);
  const part = partOf(state, at);
  if (part === undefined) return;
  const count = (state.seasonCounts[part] as number) + 1;
  // Counts beyond this no longer change a weight.
  state.seasonCounts[part] = Math.min(count, 1 / SEASON_WEIGHT);
  const mean = state.seasonMeans[part] as number;
  state.seasonMeans[part] = mean + Math.max(1 / count, SEASON_WEIGHT) * (value - mean);
}
