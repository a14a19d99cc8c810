/** The sensors of one sample, conditions and contexts alike: which of them do not measure any more? */
import type { SignalValue } from '../../contract/wire/payloads.ts';
import type { DeviceLine } from '../detectors/device-detector.ts';
import { initSensor, type SensorVerdict, watchSensor } from '../detectors/sensor-health.ts';
import type { DeviceState, LastJudgement } from '../device-state.ts';
import type { Attribution } from '../diagnosis/diagnose.ts';
import { sensorAttribution } from '../diagnosis/sensor-faults.ts';
import type { DevicePlan, SensorPlan } from '../plan.ts';
import type { SampleToScore } from './sample.ts';

/** Sensors that are doubted. */
export interface SensorWatch {
  /** One a doubted sensor, for the alerts. */
  readonly found: readonly Attribution[];
  /** Signals that say nothing about the machine now. */
  readonly lying: ReadonlySet<string>;
}

const NOBODY: SensorWatch = { found: [], lying: new Set() };
/** From here on a sensor is spoken of: p = 0.001. */
const DOUBTED = 3;

/** Watches every sensor of a known model; mutates `state`. */
export function watchSensors(
  state: DeviceState,
  plan: DevicePlan,
  sample: SampleToScore,
  modeName: string,
): SensorWatch {
  if (plan.sensors.length === 0) return NOBODY;
  state.sensors ??= {};
  const found: Attribution[] = [];
  const lying = new Set<string>();
  const doubtful = plan.threshold * plan.policy.clearShare;
  for (const sensor of plan.sensors) {
    const { name } = sensor;
    const own = state.sensors[name] ?? initSensor();
    state.sensors[name] = own;
    const verdict = watchSensor(own, modeName, numberOf(sample.signals[name]), sensor.leastStep);
    const surprise = verdict?.surprise ?? 0;
    if (surprise >= doubtful) lying.add(name);
    if (verdict && surprise >= DOUBTED)
      found.push(sensorAttribution(name, verdict, lineOf(state, sensor, own.last ?? 0, verdict)));
  }
  return { found, lying };
}

function numberOf(value: SignalValue | undefined): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** A context has no expected band: the line then shows what is read. */
function lineOf(state: DeviceState, { name }: SensorPlan, value: number, { surprise }: SensorVerdict): DeviceLine {
  const last = newest(state, name);
  const { expected, low, high } = last ?? { expected: value, low: value, high: value };
  return { signal: name, surprise, direction: value >= expected ? 'up' : 'down', value, expected, low, high };
}

function newest(state: DeviceState, name: string): LastJudgement | undefined {
  let latest: LastJudgement | undefined;
  for (const { last } of Object.values(state.signals[name]?.modes ?? {})) {
    if (last && (!latest || last.at > latest.at)) latest = last;
  }
  return latest;
}
