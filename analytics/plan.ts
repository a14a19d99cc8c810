/** What scoring a device needs to know about its model, worked out once a model instead of once a sample. */
import type { DeviceModel, FailureMode, SignalSpec } from '../contract/devices/device-model.ts';
import { HOUR_MS, MINUTE_MS } from '../contract/kernel/time.ts';
import type { VersionName } from '../contract/ports/findings.ts';
import type { AlertPolicy } from './alerts/policy.ts';
import { paced, raiseThreshold } from './alerts/policy.ts';
import { type Consequence, consequenceOf } from './detectors/consequence.ts';
import type { ContextSpec } from './detectors/context.ts';
import type { DeviceDetector } from './detectors/device-detector.ts';
import { DEVICE_DETECTORS } from './detectors/registry.ts';
import { assumedRhythm, monitorParams, type Rhythm } from './detectors/settings.ts';
import type { MonitorParams } from './detectors/signal-monitor.ts';
import { sensorFaultKey } from './diagnosis/sensor-faults.ts';
import type { Prognoser } from './prognosis/prognoser.ts';

export interface SignalPlan {
  readonly name: string;
  readonly unit: string;
  readonly range: readonly [number, number] | undefined;
  readonly params: MonitorParams;
}

/** A sensor that is watched for faults of its own. */
export interface SensorPlan {
  readonly name: string;
  readonly faultKey: string;
  readonly label: string;
  readonly unit: string;
  readonly component: string;
  /** A step below it is no noise. */
  readonly leastStep: number;
}

export interface DevicePlan {
  readonly modelId: string;
  readonly model: DeviceModel | undefined;
  /** Scored signals of a known model; an unknown model's signals are planned as they appear. */
  readonly conditions: readonly SignalPlan[];
  /** @param alone it is the only signal of its sample */
  readonly planSignal: (name: string, alone?: boolean) => SignalPlan;
  readonly sensors: readonly SensorPlan[];
  /** Detectors that see all signals of a sample at once. */
  readonly deviceDetectors: readonly DeviceDetector<unknown>[];
  readonly contexts: readonly ContextSpec[];
  readonly modeSignal: string | undefined;
  /** Operating modes of the catalogue; a device may send any text, and each mode costs memory. */
  readonly modeIds: ReadonlySet<string>;
  /** What the baselines of all signals have in common; absent where they have nothing. */
  readonly baseline?: { readonly seasonMs?: number; readonly memorySamples: number };
  readonly modes: readonly FailureMode[];
  readonly prognosers: readonly Prognoser<unknown>[];
  /** Predictions are renewed every so many samples: each sample of a slow device, every three hours for a fast one. */
  readonly predictEverySamples: number;
  readonly intervalMs: number;
  /** Surprise from which a sample counts. */
  readonly threshold: number;
  readonly policy: AlertPolicy;
  /** The version of the registry under which this plan is. */
  readonly ensemble?: VersionName;
  /** Detectors of single signals that learn and say nothing. */
  readonly muted?: ReadonlySet<string>;
}

const NOVELTY_WARMUP_ROWS = 100;
/** A week at five minutes. */
const ADOPT_AFTER_SAMPLES = 2_016;
/** Samples closer together than this say the same thing: they share one part of the budget. */
const LEAST_INTERVAL_MS = 5 * MINUTE_MS;
/** Nothing is known of how a fault of such a device fades: what is nearly usual again is over. */
const UNKNOWN_CLEAR_SHARE = 0.8;
const PREDICT_EVERY_MS = 3 * HOUR_MS;

