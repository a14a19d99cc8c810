/**
 * The rules of one device as samples arrive. Beside the present stands a second state some minutes behind, with the samples
 * between the two: a late sample is put in its place there, what follows is run again, and what that changes in the alerts
 * is said. The same way time is run ahead while a device is silent, and taken back when it turns out not to have been.
 */
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { CompiledRule } from './compile.ts';
import { advance, dueAt, type RuleInput, startRules, type Transition, takeInput } from './evaluate.ts';
import { type EvaluationState, initEvaluation } from './node-state.ts';
import type { DeviceRuleState, RuleDevice, RuleSet, Told, ToldByRule } from './rule-state.ts';
import { isOpen, type Span, Teller } from './teller.ts';

export interface RuleLimits {
  /** A sample that comes later than this behind the newest one changes nothing any more; it is counted. */
  readonly latenessMs: number;
  /** Samples between the two states; with more, late ones must come sooner. */
  readonly maxWindow: number;
  /** A silent device is followed so long by its rules. */
  readonly maxSilenceMs: number;
}

/** How long we have been listening between two moments of the server's clock: while we are down nobody is silent. */
export type Listened = (from: number, to: number) => number;
export const ALWAYS_LISTENING: Listened = (from, to) => to - from;

export const RULE_LIMITS: RuleLimits = {
  latenessMs: 15 * 60_000,
  maxWindow: 64,
  maxSilenceMs: 62 * 86_400_000,
};

/** Shorter pauses of ours are no outage. */
const LEAST_OUTAGE_MS = 60_000;
/** Jitter of messages on their way: a device counts as silent only so much later. */
const JITTER_MS = 5_000;
/** Takes in one sample or report of the device, in any order; mutates `state`. */
export function takeRuleInput(
  state: DeviceRuleState,
  set: RuleSet,
  device: RuleDevice,
  input: RuleInput,
  limits: RuleLimits,
  listened: Listened = ALWAYS_LISTENING,
): AlertFinding[] {
  const teller = new Teller(state, set, device);
  align(state, set, teller, input.position);
  const own = onlyWanted(input, set.rules);
  const { newest } = state;
  if (newest) {
    const listenedMs = listened(newest.receivedAt, own.receivedAt);
    runAhead(state, set, teller, newest.at + listenedMs - JITTER_MS, limits);
    const missedMs = own.receivedAt - newest.receivedAt - listenedMs;
    if (missedMs > LEAST_OUTAGE_MS && order(newest, own) <= 0) {
      const resumedAt = Math.min(own.at, newest.at + missedMs);
      // Directly behind the newest sample, or time would pass before it is known that nobody listened.
      const place = { at: newest.at, seq: newest.seq, index: newest.index + 0.5 };
      const identity = `resumed ${own.identity}`;
      const { receivedAt, position } = own;
      takeNext(state, set, teller, { ...place, identity, receivedAt, position, signals: {}, resumedAt }, limits);
    }
  }
  if (!newest || order(newest, own) <= 0) takeNext(state, set, teller, own, limits);
  else takeLate(state, set, teller, own);
  fold(state, set, limits);
  return teller.findings;
}

/**
 * What silence up to now raises or clears; mutates `state`. `now` is the server's time. The device's own time is taken to
 * have gone on since its newest sample as ours has.
 */
export function letTimePass(
  state: DeviceRuleState,
  set: RuleSet,
  device: RuleDevice,
  now: number,
  limits: RuleLimits,
  listened: Listened = ALWAYS_LISTENING,
): AlertFinding[] {
  const { newest } = state;
  const teller = new Teller(state, set, device);
  if (!newest) return [];
  align(state, set, teller, newest.position);
  // What may still be on its way from the socket into the log comes first, or a replay would tell it in another order.
  runAhead(state, set, teller, newest.at + listened(newest.receivedAt, now) - 2 * JITTER_MS, limits);
  return teller.findings;
}

