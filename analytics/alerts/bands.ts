/** Expected band of one signal over the last days, for the plot of a ticket's evidence. Bounded, coarse, plain JSON. */
import type { BandPoint } from '../../contract/ports/findings.ts';
import { brief } from '../stats/rounding.ts';

/** Flat runs of `[at, expected, low, high]`, oldest first; the last one is still being widened. */
export interface BandState {
  readonly points: number[];
  /** Samples in the last point. */
  count: number;
}

const POINTS = 24;
const FIELDS = 4;

export function initBand(): BandState {
  return { points: [], count: 0 };
}

/** Takes the band at one sample in: a point holds the mean of the middles and the outer edges of its slot. */
export function recordBand(
  band: BandState,
  at: number,
  slotMs: number,
  expected: number,
  low: number,
  high: number,
): void {
  const { points } = band;
  const last = points.length - FIELDS;
  if (last < 0 || at - (points[last] as number) >= slotMs) {
    points.push(at, brief(expected), brief(low), brief(high));
    band.count = 1;
    if (points.length > POINTS * FIELDS) points.splice(0, FIELDS);
    return;
  }
  band.count++;
  const mean = points[last + 1] as number;
  points[last + 1] = brief(mean + (expected - mean) / band.count);
  points[last + 2] = Math.min(points[last + 2] as number, brief(low));
  points[last + 3] = Math.max(points[last + 3] as number, brief(high));
}

export function bandPoints(band: BandState): BandPoint[] {
  const out: BandPoint[] = [];
  for (let i = 0; i < band.points.length; i += FIELDS) {
    out.push({
      at: band.points[i] as number,
      expected: round(band.points[i + 1] as number),
      low: round(band.points[i + 2] as number),
      high: round(band.points[i + 3] as number),
    });
  }
  return out;
}

/** Five digits are plenty for a plot. */
function round(value: number): number {
  if (value === 0) return 0;
  const scale = 10 ** (4 - Math.floor(Math.log10(Math.abs(value))));
  return Number.isFinite(scale) && scale > 0 ? Math.round(value * scale) / scale : value;
}
