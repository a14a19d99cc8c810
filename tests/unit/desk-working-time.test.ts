/** Working time against a second opinion: minute by minute, what the wall clock shows. */
import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { parseCalendar, WEEKDAYS, type WorkingCalendar } from '../../api/desk/service-levels/calendar.ts';
import { createWorkingTime } from '../../api/desk/service-levels/working-time.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';

const office: WorkingCalendar = parseCalendar({
  name: 'Berlin',
  zone: 'Europe/Berlin',
  week: Object.fromEntries(
    WEEKDAYS.slice(0, 5).map((day) => [
      day,
      [
        { from: '08:00', to: '12:00' },
        { from: '13:00', to: '17:00' },
      ],
    ]),
  ),
  holidays: [{ date: '2026-10-03', name: 'Unity Day' }],
});
const china: WorkingCalendar = parseCalendar({
  name: 'Shanghai',
  zone: 'Asia/Shanghai',
  week: Object.fromEntries(WEEKDAYS.slice(0, 5).map((day) => [day, [{ from: '09:00', to: '18:00' }]])),
  holidays: Array.from({ length: 7 }, (_, index) => ({ date: `2026-10-0${index + 1}`, name: 'National Day' })),
  // Sunday 20 September is worked for it.
  workdays: [{ date: '2026-09-20', name: 'make-up day', hours: [{ from: '09:00', to: '18:00' }] }],
  knownUntil: '2026-12-31',
});

const at = (local: string, zone = 'Europe/Berlin') =>
  Temporal.PlainDateTime.from(local).toZonedDateTime(zone).epochMilliseconds;

/** Whether the centre works in the minute that begins at `moment`, asked of the wall clock alone. */
function worksAt(calendar: WorkingCalendar, moment: number): boolean {
  const wall = Temporal.Instant.fromEpochMilliseconds(moment).toZonedDateTimeISO(calendar.zone);
  const date = wall.toPlainDate().toString();
  const clock = wall.toPlainTime().toString({ smallestUnit: 'minute' });
  const special = calendar.workdays.find((one) => one.date === date)?.hours;
  const usual = calendar.holidays.some((one) => one.date === date)
    ? []
    : calendar.week[WEEKDAYS[wall.dayOfWeek - 1] as (typeof WEEKDAYS)[number]];
  return (special ?? usual ?? []).some(({ from, to }) => from <= clock && clock < to);
}

function minutesBetween(calendar: WorkingCalendar, from: number, until: number): number {
  let minutes = 0;
  for (let moment = from; moment < until; moment += MINUTE_MS) if (worksAt(calendar, moment)) minutes++;
  return minutes;
}

const clockTimes = ['00:00', '01:30', '02:00', '02:30', '03:00', '08:00', '12:00', '13:15', '17:00', '23:30', '24:00'];
const anyHours = fc
  .uniqueArray(fc.constantFrom(...clockTimes), { minLength: 2, maxLength: 6 })
  .map((times) => [...times].sort())
  .map((times) =>
    Array.from({ length: Math.floor(times.length / 2) }, (_, index) => ({
      from: times[2 * index] as string,
      to: times[2 * index + 1] as string,
    })),
  );
const anyCalendar = fc
  .record({
    zone: fc.constantFrom(
      'UTC',
      'Europe/Berlin',
      'America/New_York',
      'Asia/Kolkata',
      'Australia/Lord_Howe',
      'Asia/Shanghai',
    ),
    hours: fc.array(anyHours, { minLength: 7, maxLength: 7 }),
    holiday: fc.integer({ min: 1, max: 28 }),
  })
  .map(({ zone, hours, holiday }) =>
    parseCalendar({
      name: 'any',
      zone,
      week: Object.fromEntries(WEEKDAYS.map((day, index) => [day, hours[index]])),
      holidays: [{ date: `2026-03-${String(holiday).padStart(2, '0')}`, name: 'holiday' }],
    }),
  );
/** Minutes around the days on which clocks are put forward in Europe and America, and back. */
const anyMinute = fc
  .tuple(
    fc.constantFrom('2026-03-05T00:00', '2026-03-26T00:00', '2026-10-22T00:00', '2026-10-30T00:00', '2026-04-02T00:00'),
    fc.nat(6 * 1440),
  )
  .map(([day, minutes]) => at(day, 'UTC') + minutes * MINUTE_MS);

