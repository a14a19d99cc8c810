/** The life of an alarm: every state, every act, and that no order of events lets one be forgotten. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { alarmPolicy } from '../../api/desk/alarm-policy.ts';
import {
  type Alarm,
  type AlarmAct,
  alarmStateOf,
  type Condition,
  decideAct,
  followCondition,
  isOver,
  LOUD,
  needsAcknowledgement,
  type Quiet,
} from '../../api/desk/alarm-state.ts';
import { ALARM_STATES } from '../../contract/http/alarms.ts';
import { compareSeverity, SEVERITIES } from '../../contract/ports/findings.ts';

const policy = alarmPolicy.parse({});
const alarm = (facts: Partial<Alarm> = {}): Alarm => ({
  active: true,
  severity: 'major',
  confirmed: true,
  acknowledged: false,
  latched: false,
  flapping: false,
  ...facts,
});
const stateOf = (one: Alarm, quiet: Quiet = LOUD) => alarmStateOf(one, quiet, isOver(one, policy));
const BOTH = [false, true];
const EVERY_ALARM: Alarm[] = BOTH.flatMap((active) =>
  SEVERITIES.flatMap((severity) =>
    BOTH.flatMap((confirmed) =>
      BOTH.flatMap((acknowledged) =>
        BOTH.map((latched) => ({ active, severity, confirmed, acknowledged, latched, flapping: false })),
      ),
    ),
  ),
);
const EVERY_QUIET: Quiet[] = BOTH.flatMap((shelved) =>
  BOTH.flatMap((suppressed) => BOTH.map((outOfService) => ({ shelved, suppressed, outOfService }))),
);
const EVERY_ACT: AlarmAct[] = [
  { kind: 'acknowledge' },
  { kind: 'shelve', minutes: 60 },
  { kind: 'unshelve' },
  { kind: 'reset' },
  { kind: 'assign' },
  { kind: 'comment' },
];

describe('the state of an alarm', () => {
  it.each([
    ['active', alarm(), 'unacknowledged'],
    ['active and acknowledged', alarm({ acknowledged: true }), 'acknowledged'],
    ['cleared before anybody saw it', alarm({ active: false }), 'returned'],
    ['cleared and acknowledged', alarm({ active: false, acknowledged: true }), 'normal'],
    ['cleared, and too small to be acknowledged', alarm({ active: false, severity: 'minor' }), 'normal'],
    ['cleared, and only watched', alarm({ active: false, confirmed: false }), 'normal'],
    ['latched', alarm({ active: false, latched: true }), 'latchedUnacknowledged'],
    ['latched and acknowledged', alarm({ active: false, latched: true, acknowledged: true }), 'latchedAcknowledged'],
    ['latched, however small', alarm({ active: false, latched: true, severity: 'info' }), 'latchedUnacknowledged'],
  ])('%s', (_, one, expected) => {
    expect(stateOf(one)).toBe(expected);
  });

  it('is what a person decided about it before what it does itself, until it is over', () => {
    const quiet = (facts: Partial<Quiet>): Quiet => ({ ...LOUD, ...facts });
    expect(stateOf(alarm(), quiet({ suppressed: true }))).toBe('suppressed');
    expect(stateOf(alarm(), quiet({ suppressed: true, shelved: true }))).toBe('shelved');
    expect(stateOf(alarm(), { shelved: true, suppressed: true, outOfService: true })).toBe('outOfService');
    expect(stateOf(alarm({ active: false, acknowledged: true }), quiet({ shelved: true }))).toBe('normal');
  });

  it('has a name in every situation, and every name has a situation', () => {
    const seen = new Set(EVERY_ALARM.flatMap((one) => EVERY_QUIET.map((quiet) => stateOf(one, quiet))));
    expect([...seen].sort()).toEqual([...ALARM_STATES].sort());
  });
});

describe('what people may do', () => {
  const table = EVERY_ALARM.flatMap((one) =>
    BOTH.flatMap((shelved) =>
      EVERY_ACT.map((act) => ({ one, shelved, act, done: decideAct(one, { shelved }, act, policy) })),
    ),
  );

  it('is decided for every alarm and every act, and refused in words', () => {
    expect(table).toHaveLength(64 * 2 * 6);
    for (const { done } of table) {
      if (done.kind !== 'done') expect(done.reason.length).toBeGreaterThan(5);
      else expect(done.over).toBe(isOver(done.alarm, policy));
    }
  });

  it('never changes what analytics says', () => {
    for (const { one, done } of table) {
      if (done.kind !== 'done') continue;
      const { acknowledged: _, latched: __, ...said } = done.alarm;
      expect(one).toMatchObject(said);
    }
  });

  it('is nothing about an alarm that is over, but a comment', () => {
    const about = table.filter(
      ({ one, act }) => isOver(one, policy) && act.kind !== 'comment' && act.kind !== 'unshelve',
    );
    expect(about.filter(({ done }) => done.kind === 'done')).toEqual([]);
  });

  it('is harmless when it is done twice: a second acknowledgement leaves no trace', () => {
    for (const { one, done, act, shelved } of table) {
      if (act.kind !== 'acknowledge' || done.kind !== 'done') continue;
      expect(one.acknowledged).toBe(false);
      expect(decideAct(done.alarm, { shelved }, act, policy)).toMatchObject({ kind: 'unchanged' });
    }
  });

  it('ends a latched alarm only by a reset, and only after the fault has gone', () => {
    expect(decideAct(alarm({ latched: true }), LOUD, { kind: 'reset' }, policy)).toEqual({
      kind: 'refused',
      reason: expect.stringContaining('still there'),
    });
    expect(decideAct(alarm({ active: false }), LOUD, { kind: 'reset' }, policy)).toMatchObject({ kind: 'refused' });
    const latched = alarm({ active: false, latched: true, acknowledged: true });
    expect(decideAct(latched, LOUD, { kind: 'reset' }, policy)).toMatchObject({ kind: 'done', over: true });
    const unseen = alarm({ active: false, latched: true });
    expect(decideAct(unseen, LOUD, { kind: 'reset' }, policy)).toMatchObject({ kind: 'done', over: false });
    expect(decideAct(latched, LOUD, { kind: 'acknowledge' }, policy)).toMatchObject({ kind: 'unchanged' });
  });

  it('is a shelf no longer than the policy allows', () => {
    const shelve = (minutes: number) => decideAct(alarm(), LOUD, { kind: 'shelve', minutes }, policy).kind;
    expect([shelve(3 * 1_440), shelve(3 * 1_440 + 1)]).toEqual(['done', 'refused']);
  });
});

describe('news from analytics', () => {
  const now = (facts: Partial<Condition> = {}): Condition => ({
    active: true,
    severity: 'major',
    confirmed: true,
    flapping: false,
    ...facts,
  });

  it('asks again for an alarm that got worse than what was acknowledged', () => {
    const worse = followCondition(alarm({ acknowledged: true }), now({ severity: 'critical' }), false);
    expect(worse).toMatchObject({ worsened: true, changes: ['severityRaised'], alarm: { acknowledged: false } });
    const better = followCondition(alarm({ acknowledged: true }), now({ severity: 'minor' }), false);
    expect(better).toMatchObject({ worsened: false, changes: ['severityLowered'], alarm: { acknowledged: true } });
  });

  it('latches a safety-relevant fault once it is confirmed, and clearing does not end it', () => {
    const watched = followCondition(undefined, now({ confirmed: false }), true);
    expect(watched).toMatchObject({ changes: ['raised'], alarm: { latched: false } });
    const sure = followCondition(watched.alarm, now(), true);
    expect(sure).toMatchObject({ changes: ['confirmed', 'latched'], alarm: { latched: true } });
    const cleared = followCondition(sure.alarm, now({ active: false }), true);
    expect(cleared).toMatchObject({ changes: ['cleared'], alarm: { latched: true } });
    expect(isOver(cleared.alarm, policy)).toBe(false);
  });

  it('says nothing when nothing changed that a person could see', () => {
    expect(followCondition(alarm(), now(), false).changes).toEqual([]);
  });

  it('raises and clears what is heard of only after its end', () => {
    expect(followCondition(undefined, now({ active: false }), false).changes).toEqual(['raised', 'cleared']);
  });
});

describe('any order of news and acts', () => {
  const condition = fc.record({
    active: fc.boolean(),
    severity: fc.constantFrom(...SEVERITIES),
    confirmed: fc.boolean(),
    flapping: fc.boolean(),
  });
  const step = fc.oneof(
    condition.map((now) => ({ now })),
    fc.constantFrom(...EVERY_ACT).map((act) => ({ act })),
  );

  it('leaves an alarm over only when it is cleared, reset where it latched, and seen where it had to be', () => {
    fc.assert(
      fc.property(condition, fc.boolean(), fc.array(step, { maxLength: 40 }), (first, safety, steps) => {
        let { alarm: known } = followCondition(undefined, first, safety);
        /** The model: what must have happened since. */
        let seen: Alarm['severity'] | undefined;
        let mustReset = safety && first.active && first.confirmed;
        for (const one of steps) {
          if ('now' in one) {
            if (seen !== undefined && compareSeverity(one.now.severity, known.severity) > 0) seen = undefined;
            known = followCondition(known, one.now, safety).alarm;
            mustReset ||= safety && one.now.active && one.now.confirmed;
          } else {
            const done = decideAct(known, LOUD, one.act, policy);
            if (done.kind !== 'done') continue;
            known = done.alarm;
            if (one.act.kind === 'acknowledge') seen = known.severity;
            if (one.act.kind === 'reset') mustReset = false;
          }
          expect(known.latched).toBe(mustReset);
          expect(known.acknowledged).toBe(seen !== undefined);
          const mustSee = needsAcknowledgement(known, policy) && seen === undefined;
          expect(stateOf(known) === 'normal').toBe(!known.active && !mustReset && !mustSee);
        }
      }),
      { numRuns: 500 },
    );
  });
});
