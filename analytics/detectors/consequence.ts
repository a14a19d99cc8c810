/**
 * How large must a change be to matter? A detector that finds every change also finds a new sensor of the same make, a
 * set point moved by new firmware, a warmer place. None of these brings the machine near the end of its life, and a
 * sensor cannot tell less than its own tolerance. So where the catalogue says what a signal may be and at which value
 * life ends, smaller changes are not looked for. That is the design value of a CUSUM (half the smallest shift that must
 * be found, Page 1954), taken from the catalogue instead of from taste.
 */

/** What the catalogue says about changes of one signal in one operating mode. */
export interface Consequence {
  /** Tolerance of a sensor of this kind: in the signal's unit, and as a share of its reading. */
  readonly tolerance: number;
  readonly toleranceOfReading: number;
  /** Values at which life ends. */
  readonly limits: readonly { readonly limit: number; readonly direction: 'up' | 'down' }[];
}

/** A catalogue's range is that of the instrument: such sensors are good to so much of it, and to so much of the reading. */
const TOLERANCE_OF_RANGE = 0.005;
const TOLERANCE_OF_READING = 0.015;
/** Nearer to the end of life by less than this share of the way is of no consequence. */
const WAY_SHARE = 0.1;
/** A coarse sensor must not hide more of the way than this. */
const MOST_OF_WAY = 0.25;

/** What the catalogue says of one signal; `undefined` when it says nothing. */
export function consequenceOf(
  range: readonly [number, number] | undefined,
  limits: Consequence['limits'],
): Consequence | undefined {
  if (!range && limits.length === 0) return undefined;
  return {
    tolerance: range ? TOLERANCE_OF_RANGE * (range[1] - range[0]) : 0,
    toleranceOfReading: range ? TOLERANCE_OF_READING : 0,
    limits,
  };
}

/**
 * Smallest change of consequence where the signal should be at `expected`; in the signal's unit, 0 = unknown.
 * @example leastChange({ tolerance: 1, toleranceOfReading: 0, limits: [{ limit: 100, direction: 'up' }] }, 50) // => 5
 */
export function leastChange(consequence: Consequence | undefined, expected: number): number {
  if (!consequence) return 0;
  const tolerance = consequence.tolerance + consequence.toleranceOfReading * Math.abs(expected);
  let way = Number.POSITIVE_INFINITY;
  for (const { limit, direction } of consequence.limits) {
    const left = direction === 'up' ? limit - expected : expected - limit;
    // Past the limit, or at rest on its far side: the limit does not speak of this.
    if (left > 0) way = Math.min(way, left);
  }
  if (way === Number.POSITIVE_INFINITY) return tolerance;
  return Math.max(WAY_SHARE * way, Math.min(tolerance, MOST_OF_WAY * way));
}
