/**
 * A token bucket kept as one number, the moment at which it is full again (ITU-T I.371 calls it GCRA): no timer fills
 * it, and a device that is quiet costs nothing.
 */

/** How often something may happen. */
export interface Pace {
  readonly perSecond: number;
  /** How many may come at once after a rest. */
  readonly burst: number;
}

export interface Bucket {
  /** Monotonic ms; not after now = full. */
  fullAt: number;
}

/** Sums of fractional times are off by less; without this a full bucket of one now and then refused that one. */
const ROUNDING_MS = 0.001;

export function newBucket(): Bucket {
  return { fullAt: Number.NEGATIVE_INFINITY };
}

/** Books `cost` in any case. Returns how many ms to wait until it is covered; 0 = it is. */
export function book(bucket: Bucket, pace: Pace, now: number, cost = 1): number {
  const intervalMs = 1_000 / pace.perSecond;
  bucket.fullAt = Math.max(bucket.fullAt, now) + cost * intervalMs;
  const waitMs = bucket.fullAt - now - pace.burst * intervalMs;
  return waitMs > ROUNDING_MS ? waitMs : 0;
}

/** Books only what is covered now. */
export function tryBook(bucket: Bucket, pace: Pace, now: number, cost = 1): boolean {
  const before = bucket.fullAt;
  if (book(bucket, pace, now, cost) === 0) return true;
  bucket.fullAt = before;
  return false;
}

/** Whether one more would be covered now. Books nothing. */
export function isCovered(bucket: Bucket, pace: Pace, now: number): boolean {
  return tryBook({ fullAt: bucket.fullAt }, pace, now);
}

/** Whether at least half of the burst is there again. */
export function isHalfFull(bucket: Bucket, pace: Pace, now: number): boolean {
  return bucket.fullAt - now <= (pace.burst * 500) / pace.perSecond;
}
