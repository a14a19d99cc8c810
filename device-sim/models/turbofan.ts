/**
 * A turbofan's snapshot of each flight at sea level. Middles, unit-to-unit spread and noise are of the size that the public
 * FD001 recordings show over the first flights of their engines; nothing is copied from them.
 */
import { gaussian, type Random } from '../../contract/kernel/random.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import { type Circumstances, circumstancesAt } from '../confounders.ts';
import { endOfLifeLimit, type FaultPlan, severityAt } from '../faults/fault-plan.ts';
import { TURBOFAN_FAULTS, type TurbofanFault } from '../faults/turbofan.ts';
import {
  boundedGaussian,
  intervalOf,
  roundTo,
  type SimulatedModel,
  type Simulation,
  type SimulationOptions,
  streamOf,
} from './simulation.ts';

const MODEL = 'turbofan';

interface SignalShape {
  readonly name: string;
  readonly middle: number;
  /** Standard deviation between units. */
  readonly unitSigma: number;
  /** Standard deviation of one reading. */
  readonly noiseSigma: number;
  readonly decimals: number;
  /** How it moves with load, −1..1 (in noise sigmas per unit of load): hot days and heavy take-offs. */
  readonly load: number;
}

const shape = (
  name: string,
  middle: number,
  unitSigma: number,
  noiseSigma: number,
  decimals: number,
  load: number,
): SignalShape => ({ name, middle, unitSigma, noiseSigma, decimals, load });

const SHAPES: readonly SignalShape[] = [
  shape('fanInletTempR', 518.67, 0, 0, 2, 0),
  shape('lpcOutletTempR', 642.38, 0.24, 0.29, 2, 0.4),
  shape('hpcOutletTempR', 1586.8, 2.4, 3.8, 2, 0.4),
  shape('lptOutletTempR', 1402.8, 4.4, 3.8, 2, 0.5),
  shape('fanInletPressurePsia', 14.62, 0, 0, 2, 0),
  shape('bypassDuctPressurePsia', 21.61, 0.001, 0.004, 2, 0),
  shape('hpcOutletPressurePsia', 553.95, 0.48, 0.39, 2, -0.3),
  shape('fanSpeedRpm', 2388.06, 0.045, 0.03, 2, 0.2),
  shape('coreSpeedRpm', 9056, 7.3, 4, 2, 0.3),
  shape('enginePressureRatio', 1.3, 0, 0, 2, 0),
  shape('hpcOutletStaticPressurePsia', 47.35, 0.148, 0.098, 2, 0.3),
  shape('fuelFlowRatio', 521.9, 0.41, 0.29, 2, -0.3),
  shape('correctedFanSpeedRpm', 2388.06, 0.045, 0.03, 2, 0.2),
  shape('correctedCoreSpeedRpm', 8137.4, 7.2, 3, 2, 0.2),
  shape('bypassRatio', 8.418, 0.0175, 0.0196, 4, 0.3),
  shape('burnerFuelAirRatio', 0.03, 0, 0, 2, 0),
  shape('bleedEnthalpy', 392.3, 0.7, 0.89, 0, 0.3),
  shape('demandedFanSpeedRpm', 2388, 0, 0, 0, 0),
  shape('demandedCorrectedFanSpeedRpm', 100, 0, 0, 2, 0),
  shape('hptCoolantBleed', 38.93, 0.087, 0.095, 2, -0.3),
  shape('lptCoolantBleed', 23.36, 0.052, 0.06, 4, -0.3),
];

export const simulatedTurbofan: SimulatedModel = {
  id: MODEL,
  intervalMs: intervalOf(MODEL),
  faults: TURBOFAN_FAULTS,
  create: createTurbofan,
};

/** A turbofan of the catalogue: one step is one flight. After its end of life it flies no more and `step` is `undefined`. */
function createTurbofan(seed: number, options: SimulationOptions): Simulation {
  const base = drawUnit(streamOf(seed, 1));
  const noise = streamOf(seed, 2);
  const loadRandom = streamOf(seed, 3);
  const drift = driftAtEnd(options.fault, base);
  let cycle = 0;
  let failedAt: number | undefined;

  return {
    step(time) {
      if (failedAt !== undefined) return undefined;
      cycle++;
      const severity = severityAt(options.fault, time);
      if (severity >= 1) failedAt = time;
      return snapshot(
        cycle,
        base,
        drift,
        Math.min(1, severity),
        noise,
        loadOf(circumstancesAt(options.confounders, time), loadRandom, time),
      );
    },
    failedAt: () => failedAt,
  };
}

/** Healthy level of each signal: one latent wear of the unit moves them together, the rest is its own. */
function drawUnit(random: Random): readonly number[] {
  const initialWear = boundedGaussian(random);
  return SHAPES.map((signal) => {
    const together = Math.sign(signal.load) * 0.8 * initialWear;
    const level = Math.max(-2.2, Math.min(2.2, together + 0.6 * boundedGaussian(random)));
    return signal.middle + signal.unitSigma * level;
  });
}

/** Change of each signal at severity 1; the signal that ends the life stands exactly at the catalogue's limit then. */
function driftAtEnd(plan: FaultPlan | undefined, base: readonly number[]): readonly number[] {
  const fault = faultOf(plan);
  return SHAPES.map((signal, i) => {
    if (!fault) return 0;
    if (signal.name === fault.endSignal) return endOfLifeLimit(MODEL, fault.code) - (base[i] ?? 0);
    return fault.drift[signal.name] ?? 0;
  });
}

function faultOf(plan: FaultPlan | undefined): TurbofanFault | undefined {
  if (!plan) return undefined;
  const fault = TURBOFAN_FAULTS.find((candidate) => candidate.code === plan.faultKey);
  if (!fault) throw new Error(`The turbofan has no simulated fault ${plan.faultKey}`);
  return fault;
}

function snapshot(
  cycle: number,
  base: readonly number[],
  drift: readonly number[],
  severity: number,
  noise: Random,
  load: number,
): Signals {
  const signals: Record<string, number> = {
    cycle,
    altitudeKft: roundTo(0.0021 * load + 0.0006 * gaussian(noise), 4),
    machNumber: roundTo(0.0003 * boundedGaussian(noise), 4),
    throttleAngle: 100,
  };
  SHAPES.forEach((signal, i) => {
    const deviation = signal.noiseSigma * (gaussian(noise) + signal.load * load);
    signals[signal.name] = roundTo(
      (base[i] ?? signal.middle) + severity * (drift[i] ?? 0) + deviation,
      signal.decimals,
    );
  });
  return signals;
}

/** Heavier flights, hot days, another network of routes and other engine control all show as load. */
function loadOf(around: Circumstances, random: Random, time: number): number {
  const season = Math.sin((2 * Math.PI * time) / (365.25 * DAY_MS));
  const usual = 0.6 * boundedGaussian(random) + 0.4 * season;
  const routes = 2 * (around.load - 1) + 0.5 * (around.useRate - 1);
  return usual + routes + 0.06 * around.weatherK + 0.4 * around.place + 0.4 * around.firmware;
}
