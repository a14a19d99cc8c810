/** Device models as rules are checked against them: those of the catalogue, and those that only their devices declare. */
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import type { KnownModel } from './check.ts';

export function knownModelOf(model: DeviceModel): KnownModel {
  const components = [...model.signals, ...model.failureModes].map(({ component }) => component);
  return {
    id: model.id,
    signals: new Map(model.signals.map(({ name, kind, unit, component }) => [name, { kind, unit, component }])),
    components: new Set(components),
    failureModes: new Map(model.failureModes.map(({ code, component }) => [code, { component }])),
    faultCodes: new Set(model.faultCodes.map(({ code }) => code)),
  };
}

/** A model that no catalogue describes: its signals are those that its devices declared. */
export function declaredModel(
  id: string,
  signals: Readonly<Record<string, { readonly kind: 'number' | 'boolean' | 'text'; readonly unit: string }>>,
): KnownModel {
  return {
    id,
    signals: new Map(Object.entries(signals).map(([name, signal]) => [name, { ...signal, component: 'device' }])),
    components: new Set(['device']),
    failureModes: new Map(),
    faultCodes: new Set(),
  };
}
