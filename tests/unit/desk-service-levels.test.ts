/** The clocks of a ticket: what they promise, and the faults that other desks' clocks are known for. */
import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { parseCalendar, WEEKDAYS } from '../../api/desk/service-levels/calendar.ts';
import { elapsedMs, foldClock, momentOf } from '../../api/desk/service-levels/clock.ts';
import type { ServiceEvent } from '../../api/desk/service-levels/events.ts';
import { parseServiceLevels, type TicketFacts } from '../../api/desk/service-levels/policy.ts';
import { serviceLevelsOf } from '../../api/desk/service-levels/view.ts';
import { createWorkingTime, WALL_CLOCK } from '../../api/desk/service-levels/working-time.ts';
import { TICKET_STATES } from '../../contract/http/resources.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';

const ZONE = 'Asia/Shanghai';
const at = (local: string) => Temporal.PlainDateTime.from(local).toZonedDateTime(ZONE).epochMilliseconds;
const calendar = parseCalendar({
  name: 'site',
  zone: ZONE,
  week: Object.fromEntries(
    WEEKDAYS.slice(0, 5).map((day) => [
      day,
      [
        { from: '09:00', to: '12:00' },
        { from: '13:00', to: '18:00' },
      ],
    ]),
  ),
  holidays: [{ date: '2026-09-25', name: 'Mid-Autumn' }],
});
const time = createWorkingTime(calendar);
const policy = parseServiceLevels({
  targets: [
    { clock: 'offer', targetMs: 16 * HOUR_MS, time: 'business' },
    { clock: 'firstResponse', targetMs: 4 * HOUR_MS, time: 'business' },
    { clock: 'resolution', targetMs: 16 * HOUR_MS, time: 'business' },
    { clock: 'followUp', targetMs: DAY_MS, time: 'wall' },
  ],
});
const facts: TicketFacts = { severity: 'major', tier: 'standard', kind: 'repair', mode: 'on_site' };
const opened = (local: string): ServiceEvent => ({ at: at(local), kind: 'opened', preemptive: false });
const moved = (local: string, to: (typeof TICKET_STATES)[number]): ServiceEvent => ({
  at: at(local),
  kind: 'moved',
  to,
});

function clockOf(name: string, events: readonly ServiceEvent[], now: string, rules = policy, hours = time) {
  return serviceLevelsOf(events, facts, rules, hours)
    .clocks(at(now))
    .find((one) => one.name === name);
}
const breachOf = (events: readonly ServiceEvent[], rules = policy) =>
  clockOf('resolution', events, '2026-09-21T09:00', rules)?.ongoingCycle?.breachTime;

