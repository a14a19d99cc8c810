/** Judges a long run at a constant rate: nothing that should stand still may grow. Pure. */
import { linearRegression } from 'simple-statistics';

export interface SoakSample {
  /** Seconds since the start. */
  readonly atSeconds: number;
  readonly residentBytes: number;
  readonly openFiles: number;
  /** Bytes that the followers of the logs have still to pass. */
  readonly lagBytes: number;
}

export interface Trend {
  readonly first: number;
  readonly last: number;
  readonly max: number;
  /** By a straight line through all samples after the warm-up, over the time they cover. */
  readonly growth: number;
  readonly allowedGrowth: number;
  readonly ok: boolean;
}

export interface SoakVerdict {
  /** False also when the run was too short to say. */
  readonly judged: boolean;
  readonly ok: boolean;
  readonly samples: number;
  readonly measuredSeconds: number;
  readonly residentBytes: Trend;
  readonly openFiles: Trend;
  readonly lagBytes: Trend;
}

const MIB = 1024 * 1024;
/** Caches fill and the compiler works at first: this share of the run is not judged. */
const WARM_UP = 0.3;
/** Below this a slope is mostly noise of the garbage collector. */
export const JUDGED_FROM_SECONDS = 600;
const MIN_SAMPLES = 20;

/** @param incomingBytesPerS lag may grow by a second of it over the whole run: that is rhythm, not a slope */
export function judgeSoak(samples: readonly SoakSample[], incomingBytesPerS = 0): SoakVerdict {
  const end = samples.at(-1)?.atSeconds ?? 0;
  const measured = samples.filter((sample) => sample.atSeconds >= end * WARM_UP);
  const measuredSeconds = end - (measured[0]?.atSeconds ?? end);
  const trend = (pick: (sample: SoakSample) => number, allowedGrowth: (mean: number) => number): Trend => {
    const values = measured.map(pick);
    const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
    const pairs = measured.map((sample): [number, number] => [sample.atSeconds, pick(sample)]);
    // Fewer than two samples, or all at one time, have no slope.
    const slope = measuredSeconds > 0 ? linearRegression(pairs).m : 0;
    const growth = slope * measuredSeconds;
    const allowed = allowedGrowth(mean);
    const [first = 0] = values;
    return {
      first,
      last: values.at(-1) ?? 0,
      max: Math.max(0, ...values),
      growth,
      allowedGrowth: allowed,
      ok: growth <= allowed,
    };
  };
  // A tenth of memory is what one garbage collection more or less makes.
  const residentBytes = trend(
    ({ residentBytes: bytes }) => bytes,
    (mean) => 0.1 * mean,
  );
  const openFiles = trend(
    ({ openFiles: count }) => count,
    () => 4,
  );
  const lagBytes = trend(
    ({ lagBytes: bytes }) => bytes,
    () => Math.max(MIB, incomingBytesPerS),
  );
  const judged = measuredSeconds >= JUDGED_FROM_SECONDS * (1 - WARM_UP) && measured.length >= MIN_SAMPLES;
  const ok = judged && residentBytes.ok && openFiles.ok && lagBytes.ok;
  return { judged, ok, samples: samples.length, measuredSeconds, residentBytes, openFiles, lagBytes };
}
