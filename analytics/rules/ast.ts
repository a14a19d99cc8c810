/** What a rule says, as a tree. Plain JSON; `at` is where in the text it stood, in characters, and means nothing else. */
import type { Severity } from '../../contract/ports/findings.ts';

export type Comparison = '>' | '>=' | '<' | '<=' | '=' | '!=';

/** A number with the unit that was written; `null` = the signal's own. */
export interface Quantity {
  readonly value: number;
  readonly unit: string | null;
  readonly at: number;
}

/** Once true, a test stays true until this: the dead band. */
export interface Release {
  readonly comparison: Comparison;
  readonly limit: Quantity;
}

/** Days of the week, 1 = Monday … 7 = Sunday, and minutes of the day in the zone; `to` ≤ `from` reaches into the next day. */
export interface Schedule {
  readonly days: readonly number[];
  readonly from: number;
  readonly to: number;
  readonly zone: string;
}

export type Condition =
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Condition[] }
  | { readonly kind: 'not'; readonly part: Condition }
  | { readonly kind: 'for'; readonly part: Condition; readonly ms: number; readonly at: number }
  | {
      readonly kind: 'number';
      readonly signal: string;
      readonly comparison: Comparison;
      readonly limit: Quantity;
      readonly until: Release | null;
      readonly at: number;
    }
  | {
      readonly kind: 'rate';
      readonly signal: string;
      readonly comparison: Comparison;
      readonly limit: Quantity;
      /** The limit is a change in this time. */
      readonly perMs: number;
      /** Over which the slope is taken. */
      readonly overMs: number;
      readonly until: Release | null;
      readonly at: number;
    }
  | {
      readonly kind: 'text';
      readonly signal: string;
      readonly comparison: '=' | '!=';
      readonly text: string;
      readonly at: number;
    }
  | { readonly kind: 'is'; readonly signal: string; readonly at: number }
  | {
      readonly kind: 'count';
      readonly part: Condition;
      readonly comparison: Comparison;
      readonly times: number;
      readonly withinMs: number;
      readonly at: number;
    }
  /** `signal` null = no sample at all. */
  | { readonly kind: 'silent'; readonly signal: string | null; readonly ms: number; readonly at: number }
  | { readonly kind: 'fault' | 'event'; readonly code: string; readonly at: number }
  | { readonly kind: 'during'; readonly schedule: Schedule; readonly at: number };

export interface Name {
  readonly name: string;
  readonly at: number;
}

/** Devices that all of the given lists hold; an empty list asks for nothing. */
export interface Scope {
  readonly models: readonly Name[];
  readonly devices: readonly Name[];
  /** `*` stands for any characters. */
  readonly firmwares: readonly Name[];
}

export interface Outcome {
  readonly severity: Severity;
  /** The first that fits a device counts for it. */
  readonly exceptions: readonly { readonly severity: Severity; readonly on: Scope }[];
  readonly component: Name | null;
  /** Code of a failure mode of the catalogue. */
  readonly failure: Name | null;
  /** The condition must be false for so long before the alert is cleared. */
  readonly clearAfterMs: number;
  /** How long the last value of a signal counts; `null` = by default. */
  readonly holdMs: number | null;
}

export interface Rule {
  readonly on: Scope;
  readonly when: Condition;
  readonly outcome: Outcome;
}
