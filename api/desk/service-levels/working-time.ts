/**
 * Counting time as a calendar counts it. A moment is working time when the centre's wall clock shows a time inside one of
 * the day's intervals: so an hour that the clock skips does not count, and one that comes twice counts twice. Pure; the rules
 * of the zones come from the runtime (IANA) through Temporal.
 */
import { Temporal } from 'temporal-polyfill';
import { MINUTE_MS } from '../../../contract/kernel/time.ts';
import { WEEKDAYS, type WorkingCalendar, type WorkingInterval } from './calendar.ts';

/** From … until, epoch ms; `until` is not part of it. */
export interface Span {
  readonly from: number;
  readonly until: number;
}

export interface Piece extends Span {
  /** Why it does not count: the holiday's name, or that it is outside the hours. Absent: it counts. */
  readonly idle: string | undefined;
}

export interface WorkingTime {
  /** Working ms in [from, until); 0 when `until` is not after `from`. */
  between(from: number, until: number): number;
  /**
   * The first moment at which `ms` of working time have passed since `from`: the end of a shift, not the begin of the next.
   * `undefined` when the calendar has none for {@link LOOK_AHEAD_DAYS} days.
   */
  after(from: number, ms: number): number | undefined;
  /** [from, until) in pieces, in order and without holes: what counts and what does not. At most `limit` of them. */
  pieces(from: number, until: number, limit: number): readonly Piece[];
  /** Whether the moment counts. */
  isWorking(at: number): boolean;
  /** Whether the holidays of that time are known to the calendar. */
  isKnown(at: number): boolean;
}

/** A calendar that is free for longer than this has no end of a target. */
export const LOOK_AHEAD_DAYS = 3_660;
/** Days whose spans are remembered: more than a year, bounded. */
const MAX_DAYS = 500;

interface Day {
  readonly spans: readonly Span[];
  /** Start of the next local date. */
  readonly until: number;
  readonly holiday: string | undefined;
}

/** Every moment counts: the clocks of critical tickets. */
export const WALL_CLOCK: WorkingTime = {
  between: (from, until) => Math.max(0, until - from),
  after: (from, ms) => from + ms,
  pieces: (from, until) => (until > from ? [{ from, until, idle: undefined }] : []),
  isWorking: () => true,
  isKnown: () => true,
};

export function createWorkingTime(calendar: WorkingCalendar): WorkingTime {
  const dayAt = daysOf(calendar);
  const endOfKnown = endOf(calendar.knownUntil, calendar.zone);

  return {
    between(from, until) {
      let total = 0;
      for (let at = from; at < until; ) {
        const day = dayAt(at);
        for (const span of day.spans) total += Math.max(0, Math.min(span.until, until) - Math.max(span.from, at));
        at = day.until;
      }
      return total;
    },

    after(from, ms) {
      let left = ms;
      let at = from;
      for (let days = 0; days < LOOK_AHEAD_DAYS; days++) {
        const day = dayAt(at);
        for (const span of day.spans) {
          const begin = Math.max(span.from, at);
          const worth = span.until - begin;
          if (worth <= 0) continue;
          if (left <= worth) return begin + left;
          left -= worth;
        }
        at = day.until;
      }
      return undefined;
    },

    pieces(from, until, limit) {
      const found: Piece[] = [];
      for (let at = from; at < until && found.length <= limit; ) {
        const day = dayAt(at);
        for (const piece of piecesOf(day, at, Math.min(day.until, until))) add(found, piece);
        at = day.until;
      }
      return found.slice(0, limit);
    },

    isWorking: (at) => dayAt(at).spans.some((span) => span.from <= at && at < span.until),
    isKnown: (at) => at < endOfKnown,
  };
}

/** [from, until) of one day in working and idle pieces. */
function piecesOf(day: Day, from: number, until: number): Piece[] {
  const idle = day.holiday ?? 'outside the hours';
  const pieces: Piece[] = [];
  let reached = from;
  for (const span of day.spans) {
    const begin = Math.min(Math.max(span.from, reached), until);
    const end = Math.min(Math.max(span.until, reached), until);
    if (begin > reached) pieces.push({ from: reached, until: begin, idle });
    if (end > begin) pieces.push({ from: begin, until: end, idle: undefined });
    reached = end;
  }
  if (until > reached) pieces.push({ from: reached, until, idle });
  return pieces;
}

