/**
 * When will a worsening level reach its limit? Many curves that start at some moment and go on linearly, by a power or
 * exponentially are each fitted in closed form to the recent blocks; each counts by how well it fits (a Bayesian grid).
 * The spread of their crossing times is the interval, so not knowing the curve's shape or onset widens it.
 */
import type { Baseline } from './trend-blocks.ts';

/** Levels so oriented that wear goes up: multiply by −1 a signal that falls. */
export interface WearSeries {
  /** Middle of the blocks on the axis of life, rising, and their levels. */
  readonly at: readonly number[];
  readonly levels: readonly number[];
  readonly baseline: Pick<Baseline, 'level' | 'noise'>;
  /** How many blocks the baseline stands for that are not in `levels` any more; 0 while they are. */
  readonly baselineBlocks: number;
  readonly limit: number;
}

export type WearOutlook =
  | { readonly kind: 'noTrend' }
  /** The baseline itself lies beyond the limit: the limit does not describe this unit. */
  | { readonly kind: 'limitNotApplicable' }
  | { readonly kind: 'limitReached' }
  /** Remaining life after the last block at the probabilities of `OUTLOOK_PROBABILITIES`; `blocks` since the onset. */
  | { readonly kind: 'trend'; readonly remaining: readonly number[]; readonly blocks: number };

export const OUTLOOK_PROBABILITIES = [
  0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99,
] as const;

/** A trend must explain this many noise variances more than a level that stays; healthy noise with slow weather does not. */
const MIN_EVIDENCE = 30;
/** Share of the way from the baseline to the limit that must be gone before anything is said. */
const MIN_PROGRESS = 0.2;
/** The last blocks must stand this many standard deviations above the baseline. */
const MIN_RISE_SIGMA = 4;
const MIN_BLOCKS = 8;
/** Blocks that a curve must have after its onset. */
const MIN_RISING_BLOCKS = 4;
/** A block is at most this share of the distance to the limit precise: sensors with coarse steps have no noise. */
const NOISE_FLOOR_SHARE = 0.005;
/** Curves further away than this many times the observed wear count as this far. */
const FARTHEST = 30;
/** Wear does not keep exactly to its curve: standard deviation of the rest, as a share, at the limit and far from it. */
const SCATTER_NEAR = 0.1;
const SCATTER_FAR = 0.3;
/** The curves only approximate the true one, so evidence between them counts by this share. */
const TRUST_IN_FIT = 0.5;

interface Shape {
  /** Share of today's wear at a share of today's age since onset, both 0..1. */
  readonly wearAt: (age: number) => number;
  /** The age, in today's ages, at which wear is `times` today's. */
  readonly ageAt: (times: number) => number;
}

const power = (exponent: number): Shape => ({
  wearAt: (age) => age ** exponent,
  ageAt: (times) => times ** (1 / exponent),
});
const exponential = (growth: number): Shape => ({
  wearAt: (age) => Math.expm1(growth * age) / Math.expm1(growth),
  ageAt: (times) => Math.log1p(Math.expm1(growth) * times) / growth,
});
const SHAPES: readonly Shape[] = [
  power(0.7),
  power(1),
  power(1.5),
  power(2),
  power(3),
  exponential(2),
  exponential(4),
  exponential(6),
];

/** Standard normal deviates in the middle of ten equal slices: uncertainty of one curve's size. */
const DEVIATES = [-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645] as const;

interface Curve {
  readonly shape: Shape;
  readonly onset: number;
  /** Wear above the baseline at the last block, and its standard error in units of the noise. */
  readonly wear: number;
  readonly base: number;
  readonly errorPerNoise: number;
  readonly squares: number;
}

/** What the blocks say about the future. Cost: about 70 onsets × 6 shapes × the number of blocks. */
export function wearOutlook(series: WearSeries): WearOutlook {
  const { levels, limit, baseline } = series;
  const count = levels.length;
  if (count < MIN_BLOCKS) return { kind: 'noTrend' };
  const span = limit - baseline.level;
  if (span <= 0) return { kind: 'limitNotApplicable' };
  if (!mayRise(series)) return { kind: 'noTrend' };
  if (levels.slice(-2).every((level) => level >= limit)) return { kind: 'limitReached' };
  const curves = fitCurves(series).filter((curve) => curve.wear > 0);
  const best = curves.reduce<Curve | undefined>((a, b) => (a && a.squares <= b.squares ? a : b), undefined);
  if (!best) return { kind: 'noTrend' };
  const floor = Math.max(baseline.noise / 2, NOISE_FLOOR_SHARE * span);
  const variance = Math.max(best.squares / Math.max(1, count - 3), floor ** 2);
  const independence = independentShare(series, best);
  if (!isClear(series, best, variance, independence)) return { kind: 'noTrend' };
  return {
    kind: 'trend',
    remaining: crossingQuantiles(series, curves, best.squares, variance, independence),
    blocks: series.at.filter((at) => at > best.onset).length,
  };
}

/** Cheap and sure: what stands near its baseline needs no curves. Spares nearly all work on a healthy fleet. */
function mayRise({ levels, baseline, limit }: WearSeries): boolean {
  const rise = Math.min(...levels.slice(-3)) - baseline.level;
  return rise >= MIN_RISE_SIGMA * baseline.noise && rise >= (MIN_PROGRESS / 2) * (limit - baseline.level);
}

