/**
 * Turns a machine — its physics and what it measures — into a simulated model: seeds, settling, the growing fault, the
 * circumstances, and fewer reports while it rests are the same for all machines and live here. Pure.
 */
import { MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import { type Circumstances, circumstancesAt } from '../confounders.ts';
import { type FaultPlan, type SimulatedFault, severityAt } from '../faults/fault-plan.ts';
import { intervalOf, type SimulatedModel, type Simulation, type SimulationOptions } from './simulation.ts';

/** A fault as wear: numbers that the physics reads. The model knows the wear, not the faults. */
export interface WearFault<Wear> extends SimulatedFault {
  /** Wear at `severity` (above 0, at most 1); `failed` = at and after the end of life. What it leaves out is healthy. */
  wear(severity: number, failed: boolean): Partial<Wear>;
}

export interface Machine<Wear> {
  /** Advances the physics to `time` (epoch ms, rising). */
  advance(time: number, wear: Wear, around: Circumstances): void;
  /** Id of the operating mode now. */
  mode(): string;
  /** What the sensors read now. */
  measure(wear: Wear, around: Circumstances): Signals;
}

export interface SimulationRecipe<Wear extends object> {
  readonly id: string;
  readonly faults: readonly WearFault<Wear>[];
  readonly healthy: Wear;
  /** Played before the first sample, so that temperatures and counters have settled. */
  readonly settleMs: number;
  /** In these modes it reports every {@link REST_REPORT_MS} only. */
  readonly restModes: readonly string[];
  /** A machine at `time` (epoch ms), the same for the same seed. */
  build(seed: number, time: number): Machine<Wear>;
}

/** How often a machine at rest reports: batteries and radio links are saved, and it is still known to be there. */
export const REST_REPORT_MS = 15 * MINUTE_MS;

/** A simulated model of the catalogue from its recipe. */
export function defineSimulation<Wear extends object>(recipe: SimulationRecipe<Wear>): SimulatedModel {
  const intervalMs = intervalOf(recipe.id);
  return {
    id: recipe.id,
    intervalMs,
    faults: recipe.faults,
    create: (seed, options) => simulate(recipe, seed, options, intervalMs),
  };
}

function simulate<Wear extends object>(
  recipe: SimulationRecipe<Wear>,
  seed: number,
  { startAt, fault: plan, confounders }: SimulationOptions,
  intervalMs: number,
): Simulation {
  const fault = faultOf(recipe, plan);
  const machine = recipe.build(seed, startAt - recipe.settleMs);
  const reportsNow = createReporting(recipe.restModes);
  let failedAt: number | undefined;

  const wearAt = (time: number): Wear => {
    const severity = severityAt(plan, time);
    if (!fault || severity === 0) return recipe.healthy;
    if (severity >= 1) failedAt ??= time;
    return { ...recipe.healthy, ...fault.wear(Math.min(1, severity), failedAt !== undefined) };
  };
  for (let time = startAt - recipe.settleMs + intervalMs; time <= startAt; time += intervalMs) {
    machine.advance(time, wearAt(time), circumstancesAt(confounders, time));
  }
  return {
    step(time) {
      const wear = wearAt(time);
      const around = circumstancesAt(confounders, time);
      machine.advance(time, wear, around);
      return reportsNow(time, machine.mode()) ? machine.measure(wear, around) : undefined;
    },
    failedAt: () => failedAt,
  };
}

function faultOf<Wear extends object>(recipe: SimulationRecipe<Wear>, plan: FaultPlan | undefined) {
  if (!plan) return undefined;
  const fault = recipe.faults.find((candidate) => candidate.code === plan.faultKey);
  if (!fault) throw new Error(`Model ${recipe.id} has no simulated fault ${plan.faultKey}`);
  return fault;
}

/** A change of mode is always reported; while it rests, so is every quarter of an hour. */
function createReporting(restModes: readonly string[]): (time: number, mode: string) => boolean {
  let lastMode: string | undefined;
  let lastAt = Number.NEGATIVE_INFINITY;
  return (time, mode) => {
    if (mode === lastMode && restModes.includes(mode) && time - lastAt < REST_REPORT_MS) return false;
    lastMode = mode;
    lastAt = time;
    return true;
  };
}

/**
 * A signal on its way to the limit at which the catalogue says that life ends: at `share` 1 it stands there, whatever the unit.
 * @example towards(2, 12, 0.5) // => 7
 */
export function towards(healthy: number, limit: number, share: number): number {
  return share === 0 ? healthy : healthy + share * (limit - healthy);
}
