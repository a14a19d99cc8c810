/** Latencies in buckets 3 % wide: percentiles of millions of them in 4 KiB. */
const BUCKETS_PER_DOUBLING = 24;
const BUCKETS = 24 * BUCKETS_PER_DOUBLING;
/** Everything below a microsecond counts as one. */
const SMALLEST_MS = 0.001;

export function createLatencyHistogram() {
  const counts = new Float64Array(BUCKETS);
  let total = 0;
  let maxMs = 0;
  return {
    record(ms: number): void {
      const bucket = Math.floor(Math.log2(Math.max(ms, SMALLEST_MS) / SMALLEST_MS) * BUCKETS_PER_DOUBLING);
      const index = Math.min(BUCKETS - 1, bucket);
      counts[index] = (counts[index] ?? 0) + 1;
      total += 1;
      if (ms > maxMs) maxMs = ms;
    },
    /** Upper edge of the bucket that holds this share (0..1) of all; 0 when there are none. */
    quantile(share: number): number {
      let seen = 0;
      for (let bucket = 0; bucket < BUCKETS; bucket++) {
        seen += counts[bucket] ?? 0;
        if (seen > 0 && seen >= share * total) {
          return Math.min(maxMs, SMALLEST_MS * 2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING));
        }
      }
      return 0;
    },
    max: () => maxMs,
  };
}
