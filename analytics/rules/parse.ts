/**
 * Rules as text into a tree, by recursive descent over {@link tokensOf}: no eval, no backtracking, bounded in length and
 * depth. Any text gives a rule or a problem with its place; nothing is thrown. The grammar stands in docs/rules.md.
 */
import { SEVERITIES, type Severity } from '../../contract/ports/findings.ts';
import type { RuleProblem } from '../../contract/ports/rules.ts';
import type { Comparison, Condition, Name, Outcome, Quantity, Release, Rule, Schedule, Scope } from './ast.ts';
import { problemAt, Stop, TokenCursor } from './cursor.ts';
import { DAY_NAMES, dayNumber, parseSpan } from './days.ts';
import { MAX_RULE_CHARS, RESERVED, type Token } from './tokens.ts';
import { canonicalUnit } from './units.ts';

export type Parsed =
  | { readonly kind: 'rule'; readonly rule: Rule }
  | { readonly kind: 'problems'; readonly problems: readonly RuleProblem[] };

/** Parentheses and `not` inside each other. */
export const MAX_DEPTH = 16;
/** Tests in one rule. */
export const MAX_TESTS = 32;
/** Devices, models or firmwares in one list. */
export const MAX_NAMES = 100;
export const MAX_EXCEPTIONS = 16;
export const MAX_NAME_CHARS = 64;
/** Texts to compare with: as long as a value may be. */
export const MAX_TEXT_CHARS = 256;
export const MAX_TIMES = 100;
export const MIN_DURATION_MS = 1_000;
export const MAX_DURATION_MS = 31 * 86_400_000;

const DURATION_UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  sec: 1_000,
  second: 1_000,
  seconds: 1_000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hr: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000,
};
/** Over which a slope is taken where the rule does not say, by the time that its limit is for. */
const DEFAULT_OVER_MS: Readonly<Record<number, number>> = {
  1000: 10_000,
  60000: 600_000,
  3600000: 3_600_000,
  86400000: 86_400_000,
};
const COMPARISONS: readonly string[] = ['>', '>=', '<', '<=', '=', '!='];

/** The rule that `text` says, or what is wrong with it. */
export function parseRule(text: string): Parsed {
  if (text.length > MAX_RULE_CHARS) {
    const message = `a rule has at most ${MAX_RULE_CHARS} characters, this one has ${text.length}`;
    return { kind: 'problems', problems: [problemAt(text, MAX_RULE_CHARS, 0, message, [])] };
  }
  try {
    return { kind: 'rule', rule: new Descent(text).rule() };
  } catch (stop) {
    if (stop instanceof Stop) return { kind: 'problems', problems: [stop.problem] };
    throw stop;
  }
}

class Descent extends TokenCursor {
  #tests = 0;
  #depth = 0;

  rule(): Rule {
    const on = this.take('on') ? this.#scope() : { models: [], devices: [], firmwares: [] };
    this.expect('when');
    const when = this.#condition();
    if (!this.is('then')) this.refuse(['and', 'or', 'for', 'then']);
    this.expect('then');
    const outcome = this.#outcome();
    if (this.peek().kind !== 'end') {
      this.refuse(['component=', 'failure=', 'clear after', 'hold', 'the end of the rule']);
    }
    return { on, when, outcome };
  }

  // Conditions

