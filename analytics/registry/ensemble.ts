/** The ensemble of detectors that this build brings, as a version of the registry, and what its parameters mean here. */
import type { VersionName } from '../../contract/ports/findings.ts';
import type { EnsembleParameters, RunnableVersion } from '../../contract/ports/versions.ts';
import { stableId } from '../alerts/identity.ts';
import { type AlertPolicy, DEFAULT_POLICY } from '../alerts/policy.ts';
import { DEVICE_DETECTORS } from '../detectors/registry.ts';
import { DRIFT_DETECTOR, RESIDUAL_DETECTOR } from '../detectors/signal-monitor.ts';

export const ENSEMBLE = 'ensemble';

/** Detectors that can raise an alert, by the versions that their own files name. */
export const ENSEMBLE_PARTS: readonly VersionName[] = [RESIDUAL_DETECTOR, DRIFT_DETECTOR, ...DEVICE_DETECTORS].map(
  ({ name, version }) => ({ name, version }),
);

/** A version of the ensemble with all that is needed to run it. */
export interface EnsembleVersion extends RunnableVersion {
  readonly parameters: EnsembleParameters;
}

/** What the build ships: all detectors under `policy`. Other detectors or other defaults make another version. */
export function shippedEnsemble(policy: AlertPolicy = DEFAULT_POLICY): EnsembleVersion {
  const parts = [...ENSEMBLE_PARTS];
  const parameters = { ...tunedOf(policy), detectors: parts.map(({ name }) => name) };
  return { name: ENSEMBLE, version: `build-${partsHash(parts, parameters)}`, parameters, parts };
}

/** What a version says of the alert policy. Flapping, silence and exceptions concern people, not detectors: they stay outside. */
function tunedOf(policy: AlertPolicy): Omit<EnsembleParameters, 'detectors'> {
  const { alertsPer1000DeviceDays, onSamples, onMs, offSamples, offMs, clearShare, confirmSamples } = policy;
  const { foreseenPredictions, warnHorizon, updateEverySamples, adoptAfterMs } = policy;
  return {
    ...{ alertsPer1000DeviceDays, onSamples, onMs, offSamples, offMs, clearShare, confirmSamples },
    ...{ foreseenPredictions, warnHorizon: { ...warnHorizon }, updateEverySamples, adoptAfterMs },
  };
}

/** The alert policy of a version: its parameters over what holds here for all. */
export function policyOf(
  { detectors: _, ...tuned }: EnsembleParameters,
  base: AlertPolicy = DEFAULT_POLICY,
): AlertPolicy {
  return { ...base, ...tuned };
}

/** Detectors that a version leaves out. */
export function mutedBy({ detectors }: EnsembleParameters): ReadonlySet<string> {
  return new Set(ENSEMBLE_PARTS.map(({ name }) => name).filter((name) => !detectors.includes(name)));
}

/**
 * The version that this build can run in place of `wanted`: itself when it was made of the same detectors. Else a successor
 * with the same figures and another name, so that no alert claims to be by detectors that are gone. A detector that did
 * not exist then joins; one that was left out stays out.
 */
export function runnableHere(wanted: RunnableVersion, shipped: EnsembleVersion = shippedEnsemble()): EnsembleVersion {
  const parameters = wanted.parameters ?? shipped.parameters;
  if (sameParts(wanted.parts, shipped.parts)) return { ...wanted, parameters };
  const known = new Set(wanted.parts.map(({ name }) => name));
  const detectors = shipped.parts
    .map(({ name }) => name)
    .filter((name) => !known.has(name) || parameters.detectors.includes(name));
  const kept = { ...parameters, detectors: detectors.length > 0 ? detectors : shipped.parameters.detectors };
  const base = wanted.version.replace(/~[0-9a-f]{8}$/, '').slice(0, 55);
  return {
    name: wanted.name,
    version: `${base}~${partsHash(shipped.parts, kept)}`,
    parameters: kept,
    parts: shipped.parts,
  };
}

function sameParts(a: readonly VersionName[], b: readonly VersionName[]): boolean {
  return a.length === b.length && a.every((part, i) => part.name === b[i]?.name && part.version === b[i]?.version);
}

function partsHash(parts: readonly VersionName[], parameters: EnsembleParameters): string {
  return stableId(JSON.stringify(parts), JSON.stringify(parameters)).slice(0, 8);
}
