/**
 * Changes around a machine that are no fault: more load, weather, another place, other habits, new firmware, a new sensor.
 * Models read them as {@link Circumstances}; what a detector says about them alone is a false alert. Pure.
 */
import { HOUR_MS } from '../contract/kernel/time.ts';

export const CONFOUNDER_KINDS = [
  'loadStep',
  'weather',
  'sensorSwap',
  'firmwareChange',
  'relocation',
  'userHabits',
] as const;
export type ConfounderKind = (typeof CONFOUNDER_KINDS)[number];

export interface Confounder {
  readonly kind: ConfounderKind;
  /** From then on, epoch ms. */
  readonly at: number;
  /** Until then; for ever when absent. */
  readonly until?: number;
  /** −1..1: how much of the largest usual change, and which way (less load, a cold spell, fewer uses). */
  readonly strength: number;
  /** Of a sensor swap: which signal has a new sensor. */
  readonly signal?: string;
}

/** What surrounds a machine at one moment; all neutral in {@link USUAL}. */
export interface Circumstances {
  /** Work asked of it at each use, 1 = usual. */
  readonly load: number;
  /** Outdoor temperature beyond the usual course, K. */
  readonly weatherK: number;
  /** How often it is used, 1 = usual. */
  readonly useRate: number;
  /** People use it so much later in the day. */
  readonly useShiftMs: number;
  /** −1..1: how different the place is (climate, floor, pipes, roads, mains); 0 = where it always stood. */
  readonly place: number;
  /** −1..1: how far new firmware moves set points and control; 0 = as delivered. */
  readonly firmware: number;
}

export const USUAL: Circumstances = { load: 1, weatherK: 0, useRate: 1, useShiftMs: 0, place: 0, firmware: 0 };

const LOAD_STEP = 0.4;
const SPELL_K = 10;
/** Weather comes within half a day, everything else at once. */
const WEATHER_RAMP_MS = 12 * HOUR_MS;
const HABIT_RATE = 0.6;
const HABIT_SHIFT_MS = 3 * HOUR_MS;

/** The circumstances at `time` (epoch ms); {@link USUAL} itself while no confounder is active. */
export function circumstancesAt(confounders: readonly Confounder[] | undefined, time: number): Circumstances {
  if (!confounders || confounders.length === 0) return USUAL;
  return confounders.filter((one) => isActive(one, time)).reduce((now, one) => withConfounder(now, one, time), USUAL);
}

/** Whether `time` lies within (at, until]. */
export function isActive(span: { readonly at: number; readonly until?: number }, time: number): boolean {
  return time > span.at && (span.until === undefined || time <= span.until);
}

function withConfounder(now: Circumstances, { kind, at, strength }: Confounder, time: number): Circumstances {
  switch (kind) {
    case 'loadStep':
      return { ...now, load: now.load * (1 + LOAD_STEP * strength) };
    case 'weather':
      return { ...now, weatherK: now.weatherK + SPELL_K * strength * Math.min(1, (time - at) / WEATHER_RAMP_MS) };
    case 'firmwareChange':
      return { ...now, firmware: strength };
    case 'relocation':
      return { ...now, place: strength };
    case 'userHabits':
      return {
        ...now,
        useRate: now.useRate * (1 + HABIT_RATE * strength),
        useShiftMs: now.useShiftMs + HABIT_SHIFT_MS * strength,
      };
    case 'sensorSwap': // Acts on the signal, not on the machine: see sensors.ts.
      return now;
  }
}