describe('working time', () => {
  it('agrees with the wall clock, minute by minute, in any zone, on the nights when clocks change', () => {
    fc.assert(
      fc.property(anyCalendar, anyMinute, fc.nat(3 * 1440), (calendar, from, minutes) => {
        const until = from + minutes * MINUTE_MS;
        expect(createWorkingTime(calendar).between(from, until)).toBe(
          minutesBetween(calendar, from, until) * MINUTE_MS,
        );
      }),
      { numRuns: 25 },
    );
  });

  it('`after` is the first moment at which so much has been counted', () => {
    fc.assert(
      fc.property(anyCalendar, anyMinute, fc.integer({ min: 1, max: 40 * 60 }), (calendar, from, minutes) => {
        const time = createWorkingTime(calendar);
        const end = time.after(from, minutes * MINUTE_MS);
        if (end === undefined) return expect(time.between(from, from + 365 * DAY_MS)).toBe(0);
        expect(time.between(from, end)).toBe(minutes * MINUTE_MS);
        expect(time.between(from, end - 1)).toBe(minutes * MINUTE_MS - 1);
        return undefined;
      }),
      { numRuns: 200 },
    );
  });

  it('its pieces leave no hole and what counts among them adds up', () => {
    fc.assert(
      fc.property(anyCalendar, anyMinute, fc.integer({ min: 1, max: 4 * 1440 }), (calendar, from, minutes) => {
        const until = from + minutes * MINUTE_MS;
        const time = createWorkingTime(calendar);
        const pieces = time.pieces(from, until, 1_000);
        expect(pieces[0]?.from).toBe(from);
        expect(pieces.at(-1)?.until).toBe(until);
        expect(pieces.slice(1).map((piece) => piece.from)).toEqual(pieces.slice(0, -1).map((piece) => piece.until));
        const counted = pieces.filter((piece) => piece.idle === undefined);
        expect(counted.reduce((sum, piece) => sum + piece.until - piece.from, 0)).toBe(time.between(from, until));
      }),
      { numRuns: 200 },
    );
  });

  it('leaves the lunch break out', () => {
    const time = createWorkingTime(office);
    expect(time.after(at('2026-09-28T11:00'), 2 * HOUR_MS)).toBe(at('2026-09-28T14:00'));
  });

  it('ends a target at the end of a shift, not at the begin of the next', () => {
    const time = createWorkingTime(office);
    expect(time.after(at('2026-09-28T08:00'), 8 * HOUR_MS)).toBe(at('2026-09-28T17:00'));
  });

  it('counts a make-up Sunday and none of the holidays it pays for', () => {
    const time = createWorkingTime(china);
    const shanghai = (local: string) => at(local, 'Asia/Shanghai');
    expect(time.between(shanghai('2026-09-20T00:00'), shanghai('2026-09-21T00:00'))).toBe(9 * HOUR_MS);
    expect(time.after(shanghai('2026-09-30T17:00'), 2 * HOUR_MS)).toBe(shanghai('2026-10-08T10:00'));
    expect(
      time.pieces(shanghai('2026-09-30T17:00'), shanghai('2026-10-08T10:00'), 10).map((piece) => piece.idle),
    ).toEqual([undefined, 'outside the hours', 'National Day', 'outside the hours', undefined]);
  });

  it('says from when on the holidays are not known', () => {
    const time = createWorkingTime(china);
    expect(time.isKnown(at('2026-12-31T23:59', 'Asia/Shanghai'))).toBe(true);
    expect(time.isKnown(at('2027-01-01T00:00', 'Asia/Shanghai'))).toBe(false);
  });

  it('has no end for a target when nobody ever works', () => {
    const time = createWorkingTime(parseCalendar({ name: 'closed', zone: 'UTC', week: {} }));
    expect(time.after(0, 1)).toBeUndefined();
    expect(time.between(0, 365 * DAY_MS)).toBe(0);
  });
});

describe('a calendar document', () => {
  it.each([
    ['zone', { name: 'x', zone: '+08:00', week: {} }],
    ['zone', { name: 'x', zone: 'Europe/Atlantis', week: {} }],
    ['week.monday.0', { name: 'x', zone: 'UTC', week: { monday: [{ from: '17:00', to: '08:00' }] } }],
    ['week.monday.0.to', { name: 'x', zone: 'UTC', week: { monday: [{ from: '08:00', to: '25:00' }] } }],
    [
      'week.monday',
      {
        name: 'x',
        zone: 'UTC',
        week: {
          monday: [
            { from: '08:00', to: '12:00' },
            { from: '11:00', to: '13:00' },
          ],
        },
      },
    ],
    ['holidays.0.date', { name: 'x', zone: 'UTC', week: {}, holidays: [{ date: '2026-02-30', name: 'x' }] }],
  ])('is refused with the name of the field %s', (field, document) => {
    expect(() => parseCalendar(document)).toThrow(`calendar.${field}:`);
  });
});