  #condition(): Condition {
    return this.#joined('or', () => this.#joined('and', () => this.#lasting()));
  }

  #joined(kind: 'and' | 'or', part: () => Condition): Condition {
    const parts = [part()];
    while (this.take(kind)) parts.push(part());
    const flat = parts.flatMap((one) => (one.kind === kind ? one.parts : [one]));
    return flat.length === 1 ? (flat[0] as Condition) : { kind, parts: flat };
  }

  #lasting(): Condition {
    const part = this.#negated();
    const { at } = this.peek();
    return this.take('for') ? { kind: 'for', part, ms: this.#duration(), at } : part;
  }

  #negated(): Condition {
    const token = this.peek();
    if (!this.take('not')) return this.#primary();
    return this.#deeper(token, () => ({ kind: 'not', part: this.#negated() }));
  }

  #deeper<Result>(token: Token, work: () => Result): Result {
    if (++this.#depth > MAX_DEPTH) this.fail(token, `at most ${MAX_DEPTH} levels of parentheses and “not”`);
    const result = work();
    this.#depth--;
    return result;
  }

  #primary(): Condition {
    const token = this.peek();
    if (this.take('(')) {
      return this.#deeper(token, () => {
        const inner = this.#condition();
        if (!this.is(')')) this.refuse([')', 'and', 'or', 'for']);
        this.shift();
        return inner;
      });
    }
    if (++this.#tests > MAX_TESTS) this.fail(token, `a rule has at most ${MAX_TESTS} tests`);
    if (this.is('rate') && this.is('(', 1)) return this.#rate();
    if (this.is('count') && this.is('(', 1)) return this.#count();
    if (this.take('no')) return this.#silent(token);
    for (const kind of ['fault', 'event'] as const) {
      if (this.take(kind)) return { kind, code: this.#name(`the ${kind}'s code`).name, at: token.at };
    }
    if (this.take('during')) return { kind: 'during', schedule: this.#schedule(), at: token.at };
    return this.#signalTest();
  }

  #signalTest(): Condition {
    const token = this.peek();
    const signal = this.#signal([...CONDITION_STARTS]);
    const { at } = token;
    if (!this.#atComparison()) return { kind: 'is', signal, at };
    const comparison = this.#comparison();
    const value = this.peek();
    if (value.kind === 'number') {
      const limit = this.#quantity();
      return { kind: 'number', signal, comparison, limit, until: this.#release(limit), at };
    }
    if (comparison !== '=' && comparison !== '!=') this.refuse(['a number with its unit, for example 8 A']);
    if (value.kind === 'word' && (value.text === 'true' || value.text === 'false')) {
      this.shift();
      const wanted = (value.text === 'true') === (comparison === '=');
      const is: Condition = { kind: 'is', signal, at };
      return wanted ? is : { kind: 'not', part: is };
    }
    if (value.kind !== 'text' && (value.kind !== 'word' || RESERVED.has(value.text))) {
      this.refuse(['a number with its unit', 'a text', 'true', 'false']);
    }
    this.shift();
    if (value.text.length > MAX_TEXT_CHARS) this.fail(value, `a text has at most ${MAX_TEXT_CHARS} characters`);
    return { kind: 'text', signal, comparison, text: value.text, at };
  }

  #rate(): Condition {
    const { at } = this.shift();
    this.expect('(');
    const signal = this.#signal(['a signal']);
    this.expect(')');
    const comparison = this.#comparison();
    const limit = this.#quantity();
    this.expect('per');
    const perMs = this.#timeUnit();
    const overMs = this.take('over') ? this.#duration() : (DEFAULT_OVER_MS[perMs] as number);
    return { kind: 'rate', signal, comparison, limit, perMs, overMs, until: this.#release(limit), at };
  }

  #release(limit: Quantity): Release | null {
    if (!this.take('until')) return null;
    const comparison = this.#comparison();
    const given = this.#quantity();
    return { comparison, limit: given.unit === null ? { ...given, unit: limit.unit } : given };
  }

  #count(): Condition {
    const token = this.shift();
    this.expect('(');
    const part = this.#deeper(token, () => this.#condition());
    if (!this.is(')')) this.refuse([')', 'and', 'or', 'for']);
    this.shift();
    const comparison = this.#comparison();
    const number = this.peek();
    const times = Number(number.text);
    if (number.kind !== 'number' || !Number.isInteger(times) || times < 1 || times > MAX_TIMES) {
      this.refuse([`a whole number from 1 to ${MAX_TIMES}`]);
    }
    this.shift();
    if (comparison === '=' || comparison === '!=') {
      this.fail(number, 'a count is compared with >, >=, < or <=', ['>', '>=', '<', '<=']);
    }
    this.expect('within');
    return { kind: 'count', part, comparison, times, withinMs: this.#duration(), at: token.at };
  }

  #silent({ at }: Token): Condition {
    const signal = this.take('data') ? null : this.#signal(['data', 'a signal']);
    this.expect('for');
    return { kind: 'silent', signal, ms: this.#duration(), at };
  }

  #schedule(): Schedule {
    const days = this.#days();
    let span = { from: 0, to: 24 * 60 };
    const token = this.peek();
    if (token.kind === 'span') {
      const parsed = parseSpan(token.text);
      if (!parsed) this.fail(token, 'these are no times of the day', ['for example 08:00-18:00']);
      span = parsed;
      this.shift();
    }
    if (!this.is('in')) this.refuse(token.kind === 'span' ? ['in'] : ['times such as 08:00-18:00', 'in']);
    this.shift();
    return { days, ...span, zone: this.#name('a time zone such as Europe/Berlin').name };
  }

  #days(): readonly number[] {
    if (this.take('daily')) return [1, 2, 3, 4, 5, 6, 7];
    const days = new Set<number>();
    do {
      const token = this.peek();
      const [first, last, more] = token.kind === 'word' ? token.text.split('-').map(dayNumber) : [];
      if (first === undefined || more !== undefined || (last === undefined && token.text.includes('-'))) {
        this.refuse(['daily', 'days such as mon-fri or sat, sun'], token, ['daily', ...DAY_NAMES]);
      }
      this.shift();
      for (let day = first; ; day = (day % 7) + 1) {
        days.add(day);
        if (day === (last ?? first)) break;
      }
    } while (this.take(','));
    return [...days].sort((a, b) => a - b);
  }

  // Parts

  #signal(expected: readonly string[]): string {
    const token = this.peek();
    if (token.kind === 'text' ? token.text === '' : token.kind !== 'word' || RESERVED.has(token.text)) {
      this.refuse(expected);
    }
    if (token.text.length > MAX_NAME_CHARS) this.fail(token, `a name has at most ${MAX_NAME_CHARS} characters`);
    this.shift();
    return token.text;
  }

  #atComparison(): boolean {
    const token = this.peek();
    return token.kind === 'sign' && COMPARISONS.includes(token.text);
  }

  #comparison(): Comparison {
    if (!this.#atComparison()) this.refuse(COMPARISONS);
    return this.shift().text as Comparison;
  }

  #quantity(): Quantity {
    const token = this.peek();
    const value = Number(token.text);
    if (token.kind !== 'number' || !Number.isFinite(value)) this.refuse(['a number with its unit, for example 8 A']);
    this.shift();
    const { kind, text } = this.peek();
    const isUnit = kind === 'word' && !RESERVED.has(text);
    if (isUnit) this.shift();
    return { value, unit: isUnit ? canonicalUnit(text) : null, at: token.at };
  }

  /** Pairs of number and unit: `10 min`, `1 h 30 min`. */
  #duration(): number {
    const start = this.peek();
    let ms = 0;
    do {
      const number = this.peek();
      if (number.kind !== 'number' || !/^\d/.test(number.text)) this.refuse(['a duration such as 10 min']);
      this.shift();
      const unitMs = this.#durationUnit();
      ms += Math.round(Number(number.text) * unitMs);
    } while (this.peek().kind === 'number');
    if (!(ms >= MIN_DURATION_MS && ms <= MAX_DURATION_MS)) {
      this.fail({ at: start.at, length: start.length }, 'a duration is from 1 s to 31 d', ['for example 10 min']);
    }
    return ms;
  }

  #durationUnit(): number {
    const { kind, text } = this.peek();
    const ms = kind === 'word' && Object.hasOwn(DURATION_UNITS, text) ? DURATION_UNITS[text] : undefined;
    if (ms === undefined) this.refuse(['s', 'min', 'h', 'd'], this.peek(), Object.keys(DURATION_UNITS));
    this.shift();
    return ms;
  }

  #timeUnit(): number {
    const { kind, text } = this.peek();
    const ms = kind === 'word' && Object.hasOwn(DURATION_UNITS, text) ? DURATION_UNITS[text] : undefined;
    if (ms === undefined) this.refuse(['s', 'min', 'hour', 'day'], this.peek(), Object.keys(DURATION_UNITS));
    this.shift();
    return ms;
  }

  #name(what: string): Name {
    const token = this.peek();
    if (token.kind === 'text' ? token.text === '' : token.kind !== 'word' || RESERVED.has(token.text)) {
      this.refuse([what]);
    }
    if (token.text.length > MAX_NAME_CHARS) this.fail(token, `a name has at most ${MAX_NAME_CHARS} characters`);
    this.shift();
    return { name: token.text, at: token.at };
  }

  #scope(): Scope {
    const scope: { models: Name[]; devices: Name[]; firmwares: Name[] } = { models: [], devices: [], firmwares: [] };
    do {
      const token = this.peek();
      const list = this.take('model')
        ? scope.models
        : this.take('device')
          ? scope.devices
          : this.take('firmware')
            ? scope.firmwares
            : this.refuse(['model', 'device', 'firmware']);
      if (list.length > 0) this.fail(token, `“${token.text}” stands here twice: separate names with commas`);
      do list.push(this.#name('a name'));
      while (!this.#exceptionFollows() && this.take(','));
      if (list.length > MAX_NAMES) this.fail(token, `at most ${MAX_NAMES} names`);
    } while (this.take('and'));
    return scope;
  }

  #exceptionFollows(): boolean {
    return this.is(',') && isSeverity(this.peek(1).text) && this.is('on', 2);
  }

  #outcome(): Outcome {
    const severity = this.#severity();
    const exceptions: { severity: Severity; on: Scope }[] = [];
    while (this.is(',')) {
      const { at, length } = this.shift();
      const other = this.#severity();
      this.expect('on');
      exceptions.push({ severity: other, on: this.#scope() });
      if (exceptions.length > MAX_EXCEPTIONS) this.fail({ at, length }, `at most ${MAX_EXCEPTIONS} exceptions`);
    }
    return { severity, exceptions, ...this.#options() };
  }

  #severity(): Severity {
    const token = this.peek();
    if (token.kind !== 'word' || !isSeverity(token.text)) this.refuse(SEVERITIES);
    this.shift();
    return token.text;
  }

  #options(): Omit<Outcome, 'severity' | 'exceptions'> {
    let component: Name | null = null;
    let failure: Name | null = null;
    let clearAfterMs: number | null = null;
    let holdMs: number | null = null;
    for (;;) {
      const token = this.peek();
      const given = new Map<string, unknown>(Object.entries({ component, failure, clear: clearAfterMs, hold: holdMs }));
      if (token.kind === 'word' && (given.get(token.text) ?? null) !== null) this.fail(token, 'this stands here twice');
      if (this.take('component')) component = this.#assigned('a component');
      else if (this.take('failure')) failure = this.#assigned('a failure mode');
      else if (this.take('hold')) holdMs = this.#duration();
      else if (this.take('clear')) {
        this.expect('after');
        clearAfterMs = this.#duration();
      } else return { component, failure, clearAfterMs: clearAfterMs ?? 0, holdMs };
    }
  }

  #assigned(what: string): Name {
    this.take('=');
    return this.#name(what);
  }
}

const CONDITION_STARTS = ['a signal', 'not', '(', 'rate(', 'count(', 'no data', 'fault', 'event', 'during'] as const;

function isSeverity(word: string): word is Severity {
  return (SEVERITIES as readonly string[]).includes(word);
}
