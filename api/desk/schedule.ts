/**
 * Weekly windows in a named time zone: which instants they mean, on the nights when the clock changes as well. Pure; the
 * rules of the zones are those of the runtime (IANA, through Intl).
 */
import type { WeeklySchedule } from '../../contract/http/alarms.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';

export interface Span {
  readonly from: number;
  readonly until: number;
}

/**
 * The first time of the schedule that ends after `after`, or `undefined` when none starts up to `last` any more.
 * @example nextSpan({ timeZone: 'UTC', days: [7], from: '22:00', to: '02:00', last: Infinity }, 0) // Sunday 4 January 1970
 */
export function nextSpan(schedule: WeeklySchedule, after: number): Span | undefined {
  const zone = zoneOf(schedule.timeZone);
  const [fromMinute, toMinute] = [minuteOfDay(schedule.from), minuteOfDay(schedule.to)];
  const overnight = toMinute <= fromMinute ? 1 : 0;
  // Days are counted as local dates: 24 hours are not always a day. One may have begun yesterday or the day before.
  const today = Math.floor(localOf(zone, after) / DAY_MS);
  for (let day = today - 2; day <= today + 8; day++) {
    if (!schedule.days.includes(weekday(day))) continue;
    const from = instantOf(zone, day * DAY_MS + fromMinute * MINUTE_MS, 'first');
    const until = instantOf(zone, (day + overnight) * DAY_MS + toMinute * MINUTE_MS, 'last');
    if (until <= after || until <= from) continue;
    return from <= schedule.last ? { from, until } : undefined;
  }
  return undefined;
}

/** 1 = Monday … 7 = Sunday; day 0 of the epoch was a Thursday. */
const weekday = (day: number) => ((((day + 3) % 7) + 7) % 7) + 1;

const minuteOfDay = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

function zoneOf(timeZone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
}

/** What clocks there show at `instant`, written as if it were UTC. */
function localOf(zone: Intl.DateTimeFormat, instant: number): number {
  const parts: Record<string, number> = {};
  for (const { type, value } of zone.formatToParts(instant)) parts[type] = Number(value);
  const { year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/**
 * When clocks there show `local`. In the hour that comes twice the first or the last one; for one that does not come, the
 * time that clocks show instead (02:30 → 03:30).
 */
function instantOf(zone: Intl.DateTimeFormat, local: number, which: 'first' | 'last'): number {
  const offsets = [-DAY_MS, 0, DAY_MS].map((away) => localOf(zone, local + away) - (local + away));
  const instants = [...new Set(offsets)].map((offset) => local - offset).sort((a, b) => a - b);
  const right = instants.filter((instant) => localOf(zone, instant) === local);
  const found = which === 'first' ? right.at(0) : right.at(-1);
  // A gap: read with the offset from before it, which is the smaller one and so the later instant.
  return found ?? instants.at(-1) ?? local;
}

/** Longest time of a weekly window that its hours can mean: the night of 25 hours included. */
export function longestSpanMs(schedule: Pick<WeeklySchedule, 'from' | 'to'>): number {
  const minutes = minuteOfDay(schedule.to) - minuteOfDay(schedule.from);
  return (minutes <= 0 ? minutes + 1_440 : minutes) * MINUTE_MS + HOUR_MS;
}
