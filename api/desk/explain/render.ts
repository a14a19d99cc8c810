/** Says statements in a language: sentences from the language's list, numbers, plurals and times by Intl. */
import type { Explanation, ExplanationParam, Language } from '../../../contract/http/explanation.ts';
import { assertNever } from '../../../contract/kernel/errors.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../../contract/kernel/time.ts';
import { type DeviceNames, deviceNames } from './device-names.ts';
import { type Statement, UNEXPLAINED, WHOLE_DEVICE } from './explain.ts';
import { EN, type Message, type MessageKey, type Messages } from './messages.ts';
import { ZH_CN } from './messages-zh-cn.ts';
import { isolated } from './safe-text.ts';

export const MESSAGES: Readonly<Record<Language, Messages>> = { en: EN, 'zh-CN': ZH_CN };

/** English as the console writes it: day before month, 24 hours. */
const LOCALES: Readonly<Record<Language, string>> = { en: 'en-GB', 'zh-CN': 'zh-CN' };

export interface Speech {
  readonly language: Language;
  /** IANA zone. */
  readonly timeZone: string;
}

const MAX_UNIT_CHARS = 24;
/** Reasons are sentences, not names. */
const MAX_TEXT_CHARS = 200;
const NO_BREAK = '\u00a0';

export type Renderer = (statements: readonly Statement[], modelId: string) => Explanation;

/** Says statements about devices in one language and zone. Formatters are dear: make one renderer for a whole list. */
export function createRenderer({ language, timeZone }: Speech): Renderer {
  const common = voiceOf({ language, timeZone });
  /** by model id; the models of one page */
  const names = new Map<string, DeviceNames>();
  const namesOf = (modelId: string): DeviceNames => {
    const known = names.get(modelId) ?? deviceNames(modelId, language);
    names.set(modelId, known);
    return known;
  };
  return (statements, modelId) => {
    const voice = { ...common, names: namesOf(modelId) };
    const lines = statements.map((one) => ({ ...one, text: say(voice, one.key, one.params) }));
    return { language, timeZone, lines };
  };
}

/** Everything a sentence needs. */
interface Voice {
  readonly messages: Messages;
  readonly names: DeviceNames;
  readonly plurals: Intl.PluralRules;
  readonly dateTime: Intl.DateTimeFormat;
  /** `value` as the options say; formatters are kept by name. */
  readonly number: (value: number, name: string, options: Intl.NumberFormatOptions) => string;
}

function voiceOf({ language, timeZone }: Speech): Omit<Voice, 'names'> {
  const locale = LOCALES[language];
  /** by name; as many as this file names */
  const formats = new Map<string, Intl.NumberFormat>();
  return {
    messages: MESSAGES[language],
    plurals: new Intl.PluralRules(locale),
    dateTime: new Intl.DateTimeFormat(locale, {
      year: 'numeric',
      month: 'short',
      day: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
      timeZone,
      timeZoneName: 'short',
    }),
    number(value, name, options) {
      const format = formats.get(name) ?? new Intl.NumberFormat(locale, options);
      formats.set(name, format);
      return format.format(value);
    },
  };
}

function say(voice: Voice, key: MessageKey, params: Statement['params']): string {
  const counted = params.count;
  const template = formOf(voice, voice.messages[key], counted && 'value' in counted ? counted.value : 0);
  return fill(template, (name) => {
    const param = params[name];
    return param ? show(voice, param) : '';
  });
}

function formOf(voice: Voice, message: Message, counted: number): string {
  if (typeof message === 'string') return message;
  return (voice.plurals.select(counted) === 'one' ? message.one : undefined) ?? message.other;
}

/** Replaces each placeholder once; braces in what it puts in stay as they are. */
function fill(template: string, textOf: (name: string) => string): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => textOf(name));
}

