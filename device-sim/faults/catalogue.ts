/** All faults that can be simulated, by the models that have them. */
import { SIMULATED_MODELS } from '../models/catalogue.ts';

/** Model id of each fault code that can be simulated; a code belongs to one model only. */
export const FAULT_MODELS: ReadonlyMap<string, string> = new Map(
  SIMULATED_MODELS.flatMap((model) => model.faults.map((fault) => [fault.code, model.id] as const)),
);
