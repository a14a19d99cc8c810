/**
 * Why an alert is there, in words. Each line has a key and typed parameters, so that another program can say it its own
 * way, and the text in the language that was asked for.
 */
import { z } from 'zod';
import { isTimeZone } from '../kernel/zone.ts';

/** Languages that people are spoken to in; the first is used when none of them was asked for. */
export const LANGUAGES = ['en', 'zh-CN'] as const;
export const language = z.enum(LANGUAGES);
export type Language = z.infer<typeof language>;

/** What a line is about, in the order in which the lines come. */
export const EXPLANATION_TOPICS = [
  'summary',
  'because',
  'since',
  'cause',
  'reported',
  'outlook',
  'sure',
  'similar',
  'clears',
  'source',
] as const;

/** One value of a line. A `text` comes from a device or from outside the catalogue; it is data, never words of ours. */
export const explanationParam = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('number'), value: z.number(), unit: z.string() }),
  /** 0..1 */
  z.object({ kind: z.literal('share'), value: z.number() }),
  z.object({ kind: z.literal('count'), value: z.number() }),
  /** Epoch ms. */
  z.object({ kind: z.literal('time'), at: z.number() }),
  z.object({ kind: z.literal('duration'), ms: z.number() }),
  z.object({ kind: z.literal('cycles'), value: z.number() }),
  z.object({ kind: z.literal('signal'), id: z.string() }),
  z.object({ kind: z.literal('component'), id: z.string() }),
  z.object({ kind: z.literal('fault'), id: z.string() }),
  z.object({ kind: z.literal('cause'), id: z.string() }),
  z.object({ kind: z.literal('effect'), id: z.string() }),
  z.object({ kind: z.literal('faultCode'), id: z.string() }),
  z.object({ kind: z.literal('method'), id: z.string() }),
  z.object({ kind: z.literal('text'), text: z.string() }),
]);
export type ExplanationParam = z.infer<typeof explanationParam>;

export const explanationLine = z.object({
  topic: z.enum(EXPLANATION_TOPICS),
  /** Stable name of the sentence, for example `because.above`. */
  key: z.string(),
  /** by placeholder of the sentence */
  params: z.record(z.string(), explanationParam),
  /** Device-supplied parts in scripts other than ours stand between U+2068 and U+2069, so that they turn nothing round. */
  text: z.string(),
});
export type ExplanationLine = z.infer<typeof explanationLine>;

export const explanation = z.object({
  language,
  /** IANA zone in which times are written. */
  timeZone: z.string(),
  lines: z.array(explanationLine),
});
export type Explanation = z.infer<typeof explanation>;

/** How somebody wants to be spoken to. Without `lang` the `Accept-Language` of the request decides. */
export const speechQuery = z.object({
  /** BCP 47, for example `zh-CN`. English when it is none of ours. */
  lang: z
    .string()
    .regex(/^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,7}$/, 'expected a language tag such as zh-CN')
    .optional(),
  /** IANA time zone, for example `Europe/Berlin`; UTC when absent. */
  timeZone: z.string().min(1).max(64).refine(isTimeZone, 'expected a time zone such as Europe/Berlin').optional(),
});
export type SpeechQuery = z.infer<typeof speechQuery>;
