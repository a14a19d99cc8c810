/**
 * Weekly times in a time zone of the IANA list, on the device's clock: daylight saving shifts them as it shifts the people
 * who live by them. `Intl` knows the zones; nothing here asks what time it is now.
 */
import type { Schedule } from './ast.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const WEEK_MINUTES = 7 * 24 * 60;
/** No zone changes its clock twice within so long. */
const LOOK_AHEAD_MS = 8 * DAY_MS;
/** Offsets of one zone that are remembered, by quarter of an hour. */
const MAX_REMEMBERED = 4_096;

export interface Window {
  readonly inside: boolean;
  /** The answer holds up to here, exclusive; epoch ms. */
  readonly until: number;
}

export interface Calendar {
  at(time: number): Window;
}

export function knownZones(): string[] {
  return Intl.supportedValuesOf('timeZone');
}

/** @throws RangeError when the zone is unknown; check with `isTimeZone` first */
export function createCalendar(schedule: Schedule): Calendar {
  const offsetAt = offsetsOf(schedule.zone);
  let known: { from: number; window: Window } | undefined;
  return {
    at(time) {
      if (known && time >= known.from && time < known.window.until) return known.window;
      const window = windowAt(schedule, offsetAt, time);
      known = { from: time, window };
      return window;
    },
  };
}

function windowAt(schedule: Schedule, offsetAt: (time: number) => number, time: number): Window {
  const inside = isInside(schedule, time + offsetAt(time));
  let from = time;
  const end = time + LOOK_AHEAD_MS;
  while (from < end) {
    const offset = offsetAt(from);
    const shift = nextShift(offsetAt, from, Math.min(end, from + LOOK_AHEAD_MS));
    const change = nextChange(schedule, from + offset) - offset;
    if (change < shift) {
      if (isInside(schedule, change + offset) !== inside) return { inside, until: change };
      from = change;
      continue;
    }
    if (shift >= end) break;
    // The clock is put forward or back: that alone can begin or end a window.
    if (isInside(schedule, shift + offsetAt(shift)) !== inside) return { inside, until: shift };
    from = shift;
  }
  return { inside, until: end };
}

/** `local` is the wall clock's time as if it were UTC. */
function isInside({ days, from, to }: Schedule, local: number): boolean {
  const minute = minuteOfWeek(local);
  const length = to > from ? to - from : to + 24 * 60 - from;
  return days.some((day) => {
    const since = (minute - ((day - 1) * 24 * 60 + from) + WEEK_MINUTES) % WEEK_MINUTES;
    return since < length;
  });
}

/** The next begin or end of any window behind `local`. */
function nextChange({ days, from, to }: Schedule, local: number): number {
  const length = to > from ? to - from : to + 24 * 60 - from;
  const minute = minuteOfWeek(local);
  const start = Math.floor(local / MINUTE_MS) * MINUTE_MS;
  let least = WEEK_MINUTES;
  for (const day of days) {
    const begin = (day - 1) * 24 * 60 + from;
    for (const edge of [begin, begin + length]) {
      const ahead = (((edge - minute) % WEEK_MINUTES) + WEEK_MINUTES) % WEEK_MINUTES;
      least = Math.min(least, ahead === 0 ? WEEK_MINUTES : ahead);
    }
  }
  return start + least * MINUTE_MS;
}

/** Minutes since Monday, 00:00. */
function minuteOfWeek(local: number): number {
  const minutes = Math.floor(local / MINUTE_MS);
  // 1970-01-01 was a Thursday.
  return (((minutes + 3 * 24 * 60) % WEEK_MINUTES) + WEEK_MINUTES) % WEEK_MINUTES;
}

/** First moment in (from, to] at which the offset is another one; `to` when there is none. To the minute. */
function nextShift(offsetAt: (time: number) => number, from: number, to: number): number {
  const offset = offsetAt(from);
  if (offsetAt(to) === offset) return to;
  let low = Math.floor(from / MINUTE_MS);
  let high = Math.floor(to / MINUTE_MS);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(middle * MINUTE_MS) === offset) low = middle;
    else high = middle;
  }
  return high * MINUTE_MS;
}

/** The zone's distance from UTC in ms at a time. Zones change at full quarters of an hour, so each is asked for once. */
function offsetsOf(zone: string): (time: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  /** by quarter of an hour since 1970 */
  const remembered = new Map<number, number>();
  return (time) => {
    const quarter = Math.floor(time / (15 * MINUTE_MS));
    const known = remembered.get(quarter);
    if (known !== undefined) return known;
    const start = quarter * 15 * MINUTE_MS;
    const parts: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(start)) parts[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0 } = parts;
    const offset = Date.UTC(year, month - 1, day, hour, minute) - start;
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    remembered.set(quarter, offset);
    return offset;
  };
}
