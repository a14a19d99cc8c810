/** The fleet of the demo: 14 refrigerators and 6 turbofans, four of which fail within the month. A function of a seed. Pure. */
import { findModel } from '../contract/devices/catalogue.ts';
import type { DeviceRef } from '../contract/kernel/ids.ts';
import { type Random, seededRandom } from '../contract/kernel/random.ts';
import { DAY_MS } from '../contract/kernel/time.ts';
import { FAULT_MODELS } from './faults/catalogue.ts';
import type { FaultPlan } from './faults/fault-plan.ts';
import type { SimulatedDevice } from './simulated-device.ts';

export const DEMO_DAYS = 30;
export const DEMO_REFRIGERATORS = 14;
export const DEMO_TURBOFANS = 6;

interface Story {
  readonly faultKey: string;
  readonly curve: FaultPlan['curve'];
  /** Day of the onset and of the planned failure, before the seed moves them by up to a day. */
  readonly onsetDay: number;
  readonly failsDay: number;
}

/** Onsets after the detectors have seen at least a week of health; failures far enough from the end to be counted. */
const STORIES: readonly Story[] = [
  { faultKey: 'compressorBearingWear', curve: 'linear', onsetDay: 10, failsDay: 25 },
  { faultKey: 'refrigerantLeak', curve: 'linear', onsetDay: 9, failsDay: 26 },
  { faultKey: 'hpcDegradation', curve: 'exponential', onsetDay: 8, failsDay: 25 },
  { faultKey: 'fanDegradation', curve: 'exponential', onsetDay: 10, failsDay: 26.5 },
];

/** The demo's devices with their fault plans for `DEMO_DAYS` days from `start` (epoch ms). */
export function demoFleet(seed: number, tenant: string, start: number): readonly SimulatedDevice[] {
  const random = seededRandom(seed);
  const devices = [
    ...named(tenant, 'fridge', DEMO_REFRIGERATORS, 'refrigerator'),
    ...named(tenant, 'engine', DEMO_TURBOFANS, 'turbofan'),
  ].map((device) => ({ ...device, seed: Math.floor(random() * 2 ** 31) }));
  const healthy = new Set(devices.keys());
  const plans = new Map(
    STORIES.map((story) => {
      const candidates = [...healthy].filter((i) => devices[i]?.model === FAULT_MODELS.get(story.faultKey));
      const chosen = candidates[Math.floor(random() * candidates.length)] ?? 0;
      healthy.delete(chosen);
      return [chosen, planOf(story, start, random)] as const;
    }),
  );
  return devices.map((device, i) => {
    const fault = plans.get(i);
    return fault ? { ...device, fault } : device;
  });
}

function named(tenant: string, prefix: string, count: number, model: string): { ref: DeviceRef; model: string }[] {
  return Array.from({ length: count }, (_, i) => ({
    ref: { tenant, device: `${prefix}-${String(i + 1).padStart(2, '0')}` },
    model,
  }));
}

function planOf(story: Story, start: number, random: Random): FaultPlan {
  return {
    faultKey: story.faultKey,
    onsetAt: start + Math.round((story.onsetDay + 2 * random() - 1) * DAY_MS),
    failsAt: start + Math.round((story.failsDay + 2 * random() - 1) * DAY_MS),
    curve: story.curve,
    steepness: 2 + random(),
  };
}

/**
 * Fault plans of `presage sim --faults`: `mode` or `mode:onsetDay-failDay`, days counted from `start`, each with `@severity` where
 * the fault stays below the end of life.
 * Without days the onset comes at about 35 % of the period and the failure at about 87 %.
 * @throws RangeError naming the part that cannot be read
 */
export function parseFaultList(
  text: string,
  period: { readonly start: number; readonly end: number },
  random: Random,
): readonly FaultPlan[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => parseFault(part, period, random));
}

function parseFault(part: string, period: { readonly start: number; readonly end: number }, random: Random): FaultPlan {
  const match = /^([A-Za-z]+)(?::(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?))?(?:@(0(?:\.\d+)?|1))?$/.exec(part);
  const faultKey = match?.[1] ?? '';
  if (!match || !FAULT_MODELS.has(faultKey)) {
    throw new RangeError(
      `"${part}" is not a fault; write mode or mode:onsetDay-failDay, or either with @severity (0 to 1), with ${[...FAULT_MODELS.keys()].join(', ')}`,
    );
  }
  const length = period.end - period.start;
  const onset = match[2] === undefined ? length * (0.3 + 0.1 * random()) : Number(match[2]) * DAY_MS;
  const fails = match[3] === undefined ? length * (0.82 + 0.1 * random()) : Number(match[3]) * DAY_MS;
  if (fails <= onset) throw new RangeError(`"${part}": the failure must come after the onset`);
  const exponential = findModel(FAULT_MODELS.get(faultKey) ?? '')?.lifeUnit === 'cycle';
  return {
    faultKey,
    onsetAt: period.start + Math.round(onset),
    failsAt: period.start + Math.round(fails),
    curve: exponential ? 'exponential' : 'linear',
    steepness: 2 + random(),
    ...(match[4] === undefined ? {} : { peak: Number(match[4]) }),
  };
}

/** Gives each plan to the first device of its model that has none yet. @throws RangeError when there are too few devices */
export function assignFaults<Device extends SimulatedDevice>(
  devices: readonly Device[],
  plans: readonly FaultPlan[],
): readonly Device[] {
  const result = [...devices];
  for (const fault of plans) {
    const index = result.findIndex((device) => !device.fault && device.model === FAULT_MODELS.get(fault.faultKey));
    const device = result[index];
    if (!device) throw new RangeError(`No healthy ${FAULT_MODELS.get(fault.faultKey)} is left for ${fault.faultKey}`);
    result[index] = { ...device, fault };
  }
  return result;
}
