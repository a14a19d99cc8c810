/**
 * A rule bound to a device model as something that can be run: a tree of small objects, each with a place in the rule's
 * state. No text is interpreted later, and nothing is evaluated but what the grammar knows.
 */
import type { Severity } from '../../contract/ports/findings.ts';
import type { RuleModelSignals, RunnableRule } from '../../contract/ports/rules.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import type { Condition, Rule } from './ast.ts';
import { walk } from './check.ts';
import {
  compare,
  type Fact,
  heldOf,
  inUnit,
  latched,
  type Moment,
  type Node,
  settle,
  sinceOf,
  type Truth,
  truthOf,
} from './node.ts';
import type { NodeState } from './node-state.ts';
import { parseRule } from './parse.ts';
import { printCondition } from './print.ts';
import { createCalendar } from './schedule.ts';
import { isAbout, type RuleTarget } from './scope.ts';
import { takeIntoSlope } from './slope.ts';
import { convert, convertDifference } from './units.ts';

export interface CompiledRule {
  readonly id: string;
  readonly version: number;
  readonly name: string;
  readonly text: string;
  readonly component: string;
  readonly failure: string | null;
  readonly severity: Severity;
  readonly clearAfterMs: number;
  readonly root: Node;
  /** State of the root. */
  readonly rootSlot: number;
  readonly initNodes: (from: number) => NodeState[];
  readonly signals: ReadonlySet<string>;
  /** `fault:code` and `event:name`. */
  readonly reports: ReadonlySet<string>;
}

const HOUR_MS = 3_600_000;
/** The last value of a signal counts so long where the rule does not say, and at least as long as its longest `for`. */
const DEFAULT_HOLD_MS = HOUR_MS;
/** A fault or event that is not reported again is over after this. */
const REPORT_HOLD_MS = 24 * HOUR_MS;
/** The rule as it runs on a device; `undefined` when it is not about it. */
export function compileRule(rule: RunnableRule, target: RuleTarget): CompiledRule | undefined {
  return createRuleCompiler()('', rule, target);
}

/** Devices of one model share what is compiled, where it is the same for them; so many rules are remembered. */
const MAX_REMEMBERED = 2_000;

/** {@link compileRule} with a memory. A rule is named by its tenant, id and version. */
export function createRuleCompiler(): (
  tenant: string,
  rule: RunnableRule,
  target: RuleTarget,
) => CompiledRule | undefined {
  /** by tenant, id and version */
  const known = new Map<string, { readonly rule: Rule | undefined; readonly compiled: Map<string, CompiledRule> }>();
  return (tenant, runnable, target) => {
    const key = `${tenant} ${runnable.id} ${runnable.version}`;
    let found = known.get(key);
    if (!found) {
      const parsed = parseRule(runnable.text);
      // Its text was checked when it was written; a version that this program cannot read any more does not run.
      found = { rule: parsed.kind === 'rule' ? parsed.rule : undefined, compiled: new Map() };
      if (known.size >= MAX_REMEMBERED) known.clear();
      known.set(key, found);
    }
    const { rule, compiled } = found;
    const signals = signalsFor(runnable, target.model);
    if (!rule || !signals || !isAbout(rule.on, target)) return undefined;
    const severity = rule.outcome.exceptions.find(({ on }) => isAbout(on, target))?.severity ?? rule.outcome.severity;
    const variant = `${target.model} ${severity}`;
    const ready = compiled.get(variant) ?? new Compiler(rule, signals).compile(runnable, severity);
    compiled.set(variant, ready);
    return ready;
  };
}

function signalsFor({ binding }: RunnableRule, model: string): RuleModelSignals | undefined {
  if (binding.models === null) return {};
  return Object.hasOwn(binding.models, model) ? binding.models[model] : undefined;
}

class Compiler {
  readonly #rule: Rule;
  readonly #signals: RuleModelSignals;
  readonly #holdMs: number;
  readonly #reportHoldMs: number;
  readonly #inits: (() => NodeState)[] = [];

