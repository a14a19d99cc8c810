/**
 * What sensors make of the truth: sensors that lie (stuck, gone, noisy, drifting, off) and sensors that were replaced by
 * others of the same tolerance. Neither is a fault of the machine. Pure.
 */
import { signalsOf } from '../contract/devices/catalogue.ts';
import { gaussian, type Random, seededRandom } from '../contract/kernel/random.ts';
import { DAY_MS } from '../contract/kernel/time.ts';
import type { Signals } from '../contract/wire/payloads.ts';
import { type Confounder, isActive } from './confounders.ts';

export const SENSOR_LIES = ['stuck', 'dropOut', 'noise', 'drift', 'offset'] as const;
export type SensorLieKind = (typeof SENSOR_LIES)[number];

export interface SensorLie {
  readonly kind: SensorLieKind;
  readonly signal: string;
  readonly at: number;
  /** The sensor is good again after it; never when absent. */
  readonly until?: number;
  /** −1..1: how bad, and which way it drifts or is off; 0 = a good sensor. */
  readonly strength: number;
}

/** At full strength, in shares of the signal's physical range. */
const NOISE_SIGMA = 0.05;
const OFFSET = 0.1;
const DRIFT_A_DAY = 0.01;
/** Tolerance of a sensor: share of its range, and share of its reading. */
const TOLERANCE_OF_RANGE = 0.004;
const TOLERANCE_OF_READING = 0.015;
/** Range of a signal for which the catalogue has none, as a share of its reading. */
const RANGE_OF_READING = 0.2;

/** Changes the signals of one device, in order of time. */
export type Sensors = (time: number, signals: Signals) => Signals;

/** @throws Error when a lie or swap names no number of the model: a mistake in the program */
export function createSensors(
  modelId: string,
  seed: number,
  lies: readonly SensorLie[],
  confounders: readonly Confounder[],
): Sensors {
  const swaps = confounders.filter((one) => one.kind === 'sensorSwap');
  if (lies.length === 0 && swaps.length === 0) return (_time, signals) => signals;
  const distortions = [
    ...swaps.map((swap) => swapped(modelId, swap)),
    ...lies.map((lie, i) => lying(modelId, lie, seededRandom(Math.imul(seed + i + 1, 0x9e3779b1)))),
  ];
  return (time, signals) => {
    const measured: Record<string, Signals[string]> = { ...signals };
    for (const distort of distortions) distort(time, measured);
    return measured;
  };
}

type Distortion = (time: number, signals: Record<string, Signals[string]>) => void;

function lying(modelId: string, lie: SensorLie, random: Random): Distortion {
  const spec = numberOf(modelId, lie.signal);
  let stuckAt: number | undefined;
  return (time, signals) => {
    const value = signals[lie.signal];
    const draw = gaussian(random); // Drawn always, so that the strength does not shift the draws that follow.
    const chance = random();
    if (typeof value !== 'number' || lie.strength === 0 || !isActive(lie, time)) return;
    const span = spec.range ? spec.range[1] - spec.range[0] : RANGE_OF_READING * Math.abs(value);
    const set = (wrong: number): void => {
      signals[lie.signal] = saturated(wrong, value, spec.range);
    };
    switch (lie.kind) {
      case 'stuck':
        stuckAt ??= value;
        set(stuckAt);
        return;
      case 'dropOut':
        if (chance < Math.abs(lie.strength)) delete signals[lie.signal];
        return;
      case 'noise':
        set(value + Math.abs(lie.strength) * NOISE_SIGMA * span * draw);
        return;
      case 'drift':
        set(value + lie.strength * DRIFT_A_DAY * span * ((time - lie.at) / DAY_MS));
        return;
      case 'offset':
        set(value + lie.strength * OFFSET * span);
        return;
    }
  };
}

function swapped(modelId: string, swap: Confounder): Distortion {
  const signal = swap.signal;
  if (signal === undefined) throw new Error('A sensor swap must name its signal');
  const { range } = numberOf(modelId, signal);
  return (time, signals) => {
    const value = signals[signal];
    // Zero is what a sensor of a resting part reads; a new one reads it too.
    if (typeof value !== 'number' || value === 0 || !isActive(swap, time)) return;
    const shift = (range ? TOLERANCE_OF_RANGE * (range[1] - range[0]) : 0) * Math.sign(swap.strength);
    const limited = Math.min(Math.abs(shift), 0.05 * Math.abs(value)) * Math.sign(shift);
    const gain = 1 + TOLERANCE_OF_READING * swap.strength;
    signals[signal] = saturated(value * gain + Math.abs(swap.strength) * limited, value, range);
  };
}

function numberOf(modelId: string, signal: string) {
  const spec = signalsOf(modelId).get(signal);
  if (spec?.kind !== 'number') throw new Error(`Model ${modelId} has no number ${signal}`);
  return spec;
}

/** Within the range, because a sensor cannot say more; as many decimals as the true value shows, at least two. */
function saturated(wrong: number, value: number, range: readonly [number, number] | undefined): number {
  const scale = 10 ** Math.max(2, decimalsOf(value));
  const rounded = Math.round(wrong * scale) / scale + 0;
  return range ? Math.max(range[0], Math.min(range[1], rounded)) : rounded;
}

function decimalsOf(value: number): number {
  return Math.min(6, (String(value).split('.')[1] ?? '').length);
}