function show(voice: Voice, param: ExplanationParam): string {
  switch (param.kind) {
    case 'number':
      return withUnit(formatNumber(voice, param.value), param.unit);
    case 'share':
      return formatShare(voice, param.value);
    case 'count':
      return voice.number(param.value, 'count', { maximumFractionDigits: 0 });
    case 'time':
      return formatTime(voice.dateTime, param.at);
    case 'duration':
      return formatDuration(voice, param.ms);
    case 'cycles':
      return say(voice, 'unit.cycles', { count: { kind: 'count', value: Math.round(param.value) } });
    case 'text':
      return isolated(param.text, MAX_TEXT_CHARS);
    default:
      return nameOf(voice, param);
  }
}

type Named = Exclude<
  ExplanationParam,
  { kind: 'number' | 'share' | 'count' | 'time' | 'duration' | 'cycles' | 'text' }
>;

function nameOf(voice: Voice, { kind, id }: Named): string {
  const { names } = voice;
  switch (kind) {
    case 'signal':
      return names.signal(id);
    case 'component':
      return id === WHOLE_DEVICE ? say(voice, 'name.wholeDevice', {}) : names.component(id);
    case 'fault':
      return id === UNEXPLAINED ? say(voice, 'name.unexplained', {}) : (names.fault(id) ?? names.component(id));
    case 'cause':
      return names.cause(id) ?? say(voice, 'name.otherCause', {});
    case 'effect':
      return names.effect(id) ?? say(voice, 'name.otherCause', {});
    case 'faultCode':
      return faultCodeOf(voice, id);
    case 'method': {
      const key = `method.${id}`;
      return isMessageKey(key) ? say(voice, key, {}) : isolated(id);
    }
    default:
      return assertNever(kind);
  }
}

function isMessageKey(key: string): key is MessageKey {
  return Object.hasOwn(EN, key);
}

function faultCodeOf(voice: Voice, code: string): string {
  const text = voice.names.faultCode(code);
  if (text === undefined) return isolated(code);
  return say(voice, 'name.faultCode', { code: { kind: 'text', text: code }, text: { kind: 'text', text } });
}

/** Three digits that matter below one, none behind the point from a thousand on; powers of ten where zeros would mislead. */
function formatNumber(voice: Voice, value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e7)) {
    return voice.number(value, 'scientific', { notation: 'scientific', maximumFractionDigits: 2 });
  }
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  return voice.number(value, `decimal${digits}`, { maximumFractionDigits: digits });
}

function withUnit(number: string, unit: string): string {
  const safe = isolated(unit, MAX_UNIT_CHARS);
  return safe === '' ? number : `${number}${NO_BREAK}${safe}`;
}

function formatShare(voice: Voice, value: number): string {
  const digits = value > 0 && value < 0.01 ? 1 : 0;
  return voice.number(value, `percent${digits}`, { style: 'percent', maximumFractionDigits: digits });
}

/** The zone stands last in every language, as its short name. */
function formatTime(format: Intl.DateTimeFormat, at: number): string {
  // What ECMAScript calls the largest date; beyond it Intl throws.
  const parts = format.formatToParts(Math.min(Math.max(at, -8.64e15), 8.64e15));
  const zone = parts.find((part) => part.type === 'timeZoneName')?.value ?? '';
  const rest = parts
    .filter((part) => part.type !== 'timeZoneName')
    .map((part) => part.value)
    .join('')
    .replace(/\s+/gu, ' ')
    .trim();
  return `${rest} ${zone}`;
}

const DURATION_UNITS = [
  { unit: 'day', ms: DAY_MS, from: 3 * DAY_MS },
  { unit: 'hour', ms: HOUR_MS, from: 2 * HOUR_MS },
  { unit: 'minute', ms: MINUTE_MS, from: 2 * MINUTE_MS },
] as const;

/** In one unit: days from three on, hours from two on. */
function formatDuration(voice: Voice, ms: number): string {
  const { unit, ms: unitMs } = DURATION_UNITS.find(({ from }) => ms >= from) ?? { unit: 'second', ms: SECOND_MS };
  const value = ms / unitMs;
  const digits = value < 10 ? 1 : 0;
  return voice.number(value, `${unit}${digits}`, {
    style: 'unit',
    unit,
    unitDisplay: 'long',
    maximumFractionDigits: digits,
  });
}