// Monday 21 September 2026; Friday the 25th is a holiday.
describe('faults of other desks, absent here', () => {
  it("counts in the site's time zone: a fresh ticket is not late (Frappe Helpdesk PR 3776)", () => {
    const clock = clockOf('firstResponse', [opened('2026-09-21T09:00')], '2026-09-21T09:01');
    expect(clock?.ongoingCycle).toMatchObject({ breached: false, breachTime: at('2026-09-21T14:00') });
  });

  it('keeps the waiting time of a ticket that is resolved while it waits (Frappe Helpdesk PR 3776)', () => {
    const events = [
      opened('2026-09-21T09:00'),
      moved('2026-09-21T10:00', 'awaiting_customer'),
      moved('2026-09-21T16:00', 'resolved'),
    ];
    expect(clockOf('resolution', events, '2026-09-22T09:00')?.completedCycles).toMatchObject([
      { elapsedTime: HOUR_MS },
    ]);
  });

  it('does not add waiting outside the hours to the target (Frappe Helpdesk PR 2449, ERPNext PR 49414)', () => {
    const before = breachOf([opened('2026-09-21T09:00')]);
    const night = [moved('2026-09-21T20:00', 'awaiting_parts'), moved('2026-09-22T07:00', 'in_repair')];
    expect(breachOf([opened('2026-09-21T09:00'), ...night])).toBe(before);
  });

  it('knows a lunch break (Frappe Helpdesk 2212)', () => {
    expect(clockOf('firstResponse', [opened('2026-09-21T11:00')], '2026-09-21T11:00')?.ongoingCycle?.breachTime).toBe(
      at('2026-09-21T16:00'),
    );
  });

  it('keeps the first answer when later ones come (Zammad 5177)', () => {
    const events: ServiceEvent[] = [
      opened('2026-09-21T09:00'),
      { at: at('2026-09-21T10:00'), kind: 'answered' },
      { at: at('2026-09-23T10:00'), kind: 'answered' },
    ];
    expect(clockOf('firstResponse', events, '2026-09-24T09:00')?.completedCycles).toMatchObject([
      { stopTime: at('2026-09-21T10:00'), breached: false },
    ]);
  });

  it('sees the answer that is saved together with the state to wait in (Zammad 3551)', () => {
    const events: ServiceEvent[] = [
      opened('2026-09-21T09:00'),
      { at: at('2026-09-21T10:00'), kind: 'answered' },
      moved('2026-09-21T10:00', 'awaiting_customer'),
    ];
    expect(clockOf('firstResponse', events, '2026-09-21T11:00')?.completedCycles).toHaveLength(1);
    expect(clockOf('resolution', events, '2026-09-21T11:00')?.ongoingCycle?.paused).toBe('waiting for the customer');
  });

  it('runs on when the customer writes (Zammad 1322)', () => {
    const events: ServiceEvent[] = [
      opened('2026-09-21T09:00'),
      moved('2026-09-21T10:00', 'awaiting_customer'),
      { at: at('2026-09-21T16:00'), kind: 'customerWrote' },
    ];
    const clock = clockOf('resolution', events, '2026-09-21T17:00');
    expect(clock?.ongoingCycle).toMatchObject({ paused: undefined, elapsedTime: 2 * HOUR_MS });
  });

  it('escalates within the hours, never at midnight (Zammad 3140, 4432)', () => {
    const levels = serviceLevelsOf([opened('2026-09-21T17:30')], facts, policy, time);
    for (const { at: when } of levels.escalations()) expect(time.between(when - 1, when)).toBe(1);
    expect(levels.escalations().length).toBeGreaterThan(3);
  });

  it('keeps the waiting when the promise changes (GLPI 15605)', () => {
    const events = [
      opened('2026-09-21T09:00'),
      moved('2026-09-21T10:00', 'awaiting_parts'),
      moved('2026-09-22T10:00', 'in_repair'),
    ];
    const stricter = parseServiceLevels({
      ...policy,
      version: '2',
      targets: [{ clock: 'resolution', targetMs: 4 * HOUR_MS, time: 'business' }],
    });
    // One hour on Monday, nothing while it waited, three hours on Tuesday from 10:00 with the lunch break.
    expect(breachOf(events, stricter)).toBe(at('2026-09-22T14:00'));
  });

  it('a wait that begins on a holiday holds on the working day after it (Dynamics)', () => {
    const waits = [
      opened('2026-09-24T17:00'),
      moved('2026-09-25T10:00', 'awaiting_customer'),
      moved('2026-09-28T18:00', 'in_repair'),
    ];
    expect(clockOf('resolution', waits, '2026-09-29T09:00')?.ongoingCycle?.elapsedTime).toBe(HOUR_MS);
  });
});

