/**
 * Whether a rule means something for the devices it is about: signals, their types and units, components, failure modes and
 * zones are looked up in what is known of the models. What is found is the binding, from which alone the rule is run.
 */

import { isTimeZone } from '../../contract/kernel/zone.ts';
import type { RuleBinding, RuleModelSignals, RuleProblem } from '../../contract/ports/rules.ts';
import type { Condition, Name, Quantity, Release, Rule, Scope } from './ast.ts';
import { problemAt } from './cursor.ts';
import { nearestName } from './names.ts';
import { parseRule } from './parse.ts';
import { printRule } from './print.ts';
import { knownZones } from './schedule.ts';
import { nameText } from './tokens.ts';
import { compatibleUnits, convert, convertDifference, knownUnits } from './units.ts';

/** What is known of a device model. */
export interface KnownModel {
  readonly id: string;
  readonly signals: ReadonlyMap<
    string,
    { readonly kind: 'number' | 'boolean' | 'text'; readonly unit: string; readonly component: string }
  >;
  readonly components: ReadonlySet<string>;
  /** by code */
  readonly failureModes: ReadonlyMap<string, { readonly component: string }>;
  readonly faultCodes: ReadonlySet<string>;
}

export type CheckedRule =
  | {
      readonly kind: 'rule';
      readonly rule: Rule;
      readonly canonical: string;
      readonly binding: RuleBinding;
      /** What may be a mistake and need not be. */
      readonly notes: readonly string[];
    }
  | { readonly kind: 'problems'; readonly problems: readonly RuleProblem[] };

/** So many problems are told at once. */
const MAX_PROBLEMS = 20;

/** Reads and checks a rule's text. Never throws. */
export function checkRule(text: string, models: readonly KnownModel[]): CheckedRule {
  const parsed = parseRule(text);
  if (parsed.kind === 'problems') return parsed;
  const check = new Check(text, parsed.rule, models);
  const binding = check.run();
  if (check.problems.length > 0) return { kind: 'problems', problems: check.problems.slice(0, MAX_PROBLEMS) };
  return { kind: 'rule', rule: parsed.rule, canonical: printRule(parsed.rule), binding, notes: check.notes };
}

interface Mention {
  readonly name: string;
  readonly at: number;
  readonly needs: 'number' | 'boolean' | 'text' | 'any';
}

class Check {
  readonly problems: RuleProblem[] = [];
  readonly notes: string[] = [];
  readonly #text: string;
  readonly #rule: Rule;
  readonly #known: readonly KnownModel[];

  constructor(text: string, rule: Rule, known: readonly KnownModel[]) {
    this.#text = text;
    this.#rule = rule;
    this.#known = known;
  }

  run(): RuleBinding {
    const { on, when, outcome } = this.#rule;
    for (const scope of [on, ...outcome.exceptions.map((one) => one.on)]) this.#checkModelNames(scope);
    const mentions = mentionsOf(when);
    const models = this.#modelsFor(mentions);
    for (const one of walk(when)) this.#checkPart(one, models);
    this.#checkNames(models);
    const component = this.#componentOf(models, mentions);
    const wanted = new Set(mentions.map((one) => one.name));
    if (wanted.size === 0 && on.models.length === 0) return { models: null, component };
    return { models: Object.fromEntries(models.map((model) => [model.id, signalsOf(model, wanted)])), component };
  }

  #problem(at: number, word: string, message: string, expected: readonly string[] = [], nearest?: string): void {
    const length = wordLength(this.#text, at, word);
    this.problems.push(problemAt(this.#text, at, length, message, expected, nearest));
  }

  #checkModelNames({ models }: Scope): void {
    const ids = this.#known.map((model) => model.id);
    for (const { name, at } of models) {
      if (ids.includes(name)) continue;
      this.#problem(at, name, `there is no device model ${nameText(name)}`, ids.slice(0, 12), nearestName(name, ids));
    }
  }

  /** The models named, or without a name those that have every signal of the rule. */
  #modelsFor(mentions: readonly Mention[]): readonly KnownModel[] {
    const named = this.#rule.on.models;
    const asked =
      named.length > 0 ? this.#known.filter(({ id }) => named.some(({ name }) => name === id)) : this.#known;
    if (named.length > 0 && asked.length === 0) return [];
    const fits = (model: KnownModel): boolean => mentions.every(({ name }) => model.signals.has(name));
    const suitable = asked.filter(fits);
    const complete = named.length > 0 ? suitable.length === asked.length : suitable.length > 0;
    if (complete) return suitable;
    this.#unknownSignals(mentions, asked, named.length > 0);
    return [];
  }

