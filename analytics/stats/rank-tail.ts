/**
 * How rare a size has been so far, from a histogram with bins that grow by a constant factor: p values without any
 * assumption about the distribution, in constant memory. Beyond the largest size seen they go on as a power law.
 */

/** Plain JSON: counts by bin. Sizes are dimensionless, about 1 when ordinary. */
export interface RankTailState {
  readonly counts: number[];
  total: number;
}

const BINS = 64;
const FACTOR = 1.25;
const SMALLEST = 0.01;
/** Decades of p per decade of size beyond the largest size seen. */
const BEYOND = 1;

export function initRankTail(): RankTailState {
  return { counts: new Array<number>(BINS).fill(0), total: 0 };
}

/**
 * Surprise −log10 of the share of sizes at least as large as `size`; half a count is added so that it is never infinite.
 * @example rankSurprise(initRankTail(), 5) // => 0.30102999566398114
 */
export function rankSurprise(state: RankTailState, size: number): number {
  const bin = binOf(size);
  let larger = 0;
  let top = 0;
  for (let i = BINS - 1; i >= 0; i--) {
    const count = state.counts[i] as number;
    if (i >= bin) larger += count;
    if (top === 0 && count > 0) top = i;
  }
  const beyond = bin > top && state.total > 0 ? BEYOND * Math.log10(1 + (bin - top) * Math.log(FACTOR)) : 0;
  return -Math.log10((larger + 0.5) / (state.total + 1)) + beyond;
}

export function learnRank(state: RankTailState, size: number): void {
  const bin = binOf(size);
  state.counts[bin] = (state.counts[bin] as number) + 1;
  state.total++;
}

function binOf(size: number): number {
  if (!(size > SMALLEST)) return 0;
  return Math.min(BINS - 1, 1 + Math.floor(Math.log(size / SMALLEST) / Math.log(FACTOR)));
}
