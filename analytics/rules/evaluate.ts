/**
 * Runs the rules of one device through its samples, reports and the time between them. Everything happens in the device's
 * own time: what is due before the next sample happens before it, so the answer depends on what was sent and on nothing else.
 */
import type { Signals } from '../../contract/wire/payloads.ts';
import type { CompiledRule } from './compile.ts';
import type { Fact, Moment } from './node.ts';
import type { EvaluationState, Held, RuleState } from './node-state.ts';

/** A sample or a report of a device, with no more than its rules ask for; plain JSON. */
export interface RuleInput {
  /** Unique on the device. */
  readonly identity: string;
  readonly seq: number;
  readonly index: number;
  /** Device clock. */
  readonly at: number;
  /** Server clock. */
  readonly receivedAt: number;
  /** In the telemetry log. */
  readonly position: number;
  readonly signals: Signals;
  /** by `fault:code` or `event:name`: whether it stands, `false` = the device says that it is over */
  readonly reports?: Readonly<Record<string, boolean>>;
  /** Nothing came from the device: up to this device time we did not listen. */
  readonly resumedAt?: number;
}

/** An alert of a rule begins or ends. */
export interface Transition {
  readonly kind: 'raised' | 'cleared';
  readonly rule: CompiledRule;
  readonly at: number;
  readonly onset: number;
  readonly facts: readonly Fact[];
}

/** Times at which time alone changed something, in one go; beyond, a device that long is silent is not followed. */
const MAX_TIMERS = 5_000;
const MAX_FACTS = 16;
const NOTHING_FRESH = (): boolean => false;

function initRule(rule: CompiledRule, from: number): RuleState {
  return { version: rule.version, nodes: rule.initNodes(from), open: null, calmSince: null, due: null, wake: null };
}

/** Asks rules that have no state yet for the first time, at the time of `state`; mutates it. */
export function startRules(state: EvaluationState, rules: readonly CompiledRule[]): Transition[] {
  return rules.filter((rule) => !state.rules[rule.id]).flatMap((rule) => step(state, rule, NOTHING_FRESH, []));
}

/** What the input changes, and what became due before it. Mutates `state`. */
export function takeInput(state: EvaluationState, rules: readonly CompiledRule[], input: RuleInput): Transition[] {
  const found = advance(state, rules, input.at - 1);
  state.at = Math.max(state.at, input.at);
  if (input.resumedAt !== undefined) state.resumedAt = input.resumedAt;
  else state.heardAt = Math.max(state.heardAt ?? input.at, input.at);
  for (const signal in input.signals) {
    const value = input.signals[signal];
    if (value !== undefined) state.values[signal] = { at: input.at, value };
  }
  const reported: string[] = [];
  for (const key in input.reports) {
    const stands = input.reports[key] === true;
    state.reports[key] = { at: input.at, value: stands };
    if (stands) reported.push(key);
  }
  const fresh = (signal: string): boolean => Object.hasOwn(input.signals, signal);
  for (const rule of rules) found.push(...step(state, rule, fresh, reported));
  return found;
}

/** Lets time pass up to and including `to`; mutates `state`. */
export function advance(state: EvaluationState, rules: readonly CompiledRule[], to: number): Transition[] {
  const found: Transition[] = [];
  for (let timers = 0; timers < MAX_TIMERS; timers++) {
    const next = dueAt(state, rules, 'due');
    if (next === null || next > to) break;
    state.at = Math.max(state.at, next);
    for (const rule of rules) {
      if ((state.rules[rule.id]?.due ?? Number.POSITIVE_INFINITY) <= next)
        found.push(...step(state, rule, NOTHING_FRESH, []));
    }
  }
  return found;
}

/** When time alone may next change something, or only what may raise or clear an alert. */
export function dueAt(state: EvaluationState, rules: readonly CompiledRule[], what: 'due' | 'wake'): number | null {
  let least: number | null = null;
  for (const rule of rules) {
    const own = state.rules[rule.id]?.[what] ?? null;
    if (own !== null && (least === null || own < least)) least = own;
  }
  return least;
}

function step(
  state: EvaluationState,
  rule: CompiledRule,
  fresh: (signal: string) => boolean,
  reported: readonly string[],
): Transition[] {
  const own = state.rules[rule.id] ?? initRule(rule, state.at);
  state.rules[rule.id] = own;
  own.due = null;
  own.wake = null;
  const due = (at: number): void => {
    if (at > state.at && (own.due === null || at < own.due)) own.due = at;
  };
  const wake = (at: number): void => {
    due(at);
    if (at > state.at && (own.wake === null || at < own.wake)) own.wake = at;
  };
  const { at, heardAt, resumedAt } = state;
  const values: Readonly<Record<string, Held>> = state.values;
  const moment: Moment = {
    at,
    heardAt,
    resumedAt: resumedAt ?? null,
    values,
    reports: state.reports,
    fresh,
    reported,
    due,
    wake,
  };
  const truth = rule.root.evaluate(own.nodes, moment);
  const kind = decide(own, rule, truth, at, wake);
  if (!kind) return [];
  const facts: Fact[] = [];
  rule.root.facts(moment, facts, own.nodes);
  const onset = kind.onset;
  return [{ kind: kind.kind, rule, at, onset, facts: facts.slice(0, MAX_FACTS) }];
}

function decide(
  own: RuleState,
  rule: CompiledRule,
  truth: boolean | null,
  at: number,
  wake: (at: number) => void,
): { kind: Transition['kind']; onset: number } | undefined {
  if (!own.open) {
    if (truth !== true) return undefined;
    const onset = Math.min(at, own.nodes[rule.rootSlot]?.since ?? at);
    own.open = { onset, raisedAt: at };
    return { kind: 'raised', onset };
  }
  // What is not known clears nothing, and it does not count as calm either.
  if (truth !== false) {
    own.calmSince = null;
    return undefined;
  }
  own.calmSince ??= at;
  if (at - own.calmSince < rule.clearAfterMs) {
    wake(own.calmSince + rule.clearAfterMs);
    return undefined;
  }
  const { onset } = own.open;
  own.open = null;
  own.calmSince = null;
  return { kind: 'cleared', onset };
}