/** An evening and the night after it are one piece. */
function add(pieces: Piece[], piece: Piece): void {
  const before = pieces.at(-1);
  if (before && before.idle === piece.idle && before.until === piece.from) {
    pieces[pieces.length - 1] = { from: before.from, until: piece.until, idle: piece.idle };
  } else pieces.push(piece);
}

/** The local date of a moment with its spans; remembers the days it was asked for. */
function daysOf(calendar: WorkingCalendar): (at: number) => Day {
  const holidays = new Map(calendar.holidays.map(({ date, name }) => [date, name]));
  const workdays = new Map(calendar.workdays.map((one) => [one.date, one.hours]));
  const hoursOf = (date: Temporal.PlainDate): readonly WorkingInterval[] => {
    const special = workdays.get(date.toString());
    if (special) return special;
    if (holidays.has(date.toString())) return [];
    return calendar.week[WEEKDAYS[date.dayOfWeek - 1] as (typeof WEEKDAYS)[number]] ?? [];
  };
  /** by local date */
  const remembered = new Map<string, Day & { readonly from: number }>();
  let last: (Day & { readonly from: number }) | undefined;

  return (at) => {
    if (last && at >= last.from && at < last.until) return last;
    const date = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(calendar.zone).toPlainDate();
    const name = date.toString();
    const known = remembered.get(name);
    if (known) {
      last = known;
      return known;
    }
    const from = startOf(date, calendar.zone);
    const until = startOf(date.add({ days: 1 }), calendar.zone);
    const spans = spansOf(hoursOf(date), date, from, until, calendar.zone);
    const holiday = workdays.has(name) ? undefined : holidays.get(name);
    last = { from, until, spans, holiday };
    if (remembered.size >= MAX_DAYS) remembered.clear();
    remembered.set(name, last);
    return last;
  };
}

/** Infinity without a date. */
function endOf(date: string | undefined, zone: string): number {
  return date === undefined ? Number.POSITIVE_INFINITY : startOf(Temporal.PlainDate.from(date).add({ days: 1 }), zone);
}

function startOf(date: Temporal.PlainDate, zone: string): number {
  return date.toZonedDateTime(zone).epochMilliseconds;
}

/** The moments of one local date at which the wall clock stands inside the intervals. */
function spansOf(
  hours: readonly WorkingInterval[],
  date: Temporal.PlainDate,
  from: number,
  until: number,
  zone: string,
): Span[] {
  const spans: Span[] = [];
  // The wall clock as if it were UTC: midnight of the date.
  const midnight = date.toZonedDateTime('UTC').epochMilliseconds;
  for (const piece of offsetsOf(from, until, zone)) {
    for (const { from: opens, to: closes } of hours) {
      const begin = Math.max(piece.from, midnight + minuteOf(opens) * MINUTE_MS - piece.offset);
      const end = Math.min(piece.until, midnight + minuteOf(closes) * MINUTE_MS - piece.offset);
      if (begin < end) spans.push({ from: begin, until: end });
    }
  }
  return joined(spans.sort((a, b) => a.from - b.from));
}

/** The day in pieces of one offset each: one, or two on the days on which the clock is put forward or back. */
function offsetsOf(from: number, until: number, zone: string): (Span & { readonly offset: number })[] {
  const pieces: (Span & { readonly offset: number })[] = [];
  for (let at = from; at < until; ) {
    const moment = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone);
    const shift = moment.getTimeZoneTransition('next')?.epochMilliseconds ?? until;
    const end = Math.min(shift, until);
    pieces.push({ from: at, until: end, offset: moment.offsetNanoseconds / 1e6 });
    at = end;
  }
  return pieces;
}

/** `12:00` of one interval and of the next are one span. */
function joined(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans) {
    const before = result.at(-1);
    if (before && before.until === span.from) result[result.length - 1] = { from: before.from, until: span.until };
    else result.push(span);
  }
  return result;
}

function minuteOf(clock: string): number {
  return Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
}
