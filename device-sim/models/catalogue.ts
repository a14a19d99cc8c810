/** All device models that can be simulated; the list is models.ts. */
import * as models from './models.ts';
import type { SimulatedModel } from './simulation.ts';

export type { SimulatedModel } from './simulation.ts';

export const SIMULATED_MODELS: readonly SimulatedModel[] = Object.values(models);

/** by model id */
const BY_ID: ReadonlyMap<string, SimulatedModel> = new Map(SIMULATED_MODELS.map((model) => [model.id, model]));

/** The generator of a model, or `undefined` for one that cannot be simulated. */
export function findSimulatedModel(id: string): SimulatedModel | undefined {
  return BY_ID.get(id);
}
