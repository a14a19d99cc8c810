/** Rules over HTTP. Times are epoch ms; docs/rules.md has the grammar. */
import { z } from 'zod';
import { deviceId } from '../kernel/ids.ts';
import { ruleEvidence, severity } from '../ports/findings.ts';
import { ruleId, ruleProblem } from '../ports/rules.ts';

const ruleName = z.string().min(1).max(120);
/** Longer texts are refused with their place like any other mistake. */
const ruleText = z.string().max(8_000);

export const RULE_CHANGES = ['created', 'changed', 'enabled', 'disabled', 'deleted'] as const;

export const ruleView = z.object({
  id: ruleId,
  name: z.string(),
  /** As it was written. */
  text: z.string(),
  /** What runs. */
  canonical: z.string(),
  enabled: z.boolean(),
  /** Rises with every change. */
  version: z.number().int(),
  change: z.enum(RULE_CHANGES),
  changedAt: z.number(),
  /** User id. */
  changedBy: z.string(),
  /** Device models that it is about; absent = any. */
  models: z.array(z.string()).optional(),
  component: z.string(),
  /** Fault key of its alerts. */
  faultKey: z.string(),
  /** Place in the telemetry log from which on it holds; absent while it is on its way there. */
  appliesFrom: z.number().optional(),
});
export type RuleView = z.infer<typeof ruleView>;

export const ruleCreate = z.strictObject({
  id: ruleId,
  name: ruleName,
  text: ruleText,
  enabled: z.boolean().optional(),
});

export const ruleChange = z
  .strictObject({ name: ruleName.optional(), text: ruleText.optional(), enabled: z.boolean().optional() })
  .refine((change) => Object.keys(change).length > 0, 'expected at least one of name, text, enabled');

export const ruleCheck = z.strictObject({ text: ruleText });

export const ruleChecked = z.discriminatedUnion('ok', [
  z.object({
    ok: z.literal(true),
    canonical: z.string(),
    models: z.array(z.string()).optional(),
    component: z.string(),
    /** What may be a mistake and need not be. */
    notes: z.array(z.string()),
  }),
  z.object({ ok: z.literal(false), problems: z.array(ruleProblem) }),
]);
export type RuleChecked = z.infer<typeof ruleChecked>;

export const ruleTry = z.strictObject({
  text: ruleText,
  device: deviceId,
  from: z.iso.datetime({ offset: true }),
  to: z.iso.datetime({ offset: true }),
});

/** An alert that the rule would have made. */
export const triedAlert = z.object({
  severity,
  component: z.string(),
  onset: z.number(),
  raisedAt: z.number(),
  /** Absent = open at the end. */
  clearedAt: z.number().optional(),
  tests: ruleEvidence.shape.tests,
});

export const ruleTried = z.object({
  device: deviceId,
  model: z.string(),
  from: z.number(),
  to: z.number(),
  canonical: z.string(),
  /** Whether the rule is about this device at all. */
  applies: z.boolean(),
  samples: z.number().int(),
  /** There were more samples than are tried at once: device time of the last one that was. */
  truncatedAt: z.number().optional(),
  alerts: z.array(triedAlert),
});
export type RuleTried = z.infer<typeof ruleTried>;
