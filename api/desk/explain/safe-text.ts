/** Text that a device chose, made harmless for a sentence: it may not hide, turn round, overgrow or break what stands around it. */

/**
 * Controls, bidirectional marks, zero-width and tag characters, line separators, private use, halves of surrogate pairs:
 * everything that is not seen and changes what is.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u115f\u1160\u3164\uffa0]|\u034f|\u17b4|\u17b5/gu;
const LINE_BREAK = /[\t\n\v\f\r\u0085\u2028\u2029]/g;
/** More than three marks on one letter grow into the lines above and below. */
const PILED_MARKS = /(\p{M}{3})\p{M}+/gu;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

const FIRST_STRONG_ISOLATE = '\u2068';
const POP_ISOLATE = '\u2069';

/**
 * The text on one line, without unseen characters, cut to `maxChars` characters with `…` at the end.
 * @example safeText('temp\u202eC\n', 10) // => 'tempC'
 */
export function safeText(text: string, maxChars = 64): string {
  // Far more than is kept, so that a long text costs nothing.
  const seen = text
    .slice(0, maxChars * 8)
    .replace(LINE_BREAK, ' ')
    .replace(UNSEEN, '')
    .replace(/\s+/gu, ' ')
    .replace(PILED_MARKS, '$1')
    .trim();
  const chars = [...seen];
  return chars.length <= maxChars ? seen : `${chars.slice(0, maxChars - 1).join('')}…`;
}

/** The same as part of a sentence: what is written from right to left is set apart, so that it keeps its place. */
export function isolated(text: string, maxChars?: number): string {
  const safe = safeText(text, maxChars);
  return RIGHT_TO_LEFT.test(safe) ? `${FIRST_STRONG_ISOLATE}${safe}${POP_ISOLATE}` : safe;
}
