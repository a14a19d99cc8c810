/** All device models that can be simulated, listed by hand: adding one is one file and one line here. */
import { findModel } from '../../contract/devices/catalogue.ts';
import { createRefrigerator } from './refrigerator.ts';
import type { CreateSimulation } from './simulation.ts';
import { createTurbofan } from './turbofan.ts';

export interface SimulatedModel {
  readonly id: string;
  /** Between two samples of one device. */
  readonly intervalMs: number;
  readonly create: CreateSimulation;
}

const intervalOf = (id: string): number => findModel(id)?.intervalMs ?? 60_000;

export const SIMULATED_MODELS: readonly SimulatedModel[] = [
  { id: 'refrigerator', intervalMs: intervalOf('refrigerator'), create: createRefrigerator },
  { id: 'turbofan', intervalMs: intervalOf('turbofan'), create: createTurbofan },
];

/** by model id */
const BY_ID: ReadonlyMap<string, SimulatedModel> = new Map(SIMULATED_MODELS.map((model) => [model.id, model]));

/** The generator of a model, or `undefined` for one that cannot be simulated. */
export function findSimulatedModel(id: string): SimulatedModel | undefined {
  return BY_ID.get(id);
}
