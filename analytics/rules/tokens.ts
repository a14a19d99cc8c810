/** Cuts the text of a rule into words, numbers, quoted texts and signs. Linear in the text; any text is cut. */

export type TokenKind = 'word' | 'number' | 'text' | 'span' | 'sign' | 'end' | 'wrong';

export interface Token {
  readonly kind: TokenKind;
  /** As it stands there; of a quoted text what it means. */
  readonly text: string;
  /** Characters from the start. */
  readonly at: number;
  readonly length: number;
}

export const MAX_RULE_CHARS = 4_000;

/** Words of the grammar: as names they are quoted. */
export const RESERVED: ReadonlySet<string> = new Set(
  (
    'on when then and or not for until per over within rate count no data fault event during in daily model device ' +
    'firmware info minor major critical component failure clear after hold true false'
  ).split(' '),
);

/** What may stand without quotes as a name. */
const WORD = /[A-Za-z_°%µΩ][A-Za-z0-9_°%µΩ²³]*(?:[-:/][A-Za-z0-9_²³]+)*/y;
const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_]*(?:[-:/][A-Za-z0-9_]+)*$/;
const SPACE = /(?:\s|#[^\n]*)+/y;
/** `08:00-18:00`, before numbers. */
const SPAN = /\d{1,2}:\d{2}\s{0,8}-\s{0,8}\d{1,2}:\d{2}(?![0-9:])/y;
/** A unit that begins with a number. */
const PER = /1\/(?:min|s)(?![A-Za-z0-9_])/y;
const NUMBER = /[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+(?![A-Za-z0-9_]))?/y;
const QUOTED = /"(?:[^"\\\n]|\\["\\])*"/y;
const SIGN = />=|<=|==|!=|[><=≥≤≠(),]/y;

const KINDS: readonly (readonly [TokenKind, RegExp])[] = [
  ['text', QUOTED],
  ['span', SPAN],
  ['word', PER],
  ['number', NUMBER],
  ['word', WORD],
  ['sign', SIGN],
];

/** Other ways of writing a sign. */
const SAME_SIGN: Readonly<Record<string, string>> = { '==': '=', '≥': '>=', '≤': '<=', '≠': '!=' };

/** Ends with an `end` token. What fits nothing is a `wrong` token of one character. */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; ; ) {
    SPACE.lastIndex = at;
    if (SPACE.test(text)) at = SPACE.lastIndex;
    if (at >= text.length) {
      tokens.push({ kind: 'end', text: '', at: text.length, length: 0 });
      return tokens;
    }
    const token = tokenAt(text, at);
    tokens.push(token);
    at += token.length;
  }
}

function tokenAt(text: string, at: number): Token {
  for (const [kind, pattern] of KINDS) {
    pattern.lastIndex = at;
    const raw = pattern.exec(text)?.[0];
    if (raw === undefined) continue;
    return { kind, text: meaningOf(kind, raw), at, length: raw.length };
  }
  const wrong = String.fromCodePoint(text.codePointAt(at) ?? 0);
  return { kind: 'wrong', text: wrong, at, length: wrong.length };
}

function meaningOf(kind: TokenKind, raw: string): string {
  if (kind === 'text') return raw.slice(1, -1).replace(/\\(["\\])/g, '$1');
  return kind === 'sign' ? (SAME_SIGN[raw] ?? raw) : raw;
}

/** A name as a rule writes it: without quotes where that is unambiguous. */
export function nameText(name: string): string {
  return PLAIN_NAME.test(name) && !RESERVED.has(name) ? name : quoted(name);
}

export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