/** Server time from which {@link letTimePass} may have something to say; `null` = never, as far as is known. */
export function wakeTime(state: DeviceRuleState): number | null {
  const { newest, wake } = state;
  return newest && wake !== null ? newest.receivedAt + (wake - newest.at) + 2 * JITTER_MS : null;
}

/** Whether the device has alerts of its rules that are not cleared. */
export function hasOpenRuleAlert(state: DeviceRuleState): boolean {
  return Object.values(state.told).some(({ alerts }) => alerts.some(isOpen));
}

/** By device time, then by the device's own count: arrival plays no part. */
function order(a: Pick<RuleInput, 'at' | 'seq' | 'index'>, b: Pick<RuleInput, 'at' | 'seq' | 'index'>): number {
  return a.at - b.at || a.seq - b.seq || a.index - b.index;
}

function onlyWanted(input: RuleInput, rules: readonly CompiledRule[]): RuleInput {
  const signals: Record<string, RuleInput['signals'][string]> = {};
  const reports: Record<string, boolean> = {};
  for (const rule of rules) {
    for (const name of rule.signals) {
      const value = Object.hasOwn(input.signals, name) ? input.signals[name] : undefined;
      if (value !== undefined) signals[name] = value;
    }
    for (const key of rule.reports) {
      const stands = input.reports && Object.hasOwn(input.reports, key) ? input.reports[key] : undefined;
      if (stands !== undefined) reports[key] = stands;
    }
  }
  const { identity, seq, index, at, receivedAt, position } = input;
  const any = Object.keys(reports).length > 0;
  return { identity, seq, index, at, receivedAt, position, signals, ...(any ? { reports } : {}) };
}

/** Rules that are gone or have another version end their alerts; new ones begin with what the window holds. */
function align(state: DeviceRuleState, set: RuleSet, teller: Teller, position: number): void {
  if (state.set === set.key) return;
  state.set = set.key;
  const over = new Set<string>();
  for (const id of Object.keys(state.told)) {
    const rule = set.rules.find((one) => one.id === id);
    const told = state.told[id] as ToldByRule;
    if (rule?.version === told.version && rule.severity === told.severity) continue;
    teller.endAll(id, told, rule ? 'ruleChanged' : 'ruleRemoved', position);
    delete state.told[id];
    over.add(id);
  }
  for (const evaluation of [state.base, state.now]) {
    for (const id of Object.keys(evaluation.rules)) {
      const rule = set.rules.find((one) => one.id === id);
      if (over.has(id) || rule?.version !== evaluation.rules[id]?.version) delete evaluation.rules[id];
    }
    forgetUnused(evaluation, set.rules);
  }
  if (!state.newest) return;
  // A rule that is new here has not seen what lies before the window.
  runAgain(state, set, teller, position, startRules(state.base, set.rules));
}

function forgetUnused(evaluation: EvaluationState, rules: readonly CompiledRule[]): void {
  for (const name of Object.keys(evaluation.values)) {
    if (!rules.some((rule) => rule.signals.has(name))) delete evaluation.values[name];
  }
  for (const key of Object.keys(evaluation.reports)) {
    if (!rules.some((rule) => rule.reports.has(key))) delete evaluation.reports[key];
  }
}

function takeNext(state: DeviceRuleState, set: RuleSet, teller: Teller, input: RuleInput, limits: RuleLimits): void {
  if (!state.newest) {
    // What is late even for the first sample finds its place too.
    state.base = initEvaluation(input.at - limits.latenessMs);
    state.now = initEvaluation(input.at);
  }
  const { signals: _s, reports: _r, resumedAt: _, ...identity } = input;
  state.newest = identity;
  state.window.push(input);
  if (state.ahead !== null) {
    // Alerts were told on the assumption that nothing had come.
    state.ahead = null;
    runAgain(state, set, teller, input.position);
    return;
  }
  for (const transition of takeInput(state.now, set.rules, input)) teller.tell(transition, input.position);
  state.wake = dueAt(state.now, set.rules, 'wake');
}

