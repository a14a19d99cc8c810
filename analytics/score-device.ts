/**
 * One sample of one device, whether or not the catalogue knows its model: an unknown device first shows its interval,
 * from which its rhythm follows. Production and back-test both call this and nothing below it.
 */
import type { DeviceModel } from '../contract/devices/device-model.ts';
import type { VersionName } from '../contract/ports/findings.ts';
import type { AlertPolicy } from './alerts/policy.ts';
import type { DeviceState } from './device-state.ts';
import { type DevicePlan, planModel, planUnknown } from './plan.ts';
import type { Prognoser } from './prognosis/prognoser.ts';
import { type SampleOutcome, type SampleToScore, scoreSample } from './score-sample.ts';

export interface ScoringSetup {
  readonly findModel: (id: string) => DeviceModel | undefined;
  readonly prognosersFor: (model: DeviceModel) => readonly Prognoser<unknown>[];
  readonly policy: AlertPolicy;
  /** The version of the registry that this is; named in every alert. */
  readonly ensemble?: VersionName;
  /** Detectors that learn and say nothing. */
  readonly muted?: ReadonlySet<string>;
}

export interface DeviceScorer {
  /** Takes one sample in; mutates `state`. */
  score(state: DeviceState, sample: SampleToScore): SampleOutcome;
  /** What is planned for the device; `undefined` while its rhythm is not known. */
  planOf(state: DeviceState): DevicePlan | undefined;
}

/** Intervals from which the rhythm of an unknown device is taken. */
const INTERVALS_NEEDED = 8;
/** Unknown devices share plans by interval; so many are kept. */
const MAX_PLANS = 500;
const LEARNING: SampleOutcome = { kind: 'learningInterval', findings: [], values: 0, surprise: 0, novelty: 0 };

export function createDeviceScorer(setup: ScoringSetup): DeviceScorer {
  /** by model id */
  const known = new Map<string, DevicePlan | undefined>();
  /** by model id and interval */
  const unknown = new Map<string, DevicePlan>();

  const versioned = (plan: DevicePlan): DevicePlan => {
    const { ensemble, muted } = setup;
    if (!ensemble && !muted) return plan;
    return {
      ...plan,
      ...(ensemble ? { ensemble } : {}),
      ...(muted ? { muted, deviceDetectors: plan.deviceDetectors.filter(({ name }) => !muted.has(name)) } : {}),
    };
  };
  const planKnown = (modelId: string): DevicePlan | undefined => {
    const cached = known.get(modelId);
    if (cached || known.has(modelId)) return cached;
    const model = setup.findModel(modelId);
    const plan = model && versioned(planModel(model, setup.prognosersFor(model), setup.policy));
    if (known.size >= MAX_PLANS) known.clear();
    known.set(modelId, plan);
    return plan;
  };
  const planBy = (modelId: string, intervalMs: number): DevicePlan => {
    const key = `${modelId} ${intervalMs}`;
    const cached = unknown.get(key);
    if (cached) return cached;
    if (unknown.size >= MAX_PLANS) unknown.clear();
    const plan = versioned(planUnknown(modelId, intervalMs, setup.policy));
    unknown.set(key, plan);
    return plan;
  };

  return {
    planOf(state) {
      return planKnown(state.model) ?? (state.intervalMs === null ? undefined : planBy(state.model, state.intervalMs));
    },
    score(state, sample) {
      const plan = planKnown(state.model);
      if (plan) return scoreSample(state, plan, sample);
      const intervalMs = state.intervalMs ?? learnInterval(state, sample.observedAt);
      return intervalMs === null ? LEARNING : scoreSample(state, planBy(state.model, intervalMs), sample);
    },
  };
}

/** Median of the first intervals; `null` while there are too few. Equal and falling times tell nothing. */
function learnInterval(state: DeviceState, at: number): number | null {
  const interval = at - state.newestAt;
  if (state.samples > 0 && interval < 0) {
    state.late++;
    return null;
  }
  if (state.samples > 0 && interval > 0) state.intervals.push(interval);
  if (state.intervals.length >= INTERVALS_NEEDED) {
    const sorted = state.intervals.splice(0).sort((a, b) => a - b);
    state.intervalMs = sorted[sorted.length >> 1] as number;
    return state.intervalMs;
  }
  state.samples++;
  state.newestAt = at;
  return null;
}
