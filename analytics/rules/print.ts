/** A rule's tree as text: one canonical way of writing each rule. Reading it again gives the same tree. */
import type { Comparison, Condition, Name, Outcome, Quantity, Release, Rule, Schedule, Scope } from './ast.ts';
import { DAY_NAMES, timeText } from './days.ts';
import { nameText, quoted } from './tokens.ts';

const DURATIONS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];
const PER_NAMES: Readonly<Record<string, string>> = { d: 'day', h: 'hour' };

export function printRule({ on, when, outcome }: Rule): string {
  const scope = printScope(on);
  return `${scope === '' ? '' : `on ${scope} `}when ${printCondition(when)} then ${printOutcome(outcome)}`;
}

export function printScope({ models, devices, firmwares }: Scope): string {
  const list = (what: string, names: readonly Name[]): string[] =>
    names.length === 0 ? [] : [`${what} ${names.map(({ name }) => nameText(name)).join(', ')}`];
  return [...list('model', models), ...list('device', devices), ...list('firmware', firmwares)].join(' and ');
}

export function printCondition(condition: Condition): string {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return condition.parts
        .map((part) => (isJoined(part) ? grouped(part) : printCondition(part)))
        .join(` ${condition.kind} `);
    case 'not':
      return `not ${isJoined(condition.part) || condition.part.kind === 'for' ? grouped(condition.part) : printCondition(condition.part)}`;
    case 'for':
      return `${isTest(condition.part) ? printCondition(condition.part) : grouped(condition.part)} for ${durationText(condition.ms)}`;
    case 'number':
      return `${nameText(condition.signal)} ${condition.comparison} ${printQuantity(condition.limit)}${printRelease(condition.until)}`;
    case 'rate': {
      const over = ` over ${durationText(condition.overMs)}${printRelease(condition.until)}`;
      return `rate(${nameText(condition.signal)}) ${condition.comparison} ${printQuantity(condition.limit)} per ${perText(condition.perMs)}${over}`;
    }
    case 'text':
      return `${nameText(condition.signal)} ${condition.comparison} ${quoted(condition.text)}`;
    case 'is':
      return nameText(condition.signal);
    case 'count':
      return `count(${printCondition(condition.part)}) ${condition.comparison} ${condition.times} within ${durationText(condition.withinMs)}`;
    case 'silent':
      return `no ${condition.signal === null ? 'data' : nameText(condition.signal)} for ${durationText(condition.ms)}`;
    case 'fault':
    case 'event':
      return `${condition.kind} ${quoted(condition.code)}`;
    case 'during':
      return `during ${printSchedule(condition.schedule)}`;
  }
}

const grouped = (condition: Condition): string => `(${printCondition(condition)})`;
const isJoined = ({ kind }: Condition): boolean => kind === 'and' || kind === 'or';
/** What `for` may follow without parentheses. */
const isTest = ({ kind }: Condition): boolean => !['and', 'or', 'not', 'for', 'silent'].includes(kind);

function printQuantity({ value, unit }: Quantity): string {
  return unit === null ? numberText(value) : `${numberText(value)} ${unit}`;
}

/** @example numberText(-0) // => '0' */
export function numberText(value: number): string {
  return String(value === 0 ? 0 : value);
}

function printRelease(release: Release | null): string {
  if (!release) return '';
  const { comparison, limit }: { comparison: Comparison; limit: Quantity } = release;
  return ` until ${comparison} ${printQuantity(limit)}`;
}

function printSchedule({ days, from, to, zone }: Schedule): string {
  const isDaily = days.length === 7;
  const span = from === 0 && to === 24 * 60 ? '' : ` ${timeText(from)}-${timeText(to)}`;
  return `${isDaily ? 'daily' : dayRuns(days)}${span} in ${nameText(zone)}`;
}

/** @example dayRuns([1, 2, 3, 6]) // => 'mon-wed, sat' */
function dayRuns(days: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const day of days) {
    const last = runs.at(-1);
    if (last && last[1] === day - 1) last[1] = day;
    else runs.push([day, day]);
  }
  const name = (day: number): string => DAY_NAMES[day - 1] as string;
  return runs.map(([first, last]) => (first === last ? name(first) : `${name(first)}-${name(last)}`)).join(', ');
}

function printOutcome({ severity, exceptions, component, failure, clearAfterMs, holdMs }: Outcome): string {
  return [
    [severity, ...exceptions.map((one) => `${one.severity} on ${printScope(one.on)}`)].join(', '),
    ...(component ? [`component=${nameText(component.name)}`] : []),
    ...(failure ? [`failure=${nameText(failure.name)}`] : []),
    ...(clearAfterMs > 0 ? [`clear after ${durationText(clearAfterMs)}`] : []),
    ...(holdMs === null ? [] : [`hold ${durationText(holdMs)}`]),
  ].join(' ');
}

/**
 * In the largest unit that says it in a whole number; else in seconds.
 * @example durationText(5_400_000) // => '90 min'
 */
export function durationText(ms: number): string {
  for (const [name, unitMs] of DURATIONS) if (ms % unitMs === 0) return `${ms / unitMs} ${name}`;
  return `${ms / 1_000} s`;
}

function perText(ms: number): string {
  const [name] = DURATIONS.find(([, unitMs]) => unitMs === ms) ?? ['s'];
  return PER_NAMES[name] ?? name;
}
