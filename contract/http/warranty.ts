/**
 * Warranty: the terms as data, what people note about a claim, and the decision with its reasons. The system weighs terms, dates and
 * history; whether something was misuse is decided by a person.
 */
import { z } from 'zod';

export const COVERED_ITEMS = ['unit', 'core_part', 'accessory', 'consumable'] as const;
/** What ends a claim when a person finds it. */
export const EXCLUSIONS = [
  'unauthorised_opening',
  'modification',
  'human_damage',
  'liquid',
  'natural_disaster',
  'supply_voltage',
  'cosmetic_wear',
  'consumable',
  'customisation',
] as const;
export const PROOFS = ['invoice', 'registration', 'warranty_card', 'none'] as const;
export const USAGE_COUNTERS = ['km', 'h', 'cycle'] as const;

const usage = z.strictObject({ counter: z.enum(USAGE_COUNTERS), value: z.number().nonnegative() });

export const warrantyClause = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'lower case letters, digits and dashes'),
    name: z.strictObject({ en: z.string().min(1).max(200), 'zh-CN': z.string().min(1).max(200) }),
    item: z.enum(COVERED_ITEMS),
    /** Absent: every one. */
    models: z.array(z.string().min(1).max(64)).min(1).optional(),
    components: z.array(z.string().min(1).max(64)).min(1).optional(),
    regions: z.array(z.string().min(1).max(16)).min(1).optional(),
    months: z.number().int().min(1).max(600),
    /** Whichever is reached first. */
    usage: usage.optional(),
    /** `repair`: counts from the repair or replacement of the component. */
    from: z.enum(['purchase', 'repair']).default('purchase'),
    needsProof: z.boolean().default(true),
    /** Law: no other clause can take it away. */
    statutory: z.boolean().default(false),
    /** Purchases from … until, whichever the clause was in force for. */
    effectiveFrom: z.iso.date(),
    effectiveUntil: z.iso.date().optional(),
    /** Where it is written. */
    source: z.string().min(1).max(300).optional(),
  })
  .refine(({ effectiveFrom, effectiveUntil }) => effectiveUntil === undefined || effectiveFrom <= effectiveUntil, {
    message: 'it ends after it begins',
    path: ['effectiveUntil'],
  });
export type WarrantyClause = z.infer<typeof warrantyClause>;

/** A right of the customer to more than a repair, once a count is reached. */
export const customerRight = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/),
  name: z.strictObject({ en: z.string().min(1).max(200), 'zh-CN': z.string().min(1).max(200) }),
  models: z.array(z.string().min(1).max(64)).min(1).optional(),
  regions: z.array(z.string().min(1).max(16)).min(1).optional(),
  /** Counted over one machine within the span below. */
  counts: z.enum(['repairsOfSameFault', 'daysInRepair', 'daysOfThisRepair']),
  /** The right exists once the count is greater than this. */
  beyond: z.number().nonnegative(),
  withinMonths: z.number().int().min(1).max(600),
  usage: usage.optional(),
  grants: z.enum(['replacement', 'refund', 'replacement_or_refund', 'loaner']),
  effectiveFrom: z.iso.date(),
  source: z.string().min(1).max(300).optional(),
});
export type CustomerRight = z.infer<typeof customerRight>;

export const warrantyTerms = z
  .strictObject({
    /** Whose law counts, where a centre does not say otherwise. */
    region: z.string().min(1).max(16),
    /** By centre. */
    regions: z.record(z.string().min(1).max(64), z.string().min(1).max(16)).default({}),
    clauses: z.array(warrantyClause).max(500),
    rights: z.array(customerRight).max(100).default([]),
  })
  .refine(({ clauses }) => new Set(clauses.map((one) => one.id)).size === clauses.length, {
    message: 'each id once',
    path: ['clauses'],
  });
export type WarrantyTerms = z.infer<typeof warrantyTerms>;

/** What a person adds to a claim. Later notes add to and correct earlier ones; all are kept. */
export const warrantyNote = z
  .strictObject({
    purchasedOn: z.iso.date().optional(),
    proof: z.enum(PROOFS).optional(),
    item: z.enum(COVERED_ITEMS).optional(),
    usage: usage.optional(),
    /** What was seen that ends the claim, or `none` after an appeal. */
    finding: z.enum([...EXCLUSIONS, 'none']).optional(),
    /** The customer disagrees: a manager has to look again. */
    appeal: z.boolean().optional(),
    /** Share of the cost that is taken over although nothing obliges to; a manager's decision. */
    goodwillShare: z.number().min(0).max(1).optional(),
    reason: z.string().min(1).max(1_000),
  })
  .refine(
    ({ reason: _, ...facts }) => Object.values(facts).some((value) => value !== undefined),
    'note at least one fact',
  );
export type WarrantyNote = z.infer<typeof warrantyNote>;

export const WARRANTY_OUTCOMES = ['in_warranty', 'out_of_warranty', 'excluded', 'needs_proof'] as const;

export const weighedClause = z.object({
  clause: z.string(),
  name: z.string(),
  statutory: z.boolean(),
  covers: z.boolean(),
  /** In words: until when, or why not. */
  reason: z.string(),
  until: z.string().optional(),
});

export const weighedRight = z.object({
  right: z.string(),
  name: z.string(),
  grants: customerRight.shape.grants,
  count: z.number(),
  beyond: z.number(),
  /** `near`: the next repair or the next days reach it. */
  state: z.enum(['far', 'near', 'reached']),
});

export const warrantyDecision = z.object({
  outcome: z.enum(WARRANTY_OUTCOMES),
  exclusion: z.enum(EXCLUSIONS).optional(),
  /** A manager has to look again. */
  underAppeal: z.boolean(),
  goodwillShare: z.number(),
  /** Clause that covers, the one that lasts longest. */
  clause: z.string().optional(),
  until: z.string().optional(),
  weighed: z.array(weighedClause),
  rights: z.array(weighedRight),
});
export type WarrantyDecision = z.infer<typeof warrantyDecision>;

export const warrantyView = warrantyDecision.extend({
  termsVersion: z.number().int(),
  region: z.string(),
  notes: z.array(z.object({ at: z.number(), by: z.string(), note: warrantyNote })),
});
export type WarrantyView = z.infer<typeof warrantyView>;