  constructor(rule: Rule, signals: RuleModelSignals) {
    this.#rule = rule;
    this.#signals = signals;
    const parts = [...walk(rule.when)];
    const longest = Math.max(
      0,
      ...parts.map((part) => (part.kind === 'for' ? part.ms : part.kind === 'rate' ? part.overMs : 0)),
    );
    this.#holdMs = rule.outcome.holdMs ?? Math.max(DEFAULT_HOLD_MS, 2 * longest);
    this.#reportHoldMs = rule.outcome.holdMs ?? Math.max(REPORT_HOLD_MS, 2 * longest);
  }

  compile(rule: RunnableRule, severity: Severity): CompiledRule {
    const { outcome, when } = this.#rule;
    const rootSlot = this.#inits.length;
    const root = this.#node(when);
    const inits = this.#inits;
    const parts = [...walk(when)];
    return {
      id: rule.id,
      version: rule.version,
      name: rule.name,
      text: rule.text,
      component: rule.binding.component,
      failure: outcome.failure?.name ?? null,
      severity,
      clearAfterMs: outcome.clearAfterMs,
      root,
      rootSlot,
      initNodes: (from) => inits.map((init) => ({ ...init(), from })),
      signals: new Set(parts.flatMap((part) => ('signal' in part && part.signal !== null ? [part.signal] : []))),
      reports: new Set(
        parts.flatMap((part) => (part.kind === 'fault' || part.kind === 'event' ? [`${part.kind}:${part.code}`] : [])),
      ),
    };
  }

