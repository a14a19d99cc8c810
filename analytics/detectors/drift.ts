/**
 * Drift: a CUSUM (Page 1954) and an EWMA chart (Roberts 1959), two-sided, on block means of standardised residuals.
 * This is what finds slow wear: a shift far too small for any single sample adds up over blocks.
 *
 * Block means take the place of samples because real residuals hang together over minutes to hours; what still hangs
 * together from block to block widens the spread by (1+r)/(1−r) (long-run variance of an AR(1)). The reference comes from
 * few blocks and its errors repeat in every later block, where they would add up to an alarm. So spread and correlation
 * are taken at the upper end of what the blocks allow, a single deviation counts as a Student deviate, and the allowance
 * `k` grows by 1.5 standard errors of the mean.
 */
import { normalSurprise, studentToNormal } from '../stats/normal.ts';
import { type Detector, isPresent, MISSING } from './detector.ts';

export interface DriftParams {
  /**
   * A block ends when it has both this many samples and this length. While the first blocks still hang together the
   * number of samples doubles, up to `maxBlockSamples`, and the reference starts anew.
   */
  readonly blockSamples: number;
  readonly maxBlockSamples: number;
  readonly blockMs: number;
  /** A signal that wanders even from longest block to longest block is not judged: for devices that no catalogue describes. */
  readonly needsRest: boolean;
  /** Blocks before the first score. */
  readonly warmupBlocks: number;
  /** Blocks that the reference remembers. */
  readonly memoryBlocks: number;
}

/** Plain JSON. Input values are standardised residuals. */
export interface DriftState {
  readonly params: DriftParams;
  /** Samples a block needs by now. */
  blockSamples: number;
  /** Found to wander: no longer judged. */
  wanders: boolean;
  /** The block under way. */
  blockStart: number;
  blockSum: number;
  blockCount: number;
  /** Samples of it that must not become the reference. */
  blockUntrusted: number;
  /** Reference: blocks seen, their mean, variance, lag-1 covariance and the last deviation. */
  blocks: number;
  mean: number;
  variance: number;
  lagCovariance: number;
  lastDeviation: number;
  /** Page's sums, upwards and downwards, and the times since which they have been above zero. */
  up: number;
  down: number;
  upSince: number;
  downSince: number;
  ewma: number;
  /** Blocks in a row on which the EWMA was quiet. */
  quiet: number;
}

/** Half the shift, in block sigmas, that is looked for first (Page's k). */
const ALLOWANCE = 0.5;
const ALLOWANCE_STANDARD_ERRORS = 1.5;
/** One block adds at most this much: a single wild block is no drift. */
const CLIP = 4;
const EWMA_WEIGHT = 0.2;
const EWMA_SIGMA = Math.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT));
/** Smallest spread of block means, in sigmas of a sample: smaller shifts are of no consequence. */
const MIN_BLOCK_SIGMA = 0.25;
/** Normal deviate of the upper bound that stands in for the spread. */
const SPREAD_DOUBT = 1.3;
/** Standard errors added to the correlation of neighbouring blocks, for the same reason. */
const CORRELATION_DOUBT = 0.7;
/** Siegmund's correction for the overshoot of a discrete walk. */
const OVERSHOOT = 1.166;
/** The sums stop here, so that a repair is noticed within days. */
const MAX_SUM = 40;
/** The reference is withheld from here (surprise): p = 0.03. */
const WITHHOLD_SURPRISE = 1.5;
/** Correlation of neighbouring blocks from which they are made longer. */
const HANGS_TOGETHER = 0.4;
/** What is remembered is rounded to single precision: more than enough, and half as long in a checkpoint. */
const single = Math.fround;
/** A block of a rare mode lasts so many times as long and has that much fewer samples. */
const RARE_BLOCKS = 4;
/** Blocks are made longer only while the reference has no more than so many warm-ups of them: later it may be a fault. */
const SETTLE_WARMUPS = 3;
/** So many quiet blocks in a row end a drift. */
const QUIET_BLOCKS = 6;

