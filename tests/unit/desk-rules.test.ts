/** The desk's rules: which alert leads to a ticket, what may follow what, and that no order of events breaks the promises. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../api/desk/canonical-json.ts';
import { type DecisionAlert, decideTicket } from '../../api/desk/decide-ticket.ts';
import { evidenceRange, evidenceSignals } from '../../api/desk/evidence.ts';
import { asksOf, classify } from '../../api/desk/intake.ts';
import { type Episode, mergeAlert, supersede } from '../../api/desk/merge-alert.ts';
import { decideOutcome, type OutcomeSubject } from '../../api/desk/outcome.ts';
import { parsePolicy, policyVersion } from '../../api/desk/policy.ts';
import { decideTransition, isTerminal, TRANSITIONS } from '../../api/desk/transitions.ts';
import { componentWords, reportTitle, ticketKey, ticketTitle } from '../../api/desk/words.ts';
import { outcomeReport } from '../../contract/http/outcomes.ts';
import { ROLES, TICKET_STATES, type TicketState } from '../../contract/http/resources.ts';
import { type AlertFinding, SEVERITIES } from '../../contract/ports/findings.ts';
import { alertOf, predictionOf, T0 } from '../support/api-harness.ts';

const policy = parsePolicy({});
const decision = (facts: Partial<DecisionAlert> = {}): DecisionAlert => ({
  episode: 'e',
  state: 'open',
  severity: 'major',
  confirmed: false,
  ...facts,
});
const hours = (lower: number) => ({ median: lower * 2, lower, upper: lower * 3, unit: 'h' as const });
const cycles = (lower: number) => ({ median: lower * 2, lower, upper: lower * 3, unit: 'cycle' as const });

describe('decideTicket', () => {
  it.each([
    ['confirmed and severe', decision({ confirmed: true }), { kind: 'open', reason: 'confirmed' }],
    ['hours within the horizon', decision({ remainingLife: hours(336) }), { kind: 'open', reason: 'horizon' }],
    ['hours beyond the horizon', decision({ remainingLife: hours(337) }), { kind: 'none', reason: 'watching' }],
    ['cycles within the horizon', decision({ remainingLife: cycles(30) }), { kind: 'open', reason: 'horizon' }],
    ['cycles beyond the horizon', decision({ remainingLife: cycles(31) }), { kind: 'none', reason: 'watching' }],
    ['neither', decision(), { kind: 'none', reason: 'watching' }],
    [
      'minor, however confirmed',
      decision({ severity: 'minor', confirmed: true }),
      { kind: 'none', reason: 'severity' },
    ],
    ['critical', decision({ severity: 'critical', confirmed: true }), { kind: 'open', reason: 'confirmed' }],
    ['over already', decision({ state: 'cleared', confirmed: true }), { kind: 'none', reason: 'cleared' }],
  ])('%s', (_, alert, expected) => {
    expect(decideTicket(alert, undefined, undefined, policy)).toEqual(expected);
  });

  it('attaches any alert of a component to its open ticket, also a minor one', () => {
    const open = { key: 'SC-26-000001', state: 'scheduled' as const };
    expect(decideTicket(decision({ severity: 'info' }), undefined, open, policy)).toEqual({
      kind: 'attach',
      ticketKey: 'SC-26-000001',
      reopen: false,
    });
  });

  it('reopens a ticket thought repaired only for an alert that would open one', () => {
    for (const state of ['resolved', 'confirmed'] as const) {
      const open = { key: 'k', state };
      expect(decideTicket(decision({ confirmed: true }), undefined, open, policy)).toMatchObject({ reopen: true });
      expect(decideTicket(decision(), undefined, open, policy)).toMatchObject({ reopen: false });
    }
  });

  it('never lets an episode lead to a second ticket', () => {
    expect(decideTicket(decision({ confirmed: true }), 'SC-26-000001', undefined, policy)).toEqual({
      kind: 'none',
      reason: 'alreadyAttached',
    });
  });

  it('keeps exactly one open ticket a component and one ticket an episode, whatever happens in whatever order', () => {
    const alertEvent = fc.record({
      kind: fc.constant('alert' as const),
      episode: fc.constantFrom('e1', 'e2', 'e3', 'e4'),
      severity: fc.constantFrom(...SEVERITIES),
      confirmed: fc.boolean(),
      cleared: fc.boolean(),
      lower: fc.option(fc.integer({ min: 0, max: 700 }), { nil: undefined }),
    });
    const workEvent = fc.record({
      kind: fc.constant('work' as const),
      to: fc.constantFrom(...TICKET_STATES),
      which: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(alertEvent, workEvent), { maxLength: 60 }), (events) => {
        const tickets: { key: string; state: TicketState }[] = [];
        const attached = new Map<string, string>();
        for (const event of events) {
          if (event.kind === 'work') {
            const ticket = tickets[event.which];
            const other = tickets.some((one) => one !== ticket && !isTerminal(one.state));
            const allowed = ticket && decideTransition(ticket.state, event.to, 'agent', true).kind === 'allowed';
            // The index in SQL refuses to reopen beside an open one.
            if (ticket && allowed && !(isTerminal(ticket.state) && other)) ticket.state = event.to;
            continue;
          }
          const alert = decision({
            episode: event.episode,
            state: event.cleared ? 'cleared' : 'open',
            severity: event.severity,
            confirmed: event.confirmed,
            ...(event.lower === undefined ? {} : { remainingLife: hours(event.lower) }),
          });
          const open = tickets.find((one) => !isTerminal(one.state));
          const outcome = decideTicket(alert, attached.get(event.episode), open, policy);
          if (outcome.kind === 'open') {
            expect(open).toBeUndefined();
            expect(attached.has(event.episode)).toBe(false);
            tickets.push({ key: `t${tickets.length}`, state: 'new' });
            attached.set(event.episode, `t${tickets.length - 1}`);
          } else if (outcome.kind === 'attach') {
            expect(outcome.ticketKey).toBe(open?.key);
            attached.set(event.episode, outcome.ticketKey);
            if (outcome.reopen && open) {
              expect(decideTransition(open.state, 'reopened', 'agent', true).kind).toBe('allowed');
              open.state = 'reopened';
            }
          }
          expect(tickets.filter((one) => !isTerminal(one.state)).length).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('transitions', () => {
  it('know every state, lead only to states that exist, and never to the same one', () => {
    expect(Object.keys(TRANSITIONS).sort()).toEqual([...TICKET_STATES].sort());
    for (const [from, next] of Object.entries(TRANSITIONS)) {
      expect(next).not.toContain(from);
      expect(new Set(next).size).toBe(next.length);
    }
  });

  it('close a ticket only after a confirmed repair', () => {
    const before = TICKET_STATES.filter((from) => decideTransition(from, 'closed', 'admin', true).kind === 'allowed');
    expect(before).toEqual(['confirmed']);
    expect(
      TICKET_STATES.filter((from) => decideTransition(from, 'confirmed', 'admin', true).kind === 'allowed'),
    ).toEqual(['resolved']);
  });

  it('close no ticket of which nobody said what was found', () => {
    expect(decideTransition('confirmed', 'closed', 'admin', false)).toMatchObject({
      kind: 'refused',
      reason: 'it can be closed once its outcome says what was found',
    });
  });

  it('can bring every open ticket to an end, and lead to every state from new', () => {
    const reach = (start: TicketState) => {
      const seen = new Set<TicketState>([start]);
      for (const state of seen) for (const next of TRANSITIONS[state]) seen.add(next);
      return seen;
    };
    expect(reach('new').size).toBe(TICKET_STATES.length);
    for (const state of TICKET_STATES) expect([...reach(state)].some(isTerminal)).toBe(true);
  });

  it('are refused with words that name what is possible, and forbidden to viewers', () => {
    expect(decideTransition('new', 'closed', 'agent', true)).toEqual({
      kind: 'refused',
      reason: 'new cannot become closed; it can become triaged, cancelled',
      allowed: ['triaged', 'cancelled'],
    });
    expect(decideTransition('cancelled', 'new', 'admin', true)).toMatchObject({
      reason: expect.stringContaining('nothing'),
    });
    const forbidden = ROLES.filter((role) => decideTransition('new', 'triaged', role, true).kind === 'forbidden');
    expect(forbidden).toEqual(['viewer']);
  });
});

describe('reports', () => {
  it('ask for what is missing, and guess nothing', () => {
    const nothing = { model: 'unknown', serial: null, device: null, purchasedOn: null, hasContact: false };
    expect(asksOf(nothing)).toEqual(['modelOrSerial', 'purchasedOn', 'contact']);
    for (const known of [{ serial: 'X1' }, { device: 'fridge-1' }, { model: 'refrigerator' }]) {
      expect(asksOf({ ...nothing, ...known })).toEqual(['purchasedOn', 'contact']);
    }
    expect(asksOf({ ...nothing, serial: 'X1', purchasedOn: '2026-01-01', hasContact: true })).toEqual([]);
  });

  it('are of a class that decides the route, and a repeat is one class harder', () => {
    const facts = { kind: 'repair' as const, isKnownFault: false, isReported: true, isRepeated: false };
    const classOf = (more: object) => classify({ ...facts, ...more }).faultClass;
    expect(classOf({})).toBe('general');
    expect(classOf({ kind: 'consult', isKnownFault: true })).toBe('general');
    expect(classOf({ isKnownFault: true })).toBe('common');
    expect(classOf({ isReported: false })).toBe('difficult');
    expect(classOf({ isRepeated: true })).toBe('common');
    expect(classOf({ isRepeated: true, isKnownFault: true })).toBe('difficult');
    expect(classOf({ isRepeated: true, isReported: false })).toBe('difficult');
  });

  it('have the first line of the symptom for a title, cut between characters', () => {
    expect(reportTitle('  It leaks.\nSince Monday.')).toBe('It leaks.');
    expect([...reportTitle('❄'.repeat(100))]).toHaveLength(80);
    expect(() => encodeURIComponent(reportTitle('🧊'.repeat(100)))).not.toThrow();
  });
});

describe('decideOutcome', () => {
  const subject: OutcomeSubject = {
    state: 'resolved',
    faultKey: 'bearingWear',
    failureModes: ['bearingWear', 'gasLeak'],
    wasInRepair: true,
  };
  const outcome = (report: Record<string, unknown>, facts: Partial<OutcomeSubject> = {}) =>
    decideOutcome(outcomeReport.parse(report), { ...subject, ...facts });

  it('accepts what can be true', () => {
    for (const report of [
      { result: 'confirmed' },
      { result: 'confirmed', faultKey: 'bearingWear', parts: [{ number: 'B-1', oldSerial: '1', newSerial: '2' }] },
      { result: 'other_cause', faultKey: 'gasLeak' },
      { result: 'other_cause', cause: 'a mouse in the fan' },
      { result: 'no_fault_found', parts: [{ number: 'B-1' }] },
    ]) {
      expect(outcome(report)).toEqual({ kind: 'accepted' });
    }
    expect(outcome({ result: 'not_visited' }, { state: 'cancelled', wasInRepair: false })).toEqual({
      kind: 'accepted',
    });
  });

  it.each([
    ['faultKey', { result: 'confirmed', faultKey: 'gasLeak' }, {}],
    ['faultKey', { result: 'other_cause' }, {}],
    ['faultKey', { result: 'other_cause', faultKey: 'bearingWear' }, {}],
    ['faultKey', { result: 'other_cause', faultKey: 'unheardOf' }, {}],
    ['faultKey', { result: 'no_fault_found', faultKey: 'gasLeak' }, {}],
    ['cause', { result: 'no_fault_found', cause: 'worn' }, {}],
    ['result', { result: 'not_visited' }, {}],
    ['parts', { result: 'not_visited', parts: [{ number: 'B-1' }] }, { wasInRepair: false }],
  ])('names the field %s of a contradiction: %o', (field, report, facts) => {
    expect(outcome(report, facts)).toMatchObject({ kind: 'contradiction', field });
  });

  it('takes none while the work goes on', () => {
    for (const state of ['new', 'in_repair', 'awaiting_parts', 'reopened'] as const) {
      expect(outcome({ result: 'confirmed' }, { state })).toMatchObject({ kind: 'tooEarly' });
    }
  });
});

describe('mergeAlert', () => {
  const at = (n: number, facts: Partial<AlertFinding> = {}) => alertOf({ at: T0 + n, ...facts });

  it('raises, updates and clears once', () => {
    const raised = mergeAlert(undefined, at(0));
    expect(raised).toMatchObject({ state: 'open', raisedAt: T0, clearedAt: null });
    const worse = mergeAlert(raised, at(1, { kind: 'alertUpdated', severity: 'critical' }));
    expect(worse).toMatchObject({ severity: 'critical', raisedAt: T0, updatedAt: T0 + 1 });
    const cleared = mergeAlert(worse, at(2, { kind: 'alertCleared' }));
    expect(cleared).toMatchObject({ state: 'cleared', clearedAt: T0 + 2, severity: 'critical' });
  });

  it('changes nothing for what it has seen, what is late, and what comes after the end', () => {
    const raised = mergeAlert(undefined, at(5));
    expect(mergeAlert(raised, at(5))).toBe(raised);
    expect(mergeAlert(raised, at(4, { kind: 'alertUpdated', severity: 'critical' }))).toBe(raised);
    const cleared = mergeAlert(raised, at(6, { kind: 'alertCleared' }));
    expect(mergeAlert(cleared, at(7))).toBe(cleared);
  });

  it('ends the same whether a stream of findings is applied once or again from any place', () => {
    const stream = [
      at(0),
      at(1, { kind: 'alertUpdated', confirmed: false }),
      at(2, { kind: 'alertUpdated', severity: 'critical' }),
      at(3, { kind: 'alertCleared' }),
    ];
    const apply = (findings: AlertFinding[], from?: Episode) =>
      findings.reduce<Episode | undefined>((known, finding) => mergeAlert(known, finding), from);
    fc.assert(
      fc.property(fc.nat(4), fc.nat(4), (end, again) => {
        const first = stream.slice(0, end + 1);
        const once = apply(first);
        expect(apply(first.slice(Math.min(again, first.length - 1)), once)).toEqual(once);
        expect(apply(stream, once)).toEqual(apply(stream));
      }),
    );
  });

  it('ends an episode that a newer one replaced, not before its last sign of life', () => {
    const known = mergeAlert(undefined, at(5));
    expect(supersede(known, T0)).toMatchObject({ state: 'cleared', clearedAt: T0 + 5 });
  });
});

describe('evidence', () => {
  it('covers the signals that alarmed and those in which the failure mode shows, normal times included', () => {
    const alert = alertOf();
    expect(evidenceSignals(alert)).toEqual(['compressorVibrationMmPerS', 'compressorCurrentA']);
    const { from, to } = evidenceRange(alert, policy);
    expect(to).toBe(T0 + 1);
    expect(from).toBe(alert.onset - policy.evidenceLeadSamples * 300_000);
  });

  it('knows what to do with an unknown model and an onset after the alert', () => {
    const alert = alertOf({ model: 'toaster', faultKey: 'unexplained', onset: T0 + 5 });
    expect(evidenceSignals(alert)).toEqual(['compressorVibrationMmPerS']);
    expect(evidenceRange(alert, policy).from).toBeLessThan(T0);
  });
});

describe('policy', () => {
  it('has defaults, takes overrides, and refuses what it does not know', () => {
    expect(policy).toMatchObject({ minSeverity: 'major', horizon: { h: 336, cycle: 30 } });
    expect(parsePolicy({ horizon: { cycle: 50 } }).horizon).toEqual({ h: 336, cycle: 50 });
    expect(() => parsePolicy({ minSeverty: 'major' })).toThrow(/minSeverty/);
    expect(() => parsePolicy({ horizon: { h: -1 } })).toThrow(/policy\.horizon\.h/);
    expect(policyVersion(policy)).not.toBe(policyVersion(parsePolicy({ minSeverity: 'minor' })));
  });
});

describe('words', () => {
  it('are plain', () => {
    expect(ticketTitle('refrigerator', 'compressor', 'compressorBearingWear')).toBe(
      'Compressor bearing wear: act before it fails',
    );
    expect(ticketTitle('refrigerator', 'evaporatorFan', 'unexplained')).toBe('Unusual behaviour of the evaporator fan');
    expect(componentWords('lowPressureTurbine')).toBe('low pressure turbine');
    expect(ticketKey(2026, 1203)).toBe('SC-26-001203');
    expect(ticketKey(2100, 1_234_567)).toBe('SC-00-1234567');
  });
});

describe('canonicalJson', () => {
  it('does not depend on the order of keys and leaves out what is undefined', () => {
    expect(canonicalJson({ b: 1, a: [true, 'x', null], c: undefined })).toBe('{"a":[true,"x",null],"b":1}');
  });

  it('gives back the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe('an alert with a prediction that cannot estimate', () => {
  it('is watched unless it is confirmed', () => {
    const alert = alertOf({
      evidence: { ...alertOf().evidence, prediction: predictionOf(undefined) },
      confirmed: false,
    });
    expect(
      decideTicket(
        decision({ confirmed: alert.confirmed, remainingLife: alert.evidence.prediction?.remainingLife }),
        undefined,
        undefined,
        policy,
      ),
    ).toEqual({
      kind: 'none',
      reason: 'watching',
    });
  });
});