function fitCurves(series: WearSeries): Curve[] {
  const { at } = series;
  const first = at[0] as number;
  const whole = (at[at.length - 1] as number) - first;
  const onsets = [first - whole, first - whole / 2, ...at.slice(0, at.length - MIN_RISING_BLOCKS)];
  return onsets.flatMap((onset) => SHAPES.map((shape) => fitCurve(series, shape, onset)));
}

/** Least squares for base and size of one curve; the baseline counts as that many blocks without wear. */
function fitCurve({ at, levels, baseline, baselineBlocks }: WearSeries, shape: Shape, onset: number): Curve {
  const today = (at[at.length - 1] as number) - onset;
  const shares = at.map((life) => (life <= onset ? 0 : shape.wearAt((life - onset) / today)));
  let n = baselineBlocks;
  let f = 0;
  let ff = 0;
  let y = baselineBlocks * baseline.level;
  let fy = 0;
  for (let i = 0; i < at.length; i++) {
    const share = shares[i] as number;
    const level = levels[i] as number;
    n++;
    f += share;
    ff += share * share;
    y += level;
    fy += share * level;
  }
  const spread = ff - (f * f) / n;
  const wear = (fy - (f * y) / n) / spread;
  const base = (y - wear * f) / n;
  let squares = baselineBlocks * (baseline.level - base) ** 2;
  for (let i = 0; i < at.length; i++) squares += ((levels[i] as number) - base - wear * (shares[i] as number)) ** 2;
  return { shape, onset, wear, base, errorPerNoise: 1 / Math.sqrt(spread), squares };
}

/**
 * Neighbouring blocks share weather and use: with autocorrelation r, n blocks are worth n (1 − r) / (1 + r).
 * Measured on what the best curve leaves over.
 */
function independentShare({ at, levels }: WearSeries, best: Curve): number {
  const today = (at[at.length - 1] as number) - best.onset;
  const rest = levels.map((level, i) => {
    const age = ((at[i] as number) - best.onset) / today;
    return level - best.base - (age <= 0 ? 0 : best.wear * best.shape.wearAt(age));
  });
  let squares = 0;
  let products = 0;
  for (let i = 0; i < rest.length; i++) {
    squares += (rest[i] as number) ** 2;
    if (i > 0) products += (rest[i] as number) * (rest[i - 1] as number);
  }
  const r = squares > 0 ? Math.max(0, Math.min(0.9, products / squares)) : 0;
  return (1 - r) / (1 + r);
}

function isClear(series: WearSeries, best: Curve, variance: number, independence: number): boolean {
  const { levels, baseline, limit } = series;
  const flat = levels.reduce((sum, level) => sum + (level - baseline.level) ** 2, 0);
  const evidence = (independence * (flat - best.squares)) / variance;
  const recent = levels.slice(-3);
  const rise = Math.min(...recent) - baseline.level;
  return (
    evidence >= MIN_EVIDENCE &&
    best.base + best.wear - baseline.level >= MIN_PROGRESS * (limit - baseline.level) &&
    rise >= MIN_RISE_SIGMA * Math.max(baseline.noise, Math.sqrt(variance) / 2)
  );
}

/** Weighted quantiles of the time from the last block to the limit over all curves and the uncertainty of their size. */
function crossingQuantiles(
  { at, limit }: WearSeries,
  curves: readonly Curve[],
  leastSquares: number,
  variance: number,
  independence: number,
): number[] {
  const last = at[at.length - 1] as number;
  const crossings: { remaining: number; weight: number }[] = [];
  for (const curve of curves) {
    const weight = Math.exp((-TRUST_IN_FIT * independence * (curve.squares - leastSquares)) / (2 * variance));
    if (weight < 1e-4) continue;
    const error = curve.errorPerNoise * Math.sqrt(variance / independence);
    DEVIATES.forEach((deviate, i) => {
      const wear = Math.max(1e-9, curve.wear + deviate * error);
      const age = last - curve.onset;
      const progress = Math.min(1, curve.wear / (limit - curve.base));
      const whole = Math.min(FARTHEST, curve.shape.ageAt(Math.max(0, (limit - curve.base) / wear)));
      // The scatter of the future is independent of the error of the past: taken in another order of the deviates.
      const spread = SCATTER_NEAR + (SCATTER_FAR - SCATTER_NEAR) * (1 - progress);
      const scatter = Math.exp(spread * (DEVIATES[(i * 3 + 4) % DEVIATES.length] as number));
      crossings.push({ remaining: Math.max(0, (whole - 1) * age * scatter), weight });
    });
  }
  return weightedQuantiles(crossings);
}

function weightedQuantiles(crossings: { remaining: number; weight: number }[]): number[] {
  crossings.sort((a, b) => a.remaining - b.remaining);
  const total = crossings.reduce((sum, { weight }) => sum + weight, 0);
  const quantiles: number[] = [];
  let passed = 0;
  let index = 0;
  for (const probability of OUTLOOK_PROBABILITIES) {
    while (index < crossings.length - 1 && passed + (crossings[index]?.weight ?? 0) < probability * total) {
      passed += crossings[index++]?.weight ?? 0;
    }
    quantiles.push(crossings[index]?.remaining ?? 0);
  }
  return quantiles;
}
