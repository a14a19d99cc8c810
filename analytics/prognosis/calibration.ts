/**
 * Intervals around a point estimate, learned from errors made on units that the estimating model had not seen
 * (cross-conformal prediction, Vovk 2015, localised by the predicted level: near failure errors are small, far from it
 * large). Few units mean less certainty about the tails: bounds are widened as Student's t widens against the normal.
 */
import { z } from 'zod';
import { roundTo } from './boosted-trees.ts';

const numbers = z.array(z.number());

export const calibrationSchema = z.object({
  /** Predicted remaining life at the knots of the table, rising. */
  levels: numbers.min(2),
  /** by level: what to add to the estimate for the bounds of the 90 % interval. */
  lower: numbers,
  upper: numbers,
  /** Probabilities of the error quantiles, rising. */
  probabilities: numbers.min(2),
  /** by level, by probability: quantile of actual − estimated. */
  errors: z.array(numbers),
  /** by level: number of units that the errors come from. */
  units: z.array(z.number().int().positive()),
});
export type Calibration = z.infer<typeof calibrationSchema>;

/** One error made on a unit that the model had not been fitted to. */
export interface HeldOutError {
  readonly unit: number;
  readonly estimate: number;
  readonly actual: number;
}

const LEVELS = 26;
const PROBABILITIES = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99] as const;
const MISS = 0.1;
/** Share of all errors that describe one level; fewer make ragged bounds, more blur the levels. */
const WINDOW_SHARE = 0.07;
const MIN_WINDOW = 60;

/** Learns the table; `horizon` is where remaining life is capped. Needs at least one error. */
export function calibrate(heldOut: readonly HeldOutError[], horizon: number): Calibration {
  const byEstimate = [...heldOut].sort((a, b) => a.estimate - b.estimate);
  const levels = Array.from({ length: LEVELS }, (_, i) => (i * horizon) / (LEVELS - 1));
  const rows = levels.map((level) => calibrateLevel(windowAround(byEstimate, level), level, horizon));
  return {
    levels,
    lower: rows.map((row) => row.lower),
    upper: rows.map((row) => row.upper),
    probabilities: [...PROBABILITIES],
    errors: rows.map((row) => row.errors),
    units: rows.map((row) => row.units),
  };
}

/** The errors whose estimates are nearest to the level. */
function windowAround(byEstimate: readonly HeldOutError[], level: number): readonly HeldOutError[] {
  const size = Math.min(byEstimate.length, Math.max(MIN_WINDOW, Math.ceil(WINDOW_SHARE * byEstimate.length)));
  let start = byEstimate.findIndex((error) => error.estimate >= level);
  if (start < 0) start = byEstimate.length;
  start = Math.max(0, Math.min(byEstimate.length - size, start - Math.floor(size / 2)));
  return byEstimate.slice(start, start + size);
}

function calibrateLevel(window: readonly HeldOutError[], level: number, horizon: number) {
  const units = new Set(window.map((error) => error.unit)).size;
  const widening = 1 + 1.5 / Math.max(1, units - 1);
  const sorted = window.map((error) => error.actual - error.estimate).sort((a, b) => a - b);
  const middle = quantile(sorted, 0.5);
  const errorAt = (probability: number) => middle + widening * (quantile(sorted, probability) - middle);
  const [low, high] = tails(errorAt, level, horizon);
  return {
    lower: roundTo(errorAt(low), 5),
    upper: roundTo(errorAt(high), 5),
    errors: PROBABILITIES.map((probability) => roundTo(errorAt(probability), 5)),
    units,
  };
}

/**
 * Five percent on each side; where one bound lies at the end of the scale and cannot be missed, the other side takes
 * the whole ten, so that a 90 % interval covers 90 % there too.
 */
function tails(errorAt: (probability: number) => number, level: number, horizon: number): [number, number] {
  const low = MISS / 2;
  const high = 1 - MISS / 2;
  if (level + errorAt(high) >= horizon) return [MISS, high];
  if (level + errorAt(low) <= 0) return [low, 1 - MISS];
  return [low, high];
}

function quantile(sorted: readonly number[], probability: number): number {
  const position = probability * (sorted.length - 1);
  const below = sorted[Math.floor(position)] ?? 0;
  const above = sorted[Math.ceil(position)] ?? below;
  return below + (above - below) * (position - Math.floor(position));
}

/** 90 % interval around an estimate, within 0..horizon and around the estimate. */
export function intervalAt(calibration: Calibration, estimate: number, horizon: number): [number, number] {
  const lower = estimate + interpolate(calibration.levels, calibration.lower, estimate);
  const upper = estimate + interpolate(calibration.levels, calibration.upper, estimate);
  return [Math.max(0, Math.min(estimate, lower)), Math.min(horizon, Math.max(estimate, upper))];
}

/** Chance that the life ends within `within` more cycles (below the horizon), with the 90 % bounds that the number of units allows. */
export function probabilityOfEnd(
  calibration: Calibration,
  estimate: number,
  within: number,
): { p: number; lower: number; upper: number } {
  const errors = calibration.probabilities.map((_, i) =>
    interpolate(
      calibration.levels,
      calibration.errors.map((row) => row[i] ?? 0),
      estimate,
    ),
  );
  const p =
    within - estimate <= (errors[0] ?? 0) ? 0 : interpolate(errors, calibration.probabilities, within - estimate);
  const units = interpolate(calibration.levels, calibration.units, estimate);
  return { p, ...wilson(p, units) };
}

/** 90 % interval of a share seen in `n` cases (Wilson 1927). */
function wilson(p: number, n: number): { lower: number; upper: number } {
  const z = 1.645;
  const spread = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  return { lower: Math.max(0, Math.min(p, centre - spread)), upper: Math.min(1, Math.max(p, centre + spread)) };
}

/** Piecewise linear through (x, y), flat outside; `x` rising. */
function interpolate(x: readonly number[], y: readonly number[], at: number): number {
  let low = 0;
  let high = x.length - 1;
  if (at <= (x[low] ?? 0)) return y[low] ?? 0;
  if (at >= (x[high] ?? 0)) return y[high] ?? 0;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((x[middle] ?? 0) <= at) low = middle;
    else high = middle;
  }
  const x0 = x[low] ?? 0;
  const x1 = x[high] ?? x0;
  const share = x1 > x0 ? (at - x0) / (x1 - x0) : 0;
  return (y[low] ?? 0) + share * ((y[high] ?? 0) - (y[low] ?? 0));
}
