/** How long the detectors of a signal warm up, remember and average: derived from interval and season, never set per device. */
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Consequence } from './consequence.ts';
import type { MonitorParams } from './signal-monitor.ts';

export interface Rhythm {
  readonly intervalMs: number;
  readonly seasonMs?: number;
}

/** Seasons that the baseline remembers: wear over days to weeks must not become normal. */
const MEMORY_SEASONS = 30;
/** Spread below this share of the physical range is of no consequence. */
const MIN_SPREAD_SHARE = 0.001;

/**
 * Parameters of the ensemble for one signal.
 * @param range physically possible values, when known
 * @param needsRest whether a signal that wanders by itself is left out of the search for drift
 * @param consequence which changes matter, when known
 */
export function monitorParams(
  rhythm: Rhythm,
  contextCount: number,
  range: readonly [number, number] | undefined,
  needsRest = false,
  consequence?: Consequence,
): MonitorParams {
  const minSpread = range ? (range[1] - range[0]) * MIN_SPREAD_SHARE : 0;
  const { seasonMs } = rhythm;
  const known = consequence ? { consequence } : {};
  if (!seasonMs) {
    return {
      seasonal: { contextCount, warmupSamples: 20, memorySamples: 2_000, minSpread, ...known },
      drift: {
        blockSamples: 4,
        maxBlockSamples: 64,
        needsRest,
        blockMs: 0,
        warmupBlocks: needsRest ? 24 : 8,
        memoryBlocks: 120,
      },
    };
  }
  const seasonSamples = seasonMs / rhythm.intervalMs;
  return {
    seasonal: {
      contextCount,
      seasonMs,
      warmupSamples: clamp(seasonSamples / 4, 20, 300),
      memorySamples: clamp(MEMORY_SEASONS * seasonSamples, 500, 20_000),
      minSpread,
      ...known,
    },
    // Four blocks a season; a mode that is rare fills its blocks more slowly.
    drift: {
      blockSamples: clamp(seasonSamples / 16, 3, 200),
      maxBlockSamples: clamp(seasonSamples / 4, 3, 800),
      needsRest,
      blockMs: seasonMs / 4,
      warmupBlocks: 12,
      memoryBlocks: 120,
    },
  };
}

/**
 * Rhythm assumed for a device that no catalogue describes: what people use runs by the day, unless it is sampled so
 * fast (a test rig) or so slowly that a day says nothing.
 */
export function assumedRhythm(intervalMs: number): Rhythm {
  const byDay = intervalMs >= MINUTE_MS && intervalMs <= 2 * HOUR_MS;
  return byDay ? { intervalMs, seasonMs: DAY_MS } : { intervalMs };
}

function clamp(value: number, low: number, high: number): number {
  return Math.round(Math.max(low, Math.min(high, value)));
}
