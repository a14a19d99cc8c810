/** What a report still lacks, and which class a fault is of: the class decides the route. */
import { findModel } from '../../contract/devices/catalogue.ts';
import type { INTAKE_ASKS } from '../../contract/http/intake.ts';
import { FAULT_CLASSES, type FaultClass, type SERVICE_KINDS } from '../../contract/http/service-terms.ts';

/** The fault key of what people report: only a diagnosis names a failure mode. */
export const REPORTED = 'reported';
/** The component until somebody knows it. */
export const UNSPECIFIED = 'unspecified';
/** The model of a machine of which nobody said what it is. */
export const UNKNOWN_MODEL = 'unknown';

export interface IntakeFacts {
  readonly model: string;
  readonly serial: string | null;
  readonly device: string | null;
  readonly purchasedOn: string | null;
  readonly hasContact: boolean;
}

/** What is missing is asked for, not guessed. */
export function asksOf(facts: IntakeFacts): (typeof INTAKE_ASKS)[number][] {
  const asks: (typeof INTAKE_ASKS)[number][] = [];
  if (facts.device === null && facts.serial === null && facts.model === UNKNOWN_MODEL) asks.push('modelOrSerial');
  if (facts.purchasedOn === null) asks.push('purchasedOn');
  if (!facts.hasContact) asks.push('contact');
  return asks;
}

export interface ClassifyFacts {
  readonly kind: (typeof SERVICE_KINDS)[number];
  /** The failure mode is one of the catalogue. */
  readonly isKnownFault: boolean;
  /** Somebody reported it; a prediction did not. */
  readonly isReported: boolean;
  /** An earlier ticket of the same fault was finished a short while ago. */
  readonly isRepeated: boolean;
}

export interface Classification {
  readonly faultClass: FaultClass;
  readonly reason: string;
}

/** A repeated fault is one class harder than it looks: what was done the first time did not help. */
export function classify(facts: ClassifyFacts): Classification {
  const first = classOf(facts);
  if (!facts.isRepeated) return first;
  const harder = FAULT_CLASSES[FAULT_CLASSES.indexOf(first.faultClass) + 1];
  return harder ? { faultClass: harder, reason: `repeated; ${first.reason}` } : first;
}

function classOf({ kind, isKnownFault, isReported }: ClassifyFacts): Classification {
  if (kind === 'consult' || kind === 'software_update') return { faultClass: 'general', reason: 'a question of use' };
  if (isKnownFault) return { faultClass: 'common', reason: 'a known failure mode, its parts are known' };
  if (isReported) return { faultClass: 'general', reason: 'reported and not diagnosed: remote help first' };
  return { faultClass: 'difficult', reason: 'the deviation fits no known failure mode' };
}

/** Whether the catalogue knows the failure mode, and with it the parts. */
export function isKnownFault(model: string, faultKey: string): boolean {
  return findModel(model)?.failureModes.some((mode) => mode.code === faultKey) ?? false;
}