/** Plan of a model of the catalogue. */
export function planModel(
  model: DeviceModel,
  prognosers: readonly Prognoser<unknown>[],
  policy: AlertPolicy,
): DevicePlan {
  const contexts = model.signals.filter((signal) => signal.role === 'context' && signal.kind !== 'text');
  const rhythm: Rhythm = model.seasonMs
    ? { intervalMs: model.intervalMs, seasonMs: model.seasonMs }
    : { intervalMs: model.intervalMs };
  const plan = (signal: SignalSpec): SignalPlan => ({
    name: signal.name,
    unit: signal.unit,
    range: signal.range,
    params: monitorParams(
      rhythm,
      contexts.length,
      signal.range,
      false,
      consequenceOf(signal.range, limitsOf(model, signal.name)),
    ),
  });
  return {
    modelId: model.id,
    model,
    conditions: model.signals.filter((signal) => signal.role === 'condition' && signal.kind === 'number').map(plan),
    planSignal: (name) => ({
      name,
      unit: '',
      range: undefined,
      params: monitorParams(rhythm, contexts.length, undefined),
    }),
    sensors: model.signals.filter(({ role, kind }) => SENSED.has(role) && kind === 'number').map(sensorPlan),
    deviceDetectors: [],
    contexts: contexts.map(contextSpec),
    modeSignal: model.signals.find((signal) => signal.role === 'mode')?.name,
    modeIds: new Set(model.modes.map((mode) => mode.id)),
    baseline: {
      ...(rhythm.seasonMs ? { seasonMs: rhythm.seasonMs } : {}),
      memorySamples: monitorParams(rhythm, contexts.length, undefined).seasonal.memorySamples,
    },
    modes: model.failureModes,
    prognosers,
    predictEverySamples: Math.max(1, Math.round(PREDICT_EVERY_MS / model.intervalMs)),
    intervalMs: model.intervalMs,
    threshold: raiseThreshold(policy.alertsPer1000DeviceDays, model.intervalMs, model.failureModes.length + 1),
    policy: paced(policy, model.intervalMs),
  };
}

/** Plan of a device that no catalogue describes, once its interval is known: every number is scored, nothing is explained. */
export function planUnknown(modelId: string, intervalMs: number, policy: AlertPolicy): DevicePlan {
  const rhythm = assumedRhythm(intervalMs);
  const params = monitorParams(rhythm, 0, undefined, true);
  const aloneParams: MonitorParams = {
    ...params,
    novelty: { warmupRows: NOVELTY_WARMUP_ROWS, ...(rhythm.seasonMs ? { seasonMs: rhythm.seasonMs } : {}) },
  };
  return {
    modelId,
    model: undefined,
    conditions: [],
    planSignal: (name, alone) => ({ name, unit: '', range: undefined, params: alone ? aloneParams : params }),
    sensors: [],
    deviceDetectors: DEVICE_DETECTORS,
    contexts: [],
    modeSignal: undefined,
    modeIds: new Set(),
    modes: [],
    prognosers: [],
    predictEverySamples: Number.MAX_SAFE_INTEGER,
    intervalMs,
    threshold: raiseThreshold(policy.alertsPer1000DeviceDays, Math.max(intervalMs, LEAST_INTERVAL_MS), 1),
    // Without a catalogue nothing is known about time: delays count samples.
    policy: {
      ...paced(policy, intervalMs),
      clearShare: Math.max(policy.clearShare, UNKNOWN_CLEAR_SHARE),
      offMs: Math.min(policy.offMs, policy.offSamples * intervalMs),
      adoptAfterMs: Math.min(policy.adoptAfterMs, ADOPT_AFTER_SAMPLES * intervalMs),
    },
  };
}

/** Roles of signals that a sensor measures; counters and modes are made by the controller. */
const SENSED: ReadonlySet<string> = new Set(['condition', 'context']);
const LEAST_STEP_SHARE = 0.001;

function sensorPlan({ name, label, unit, component, range }: SignalSpec): SensorPlan {
  const leastStep = range ? LEAST_STEP_SHARE * (range[1] - range[0]) : 0;
  return { name, faultKey: sensorFaultKey(name), label, unit, component, leastStep };
}

function limitsOf(model: DeviceModel, signal: string): Consequence['limits'] {
  return model.failureModes
    .map((mode) => mode.endOfLife)
    .filter((end) => end !== undefined)
    .filter((end) => end.signal === signal);
}

/** A context signal as a feature; a boolean is 0 or 1 and keeps that scale. */
function contextSpec(signal: SignalSpec): ContextSpec {
  if (signal.kind === 'boolean') return { name: signal.name, range: [0, 20] };
  return signal.range ? { name: signal.name, range: signal.range } : { name: signal.name };
}
