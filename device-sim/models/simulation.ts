/** What every simulated device model has in common: built from a seed, then stepped through time. Pure. */
import { findModel } from '../../contract/devices/catalogue.ts';
import { gaussian, type Random, seededRandom } from '../../contract/kernel/random.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import type { Confounder } from '../confounders.ts';
import type { FaultPlan, SimulatedFault } from '../faults/fault-plan.ts';

export interface SimulationOptions {
  /** Time before the first sample, epoch ms. */
  readonly startAt: number;
  readonly fault?: FaultPlan;
  /** Changes around the machine that are no fault. */
  readonly confounders?: readonly Confounder[];
}

export interface Simulation {
  /**
   * Advances to `time` (epoch ms, rising) and returns what the device measures then,
   * or `undefined` when it reports nothing: it rests and reported lately, or works no more (an engine that came off the wing).
   */
  step(time: number): Signals | undefined;
  /** When its fault reached the end of life; `undefined` while it still works. Truth, not telemetry. */
  failedAt(): number | undefined;
}

/** A model of the catalogue as a generator. The same seed and options give the same signals. */
export type CreateSimulation = (seed: number, options: SimulationOptions) => Simulation;

export interface SimulatedModel {
  /** Model id of the catalogue. */
  readonly id: string;
  /** Between two steps of one device. */
  readonly intervalMs: number;
  readonly faults: readonly SimulatedFault[];
  readonly create: CreateSimulation;
}

/** @throws Error for a model that the catalogue lacks: a simulator without a model is a mistake in the program */
export function intervalOf(modelId: string): number {
  const model = findModel(modelId);
  if (!model) throw new Error(`The catalogue has no model ${modelId}`);
  return model.intervalMs;
}

/** An independent stream of randomness for one purpose of one seed, so that adding a purpose never shifts another. */
export function streamOf(seed: number, purpose: number): Random {
  return seededRandom(Math.imul(seed ^ Math.imul(purpose + 1, 0x9e3779b1), 0x85ebca6b) ^ (seed >>> 13));
}

/** Normal deviate without tails beyond `limitSigma`: units of a production run are inspected, so none is absurd. */
export function boundedGaussian(random: Random, limitSigma = 2.2): number {
  return Math.max(-limitSigma, Math.min(limitSigma, gaussian(random)));
}

/** `middle` with a unit-to-unit spread given as a share of it. */
export function vary(random: Random, middle: number, spread: number): number {
  return middle * (1 + spread * boundedGaussian(random));
}

/** Never −0, which JSON cannot tell from 0. @example roundTo(1.23456, 2) // => 1.23 */
export function roundTo(value: number, decimals: number): number {
  const scale = 10 ** decimals;
  return Math.round(value * scale) / scale + 0;
}
