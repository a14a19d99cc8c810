/** When a fault begins, how fast it grows and when it ends the machine's life. Pure. */
import { findModel } from '../../contract/devices/catalogue.ts';
import type { FailureMode } from '../../contract/devices/device-model.ts';

/** A fault of a simulated model; `code` is that of its failure mode in the catalogue. */
export interface SimulatedFault {
  readonly code: string;
}

export interface FaultPlan {
  /** Code of a failure mode of the catalogue. */
  readonly faultKey: string;
  /** Severity is 0 until then, epoch ms. */
  readonly onsetAt: number;
  /** Severity reaches 1 then: the planned end of life, epoch ms. */
  readonly failsAt: number;
  /** `step`: all at once at the onset. */
  readonly curve: 'linear' | 'exponential' | 'step';
  /** How much an exponential curve bends: its last slope is e^steepness times its first. */
  readonly steepness?: number;
  /** Severity at `failsAt`, 0..1; default 1. Below 1 the fault stays there and the machine lives on; 0 is no fault at all. */
  readonly peak?: number;
}

const DEFAULT_STEEPNESS = 2.5;
/** A fault goes on growing after the planned end, so that a machine which the season spared still fails. */
export const MAX_SEVERITY = 1.25;

/**
 * Severity at `time`: 0 before the onset, 1 (or the plan's peak) at the planned failure, at most 1.25 after it.
 * @example severityAt({ faultKey: 'x', onsetAt: 0, failsAt: 10, curve: 'linear' }, 5) // => 0.5
 */
export function severityAt(plan: FaultPlan | undefined, time: number): number {
  if (!plan || time <= plan.onsetAt) return 0;
  const { peak } = plan;
  return peak === undefined || peak >= 1 ? growth(plan, time) : peak * Math.min(1, growth(plan, time));
}

/** 0..1.25, 1 at the planned failure. */
function growth(plan: FaultPlan, time: number): number {
  if (plan.curve === 'step') return 1;
  const share = (time - plan.onsetAt) / Math.max(1, plan.failsAt - plan.onsetAt);
  if (plan.curve === 'linear') return Math.min(MAX_SEVERITY, share);
  const steepness = plan.steepness ?? DEFAULT_STEEPNESS;
  return Math.min(MAX_SEVERITY, Math.expm1(steepness * share) / Math.expm1(steepness));
}

/** The failure mode of the catalogue behind a plan; a code that the model lacks is a mistake in the program. */
export function failureModeOf(modelId: string, faultKey: string): FailureMode {
  const mode = findModel(modelId)?.failureModes.find((candidate) => candidate.code === faultKey);
  if (!mode) throw new Error(`Model ${modelId} has no failure mode ${faultKey}`);
  return mode;
}

/** The limit at which the catalogue says that life ends. */
export function endOfLifeLimit(modelId: string, faultKey: string): number {
  const limit = failureModeOf(modelId, faultKey).endOfLife?.limit;
  if (limit === undefined) throw new Error(`Failure mode ${faultKey} of ${modelId} has no end of life`);
  return limit;
}
