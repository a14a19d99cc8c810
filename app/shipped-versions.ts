/** What this program brings for the registry, with the fitted models that the configuration names. */
import { readFileSync } from 'node:fs';
import { parseModel } from '../analytics/prognosis/model-file.ts';
import { type FittedFacts, shippedVersions } from '../analytics/registry/shipped.ts';
import { DEVICE_MODELS } from '../contract/devices/catalogue.ts';
import type { ShippedVersion } from '../contract/ports/versions.ts';

/** @throws AppError MODEL_FILE_INVALID */
export function versionsOfThisBuild(prognosisModels: Readonly<Record<string, string>>): readonly ShippedVersion[] {
  const fitted = Object.entries(prognosisModels).map(([model, path]) => [model, fittedFacts(path)] as const);
  return shippedVersions(DEVICE_MODELS, new Map(fitted));
}

function fittedFacts(path: string): FittedFacts {
  const { name, version, trainedOn, metrics } = parseModel(readFileSync(path, 'utf8'), path);
  return { name, version, training: trainedOn, metrics };
}
