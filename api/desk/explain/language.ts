/** Which of our languages somebody gets. */
import { LANGUAGES, type Language } from '../../../contract/http/explanation.ts';

const MAX_HEADER_CHARS = 500;

/**
 * The language asked for by `lang`, else the one that `Accept-Language` (RFC 9110, 12.5.4) likes best, else English.
 * Every Chinese is answered in Simplified Chinese: better than English.
 * @example chooseLanguage(undefined, 'fr, zh;q=0.8, en;q=0.5') // => 'zh-CN'
 */
export function chooseLanguage(lang: string | undefined, acceptLanguage: string | undefined): Language {
  if (lang !== undefined) return languageOf(lang) ?? LANGUAGES[0];
  const wanted = (acceptLanguage ?? '')
    .slice(0, MAX_HEADER_CHARS)
    .split(',')
    .map(parseRange)
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality);
  for (const { tag } of wanted) {
    const found = languageOf(tag);
    if (found) return found;
  }
  return LANGUAGES[0];
}

function parseRange(range: string): { tag: string; quality: number } {
  const [tag = '', ...parameters] = range.split(';').map((part) => part.trim());
  const quality = parameters.find((one) => /^q=/i.test(one))?.slice(2);
  const parsed = quality === undefined ? 1 : Number(quality);
  return { tag, quality: parsed >= 0 && parsed <= 1 ? parsed : 0 };
}

function languageOf(tag: string): Language | undefined {
  const primary = tag.toLowerCase().split('-')[0];
  return LANGUAGES.find((language) => language.split('-')[0] === primary);
}
