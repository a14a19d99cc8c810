/**
 * Weather and days as functions of seed and time alone: whoever asks at any step gets the same answer, and nothing has to be
 * kept between two steps. Pure.
 */
import { gaussian, type Random } from '../../contract/kernel/random.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { dayCourse } from './household.ts';
import { streamOf } from './simulation.ts';

export interface Climate {
  /** Mean of the year, °C. */
  readonly meanC: number;
  /** Half the difference between the warmest and the coldest month, K. */
  readonly yearK: number;
  /** Half the difference between afternoon and early morning, K. */
  readonly dayK: number;
  /** Standard deviation of the weather around that, K. */
  readonly weatherK: number;
}

/** A continental town in the north, as weather services give it for central Europe: 10 °C a year, −1 in January, 20 in July. */
export const TEMPERATE: Climate = { meanC: 10, yearK: 10, dayK: 4, weatherK: 3 };

const YEAR_DAYS = 365.25;
/** Coldest around 20 January, warmest half a year later. */
const WARMEST_DAY = 200;
const WARMEST_HOUR = 15;
const SPELL_MS = 3 * DAY_MS;

/** Outdoor temperature, °C; the same for all devices with the same seed. */
export function outdoorTempC(seed: number, time: number, climate: Climate): number {
  const day = (time / DAY_MS) % YEAR_DAYS;
  const year = Math.cos((2 * Math.PI * (day - WARMEST_DAY)) / YEAR_DAYS);
  return (
    climate.meanC +
    climate.yearK * year +
    climate.dayK * dayCourse(time, WARMEST_HOUR) +
    climate.weatherK * slowNoise(seed, 71, time, SPELL_MS)
  );
}

/** Standard-normal noise that changes over about `periodMs`: cubic steps between independent knots. */
export function slowNoise(seed: number, purpose: number, time: number, periodMs: number): number {
  const knot = Math.floor(time / periodMs);
  const share = time / periodMs - knot;
  const blend = share * share * (3 - 2 * share);
  return knotAt(seed, purpose, knot) * (1 - blend) + knotAt(seed, purpose, knot + 1) * blend;
}

function knotAt(seed: number, purpose: number, knot: number): number {
  return Math.max(-2.2, Math.min(2.2, gaussian(dayStream(seed, purpose, knot))));
}

/** Randomness of one day (or any other counted span) for one purpose: what happens then does not hang on the days before. */
export function dayStream(seed: number, purpose: number, day: number): Random {
  return streamOf(seed ^ Math.imul(day + 1, 0x27d4eb2f), purpose);
}