  #unknownSignals(mentions: readonly Mention[], asked: readonly KnownModel[], named: boolean): void {
    const before = this.problems.length;
    for (const { name, at } of mentions) {
      const lacking = asked.filter((model) => !model.signals.has(name));
      if (named ? lacking.length === 0 : lacking.length < asked.length) continue;
      const names = new Set((named ? lacking : asked).flatMap((model) => [...model.signals.keys()]));
      const message = named
        ? `there is no signal ${nameText(name)} in ${lacking.map(({ id }) => id).join(', ')}`
        : `no device model has a signal ${nameText(name)}`;
      this.#problem(at, name, message, [...names].slice(0, 12), nearestName(name, names));
    }
    if (this.problems.length > before) return;
    const first = mentions[0] as Mention;
    const all = [...new Set(mentions.map(({ name }) => name))].join(', ');
    this.#problem(first.at, first.name, `no model has all of the signals ${all}`);
  }

  #checkPart(part: Condition, models: readonly KnownModel[]): void {
    switch (part.kind) {
      case 'number':
      case 'rate':
        this.#checkNumber(part, models);
        break;
      case 'text':
        this.#checkKind(part.signal, part.at, 'text', models);
        break;
      case 'is':
        this.#checkKind(part.signal, part.at, 'boolean', models);
        break;
      case 'fault':
        this.#noteFault(part.code, models);
        break;
      case 'during':
        this.#checkZone(part.schedule.zone, part.at);
        break;
      default:
        break;
    }
  }

  #checkKind(
    signal: string,
    at: number,
    wanted: 'number' | 'boolean' | 'text',
    models: readonly KnownModel[],
  ): boolean {
    const other = models.find((model) => model.signals.get(signal)?.kind !== wanted);
    const kind = other?.signals.get(signal)?.kind;
    if (kind === undefined) return true;
    const how = {
      number: `compare it, for example ${signal} > 0`,
      boolean: `write ${signal} or not ${signal}`,
      text: `compare it, for example ${signal} = "on"`,
    };
    this.#problem(at, signal, `${signal} of ${other?.id} is a ${kind}, not a ${wanted}`, [how[kind]]);
    return false;
  }

  #checkNumber(part: Extract<Condition, { kind: 'number' | 'rate' }>, models: readonly KnownModel[]): void {
    if (!this.#checkKind(part.signal, part.at, 'number', models)) return;
    const how = part.kind === 'rate' ? convertDifference : convert;
    for (const model of models) {
      const own = model.signals.get(part.signal)?.unit ?? '';
      for (const limit of [part.limit, ...(part.until ? [part.until.limit] : [])]) {
        if (!this.#checkUnit(part.signal, limit, own, how)) return;
      }
    }
    if (part.until) this.#checkRelease(part, part.until, how);
    if (part.kind === 'rate' && (part.comparison === '=' || part.comparison === '!=')) {
      this.#problem(part.at, 'rate', 'a rate is compared with >, >=, < or <=', ['>', '>=', '<', '<=']);
    }
  }

  #checkUnit(signal: string, { unit, at }: Quantity, own: string, how: typeof convert): boolean {
    if (unit === null || how(1, unit, own) !== undefined) return true;
    const expected = compatibleUnits(own).filter((one) => one !== '');
    const ownText = own === '' ? 'has no unit' : `is in ${own}`;
    const isKnown = knownUnits().includes(unit);
    const message = isKnown
      ? `${signal} ${ownText}, which ${unit} cannot be turned into`
      : `there is no unit ${unit}; ${signal} ${ownText}`;
    const start = Math.max(at, this.#text.indexOf(' ', at) + 1);
    this.#problem(
      start,
      unit,
      message,
      expected.length > 0 ? expected : ['no unit'],
      isKnown ? undefined : nearestName(unit, expected),
    );
    return false;
  }

  #checkRelease(part: Extract<Condition, { kind: 'number' | 'rate' }>, release: Release, how: typeof convert): void {
    const isUp = part.comparison.startsWith('>');
    const isDown = part.comparison.startsWith('<');
    if (!isUp && !isDown) {
      this.#problem(release.limit.at, '', 'only >, >=, < and <= have a dead band', ['without until']);
      return;
    }
    if (!release.comparison.startsWith(isUp ? '<' : '>')) {
      this.#problem(
        release.limit.at,
        '',
        'what ends the test must look the other way',
        isUp ? ['<', '<='] : ['>', '>='],
      );
      return;
    }
    const base = part.limit.unit ?? '';
    const end = release.limit.unit === null ? release.limit.value : how(release.limit.value, release.limit.unit, base);
    if (end === undefined || (isUp ? end <= part.limit.value : end >= part.limit.value)) return;
    const side = isUp ? 'below' : 'above';
    this.#problem(release.limit.at, '', `the test would end before it begins: ${side} ${part.limit.value} is expected`);
  }

  #noteFault(code: string, models: readonly KnownModel[]): void {
    const codes = new Set(models.flatMap((model) => [...model.faultCodes]));
    if (codes.size === 0 || codes.has(code)) return;
    const nearest = nearestName(code, codes);
    this.notes.push(`no catalogue lists the fault code ${code}${nearest ? `; did you mean ${nearest}?` : ''}`);
  }

  #checkZone(zone: string, at: number): void {
    if (isTimeZone(zone)) return;
    const start = Math.max(at, this.#text.indexOf(zone, at));
    this.#problem(
      start,
      zone,
      `there is no time zone ${zone}`,
      ['a name of the IANA list'],
      nearestName(zone, knownZones()),
    );
  }

  #checkNames(models: readonly KnownModel[]): void {
    const { component, failure } = this.#rule.outcome;
    const complain = (what: string, { name, at }: Name, known: ReadonlySet<string>): void =>
      this.#problem(
        at,
        name,
        `there is no ${what} ${nameText(name)}`,
        [...known].slice(0, 12),
        nearestName(name, known),
      );
    if (models.length === 0) return;
    if (component && component.name !== 'device') {
      const known = new Set(models.flatMap((model) => [...model.components]));
      if (!known.has(component.name)) complain('component', component, known);
    }
    if (!failure) return;
    const codes = new Set(models.flatMap((model) => [...model.failureModes.keys()]));
    if (!codes.has(failure.name)) complain('failure mode', failure, codes);
  }

  /** The one named, that of the failure mode, that of the first signal, or the whole device. */
  #componentOf(models: readonly KnownModel[], mentions: readonly Mention[]): string {
    const { component, failure } = this.#rule.outcome;
    if (component) return component.name;
    const mode =
      failure && models.map((model) => model.failureModes.get(failure.name)).find((one) => one !== undefined);
    if (mode) return mode.component;
    const first = mentions[0];
    const own =
      first && models.map((model) => model.signals.get(first.name)?.component).find((one) => one !== undefined);
    return own !== undefined && own !== '' ? own : 'device';
  }
}

