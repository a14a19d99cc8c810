/**
 * What the parts of a device are called in a language. What the catalogue does not know was named by a device or by a
 * rule: it is shown as it is, made harmless.
 */
import { findModel } from '../../../contract/devices/catalogue.ts';
import type { DeviceModel, ModelWords } from '../../../contract/devices/device-model.ts';
import type { Language } from '../../../contract/http/explanation.ts';
import { componentWords } from '../words.ts';
import { isolated } from './safe-text.ts';

/** Lookups by code or name; each answers something that can be shown. */
export interface DeviceNames {
  signal(name: string): string;
  component(id: string): string;
  /** `undefined` when the catalogue has no such failure mode. */
  fault(code: string): string | undefined;
  cause(code: string): string | undefined;
  effect(code: string): string | undefined;
  /** Text of a fault code that the device sends. */
  faultCode(code: string): string | undefined;
}

/** Names of the model in `language`; in English where a model has no words of that language. */
export function deviceNames(modelId: string, language: Language): DeviceNames {
  const model = findModel(modelId);
  const words = model && wordsOf(model, language);
  return {
    signal: (name) => own(words?.signals, name) ?? isolated(name),
    component: (id) => own(words?.components, id) ?? isolated(componentWords(id)),
    fault: (code) => own(words?.failureModes, code)?.name,
    cause: (code) => own(words?.failureModes, code)?.cause,
    effect: (code) => own(words?.failureModes, code)?.effect,
    faultCode: (code) => own(words?.faultCodes, code),
  };
}

/** A device may call a signal `constructor`. */
function own<Value>(words: Readonly<Record<string, Value>> | undefined, key: string): Value | undefined {
  return words && Object.hasOwn(words, key) ? words[key] : undefined;
}

/** Names of a model of the catalogue; in English where it has no words of that language. */
export function wordsOf(model: DeviceModel, language: Language): ModelWords {
  return language === 'en' ? englishWords(model) : (model.words?.[language] ?? englishWords(model));
}

/** The labels of the catalogue itself, in the shape of a translation. */
export function englishWords(model: DeviceModel): ModelWords {
  const components = new Set([...model.signals, ...model.failureModes].map((one) => one.component));
  return {
    name: model.name,
    modes: Object.fromEntries(model.modes.map(({ id, name }) => [id, name])),
    signals: Object.fromEntries(model.signals.map(({ name, label }) => [name, label])),
    components: Object.fromEntries([...components].map((id) => [id, componentWords(id)])),
    failureModes: Object.fromEntries(
      model.failureModes.map(({ code, name, cause, effect }) => [code, { name, cause, effect }]),
    ),
    faultCodes: Object.fromEntries(model.faultCodes.map(({ code, text }) => [code, text])),
    parts: Object.fromEntries(
      model.failureModes.flatMap(({ parts }) => parts.map(({ number, name }) => [number, name])),
    ),
  };
}