const UNKNOWN_REFERENCE = {
  blocks: 0,
  mean: 0,
  variance: 0,
  lagCovariance: 0,
  lastDeviation: 0,
  up: 0,
  down: 0,
  upSince: 0,
  downSince: 0,
  ewma: 0,
  quiet: 0,
} as const;

export const drift: Detector<DriftParams, DriftState> = {
  name: 'drift',
  version: '2',
  init: (params) => ({
    params,
    blockSamples: params.blockSamples,
    wanders: false,
    blockStart: 0,
    blockSum: 0,
    blockCount: 0,
    blockUntrusted: 0,
    ...UNKNOWN_REFERENCE,
  }),

  score(state, input) {
    if (!isPresent(input.value)) return MISSING;
    if (state.wanders || state.blocks < state.params.warmupBlocks) {
      return { kind: 'warmingUp', have: state.blocks, need: state.params.warmupBlocks };
    }
    const direction = directionOf(state);
    const band = 3 * blockSigma(state);
    const { mean } = state;
    return {
      kind: 'scored',
      surprise: surpriseOf(state),
      direction,
      expected: mean,
      low: mean - band,
      high: mean + band,
    };
  },

  learn(state, input, trusted) {
    if (!isPresent(input.value)) return state;
    if (state.blockCount === 0) state.blockStart = input.at;
    state.blockSum = single(state.blockSum + Math.max(-CLIP, Math.min(CLIP, input.value)));
    state.blockCount++;
    if (!trusted) state.blockUntrusted++;
    if (isComplete(state, input.at - state.blockStart)) closeBlock(state, input.at);
    return state;
  },
};

/** In a rare mode the samples of a whole season are few, but of different hours: a quarter of the number will do. */
function isComplete(state: DriftState, lastedMs: number): boolean {
  const { blockMs } = state.params;
  if (lastedMs < blockMs) return false;
  if (state.blockCount >= state.blockSamples) return true;
  return blockMs > 0 && lastedMs >= RARE_BLOCKS * blockMs && RARE_BLOCKS * state.blockCount >= state.blockSamples;
}

/** Since when the signal has been drifting, by Page's estimate: the last time its sum was zero. `undefined` = it is not. */
export function driftingSince(state: DriftState): number | undefined {
  const [sum, since] = directionOf(state) === 'up' ? [state.up, state.upSince] : [state.down, state.downSince];
  return sum > 0 ? since : undefined;
}

/** Takes back what has added up and the block under way; the reference stays. */
export function forgetDrift(state: DriftState): void {
  resetBlock(state);
  forgiveDrift(state);
}

/** Takes back what has added up; the block under way goes on. */
export function forgiveDrift(state: DriftState): void {
  state.up = 0;
  state.down = 0;
  state.ewma = 0;
  state.quiet = 0;
}

function directionOf(state: DriftState): 'up' | 'down' {
  if (state.up !== state.down) return state.up > state.down ? 'up' : 'down';
  return state.ewma >= 0 ? 'up' : 'down';
}

/** The more surprising of the two charts, with one bit taken off because there are two. */
function surpriseOf(state: DriftState): number {
  const k = allowanceOf(state);
  const sum = Math.max(state.up, state.down);
  // A walk with drift −k, reflected at zero, stands above h with chance about exp(−2k(h + overshoot)).
  const bySum = sum > 0 ? (2 * k * (sum + OVERSHOOT)) / Math.LN10 : 0;
  const bias = ALLOWANCE_STANDARD_ERRORS / Math.sqrt(state.blocks);
  const byEwma = normalSurprise(Math.max(0, Math.abs(state.ewma) - bias) / EWMA_SIGMA);
  return Math.max(0, Math.max(bySum, byEwma) - Math.log10(4));
}

function allowanceOf(state: DriftState): number {
  return ALLOWANCE + ALLOWANCE_STANDARD_ERRORS / Math.sqrt(Math.max(1, state.blocks));
}