  #slot(init: () => NodeState = () => ({ since: null })): number {
    return this.#inits.push(init) - 1;
  }

  #node(condition: Condition): Node {
    switch (condition.kind) {
      case 'and':
      case 'or':
        return this.#joined(condition.kind, condition.parts);
      case 'not':
        return this.#not(condition.part);
      case 'for':
        return this.#lasting(condition);
      case 'number':
        return this.#number(condition);
      case 'rate':
        return this.#rate(condition);
      case 'text': {
        const isEqual = condition.comparison === '=';
        return this.#held(condition, (value) => (value === condition.text) === isEqual);
      }
      case 'is':
        return this.#held(condition, (value) => (typeof value === 'boolean' ? value : null));
      case 'count':
        return this.#count(condition);
      case 'silent':
        return this.#silent(condition);
      case 'fault':
      case 'event':
        return this.#report(condition);
      case 'during':
        return this.#during(condition);
    }
  }

  #joined(kind: 'and' | 'or', conditions: readonly Condition[]): Node {
    const slot = this.#slot();
    const parts = conditions.map((condition) => ({ slot: this.#inits.length, node: this.#node(condition) }));
    return {
      evaluate(states, moment) {
        // All are asked, also when the answer is clear: each keeps its own time.
        const answers = parts.map(({ node }) => node.evaluate(states, moment));
        const decisive = kind === 'or';
        const truth: Truth = answers.includes(decisive) ? decisive : answers.includes(null) ? null : !decisive;
        const sinces = parts.map((part) => sinceOf(states, part.slot)).filter((since) => since !== null);
        const since = kind === 'and' ? Math.max(...sinces) : Math.min(...sinces);
        return settle(states, slot, truth, since);
      },
      facts(moment, into, states) {
        for (const { node } of parts) node.facts(moment, into, states);
      },
    };
  }

  #not(condition: Condition): Node {
    const slot = this.#slot();
    const node = this.#node(condition);
    return {
      evaluate(states, moment) {
        const inner = node.evaluate(states, moment);
        return settle(states, slot, inner === null ? null : !inner, moment.at);
      },
      facts: (moment, into, states) => node.facts(moment, into, states),
    };
  }

  #lasting({ part, ms }: Extract<Condition, { kind: 'for' }>): Node {
    const slot = this.#slot();
    const innerSlot = this.#inits.length;
    const node = this.#node(part);
    return {
      evaluate(states, moment) {
        const inner = node.evaluate(states, moment);
        const since = sinceOf(states, innerSlot);
        if (inner !== true || since === null) return settle(states, slot, inner, moment.at);
        const isLong = moment.at - since >= ms;
        if (!isLong) moment.wake(since + ms);
        return settle(states, slot, isLong, since);
      },
      facts: (moment, into, states) => node.facts(moment, into, states),
    };
  }

  /** A test of the newest value of a signal, as long as it counts. */
  #held(
    condition: Extract<Condition, { kind: 'number' | 'text' | 'is' }>,
    test: (value: SignalValue, state: NodeState) => Truth,
    more: Pick<Fact, 'limit' | 'unit'> = {},
  ): Node {
    const slot = this.#slot();
    const holdMs = this.#holdMs;
    const { signal } = condition;
    const text = printCondition(condition);
    return {
      evaluate(states, moment) {
        const held = heldOf(moment.values, signal);
        const state = states[slot] as NodeState;
        if (!held || moment.at >= held.at + holdMs) return settle(states, slot, null, moment.at);
        moment.due(held.at + holdMs);
        return settle(states, slot, test(held.value, state), held.at);
      },
      facts(moment, into, states) {
        const held = heldOf(moment.values, signal);
        const value = held ? { value: held.value, at: held.at } : {};
        into.push({ test: text, holds: truthOf(states, slot, held, moment, holdMs), signal, ...value, ...more });
      },
    };
  }

  #number(condition: Extract<Condition, { kind: 'number' }>): Node {
    const unit = this.#unitOf(condition.signal);
    const limit = inUnit(condition.limit, unit, convert);
    const end = condition.until && { ...condition.until, value: inUnit(condition.until.limit, unit, convert) };
    return this.#held(
      condition,
      (value, state) => {
        if (typeof value !== 'number') return null;
        return latched(
          state,
          compare(value, condition.comparison, limit),
          end && compare(value, end.comparison, end.value),
        );
      },
      { limit, unit },
    );
  }

  #rate(condition: Extract<Condition, { kind: 'rate' }>): Node {
    const slot = this.#slot(() => ({ since: null, slots: [], slope: null }));
    const unit = this.#unitOf(condition.signal);
    const { signal, perMs, overMs, comparison } = condition;
    const limit = inUnit(condition.limit, unit, convertDifference);
    const end = condition.until && {
      ...condition.until,
      value: inUnit(condition.until.limit, unit, convertDifference),
    };
    const text = printCondition(condition);
    const holdMs = Math.max(this.#holdMs, overMs);
    return {
      evaluate(states, moment) {
        const state = states[slot] as NodeState;
        const held = heldOf(moment.values, signal);
        if (!held || moment.at >= held.at + holdMs) return settle(states, slot, null, moment.at);
        moment.due(held.at + holdMs);
        if (moment.fresh(signal) && typeof held.value === 'number') takeIntoSlope(state, held.at, held.value, overMs);
        if (state.slope === null || state.slope === undefined) return settle(states, slot, null, moment.at);
        const change = state.slope * perMs;
        const truth = latched(
          state,
          compare(change, comparison, limit),
          end && compare(change, end.comparison, end.value),
        );
        return settle(states, slot, truth, held.at);
      },
      facts(moment, into, states) {
        const { slope } = states[slot] as NodeState;
        const held = heldOf(moment.values, signal);
        const isKnown = slope !== null && slope !== undefined && held !== undefined;
        into.push({
          test: text,
          holds: truthOf(states, slot, isKnown ? held : undefined, moment, holdMs),
          signal,
          ...(isKnown ? { value: slope * perMs, at: held.at } : {}),
          limit,
          unit,
        });
      },
    };
  }

  #count(condition: Extract<Condition, { kind: 'count' }>): Node {
    const slot = this.#slot(() => ({ since: null, on: false, times: [] }));
    const { part, comparison, withinMs } = condition;
    // `>` 3 is `>=` 4, and `<` 3 is not `>=` 3.
    const needed = condition.times + Number(comparison === '>' || comparison === '<=');
    const isAtLeast = comparison.startsWith('>');
    const innerSlot = this.#inits.length;
    const node = this.#node(part);
    const report = part.kind === 'fault' || part.kind === 'event' ? `${part.kind}:${part.code}` : undefined;
    const text = printCondition(condition);
    return {
      evaluate(states, moment) {
        const state = states[slot] as NodeState;
        const inner = node.evaluate(states, moment);
        const { times = [] } = state;
        state.times = times;
        const began = inner === true && state.on !== true ? (sinceOf(states, innerSlot) ?? moment.at) : undefined;
        const happened =
          report === undefined
            ? began === undefined
              ? []
              : [began]
            : moment.reported.filter((one) => one === report).map(() => moment.at);
        if (inner !== null) state.on = inner;
        times.push(...happened);
        if (times.length > needed) times.splice(0, times.length - needed);
        const first = times.length >= needed ? (times[times.length - needed] as number) : undefined;
        const isReached = first !== undefined && moment.at - first < withinMs;
        if (first !== undefined && isReached) moment.wake(first + withinMs);
        if (isAtLeast) return settle(states, slot, isReached, first ?? moment.at);
        const watchedSince = state.from ?? moment.at;
        const isWatched = moment.at - watchedSince >= withinMs;
        if (!isWatched) moment.wake(watchedSince + withinMs);
        return settle(states, slot, isReached ? false : isWatched ? true : null, moment.at);
      },
      facts(moment, into, states) {
        const { times = [], since } = states[slot] as NodeState;
        const value = times.filter((at) => moment.at - at < withinMs).length;
        into.push({ test: text, holds: since !== null, value, limit: condition.times, unit: '', at: moment.at });
      },
    };
  }

  #silent(condition: Extract<Condition, { kind: 'silent' }>): Node {
    const slot = this.#slot();
    const { signal, ms } = condition;
    const text = printCondition(condition);
    const lastOf = (states: readonly NodeState[], moment: Moment): number => {
      const heardAt = signal === null ? moment.heardAt : heldOf(moment.values, signal)?.at;
      return Math.max(heardAt ?? states[slot]?.from ?? moment.at, moment.resumedAt ?? 0);
    };
    return {
      evaluate(states, moment) {
        const last = lastOf(states, moment);
        const isSilent = moment.at - last >= ms;
        if (!isSilent) moment.wake(last + ms);
        return settle(states, slot, isSilent, last);
      },
      facts(moment, into, states) {
        const at = lastOf(states, moment);
        into.push({ test: text, holds: sinceOf(states, slot) !== null, ...(signal === null ? {} : { signal }), at });
      },
    };
  }

  #report(condition: Extract<Condition, { kind: 'fault' | 'event' }>): Node {
    const slot = this.#slot();
    const key = `${condition.kind}:${condition.code}`;
    const text = printCondition(condition);
    const holdMs = this.#reportHoldMs;
    return {
      evaluate(states, moment) {
        const held = heldOf(moment.reports, key);
        const stands = held !== undefined && held.value === true && moment.at < held.at + holdMs;
        if (stands) moment.wake(held.at + holdMs);
        return settle(states, slot, stands, held?.at ?? moment.at);
      },
      facts(moment, into, states) {
        const held = heldOf(moment.reports, key);
        into.push({
          test: text,
          holds: sinceOf(states, slot) !== null,
          ...(held ? { value: held.value, at: held.at } : {}),
        });
      },
    };
  }

  #during(condition: Extract<Condition, { kind: 'during' }>): Node {
    const slot = this.#slot();
    const calendar = createCalendar(condition.schedule);
    const text = printCondition(condition);
    return {
      evaluate(states, moment) {
        const { inside, until } = calendar.at(moment.at);
        moment.wake(until);
        return settle(states, slot, inside, moment.at);
      },
      facts(moment, into, states) {
        into.push({ test: text, holds: sinceOf(states, slot) !== null, at: moment.at });
      },
    };
  }

  #unitOf(signal: string): string {
    return this.#signals[signal]?.unit ?? '';
  }
}
