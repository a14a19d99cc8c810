/** The prognosers of a device: fed with every sample, asked now and then, reported when what they say is news. */
import { clientIdOf } from '../../contract/kernel/ids.ts';
import type { Finding, Prediction } from '../../contract/ports/findings.ts';
import { stableId } from '../alerts/identity.ts';
import { isDue } from '../alerts/policy.ts';
import type { DeviceState } from '../device-state.ts';
import type { DevicePlan } from '../plan.ts';
import type { PrognosisInput } from '../prognosis/prognoser.ts';
import type { SampleToScore } from './sample.ts';

/** A prediction that this sample renewed. */
export interface Renewed {
  readonly prediction: Prediction;
  /** Present when it is news. */
  readonly finding: Finding | undefined;
}

/** Feeds the prognosers and, when it is time, renews the predictions: one a fault key, the first usable one. */
export function renewPredictions(state: DeviceState, plan: DevicePlan, sample: SampleToScore): readonly Renewed[] {
  if (plan.prognosers.length === 0) return [];
  const input = prognosisInput(plan, sample);
  alignPrognosers(state, plan);
  plan.prognosers.forEach((prognoser, i) => {
    const own = state.prognosers[i];
    if (own) own.state = prognoser.update(own.state, input);
  });
  if (state.samples % plan.predictEverySamples !== 0) return [];
  /** by fault key */
  const best = new Map<string, { prediction: Prediction; index: number }>();
  plan.prognosers.forEach((prognoser, index) => {
    for (const prediction of prognoser.predict(state.prognosers[index]?.state)) {
      const known = best.get(prediction.faultKey);
      if (!known || (!known.prediction.remainingLife && prediction.remainingLife)) {
        best.set(prediction.faultKey, { prediction, index });
      }
    }
  });
  return [...best.values()].map(({ prediction }) => ({
    prediction,
    finding: predictionNews(state, plan, sample, prediction),
  }));
}

function prognosisInput(plan: DevicePlan, sample: SampleToScore): PrognosisInput {
  const signals: Record<string, number> = {};
  for (const name in sample.signals) {
    const value = sample.signals[name];
    if (typeof value === 'number') signals[name] = value;
  }
  const cycle = plan.model?.cycleSignal ? signals[plan.model.cycleSignal] : undefined;
  const mode = plan.modeSignal ? sample.signals[plan.modeSignal] : undefined;
  return {
    at: sample.observedAt,
    signals,
    ...(cycle === undefined ? {} : { cycle }),
    ...(mode === undefined ? {} : { mode: String(mode) }),
  };
}

/** States follow the list of prognosers: another name or version starts anew, the others go on. */
function alignPrognosers(state: DeviceState, plan: DevicePlan): void {
  const same =
    state.prognosers.length === plan.prognosers.length &&
    plan.prognosers.every(
      (one, i) => state.prognosers[i]?.name === one.name && state.prognosers[i]?.version === one.version,
    );
  if (same) return;
  const old = state.prognosers.splice(0);
  for (const one of plan.prognosers) {
    const known = old.find((before) => before.name === one.name && before.version === one.version);
    state.prognosers.push(known ?? { name: one.name, version: one.version, state: one.init(), reported: {} });
  }
}

/** A median that moved by this share is worth a finding. */
const PREDICTION_NEWS_SHARE = 0.05;
const REPORT_EVERY_SAMPLES = 24;

function predictionNews(
  state: DeviceState,
  plan: DevicePlan,
  sample: SampleToScore,
  prediction: Prediction,
): Finding | undefined {
  const reported = state.prognosers[0]?.reported as PrognosisReports;
  const median = prediction.remainingLife?.median ?? null;
  const due = prediction.remainingLife !== undefined && isDue(prediction.remainingLife, plan.policy);
  const before = Object.hasOwn(reported, prediction.faultKey) ? reported[prediction.faultKey] : undefined;
  const moved =
    !before ||
    before.due !== due ||
    (before.median === null) !== (median === null) ||
    (median !== null && Math.abs(median - (before.median ?? 0)) > PREDICTION_NEWS_SHARE * (before.median ?? 0)) ||
    state.samples - before.sample >= REPORT_EVERY_SAMPLES * plan.predictEverySamples;
  if (!moved) return undefined;
  reported[prediction.faultKey] = { median, due, sample: state.samples };
  return {
    id: stableId(clientIdOf(sample.ref), prediction.faultKey, 'prediction', sample.identity),
    kind: 'prediction',
    tenant: sample.ref.tenant,
    device: sample.ref.device,
    model: plan.modelId,
    at: sample.observedAt,
    position: sample.position,
    prediction,
  };
}

type PrognosisReports = Record<string, { median: number | null; due: boolean; sample: number }>;