function blockSigma(state: DriftState): number {
  const correlation = state.variance > 0 ? state.lagCovariance / state.variance : 0;
  const limited = Math.max(0, Math.min(0.8, correlation + CORRELATION_DOUBT / Math.sqrt(Math.max(1, state.blocks))));
  // Upper bound of the spread (about 90 %): the error of the estimate is the same in every block, so it would add up.
  const doubt = 1 / (1 - SPREAD_DOUBT / Math.sqrt(2 * Math.max(4, state.blocks - 1)));
  return Math.max(MIN_BLOCK_SIGMA, doubt * Math.sqrt((state.variance * (1 + limited)) / (1 - limited)));
}

function closeBlock(state: DriftState, at: number): void {
  const value = state.blockSum / state.blockCount;
  const trusted = state.blockUntrusted * 2 < state.blockCount;
  const started = state.blockStart;
  resetBlock(state);
  if (state.blocks < state.params.warmupBlocks) {
    if (trusted) learnReference(state, value);
    if (state.blocks >= state.params.warmupBlocks) settle(state);
    return;
  }
  const withhold = !trusted || surpriseOf(state) >= WITHHOLD_SURPRISE;
  chart(state, value, started, at);
  if (withhold || surpriseOf(state) >= WITHHOLD_SURPRISE) return;
  learnReference(state, value);
  settle(state);
}

/** Blocks that still resemble their predecessor are too short to be judged one by one: they are made longer. */
function settle(state: DriftState): void {
  const correlation = state.variance > 0 ? state.lagCovariance / state.variance : 0;
  if (correlation < HANGS_TOGETHER || state.wanders) return;
  if (!state.params.needsRest && state.blocks > SETTLE_WARMUPS * state.params.warmupBlocks) return;
  // What moves less than what is believed anyway may hang together as it likes: a slow fault begins like that.
  if (state.variance < MIN_BLOCK_SIGMA ** 2) return;
  const longest = state.blockSamples * 2 > state.params.maxBlockSamples;
  if (longest && !state.params.needsRest) return;
  if (longest) state.wanders = true;
  else state.blockSamples *= 2;
  Object.assign(state, UNKNOWN_REFERENCE);
}

function chart(state: DriftState, value: number, started: number, at: number): void {
  const deviate = (value - state.mean) / (blockSigma(state) * Math.sqrt(1 + 1 / state.blocks));
  const z = Math.max(-CLIP, Math.min(CLIP, studentToNormal(deviate, Math.max(2, state.blocks - 1))));
  const k = allowanceOf(state);
  if (state.up === 0) state.upSince = started;
  if (state.down === 0) state.downSince = started;
  state.up = single(Math.max(0, Math.min(MAX_SUM, state.up + z - k)));
  state.down = single(Math.max(0, Math.min(MAX_SUM, state.down - z - k)));
  state.ewma = single(state.ewma + EWMA_WEIGHT * (z - state.ewma));
  state.quiet = Math.abs(state.ewma) < 1.5 * EWMA_SIGMA ? state.quiet + 1 : 0;
  if (state.quiet < QUIET_BLOCKS) return;
  // Back to normal for so long that what the sums still hold is history.
  state.up = Math.min(state.up, 1);
  state.down = Math.min(state.down, 1);
  state.upSince = at;
  state.downSince = at;
}

function learnReference(state: DriftState, value: number): void {
  state.blocks++;
  const weight = 1 / Math.min(state.params.memoryBlocks, state.blocks);
  const before = value - state.mean;
  state.mean = single(state.mean + weight * before);
  const deviation = value - state.mean;
  if (state.blocks > 1) {
    // Welford's update; n − 1 keeps the variance of the first few blocks unbiased.
    const step = (before * deviation - state.variance) / Math.min(state.params.memoryBlocks, state.blocks - 1);
    state.variance = single(state.variance + step);
    state.lagCovariance = single(
      state.lagCovariance + weight * (deviation * state.lastDeviation - state.lagCovariance),
    );
  }
  state.lastDeviation = single(deviation);
}

function resetBlock(state: DriftState): void {
  state.blockSum = 0;
  state.blockCount = 0;
  state.blockUntrusted = 0;
}
