/**
 * Draws what happens to the devices of an evaluation: which fails of what and how fast, what changes around it, which sensor
 * lies. A function of a seed; seeds below {@link HELD_OUT_SEEDS} are for development, the others for judging. Pure.
 */
import { findModel } from '../contract/devices/catalogue.ts';
import { fnv1a } from '../contract/kernel/ids.ts';
import type { Random } from '../contract/kernel/random.ts';
import { DAY_MS } from '../contract/kernel/time.ts';
import { CONFOUNDER_KINDS, type Confounder } from './confounders.ts';
import type { FaultPlan } from './faults/fault-plan.ts';
import { findSimulatedModel } from './models/catalogue.ts';
import { streamOf } from './models/simulation.ts';
import type { RecordingRequest } from './record-device.ts';
import { SENSOR_LIES, type SensorLie } from './sensors.ts';
import type { SimulatedDevice } from './simulated-device.ts';

/** Devices from this seed on are never looked at while a detector is made. */
export const HELD_OUT_SEEDS = 1_000_000;

/** When something may happen to a device of a model. */
interface Frame {
  readonly model: string;
  readonly start: number;
  readonly days: number;
  /** Nothing happens before this day, so that a detector has seen the healthy machine. */
  readonly quietDays: number;
}

export interface RecordingMix extends Frame {
  /** Seed of the first device; the others follow. */
  readonly firstSeed: number;
  readonly count: number;
  /** Shares of the devices, 0..1, drawn independently: a faulty one may also be confounded. */
  readonly faultShare: number;
  readonly confounderShare: number;
  readonly lieShare: number;
}

const MIX_STREAM = 41;
/** An onset leaves at least this share of the time after the quiet days for the fault to grow. */
const LATEST_ONSET = 0.35;

/** What to record, one request a device. @throws Error for a model that cannot be simulated */
export function drawRecordings(mix: RecordingMix): RecordingRequest[] {
  const model = findSimulatedModel(mix.model);
  if (!model) throw new Error(`Model ${mix.model} cannot be simulated`);
  const codes = model.faults.map((fault) => fault.code);
  return Array.from({ length: mix.count }, (_, i): RecordingRequest => {
    const seed = mix.firstSeed + i;
    const random = fateOf(mix.model, seed);
    const chances = { fault: random(), confounder: random(), lie: random() };
    const fault = drawFault(random, codes, mix);
    const confounders = drawConfounders(random, mix);
    const lie = drawLie(random, mix);
    return {
      model: mix.model,
      seed,
      start: mix.start,
      durationMs: mix.days * DAY_MS,
      ...(chances.fault < mix.faultShare && fault ? { fault } : {}),
      confounders: chances.confounder < mix.confounderShare ? confounders : [],
      lies: chances.lie < mix.lieShare ? [lie] : [],
    };
  });
}

/**
 * Gives shares of a fleet confounders and lying sensors, after the first third of the period. What a device gets hangs on its
 * own seed alone.
 */
export function disturb<Device extends SimulatedDevice>(
  devices: readonly Device[],
  period: { readonly start: number; readonly end: number },
  shares: { readonly confounders: number; readonly lies: number },
): readonly Device[] {
  const days = (period.end - period.start) / DAY_MS;
  return devices.map((device) => {
    const random = fateOf(device.model, device.seed);
    const chances = { confounder: random(), lie: random() };
    const frame: Frame = { model: device.model, start: period.start, days, quietDays: days / 3 };
    const confounders = drawConfounders(random, frame);
    const lie = drawLie(random, frame);
    return {
      ...device,
      ...(chances.confounder < shares.confounders ? { confounders } : {}),
      ...(chances.lie < shares.lies ? { lies: [lie] } : {}),
    };
  });
}

/** What happens to a device hangs on its model too, so that the same seeds of two models are no twins. */
function fateOf(model: string, seed: number): Random {
  return streamOf(seed ^ fnv1a(model), MIX_STREAM);
}

/** A fault that ends the machine's life before the recording ends, slowly or fast, bent more or less. */
function drawFault(random: Random, codes: readonly string[], mix: Frame): FaultPlan | undefined {
  const span = mix.days - mix.quietDays;
  const faultKey = codes[Math.floor(random() * codes.length)];
  const onset = mix.quietDays + LATEST_ONSET * span * random();
  const fails = onset + (mix.days - onset) * (0.4 + 0.55 * random());
  const curve = random() < 0.5 ? 'linear' : 'exponential';
  const steepness = 1.5 + 2 * random();
  if (faultKey === undefined) return undefined;
  return {
    faultKey,
    onsetAt: mix.start + Math.round(onset * DAY_MS),
    failsAt: mix.start + Math.round(fails * DAY_MS),
    curve,
    steepness,
  };
}

/** One change, or two of different kinds in one device of four. */
function drawConfounders(random: Random, mix: Frame): readonly Confounder[] {
  const first = drawConfounder(random, mix);
  const second = drawConfounder(random, mix);
  return random() < 0.25 && second.kind !== first.kind ? [first, second] : [first];
}

function drawConfounder(random: Random, mix: Frame): Confounder {
  const kind = CONFOUNDER_KINDS[Math.floor(random() * CONFOUNDER_KINDS.length)] ?? 'loadStep';
  const at = happensAt(random, mix);
  const strength = (0.4 + 0.6 * random()) * (random() < 0.5 ? -1 : 1);
  const signal = drawSignal(random, mix.model);
  const weatherDays = 2 + 6 * random();
  return {
    kind,
    at,
    strength,
    ...(kind === 'weather' ? { until: at + Math.round(weatherDays * DAY_MS) } : {}),
    ...(kind === 'sensorSwap' ? { signal } : {}),
  };
}

function drawLie(random: Random, mix: Frame): SensorLie {
  const kind = SENSOR_LIES[Math.floor(random() * SENSOR_LIES.length)] ?? 'stuck';
  const strength = (0.3 + 0.7 * random()) * (random() < 0.5 ? -1 : 1);
  return { kind, signal: drawSignal(random, mix.model), at: happensAt(random, mix), strength };
}

function happensAt(random: Random, mix: Frame): number {
  return mix.start + Math.round((mix.quietDays + (mix.days - mix.quietDays) * 0.8 * random()) * DAY_MS);
}

/** A number that some sensor measures: not a counter. */
function drawSignal(random: Random, modelId: string): string {
  const measured = (findModel(modelId)?.signals ?? []).filter(
    (signal) => signal.kind === 'number' && (signal.role === 'condition' || signal.role === 'context'),
  );
  return measured[Math.floor(random() * measured.length)]?.name ?? '';
}
