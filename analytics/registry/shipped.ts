/** What this program brings for the registry: an ensemble for each device model and for all others, and prognosis models. */
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import type { VersionName } from '../../contract/ports/findings.ts';
import { OTHER_MODELS, type ShippedVersion, type TrainingFacts } from '../../contract/ports/versions.ts';
import { createTrendPrognoser } from '../prognosis/trend.ts';
import { shippedEnsemble } from './ensemble.ts';

/** A fitted model as the registry wants to know it. */
export interface FittedFacts extends VersionName {
  readonly training: TrainingFacts;
  readonly metrics: Readonly<Record<string, number>>;
}

/** @param fitted models that the configuration names, by device model id */
export function shippedVersions(
  models: readonly DeviceModel[],
  fitted: ReadonlyMap<string, FittedFacts>,
): readonly ShippedVersion[] {
  const ensemble = (model: string): ShippedVersion => ({
    ...shippedEnsemble(),
    kind: 'ensemble',
    model,
    note: 'all detectors of this build with its defaults',
  });
  return [
    ...models.map(({ id }) => ensemble(id)),
    ensemble(OTHER_MODELS),
    ...models.flatMap((model) => prognosesOf(model, fitted.get(model.id))),
  ];
}

/** The first is active. A fitted model has the trend beside it, for what it says nothing about. */
function prognosesOf(model: DeviceModel, fitted: FittedFacts | undefined): readonly ShippedVersion[] {
  const { name, version } = createTrendPrognoser(model);
  const trend: ShippedVersion = {
    ...{ kind: 'prognosis', model: model.id, name, version },
    parts: [{ name, version }],
    note: 'the trend of each signal towards its limit; needs no training',
  };
  if (!fitted) return [trend];
  const { training, metrics } = fitted;
  const own = { name: fitted.name, version: fitted.version };
  const note = 'fitted on run-to-failure histories; configured by prognosisModels';
  return [{ ...own, kind: 'prognosis', model: model.id, parts: [own, ...trend.parts], note, training, metrics }, trend];
}
