/** Turns what happens to a device's rules into findings, and keeps them true when late data changes what has happened. */
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { ruleFaultKey } from '../../contract/ports/rules.ts';
import { stableId } from '../alerts/identity.ts';
import type { CompiledRule } from './compile.ts';
import type { Transition } from './evaluate.ts';
import { type Correction, ruleFinding } from './rule-finding.ts';
import type { DeviceRuleState, RuleDevice, RuleSet, Told, ToldByRule } from './rule-state.ts';

/** An alert as it would be with everything known now. */
export interface Span {
  readonly onset: number;
  readonly raisedAt: number;
  clearedAt: number | null;
  /** Absent when it was open before the window. */
  readonly raised: Transition | undefined;
  cleared: Transition | undefined;
}

/** Alerts of one rule that may still be changed by late data. */
const MAX_TOLD = 16;

/** Turns what happens into findings, and knows what was told before. */
export class Teller {
  readonly findings: AlertFinding[] = [];
  readonly #state: DeviceRuleState;
  readonly #set: RuleSet;
  readonly #device: RuleDevice;

  constructor(state: DeviceRuleState, set: RuleSet, device: RuleDevice) {
    this.#state = state;
    this.#set = set;
    this.#device = device;
  }

  tell(transition: Transition, position: number): void {
    const { rule } = transition;
    const open = this.#toldOf(rule).alerts.find(isOpen);
    if (transition.kind === 'raised') {
      if (!open) this.#raise(rule, transition, position);
    } else if (open) this.#clear(rule.id, open, transition, position);
  }

  /** Makes what was told fit what is true. */
  reconcile(rule: CompiledRule, spans: readonly Span[], position: number): void {
    const told = Object.hasOwn(this.#state.told, rule.id) ? this.#state.told[rule.id] : undefined;
    const free = (told?.alerts ?? []).filter((one) => !one.gone);
    const pairs = spans.map((span) => {
      const index = free.findIndex((one) => overlap(one, span));
      return [span, index < 0 ? undefined : free.splice(index, 1)[0]] as const;
    });
    // First what is over, so that at no time two alerts of one rule are open.
    for (const one of free) this.#withdraw(rule.id, one, position);
    for (const [span, known] of pairs) if (known) this.#correct(rule, known, span, position);
    for (const [span, known] of pairs) if (!known) this.#addLate(rule, span, position);
  }

  /** The rule is over, and so are its alerts. */
  endAll(ruleId: string, told: ToldByRule, correction: Correction, position: number): void {
    for (const one of told.alerts.filter(isOpen)) {
      const at = Math.max(one.at, this.#state.ahead ?? this.#state.newest?.at ?? one.at);
      one.clearedAt = at;
      this.#say(ruleId, one, 'alertCleared', at, undefined, position, correction);
    }
  }

  /** Late data shows that it was none. */
  #withdraw(ruleId: string, one: Told, position: number): void {
    // Settled before the window begins: what is in it says nothing about that.
    if (one.clearedAt !== null && one.clearedAt <= this.#state.base.at) return;
    one.gone = true;
    if (one.clearedAt !== null) return;
    one.clearedAt = Math.max(one.at, this.#state.newest?.at ?? one.at);
    this.#say(ruleId, one, 'alertCleared', one.clearedAt, undefined, position, 'lateData');
  }

  #correct(rule: CompiledRule, known: Told, span: Span, position: number): void {
    if (known.clearedAt !== null) {
      if (span.clearedAt !== null) {
        this.#correctPast(rule, known, span, position);
        return;
      }
      // What was told as over goes on: an alert that is cleared stays so, another one takes its place.
      known.gone = true;
      this.#addLate(rule, span, position);
      return;
    }
    if (known.onset !== span.onset) {
      known.onset = span.onset;
      this.#say(rule.id, known, 'alertUpdated', known.at, span.raised, position, 'lateData');
    }
    if (span.cleared) this.#clear(rule.id, known, span.cleared, position);
  }

  /** It is over, and stays so; when it began may still have to be put right. */
  #correctPast(rule: CompiledRule, known: Told, span: Span, position: number): void {
    known.clearedAt = span.clearedAt;
    if (known.onset === span.onset) return;
    known.onset = span.onset;
    this.#say(rule.id, known, 'alertCleared', known.at, span.raised, position, 'lateData');
  }

  #addLate(rule: CompiledRule, span: Span, position: number): void {
    if (!span.raised) return;
    // Only one may be open: of one that is over, while a later one is open, the beginning is told with its end.
    const isQuiet = span.clearedAt !== null && this.#toldOf(rule).alerts.some(isOpen);
    const added = this.#raise(rule, span.raised, position, isQuiet);
    if (span.cleared) this.#clear(rule.id, added, span.cleared, position);
  }

  #raise(rule: CompiledRule, transition: Transition, position: number, isQuiet = false): Told {
    const told = this.#toldOf(rule);
    const { tenant, device } = this.#device;
    const { at, onset } = transition;
    const id = stableId(tenant, device, ruleFaultKey(rule.id), rule.version, onset, told.count++);
    const one: Told = { id, onset, raisedAt: at, clearedAt: null, at, findings: 0, gone: false };
    told.alerts.push(one);
    if (told.alerts.length > MAX_TOLD) told.alerts.shift();
    if (!isQuiet) this.#say(rule.id, one, 'alertRaised', at, transition, position);
    return one;
  }

  #clear(ruleId: string, one: Told, transition: Transition, position: number): void {
    one.clearedAt = Math.max(transition.at, one.at);
    this.#say(ruleId, one, 'alertCleared', one.clearedAt, transition, position);
  }

  #say(
    ruleId: string,
    one: Told,
    kind: AlertFinding['kind'],
    at: number,
    transition: Transition | undefined,
    position: number,
    correction?: Correction,
  ): void {
    const told = this.#state.told[ruleId] as ToldByRule;
    const rule = this.#set.rules.find(({ id, version }) => id === ruleId && version === told.version);
    one.at = Math.max(one.at, at);
    one.findings++;
    this.findings.push(
      ruleFinding({
        device: this.#device,
        rule: { id: ruleId, version: told.version, name: rule?.name ?? '', text: rule?.text ?? '' },
        component: told.component,
        severity: told.severity,
        failure: rule?.failure ?? null,
        episode: one.id,
        number: one.findings,
        kind,
        at: one.at,
        onset: one.onset,
        position,
        facts: transition?.facts ?? [],
        correction,
      }),
    );
  }

  #toldOf(rule: CompiledRule): ToldByRule {
    const { version, component, severity } = rule;
    const told = this.#state.told[rule.id] ?? { version, component, severity, count: 0, alerts: [] };
    this.#state.told[rule.id] = told;
    return told;
  }
}

export const isOpen = (one: Told): boolean => one.clearedAt === null && !one.gone;

function overlap(told: Told, span: Span): boolean {
  const end = Number.POSITIVE_INFINITY;
  return told.raisedAt <= (span.clearedAt ?? end) && span.raisedAt <= (told.clearedAt ?? end);
}
