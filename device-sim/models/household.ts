/** The room and the people around a refrigerator: temperature, mains voltage and door use over day, week and weather. Pure. */
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';

/** Door openings a day by hour of the day, as shares that sum to about 1; the second line is for days off. */
const WORKDAY_HOURS = [0, 0, 0, 0, 0, 1, 5, 8, 4, 2, 2, 3, 6, 3, 2, 3, 5, 9, 12, 9, 7, 5, 3, 1];
const FREE_DAY_HOURS = [1, 0, 0, 0, 0, 0, 1, 3, 7, 9, 7, 6, 9, 7, 5, 5, 6, 7, 9, 8, 6, 5, 4, 2];

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const WORKDAY_TOTAL = sum(WORKDAY_HOURS);
const FREE_DAY_TOTAL = sum(FREE_DAY_HOURS);
/** People at home open the door more often. */
const FREE_DAY_FACTOR = 1.35;

/** 1970-01-01 was a Thursday; Saturday and Sunday are days off (UTC). */
export function isFreeDay(time: number): boolean {
  const weekday = (Math.floor(time / DAY_MS) + 4) % 7;
  return weekday === 0 || weekday === 6;
}

/** Expected door openings in an hour at `time`, for a household with `perDay` openings on a workday. */
export function doorOpeningsPerHour(time: number, perDay: number): number {
  const hour = Math.floor((time % DAY_MS) / HOUR_MS);
  return isFreeDay(time)
    ? (perDay * FREE_DAY_FACTOR * (FREE_DAY_HOURS[hour] ?? 0)) / FREE_DAY_TOTAL
    : (perDay * (WORKDAY_HOURS[hour] ?? 0)) / WORKDAY_TOTAL;
}

/** Cosine over the day that peaks at `peakHour`, −1..1. */
export function dayCourse(time: number, peakHour: number): number {
  return Math.cos((2 * Math.PI * ((time % DAY_MS) / HOUR_MS - peakHour)) / 24);
}

/** Room temperature without weather: warmest in the late afternoon, a little warmer when people are at home. */
export function roomTempC(time: number, meanC: number): number {
  return meanC + 1.3 * dayCourse(time, 17) + (isFreeDay(time) ? 0.4 : 0);
}

/** Mains voltage: lowest in the evening, when everyone cooks. */
export function mainsVoltageV(time: number, meanV: number): number {
  return meanV - 2 * dayCourse(time, 19);
}
