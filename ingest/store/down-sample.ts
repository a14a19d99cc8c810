/**
 * Makes long series short without hiding what matters: numbers keep the minimum and the maximum of each bucket at their
 * true times, texts and booleans keep their changes. Pure and streaming: memory is bounded by the number of points asked for.
 */
import type { SignalValue } from '../../contract/wire/payloads.ts';

export type Point = readonly [observedAt: number, value: SignalValue];

/** Equal time buckets over a range. Widths are whole milliseconds, because InfluxDB groups by nothing finer. */
export interface Buckets {
  readonly from: number;
  readonly widthMs: number;
  readonly count: number;
}

/** Buckets such that `pointsPerBucket` points of each never exceed `points`. */
export function bucketsFor(from: number, to: number, points: number, pointsPerBucket: number): Buckets {
  const wanted = Math.max(1, Math.floor(points / pointsPerBucket));
  const widthMs = Math.max(1, Math.ceil((to - from) / wanted));
  return { from, widthMs, count: Math.ceil((to - from) / widthMs) };
}

/** Minimum and maximum of each bucket. Points may come in any order; of equal values the earliest counts. */
export class BucketExtremes {
  readonly #buckets: Buckets;
  readonly #lowest: Float64Array;
  readonly #lowestAt: Float64Array;
  readonly #highest: Float64Array;
  readonly #highestAt: Float64Array;

  constructor(buckets: Buckets) {
    this.#buckets = buckets;
    this.#lowest = new Float64Array(buckets.count).fill(Number.POSITIVE_INFINITY);
    this.#lowestAt = new Float64Array(buckets.count);
    this.#highest = new Float64Array(buckets.count).fill(Number.NEGATIVE_INFINITY);
    this.#highestAt = new Float64Array(buckets.count);
  }

  add(at: number, value: number): void {
    const bucket = Math.floor((at - this.#buckets.from) / this.#buckets.widthMs);
    const low = this.#lowest[bucket] as number;
    if (value < low || (value === low && at < (this.#lowestAt[bucket] as number))) {
      this.#lowest[bucket] = value;
      this.#lowestAt[bucket] = at;
    }
    const high = this.#highest[bucket] as number;
    if (value > high || (value === high && at < (this.#highestAt[bucket] as number))) {
      this.#highest[bucket] = value;
      this.#highestAt[bucket] = at;
    }
  }

  /** Oldest first; a bucket with one distinct value gives one point. */
  points(): Point[] {
    const points: Point[] = [];
    for (let bucket = 0; bucket < this.#buckets.count; bucket++) {
      const low = this.#lowest[bucket] as number;
      if (low === Number.POSITIVE_INFINITY) continue;
      const lowPoint: Point = [this.#lowestAt[bucket] as number, low];
      const highPoint: Point = [this.#highestAt[bucket] as number, this.#highest[bucket] as number];
      if (low === highPoint[1]) points.push(lowPoint);
      else if (lowPoint[0] <= highPoint[0]) points.push(lowPoint, highPoint);
      else points.push(highPoint, lowPoint);
    }
    return points;
  }
}

/** Changes of a text or boolean signal, fed oldest first. Beyond `maxPoints` changes each bucket keeps only its first. */
export class Changes {
  readonly #maxPoints: number;
  readonly #buckets: Buckets;
  readonly #all: Point[] = [];
  /** by bucket number */
  readonly #firstOfBucket = new Map<number, Point>();
  #changes = 0;
  #last: SignalValue | undefined;

  constructor(from: number, to: number, maxPoints: number) {
    this.#maxPoints = maxPoints;
    this.#buckets = bucketsFor(from, to, maxPoints, 1);
  }

  add(at: number, value: SignalValue): void {
    if (value === this.#last) return;
    this.#last = value;
    this.#changes++;
    if (this.#all.length < this.#maxPoints) this.#all.push([at, value]);
    const bucket = Math.floor((at - this.#buckets.from) / this.#buckets.widthMs);
    if (!this.#firstOfBucket.has(bucket)) this.#firstOfBucket.set(bucket, [at, value]);
  }

  points(): Point[] {
    return this.#changes <= this.#maxPoints ? this.#all : [...this.#firstOfBucket.values()];
  }
}
