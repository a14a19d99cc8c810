/** Rules that people write, as they travel between the desk, which keeps them, and analytics, which runs them. */
import { z } from 'zod';
import type { DeviceRef } from '../kernel/ids.ts';
import type { AlertFinding } from './findings.ts';
import type { StoredSample } from './telemetry-store.ts';

/** Rule id within its tenant: `[a-z0-9-]{1,39}`. Its alerts have the fault key `rule:<id>`. */
export const ruleId = z.string().regex(/^[a-z0-9][a-z0-9-]{0,38}$/, 'expected 1–39 of a-z 0-9 -, not first a -');

export const ruleModelSignals = z.record(
  z.string(),
  z.object({ kind: z.enum(['number', 'boolean', 'text']), unit: z.string() }),
);
/** The signals of a rule as one model has them, by name. */
export type RuleModelSignals = z.infer<typeof ruleModelSignals>;

/**
 * What a rule's text was found to mean when it was written: a rule is run with this, so that a catalogue that changes later
 * does not change what it says.
 */
export const ruleBinding = z.object({
  /** by device model; `null` = any model, for rules without signals. */
  models: z.record(z.string(), ruleModelSignals).nullable(),
  /** Component of its alerts. */
  component: z.string(),
});
export type RuleBinding = z.infer<typeof ruleBinding>;

/** One version of a rule, as analytics runs it. */
export const runnableRule = z.object({
  id: ruleId,
  version: z.number().int().positive(),
  name: z.string(),
  /** The rule in its canonical form. */
  text: z.string(),
  binding: ruleBinding,
});
export type RunnableRule = z.infer<typeof runnableRule>;

/** What is wrong in a rule's text, and where. */
export const ruleProblem = z.object({
  /** From 1. */
  line: z.number().int(),
  /** From 1, in characters. */
  column: z.number().int(),
  /** Characters that are wrong; 0 at the end of the text. */
  length: z.number().int(),
  message: z.string(),
  /** What could stand there instead. */
  expected: z.array(z.string()),
  /** The name that was probably meant. */
  nearest: z.string().optional(),
});
export type RuleProblem = z.infer<typeof ruleProblem>;

/** Fault key of a rule's alerts. */
export function ruleFaultKey(id: string): string {
  return `rule:${id}`;
}

/** A device model that no catalogue describes, as its devices declared it. */
export interface DeclaredModel {
  readonly id: string;
  /** by signal */
  readonly signals: Readonly<Record<string, { readonly kind: 'number' | 'boolean' | 'text'; readonly unit: string }>>;
}

export type RuleVerdict =
  | {
      readonly kind: 'rule';
      readonly canonical: string;
      readonly binding: RuleBinding;
      /** What may be a mistake and need not be. */
      readonly notes: readonly string[];
    }
  | { readonly kind: 'problems'; readonly problems: readonly RuleProblem[] };

/** A rule on recorded samples of one device. */
export interface RuleTrial {
  /** Samples in the order of device time. */
  take(sample: StoredSample): void;
  /** Everything that the rule would have said, up to the last sample. */
  findings(): readonly AlertFinding[];
}

/** What the desk needs of whoever understands rules. */
export interface RuleTools {
  /** Reads and checks a rule's text against the catalogue and `declared`. Never throws. */
  check(text: string, declared: readonly DeclaredModel[]): RuleVerdict;
  /** `undefined` = the rule is not about this device. */
  trial(
    rule: RunnableRule,
    device: DeviceRef & { readonly model: string; readonly firmware?: string },
  ): RuleTrial | undefined;
}