function signalsOf(model: KnownModel, wanted: ReadonlySet<string>): RuleModelSignals {
  const found: Record<string, { kind: 'number' | 'boolean' | 'text'; unit: string }> = {};
  for (const name of wanted) {
    const signal = model.signals.get(name);
    if (signal) found[name] = { kind: signal.kind, unit: signal.unit };
  }
  return found;
}

/** All parts of a condition, itself first. */
export function* walk(condition: Condition): Generator<Condition> {
  yield condition;
  if (condition.kind === 'and' || condition.kind === 'or') for (const part of condition.parts) yield* walk(part);
  if (condition.kind === 'not' || condition.kind === 'for' || condition.kind === 'count') yield* walk(condition.part);
}

function mentionsOf(condition: Condition): Mention[] {
  const mentions: Mention[] = [];
  for (const part of walk(condition)) {
    if (part.kind === 'number' || part.kind === 'rate')
      mentions.push({ name: part.signal, at: part.at, needs: 'number' });
    if (part.kind === 'text') mentions.push({ name: part.signal, at: part.at, needs: 'text' });
    if (part.kind === 'is') mentions.push({ name: part.signal, at: part.at, needs: 'boolean' });
    if (part.kind === 'silent' && part.signal !== null) mentions.push({ name: part.signal, at: part.at, needs: 'any' });
  }
  return mentions;
}

/** Letters of `word` that stand at `at`, for marking; at least one. */
function wordLength(text: string, at: number, word: string): number {
  return text.startsWith(word, at) && word !== '' ? word.length : Math.min(1, text.length - at);
}
