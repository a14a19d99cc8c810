/** All device models; the list is models.ts. */
import type { DeviceModel, SignalSpec } from './device-model.ts';
import * as models from './models.ts';

export const DEVICE_MODELS: readonly DeviceModel[] = Object.values(models);

/** by model id */
const BY_ID: ReadonlyMap<string, DeviceModel> = new Map(DEVICE_MODELS.map((model) => [model.id, model]));
/** by model id, then signal name */
const SIGNALS: ReadonlyMap<string, ReadonlyMap<string, SignalSpec>> = new Map(
  DEVICE_MODELS.map((model) => [model.id, new Map(model.signals.map((signal) => [signal.name, signal]))]),
);
const NO_SIGNALS: ReadonlyMap<string, SignalSpec> = new Map();

/** The model, or `undefined` for a device whose model is not in the catalogue (only its birth describes it then). */
export function findModel(id: string): DeviceModel | undefined {
  return BY_ID.get(id);
}

/** Signals of a model by name; empty for an unknown model. */
export function signalsOf(modelId: string): ReadonlyMap<string, SignalSpec> {
  return SIGNALS.get(modelId) ?? NO_SIGNALS;
}