describe('clocks of a ticket', () => {
  it('a preemptive ticket promises nothing but its offer until the customer accepts', () => {
    const offered: ServiceEvent[] = [{ at: at('2026-09-21T09:00'), kind: 'opened', preemptive: true }];
    const names = (events: readonly ServiceEvent[]) =>
      serviceLevelsOf(events, facts, policy, time)
        .clocks(at('2026-09-22T09:00'))
        .map((one) => one.name);
    expect(names(offered)).toEqual(['offer']);
    expect(names([...offered, { at: at('2026-09-21T15:00'), kind: 'accepted' }])).toEqual([
      'offer',
      'firstResponse',
      'resolution',
    ]);
  });

  it('a reopened ticket begins a cycle of its own and what was late stays late', () => {
    const events = [
      opened('2026-09-21T09:00'),
      moved('2026-09-23T17:00', 'resolved'),
      moved('2026-09-24T09:00', 'reopened'),
    ];
    const clock = clockOf('resolution', events, '2026-09-24T11:00');
    expect(clock?.completedCycles).toMatchObject([{ breached: true, elapsedTime: 23 * HOUR_MS }]);
    expect(clock?.ongoingCycle).toMatchObject({
      startTime: at('2026-09-24T09:00'),
      elapsedTime: 2 * HOUR_MS,
      breached: false,
    });
  });

  it('runs on once the wait has used up its cap, in one wait or in several', () => {
    const capped = parseServiceLevels({
      ...policy,
      pauses: [{ state: 'awaiting_customer', reason: 'waiting for the customer', capMs: 4 * HOUR_MS }],
    });
    const once = [opened('2026-09-21T09:00'), moved('2026-09-21T10:00', 'awaiting_customer')];
    // 1 h counted, 4 h waited (10–12, 13–15), 15 h left: 3 on Monday, 8 on Tuesday, 4 on Wednesday.
    expect(breachOf(once, capped)).toBe(at('2026-09-23T14:00'));
    const twice = [...once, moved('2026-09-21T12:00', 'in_repair'), moved('2026-09-21T13:00', 'awaiting_customer')];
    expect(breachOf(twice, capped)).toBe(at('2026-09-23T14:00'));
  });

  it('has no target while it waits without a cap', () => {
    const open = parseServiceLevels({ ...policy, pauses: [{ state: 'awaiting_parts', reason: 'waiting for parts' }] });
    const clock = clockOf(
      'resolution',
      [opened('2026-09-21T09:00'), moved('2026-09-21T10:00', 'awaiting_parts')],
      '2026-09-30T10:00',
      open,
    );
    expect(clock?.ongoingCycle).toMatchObject({ breachTime: undefined, breached: false, paused: 'waiting for parts' });
  });

  it('a cancelled ticket breaks no promise, and nobody is told about it any more', () => {
    const levels = serviceLevelsOf(
      [opened('2026-09-21T09:00'), moved('2026-09-21T10:00', 'cancelled')],
      facts,
      policy,
      time,
    );
    expect(levels.clocks(at('2026-12-01T09:00')).flatMap((one) => one.completedCycles)).toSatisfy(
      (cycles: { cancelled: boolean; breached: boolean }[]) => cycles.every((one) => one.cancelled && !one.breached),
    );
    expect(levels.escalations()).toEqual([]);
  });

  it('lists why a target is when it is', () => {
    const events = [
      opened('2026-09-24T16:00'),
      moved('2026-09-24T17:00', 'awaiting_customer'),
      moved('2026-09-24T18:00', 'in_repair'),
    ];
    const levels = serviceLevelsOf(events, facts, policy, time);
    const why = levels.why('firstResponse', at('2026-09-24T16:30'), 20);
    expect(why.map((one) => one.reason)).toEqual([
      undefined,
      'waiting for the customer',
      'outside the hours',
      'Mid-Autumn',
      'outside the hours',
      undefined,
    ]);
    expect(why.filter((one) => one.counted).reduce((sum, one) => sum + one.until - one.from, 0)).toBe(4 * HOUR_MS);
    expect(why.at(-1)?.until).toBe(at('2026-09-28T12:00'));
  });

  it('a policy is refused with the name of the field', () => {
    expect(() => parseServiceLevels({ targets: [{ clock: 'resolution', targetMs: -1, time: 'business' }] })).toThrow(
      'serviceLevels.targets.0.targetMs:',
    );
    expect(() => parseServiceLevels({ escalations: [{ share: 0, notify: 'owner' }] })).toThrow(
      'serviceLevels.escalations.0.share:',
    );
  });
});

