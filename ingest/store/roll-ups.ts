/**
 * What both stores do with the numbers of a bucket once their engine has gathered them. Pure: the same parts give the
 * same answer, so the stores agree to the last bit.
 */
import type { ModelBucket, RollUp } from '../../contract/ports/telemetry-store.ts';

/** Some values of a bucket: those of the raw samples, or those that a retention run rolled up before. */
export interface RollUpPart {
  readonly from: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly last: number;
}

/**
 * Roll-ups by bucket from parts in the order in which they were sealed. The first part's `last` stands: what comes in
 * behind a sealed bucket is late.
 */
export function joinParts(parts: readonly RollUpPart[]): RollUp[] {
  /** by bucket start */
  const joined = new Map<number, RollUpPart>();
  for (const part of parts) {
    const { from, count, sum, min, max } = part;
    const before = joined.get(from);
    joined.set(
      from,
      before
        ? {
            ...before,
            count: before.count + count,
            sum: before.sum + sum,
            min: Math.min(before.min, min),
            max: Math.max(before.max, max),
          }
        : part,
    );
  }
  return [...joined.values()].sort((a, b) => a.from - b.from).map(rollUpOf);
}

/** Adding 0 turns −0 into 0: engines differ in which of the two they take for the smaller. */
function rollUpOf({ from, count, sum, min, max, last }: RollUpPart): RollUp {
  return { from, count, min: min + 0, max: max + 0, mean: sum / count + 0, last: last + 0 };
}

/** A device's share of a bucket. */
export interface DeviceBucket {
  readonly from: number;
  readonly count: number;
  readonly sum: number;
}

/** Buckets of a model from those of its devices, in any order. */
export function modelBuckets(shares: Iterable<DeviceBucket>): ModelBucket[] {
  const byBucket = new Map<number, { count: number; means: number[] }>();
  for (const { from, count, sum } of shares) {
    const mean = Math.fround(sum / count);
    if (!Number.isFinite(mean)) continue; // No 32-bit float can hold it, and no percentile gains from it.
    const bucket = byBucket.get(from) ?? { count: 0, means: [] };
    byBucket.set(from, bucket);
    bucket.count += count;
    bucket.means.push(mean);
  }
  return [...byBucket].sort(([a], [b]) => a - b).map(([from, { count, means }]) => modelBucket(from, count, means));
}

function modelBucket(from: number, count: number, means: number[]): ModelBucket {
  const sorted = Float64Array.from(means).sort();
  const mean = Math.fround(means.reduce((sum, value) => sum + value, 0) / means.length);
  const [p50, p95] = [nearestRank(sorted, 50), nearestRank(sorted, 95)];
  return { from, devices: means.length, count, p50: p50 + 0, p95: p95 + 0, mean: mean + 0 };
}

/**
 * The smallest value that at least `percent` of the values do not exceed.
 * @example nearestRank(Float64Array.of(1, 2, 3, 4), 50) // => 2
 */
export function nearestRank(sorted: Float64Array, percent: number): number {
  return sorted[Math.max(1, Math.ceil((sorted.length * percent) / 100)) - 1] as number;
}
