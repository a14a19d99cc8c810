/** Weekly windows in named time zones, on the nights when the clock changes as well; and what people may ask for. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planMaintenance, planOutOfService } from '../../api/alerts/plan-silence.ts';
import { alarmPolicy } from '../../api/desk/alarm-policy.ts';
import { nextSpan } from '../../api/desk/schedule.ts';
import { covers, isRunning } from '../../api/desk/silences.ts';
import { maintenanceCreate, type WeeklySchedule } from '../../contract/http/alarms.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { isTimeZone } from '../../contract/kernel/zone.ts';

const at = (text: string) => Date.parse(text);
const schedule = (facts: Partial<WeeklySchedule> = {}): WeeklySchedule => ({
  timeZone: 'Europe/Berlin',
  days: [7],
  from: '01:00',
  to: '05:00',
  last: at('2030-01-01T00:00Z'),
  ...facts,
});
const spanOf = (one: WeeklySchedule, after: string) => {
  const span = nextSpan(one, at(after));
  return span && [new Date(span.from).toISOString(), new Date(span.until).toISOString()];
};

describe('a weekly window', () => {
  // Germany: summer time begins on 28 March 2027 at 02:00 and ends on 31 October 2027 at 03:00.
  it.each([
    ['in winter', schedule(), '2027-01-04T00:00Z', '2027-01-10T00:00', '2027-01-10T04:00'],
    ['in summer', schedule(), '2027-07-05T00:00Z', '2027-07-10T23:00', '2027-07-11T03:00'],
    ['in the night of 23 hours', schedule(), '2027-03-27T00:00Z', '2027-03-28T00:00', '2027-03-28T03:00'],
    ['in the night of 25 hours', schedule(), '2027-10-30T00:00Z', '2027-10-30T23:00', '2027-10-31T04:00'],
    [
      'over both hours that have the same name',
      schedule({ from: '02:15', to: '02:45' }),
      '2027-10-30T00:00Z',
      '2027-10-31T00:15',
      '2027-10-31T01:45',
    ],
    [
      'an hour later where its hour does not come',
      schedule({ from: '02:15', to: '02:45' }),
      '2027-03-27T00:00Z',
      '2027-03-28T01:15',
      '2027-03-28T01:45',
    ],
    [
      'from one day into the next',
      schedule({ days: [6], from: '22:00', to: '02:00' }),
      '2027-01-04T00:00Z',
      '2027-01-09T21:00',
      '2027-01-10T01:00',
    ],
    [
      'and what began before is not over yet',
      schedule({ days: [6], from: '22:00', to: '02:00' }),
      '2027-01-10T00:30Z',
      '2027-01-09T21:00',
      '2027-01-10T01:00',
    ],
    [
      'a whole day',
      schedule({ days: [1], from: '00:00', to: '00:00' }),
      '2027-01-01T00:00Z',
      '2027-01-03T23:00',
      '2027-01-04T23:00',
    ],
    [
      'where the offset is no whole hour',
      schedule({ timeZone: 'Asia/Kolkata', days: [3], from: '09:00', to: '10:00' }),
      '2027-01-04T00:00Z',
      '2027-01-06T03:30',
      '2027-01-06T04:30',
    ],
    [
      'where clocks change by half an hour, in autumn there',
      schedule({ timeZone: 'Australia/Lord_Howe', from: '01:00', to: '03:00' }),
      '2027-04-03T00:00Z',
      '2027-04-03T14:00',
      '2027-04-03T16:30',
    ],
  ])('%s', (_, one, after, from, until) => {
    expect(spanOf(one, after)).toEqual([`${from}:00.000Z`, `${until}:00.000Z`]);
  });

  it('does not come where both its ends are the same moment', () => {
    const one = schedule({ from: '02:30', to: '03:30' });
    expect(spanOf(one, '2027-03-27T00:00Z')?.[0]).toBe('2027-04-04T00:30:00.000Z');
  });

  it('ends by itself: no time starts after its last', () => {
    const one = schedule({ last: at('2027-01-09T23:59:59Z') });
    expect(spanOf(one, '2027-01-04T00:00Z')).toBeUndefined();
    expect(spanOf(schedule({ last: at('2027-01-10T00:00Z') }), '2027-01-04T00:00Z')).toBeDefined();
  });

  it('starts when clocks in that zone show its hour, whatever zone, day and year', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'America/Santiago', 'Asia/Shanghai', 'Pacific/Chatham'];
    const hour = fc.integer({ min: 4, max: 23 }).map((n) => `${String(n).padStart(2, '0')}:00`);
    const days = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1 });
    const year = fc.integer({ min: at('2024-01-01T00:00Z'), max: at('2034-01-01T00:00Z') });
    fc.assert(
      fc.property(fc.constantFrom(...zones), hour, hour, days, year, (timeZone, from, to, on, after) => {
        const span = nextSpan({ timeZone, from, to, days: on, last: Number.MAX_SAFE_INTEGER }, after);
        expect(span).toBeDefined();
        if (!span) return;
        const clock = new Intl.DateTimeFormat('en-GB', { timeZone, timeStyle: 'short' });
        const weekday = new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'short' }).format(span.from);
        expect(clock.format(span.from)).toBe(from);
        expect(clock.format(span.until)).toBe(to);
        expect(on).toContain(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'].indexOf(weekday) + 1);
        expect(span.until).toBeGreaterThan(after);
        expect(span.from).toBeLessThan(after + 8 * DAY_MS);
        expect(span.until - span.from).toBeLessThanOrEqual(DAY_MS + HOUR_MS);
      }),
      { numRuns: 200 },
    );
  });

  it('is in a zone by name: no offset, no abbreviation, no place that does not exist', () => {
    for (const zone of ['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires']) expect(isTimeZone(zone)).toBe(true);
    for (const zone of ['+02:00', 'CEST', 'EST', 'Europe/Atlantis', '']) expect(isTimeZone(zone)).toBe(false);
  });
});

describe('a silence', () => {
  const all = { device: null, model: null, centre: null, faultKey: null, from: 100, until: 200, endedAt: null };
  const alarm = { device: 'd', model: 'm', faultKey: 'f', centre: 'c' };

  it('covers what each of its scopes names, and all where none does', () => {
    expect(covers(all, alarm)).toBe(true);
    for (const scope of ['device', 'model', 'centre', 'faultKey'] as const) {
      expect([scope, covers({ ...all, [scope]: alarm[scope] }, alarm)]).toEqual([scope, true]);
      expect([scope, covers({ ...all, [scope]: 'other' }, alarm)]).toEqual([scope, false]);
    }
    expect(covers({ ...all, centre: 'c' }, { device: 'd', model: 'm', faultKey: 'f' })).toBe(false);
  });

  it('runs from its start until before its end, or until somebody ends it', () => {
    expect([99, 100, 199, 200].map((now) => isRunning(all, now))).toEqual([false, true, true, false]);
    expect(isRunning({ ...all, until: null }, 1e15)).toBe(true);
    expect(isRunning({ ...all, endedAt: 150 }, 120)).toBe(false);
  });
});

describe('a maintenance window that somebody asks for', () => {
  const now = at('2027-01-04T12:00Z');
  const policy = alarmPolicy.parse({});
  const plan = (body: object) => planMaintenance(maintenanceCreate.parse({ reason: 'filters', ...body }), policy, now);
  const weekly = { timeZone: 'Europe/Berlin', days: [7], from: '01:00', to: '05:00', last: '2027-06-01T00:00:00Z' };

  it('begins now where no start is named', () => {
    expect(plan({ all: true, until: '2027-01-04T14:00:00Z' })).toMatchObject({
      device: null,
      from: now,
      until: now + 2 * HOUR_MS,
      settleAt: now + 2 * HOUR_MS,
      weekly: null,
    });
  });

  it('has its first time where it comes each week', () => {
    expect(plan({ model: 'refrigerator', weekly })).toMatchObject({
      model: 'refrigerator',
      from: at('2027-01-10T00:00Z'),
      until: at('2027-01-10T04:00Z'),
      weekly: { last: at('2027-06-01T00:00Z') },
    });
  });

  it.each([
    [{ until: '2027-01-04T14:00:00Z' }, /exactly one of device, model, centre, all/],
    [{ all: true, device: 'd', until: '2027-01-04T14:00:00Z' }, /exactly one/],
    [{ all: true }, /needs an end/],
    [{ all: true, until: '2027-01-04T11:00:00Z' }, /body\.until/],
    [{ all: true, from: '2027-01-03T12:00:00Z', until: '2027-01-05T12:00:00Z' }, /in the past/],
    [{ all: true, until: '2027-01-11T12:00:01Z' }, /168 hours at most/],
    [{ all: true, from: '2027-01-05T00:00:00Z', weekly }, /its own times/],
    [{ all: true, weekly: { ...weekly, timeZone: 'Mars/Base' } }, /no time zone Mars/],
    [{ all: true, weekly: { ...weekly, last: '2028-01-06T00:00:00Z' } }, /366 days at most/],
    [{ all: true, weekly: { ...weekly, last: '2027-01-05T00:00:00Z' } }, /no time of the window/],
  ])('is refused with the reason: %j', (body, words) => {
    expect(() => plan(body)).toThrow(words);
  });

  it('has no end where a device goes out of service until somebody puts it back', () => {
    expect(planOutOfService({ device: 'd', reason: 'in the workshop' }, now)).toMatchObject({
      device: 'd',
      from: now,
      until: null,
      settleAt: null,
    });
    expect(() => planOutOfService({ reason: 'r' }, now)).toThrow(/exactly one of device, model/);
  });
});