describe('any history', () => {
  const start = at('2026-09-21T00:00');
  const anyEvent = fc.oneof(
    fc.constantFrom(...TICKET_STATES).map((to) => ({ kind: 'moved' as const, to })),
    fc.constantFrom({ kind: 'answered' as const }, { kind: 'customerWrote' as const }, { kind: 'accepted' as const }),
  );
  const anyHistory = fc
    .array(fc.tuple(fc.nat(10 * 1440), anyEvent), { maxLength: 15 })
    .map((events): ServiceEvent[] => [
      { at: start, kind: 'opened', preemptive: false },
      ...[...events]
        .sort(([a], [b]) => a - b)
        .map(([minutes, event]) => ({ ...event, at: start + minutes * MINUTE_MS })),
    ]);
  const rules = { clock: 'resolution' as const, targetMs: 16 * HOUR_MS, pauses: policy.pauses, time };
  const resolutionOf = (events: readonly ServiceEvent[]) => foldClock(rules, events);

  it('a wait of no working time never moves a target', () => {
    const night = fc.tuple(fc.nat(9), fc.integer({ min: 0, max: 100 }), fc.integer({ min: 101, max: 240 }));
    fc.assert(
      fc.property(anyHistory, night, (events, [day, from, until]) => {
        // Within the hours from 18:00 to 24:00 of one day, where nothing else happens.
        const evening = start + day * DAY_MS + 19 * HOUR_MS;
        const busy = events.some((event) => event.at >= evening && event.at <= evening + 4 * HOUR_MS);
        const before = events.filter((event) => event.at < evening);
        const state = [...before].reverse().find((event) => event.kind === 'moved');
        const isRunning = state === undefined || (state.kind === 'moved' && state.to === 'in_repair');
        fc.pre(!busy && isRunning);
        const pause: ServiceEvent[] = [
          { at: evening + from * MINUTE_MS, kind: 'moved', to: 'awaiting_parts' },
          { at: evening + until * MINUTE_MS, kind: 'moved', to: 'in_repair' },
        ];
        const after = events.filter((event) => event.at > evening);
        const target = (history: readonly ServiceEvent[]) => {
          const cycle = resolutionOf(history).at(-1);
          return cycle && [momentOf(cycle, 16 * HOUR_MS, time), elapsedMs(cycle, start + 20 * DAY_MS, time)];
        };
        expect(target([...before, ...pause, ...after])).toEqual(target(events));
      }),
      { numRuns: 300 },
    );
  });

  it('cycles follow one another, their stretches leave no hole, and at a target so much has been counted', () => {
    fc.assert(
      fc.property(anyHistory, (events) => {
        const cycles = resolutionOf(events);
        for (const [index, cycle] of cycles.entries()) {
          expect(cycle.startedAt).toBeGreaterThanOrEqual(cycles[index - 1]?.endedAt ?? start);
          if (index < cycles.length - 1) expect(cycle.endedAt).toBeDefined();
          let reached = cycle.startedAt;
          for (const stretch of cycle.stretches) {
            expect(stretch.from).toBe(reached);
            reached = stretch.until ?? Number.POSITIVE_INFINITY;
          }
          if (cycle.stretches.length > 0) expect(reached).toBe(cycle.endedAt ?? Number.POSITIVE_INFINITY);
          const target = momentOf(cycle, 16 * HOUR_MS, time);
          if (target !== undefined) expect(elapsedMs(cycle, target, time)).toBe(16 * HOUR_MS);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('what has elapsed never falls and never grows faster than time', () => {
    fc.assert(
      fc.property(anyHistory, fc.nat(15 * 1440), fc.nat(600), (events, minutes, more) => {
        const cycle = resolutionOf(events)[0];
        const moment = start + minutes * MINUTE_MS;
        const grown = cycle ? elapsedMs(cycle, moment + more * MINUTE_MS, time) - elapsedMs(cycle, moment, time) : 0;
        expect(grown).toBeGreaterThanOrEqual(0);
        expect(grown).toBeLessThanOrEqual(more * MINUTE_MS);
      }),
      { numRuns: 300 },
    );
  });

  it('a wall clock counts every minute that is not waited', () => {
    const events: ServiceEvent[] = [
      opened('2026-09-25T00:00'),
      moved('2026-09-25T01:00', 'awaiting_parts'),
      moved('2026-09-25T03:00', 'in_repair'),
    ];
    const cycle = foldClock({ ...rules, time: WALL_CLOCK }, events)[0];
    expect(cycle && momentOf(cycle, DAY_MS, WALL_CLOCK)).toBe(at('2026-09-26T02:00'));
  });
});