function takeLate(state: DeviceRuleState, set: RuleSet, teller: Teller, input: RuleInput): void {
  if (input.at < state.base.at || state.window.length === 0) {
    state.late++;
    return;
  }
  let at = state.window.length;
  while (at > 0 && order(state.window[at - 1] as RuleInput, input) > 0) at--;
  if (state.window[at - 1]?.identity === input.identity) return;
  state.window.splice(at, 0, input);
  state.replaced++;
  runAgain(state, set, teller, input.position);
}

/**
 * Runs the window again from the state before it, and says what that changes.
 * @param started what rules said when they began at the start of the window
 */
function runAgain(
  state: DeviceRuleState,
  set: RuleSet,
  teller: Teller,
  position: number,
  started: readonly Transition[] = [],
): void {
  const fresh = structuredClone(state.base);
  /** by rule id */
  const spans = new Map<string, Span[]>();
  for (const [id, { open }] of Object.entries(fresh.rules)) {
    if (!open || started.some((one) => one.rule.id === id)) continue;
    spans.set(id, [{ ...open, clearedAt: null, raised: undefined, cleared: undefined }]);
  }
  const found = [...started];
  for (const input of state.window) found.push(...takeInput(fresh, set.rules, input));
  state.now = fresh;
  state.wake = dueAt(fresh, set.rules, 'wake');
  if (state.ahead !== null) {
    // The device is silent still: what that led to is as true as it was.
    const copy = structuredClone(fresh);
    found.push(...advance(copy, set.rules, state.ahead));
    state.wake = dueAt(copy, set.rules, 'wake');
  }
  for (const transition of found) noteSpan(spans, transition);
  for (const rule of set.rules) teller.reconcile(rule, spans.get(rule.id) ?? [], position);
}

function noteSpan(spans: Map<string, Span[]>, transition: Transition): void {
  const own = spans.get(transition.rule.id) ?? [];
  spans.set(transition.rule.id, own);
  const last = own.at(-1);
  if (transition.kind === 'raised') {
    own.push({
      onset: transition.onset,
      raisedAt: transition.at,
      clearedAt: null,
      raised: transition,
      cleared: undefined,
    });
  } else if (last) {
    last.clearedAt = transition.at;
    last.cleared = transition;
  }
}

/** Says what happens up to `to` if nothing comes until then; the state stays where the newest sample left it. */
function runAhead(state: DeviceRuleState, set: RuleSet, teller: Teller, to: number, limits: RuleLimits): void {
  if (state.wake === null || state.wake > to || !state.newest) return;
  const end = Math.min(to, state.newest.at + limits.maxSilenceMs);
  const told = state.ahead ?? Number.NEGATIVE_INFINITY;
  const copy = structuredClone(state.now);
  const found = advance(copy, set.rules, end).filter((one) => one.at > told);
  for (const transition of found) teller.tell(transition, state.newest.position);
  // Not `end`: when somebody looked must leave no trace.
  state.ahead = found.at(-1)?.at ?? state.ahead;
  state.wake = end < to ? null : dueAt(copy, set.rules, 'wake');
}

/** Takes into the older state what is too old to be overtaken. */
function fold(state: DeviceRuleState, set: RuleSet, limits: RuleLimits): void {
  const oldest = (state.newest?.at ?? 0) - limits.latenessMs;
  for (let next = state.window[0]; next; next = state.window[0]) {
    if (next.at >= oldest && state.window.length <= limits.maxWindow) break;
    takeInput(state.base, set.rules, next);
    state.window.shift();
  }
  for (const told of Object.values(state.told)) {
    const settled = (one: Told): boolean =>
      (one.clearedAt !== null || one.gone) && (one.clearedAt ?? one.at) < state.base.at;
    for (let i = told.alerts.length - 1; i >= 0; i--) if (settled(told.alerts[i] as Told)) told.alerts.splice(i, 1);
  }
}
