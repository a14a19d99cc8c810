/** Who is sent: conditions that nobody passes without, reasons for the order, and slots that never overlap. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DispatchJob, type DispatchPerson, rankCandidates, windowOf } from '../../api/desk/dispatch.ts';
import { officeHours } from '../../api/desk/service-levels/calendar.ts';
import { createWorkingTime } from '../../api/desk/service-levels/working-time.ts';
import { type TechnicianBody, technicianBody } from '../../contract/http/dispatch.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';

/** Monday, 09:00. */
const MONDAY = Date.UTC(2026, 8, 21, 9);
const time = createWorkingTime(officeHours('UTC'));
const BERLIN = { lat: 52.52, lon: 13.4 };

const person = (
  id: string,
  facts: Partial<TechnicianBody> = {},
  visits: DispatchPerson['visits'] = [],
): DispatchPerson => ({
  technician: {
    id,
    version: 1,
    ...technicianBody.parse({ name: id, centre: 'north', skills: [{ line: 'refrigerator', level: 2 }], ...facts }),
  },
  time,
  visits,
});
const job = (facts: Partial<DispatchJob> = {}): DispatchJob => ({
  model: 'refrigerator',
  faultClass: 'common',
  window: { from: MONDAY, until: MONDAY + 5 * DAY_MS },
  durationMs: 90 * MINUTE_MS,
  site: undefined,
  parts: [],
  ...facts,
});
const skills = (level: number, validUntil?: string) => [
  { line: 'refrigerator', level, ...(validUntil ? { certificate: { name: 'refrigerant', validUntil } } : {}) },
];

describe('candidates', () => {
  it.each([
    ['who is not active', { active: false }, 'is not active'],
    ['without a skill for the model', { skills: [{ line: 'heatPump', level: 3 }] }, 'has no skill for refrigerator'],
    ['whose level is too low', { skills: skills(1) }, 'level 1 for refrigerator, a common fault takes 2'],
    ['whose certificate has expired', { skills: skills(3, '2026-09-20') }, 'refrigerant expired on 2026-09-20'],
  ])('%s are not sent, and it is said why', (_, facts, obstacle) => {
    const [found] = rankCandidates(job(), [person('a', facts)]);
    expect(found).toMatchObject({ obstacles: [obstacle], parts: [] });
    expect(found?.slot).toBeUndefined();
    expect(found?.score).toBeUndefined();
  });

  it('are sent on the last day of a certificate', () => {
    expect(rankCandidates(job(), [person('a', { skills: skills(2, '2026-09-21') })])[0]?.obstacles).toEqual([]);
  });

  it('are ordered by the weighed reasons: near before far, with the part before without, free before busy', () => {
    const order = (...people: DispatchPerson[]) =>
      rankCandidates(job({ site: BERLIN, parts: ['P-1'] }), people).map((one) => one.technician);
    const near = { home: BERLIN };
    expect(order(person('far', { home: { lat: 52.0, lon: 13.4 } }), person('near', near))).toEqual(['near', 'far']);
    expect(order(person('bare', near), person('van', { ...near, van: ['P-1'] }))).toEqual(['van', 'bare']);
    const busy = [{ from: MONDAY, until: MONDAY + 3 * HOUR_MS }];
    expect(order(person('busy', near, busy), person('free', near))).toEqual(['free', 'busy']);
    // A specialist is kept for what takes one.
    expect(order(person('l3', { ...near, skills: skills(3) }), person('l2', near))).toEqual(['l2', 'l3']);
    // Equals stand in the order of their ids.
    expect(order(person('b', near), person('a', near))).toEqual(['a', 'b']);
  });

  it('begin after the way there, around what is booked, within the shift', () => {
    const slotOf = (visits: DispatchPerson['visits'], facts: Partial<DispatchJob> = {}) =>
      rankCandidates(job(facts), [person('a', {}, visits)])[0]?.slot;
    expect(slotOf([])?.from).toBe(MONDAY + 30 * MINUTE_MS);
    expect(slotOf([{ from: MONDAY + HOUR_MS, until: MONDAY + 3 * HOUR_MS }])?.from).toBe(MONDAY + 3.5 * HOUR_MS);
    // 17:00 leaves no room for journey and ninety minutes: the next morning.
    expect(slotOf([], { window: { from: MONDAY + 8 * HOUR_MS, until: MONDAY + 3 * DAY_MS } })?.from).toBe(
      MONDAY + DAY_MS + 30 * MINUTE_MS,
    );
    expect(slotOf([], { window: { from: MONDAY, until: MONDAY + HOUR_MS } })).toBeUndefined();
  });

  it('take no more visits a day than they can', () => {
    const full = Array.from({ length: 2 }, (_, n) => ({
      from: MONDAY + n * HOUR_MS,
      until: MONDAY + (n + 1) * HOUR_MS,
    }));
    const [found] = rankCandidates(job(), [person('a', { maxVisitsPerDay: 2 }, full)]);
    expect(found?.slot?.from).toBe(MONDAY + DAY_MS + 30 * MINUTE_MS);
  });

  it('have slots in working time that overlap no visit and keep to the window, whatever is booked', () => {
    const anyVisits = fc
      .array(fc.tuple(fc.nat(4 * 1440), fc.integer({ min: 15, max: 300 })), { maxLength: 12 })
      .map((all) =>
        all
          .map(([at, minutes]) => ({ from: MONDAY + at * MINUTE_MS, until: MONDAY + (at + minutes) * MINUTE_MS }))
          .sort((a, b) => a.from - b.from),
      );
    fc.assert(
      fc.property(anyVisits, fc.integer({ min: 10, max: 480 }), (visits, minutes) => {
        const wanted = job({ durationMs: minutes * MINUTE_MS });
        const slot = rankCandidates(wanted, [person('a', { maxVisitsPerDay: 50 }, visits)])[0]?.slot;
        if (!slot) return;
        expect(time.between(slot.from, slot.until)).toBe(minutes * MINUTE_MS);
        expect(slot.from).toBeGreaterThanOrEqual(wanted.window.from);
        expect(slot.until).toBeLessThanOrEqual(wanted.window.until);
        expect(visits.filter((one) => one.from < slot.until && slot.from < one.until)).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  it('score between 0 and 1 with parts that explain all of it', () => {
    const [found] = rankCandidates(job({ site: BERLIN }), [person('a', { home: BERLIN })]);
    expect(found?.parts.reduce((sum, one) => sum + one.weight, 0)).toBeCloseTo(1);
    expect(found?.parts.every((one) => one.value >= 0 && one.value <= 1 && one.reason !== '')).toBe(true);
    expect(found?.score).toBeCloseTo(found?.parts.reduce((sum, one) => sum + one.weight * one.value, 0) ?? -1);
  });
});

describe('the window of a visit', () => {
  it('ends a day before the machine may fail, and presses when that is past', () => {
    expect(windowOf(0, 240).until).toBe(9 * DAY_MS);
    expect(windowOf(0, 40)).toMatchObject({ until: 2 * DAY_MS, reason: 'it may fail any day: as soon as anybody can' });
    expect(windowOf(0, undefined).until).toBe(14 * DAY_MS);
    expect(windowOf(0, 100_000).until).toBe(90 * DAY_MS);
  });
});
