/**
 * A refrigerator as numbers, for tests of analytics: compressor cycles, a daily rhythm, door openings, defrosts, weather
 * that wanders from day to day, noise that hangs together, and, where asked for, one kind of wear. Not the simulator:
 * a second, independent idea of what healthy looks like.
 */
import { gaussian, type Random, seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Signals } from '../../contract/wire/payloads.ts';

export interface RefrigeratorOptions {
  readonly seed: number;
  readonly days: number;
  /** Default 2026-01-05. */
  readonly startAt?: number;
  /** Damage 0..1 by day; at 1 the machine has failed. Default none. */
  readonly bearingWear?: (day: number) => number;
  readonly refrigerantLoss?: (day: number) => number;
  readonly fanWear?: (day: number) => number;
}

export interface StreamSample {
  readonly at: number;
  readonly signals: Signals;
}

const START_AT = Date.UTC(2026, 0, 5);
const STEP_MS = 5 * MINUTE_MS;
const none = (): number => 0;

export function* refrigeratorStream(options: RefrigeratorOptions): Generator<StreamSample> {
  const random = seededRandom(options.seed);
  const noise = (sigma: number): number => sigma * gaussian(random);
  const wanderVoltage = autoregressive(random, 0.9, 1.5);
  const wanderAmbient = autoregressive(random, 0.995, 0.12);
  const wanderTemp = autoregressive(random, 0.85, 0.12);
  const ownFresh = 4 + noise(0.4);
  const ownVibration = 1.6 + noise(0.15);
  const ownFan = 2_200 + noise(60);
  const bearing = options.bearingWear ?? none;
  const leak = options.refrigerantLoss ?? none;
  const fan = options.fanWear ?? none;
  const startAt = options.startAt ?? START_AT;
  let duty = 0.4;
  let phase = random();
  let warmth = 0;
  for (let at = startAt; at < startAt + options.days * DAY_MS; at += STEP_MS) {
    const day = (at - startAt) / DAY_MS;
    const hour = (at / 3_600_000) % 24;
    const awake = hour > 7 && hour < 22 ? 1 : 0.05;
    const doorOpen = random() < 0.06 * awake * (hour > 17 && hour < 20 ? 2.5 : 1);
    const ambient = 21 + 2 * Math.sin((2 * Math.PI * (hour - 9)) / 24) + wanderAmbient();
    const load = 0.4 + 0.012 * (ambient - 21) + 0.35 * leak(day) + 0.1 * fan(day);
    warmth = 0.75 * warmth + (doorOpen ? 0.5 + 0.4 * random() : 0);
    phase += 0.12 + 0.01 * noise(1);
    const defrost = (at / STEP_MS) % 144 < 4;
    const running = !defrost && phase % 1 < Math.min(0.95, load + 0.05 * warmth);
    duty += (Number(running) - duty) / 24;
    const voltage = 230 + wanderVoltage();
    const temp = wanderTemp();
    yield {
      at,
      signals: {
        mode: defrost ? 'defrost' : running ? 'cooling' : 'idle',
        freshFoodTempC:
          ownFresh + warmth + temp + 0.03 * (ambient - 21) + 5 * leak(day) ** 2 + 4 * fan(day) ** 2 + noise(0.1),
        freezerTempC: -19 + 0.4 * warmth + temp + (defrost ? 2 : 0) + 6 * leak(day) ** 2 + noise(0.15),
        evaporatorTempC: (running ? -26 : defrost ? 4 : -18) + temp + 8 * leak(day) - 4 * fan(day) + noise(0.4),
        compressorCurrentA: running
          ? 1.1 + 0.01 * (ambient - 21) - 0.004 * (voltage - 230) + 0.4 * bearing(day) - 0.25 * leak(day) + noise(0.03)
          : 0.05 + noise(0.004),
        compressorDutyRatio: Math.max(0, Math.min(1, duty)),
        compressorVibrationMmPerS: Math.max(
          0,
          running ? ownVibration + 5.6 * bearing(day) ** 1.5 + noise(0.15) : 0.1 + noise(0.02),
        ),
        evaporatorFanRpm: Math.max(0, running ? ownFan - 1_400 * fan(day) + noise(25) : noise(1) ** 2),
        supplyVoltageV: voltage + noise(0.5),
        ambientTempC: ambient + noise(0.1),
        doorOpen,
      },
    };
  }
}

/** AR(1): hangs together over about 1/(1 − memory) samples. */
function autoregressive(random: Random, memory: number, sigma: number): () => number {
  let value = 0;
  return () => {
    value = memory * value + sigma * Math.sqrt(1 - memory * memory) * gaussian(random) * (memory > 0.99 ? 8 : 1);
    return value;
  };
}
