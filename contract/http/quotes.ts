/** Quotes: what a repair costs, line by line, and the customer's word on it. Money is in minor units (cents, fen). */
import { z } from 'zod';

export const QUOTE_LINE_KINDS = ['part', 'labour', 'travel', 'other'] as const;
export const QUOTE_STATES = ['sent', 'authorised', 'declined', 'superseded', 'expired'] as const;
export type QuoteState = (typeof QUOTE_STATES)[number];

/** Nothing that a repair costs is larger; keeps every sum an exact integer. */
const MAX_MINOR = 1_000_000_000;

export const quoteLine = z.strictObject({
  id: z.string().regex(/^[a-z0-9-]{1,32}$/, 'lower case letters, digits and dashes'),
  kind: z.enum(QUOTE_LINE_KINDS),
  text: z.string().min(1).max(200),
  /** Pieces, or hours in quarters. */
  quantity: z.number().positive().max(10_000).multipleOf(0.25),
  unitPrice: z.number().int().min(0).max(MAX_MINOR),
  /** Hundredths of a percent: 1900 = 19 %. */
  taxBasisPoints: z.number().int().min(0).max(10_000),
  /** The customer may leave it out. */
  optional: z.boolean().default(false),
});
export type QuoteLine = z.infer<typeof quoteLine>;

const quoteFields = z.strictObject({
  currency: z.string().regex(/^[A-Z]{3}$/, 'three letters of ISO 4217'),
  lines: z.array(quoteLine).min(1).max(100),
  /** How long the repair is expected to take once it is authorised; becomes a clock. */
  durationHours: z.number().positive().max(10_000),
  validDays: z.number().int().min(1).max(365).default(14),
  note: z.string().min(1).max(1_000).optional(),
});

export const quoteDraft = quoteFields.refine(
  ({ lines }) => new Set(lines.map((line) => line.id)).size === lines.length,
  {
    message: 'each id once',
    path: ['lines'],
  },
);
export type QuoteDraft = z.infer<typeof quoteDraft>;

export const quoteTotals = z.object({ net: z.number().int(), tax: z.number().int(), gross: z.number().int() });
export type QuoteTotals = z.infer<typeof quoteTotals>;

export const quoteAnswer = z.strictObject({
  decision: z.enum(['authorise', 'decline']),
  /** Optional lines that are wanted; all of them when absent. */
  optionalLines: z.array(z.string().max(32)).max(100).optional(),
  /** Who decides, as the customer writes the name. */
  name: z.string().min(1).max(120),
  note: z.string().min(1).max(1_000).optional(),
});
export type QuoteAnswer = z.infer<typeof quoteAnswer>;

export const givenAnswer = quoteAnswer.extend({
  at: z.number(),
  /** Through the link, or told to a user (his id) who noted it. */
  by: z.string(),
  /** Lines that are authorised, and what they cost. */
  lines: z.array(z.string()),
  totals: quoteTotals,
});

export const quote = quoteFields.extend({
  ticket: z.string(),
  version: z.number().int(),
  state: z.enum(QUOTE_STATES),
  createdAt: z.number(),
  validUntil: z.number(),
  totals: quoteTotals,
  answer: givenAnswer.optional(),
});
export type Quote = z.infer<typeof quote>;

/** The link is shown once: only its hash is kept. */
export const sentQuote = quote.extend({ link: z.string() });

/** What the customer sees: nothing of the ticket but what the quote is about. */
export const publicQuote = quote.omit({ version: true }).extend({ title: z.string(), centre: z.string() });
