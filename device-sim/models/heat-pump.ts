/**
 * A split heat pump in a flat: one room that loses heat to the weather, an inverter that follows its set point, a coil outside
 * that ices and is defrosted. Sizes as in data sheets of 3.5 kW units: about 60 W of heat per Hz, 25–100 Hz, a Carnot efficiency
 * of 0.42 (a COP of 3.5 at 7 °C outside), a defrost of 5 minutes every one to two hours below 5 °C.
 */
import { gaussian, type Random } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../contract/kernel/time.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import type { Circumstances } from '../confounders.ts';
import { endOfLifeLimit } from '../faults/fault-plan.ts';
import { HEALTHY_HEAT_PUMP, HEAT_PUMP_FAULTS, type HeatPumpWear } from '../faults/heat-pump.ts';
import { outdoorTempC, slowNoise, TEMPERATE } from './climate.ts';
import { defineSimulation, type Machine, towards } from './define-simulation.ts';
import { dayCourse, mainsVoltageV } from './household.ts';
import { boundedGaussian, roundTo, streamOf, vary } from './simulation.ts';

const MODEL = 'heatPump';
const MAX_STEP_MS = 30 * SECOND_MS;
const MIN_HZ = 25;
const MAX_HZ = 100;
const ROOM_J_PER_K = 4_000_000;
const CARNOT_SHARE = 0.42;
const STANDBY_W = 8;
const FANS_W = 45;
const BAND_K = 0.6;
const DEFROST_MS = 5 * MINUTE_MS;
/** Rates at which the controls and the gas follow. */
const SPEED_TAU_S = 120;
const GAS_TAU_S = 240;
const LIMIT = {
  superheatK: endOfLifeLimit(MODEL, 'refrigerantLoss'),
  approachK: endOfLifeLimit(MODEL, 'outdoorCoilFouling'),
  filterPa: endOfLifeLimit(MODEL, 'airFilterClog'),
  vibration: endOfLifeLimit(MODEL, 'scrollCompressorWear'),
  fanRpm: endOfLifeLimit(MODEL, 'outdoorFanWear'),
};

type Mode = 'idle' | 'heating' | 'cooling' | 'defrost';

interface Unit {
  readonly seed: number;
  readonly lossWPerK: number;
  readonly gainsW: number;
  readonly sunW: number;
  readonly wattPerHz: number;
  readonly approachK: number;
  readonly superheatK: number;
  readonly subcoolingK: number;
  readonly fanRpm: number;
  readonly filterPa: number;
  readonly vibrationMmPerS: number;
  readonly heatSetC: number;
  readonly coolSetC: number;
  readonly supplyV: number;
  readonly climateC: number;
}

interface State {
  time: number;
  mode: Mode;
  outdoorC: number;
  roomC: number;
  setC: number;
  speedHz: number;
  /** 0 = dry coil, 1 = due for a defrost. */
  frost: number;
  defrostLeftMs: number;
  dischargeC: number;
  indoorCoilC: number;
  powerW: number;
  energyKWh: number;
}

export const simulatedHeatPump = defineSimulation<HeatPumpWear>({
  id: MODEL,
  faults: HEAT_PUMP_FAULTS,
  healthy: HEALTHY_HEAT_PUMP,
  settleMs: DAY_MS,
  restModes: ['idle'],
  build: createHeatPump,
});

function createHeatPump(seed: number, time: number): Machine<HeatPumpWear> {
  const random = streamOf(seed, 1);
  const unit = drawUnit(seed, random);
  const noise = streamOf(seed, 2);
  const state: State = {
    time,
    mode: 'idle',
    outdoorC: 10,
    roomC: 21.5,
    setC: unit.heatSetC,
    speedHz: 0,
    frost: random(),
    defrostLeftMs: 0,
    dischargeC: 20,
    indoorCoilC: 21.5,
    powerW: STANDBY_W,
    energyKWh: 500 + 4_000 * random(),
  };
  return {
    advance: (to, wear, around) => advanceTo(state, unit, wear, around, to),
    mode: () => state.mode,
    measure: (wear, around) => measure(state, unit, wear, around, noise),
  };
}

function drawUnit(seed: number, random: Random): Unit {
  return {
    seed,
    lossWPerK: vary(random, 100, 0.08),
    gainsW: vary(random, 250, 0.15),
    sunW: vary(random, 1_100, 0.15),
    wattPerHz: vary(random, 60, 0.03),
    approachK: vary(random, 6, 0.06),
    superheatK: vary(random, 6, 0.05),
    subcoolingK: vary(random, 5, 0.06),
    fanRpm: vary(random, 850, 0.02),
    filterPa: vary(random, 28, 0.08),
    vibrationMmPerS: vary(random, 2.2, 0.08),
    heatSetC: 21 + 0.5 * boundedGaussian(random),
    coolSetC: 24 + 0.5 * boundedGaussian(random),
    supplyV: 230 + 2 * boundedGaussian(random),
    climateC: boundedGaussian(random),
  };
}

function advanceTo(state: State, unit: Unit, wear: HeatPumpWear, around: Circumstances, to: number): void {
  const weatherC = outdoorTempC(unit.seed, to, TEMPERATE) + unit.climateC + around.weatherK + 4 * around.place;
  const cloudy = 0.5 + 0.3 * slowNoise(unit.seed, 72, to, DAY_MS);
  state.outdoorC = weatherC;
  while (state.time < to) {
    const stepMs = Math.min(MAX_STEP_MS, to - state.time);
    state.time += stepMs;
    state.setC = setPointC(state, unit, around);
    control(state, unit, wear, around, stepMs);
    const heatW = exchange(state, unit, wear, stepMs / SECOND_MS);
    // Away from home nobody cooks or sits there; the sun comes all the same.
    const gainsW = unit.gainsW * around.useRate + unit.sunW * Math.max(0, dayCourse(state.time, 14)) * (1 - cloudy);
    const lossW = unit.lossWPerK * around.load * (state.roomC - state.outdoorC);
    state.roomC += ((heatW + gainsW - lossW) * (stepMs / SECOND_MS)) / ROOM_J_PER_K;
    state.energyKWh += (state.powerW * stepMs) / HOUR_MS / 1_000;
  }
}

/** People want it cooler at night; when they heat or cool follows the season that the weather makes. */
function setPointC(state: State, unit: Unit, around: Circumstances): number {
  const hour = ((state.time - around.useShiftMs) % DAY_MS) / HOUR_MS;
  const night = hour < 6 || hour >= 22;
  const comfort = 1.2 * (around.useRate - 1);
  if (wantsCooling(state, unit)) return unit.coolSetC - comfort + (night ? 1 : 0);
  return unit.heatSetC + comfort - (night ? 1.5 : 0);
}

function wantsCooling(state: State, unit: Unit): boolean {
  return state.mode === 'cooling' || (state.mode === 'idle' && state.roomC > unit.coolSetC - 0.5);
}

function control(state: State, unit: Unit, wear: HeatPumpWear, around: Circumstances, stepMs: number): void {
  if (wear.locked) {
    state.mode = 'idle';
    state.defrostLeftMs = 0;
  } else if (state.defrostLeftMs > 0) {
    state.defrostLeftMs -= stepMs;
    state.frost = Math.max(0, state.frost - (1.1 * stepMs) / DEFROST_MS);
    if (state.defrostLeftMs <= 0) state.mode = 'heating';
  } else {
    state.mode = nextMode(state, unit);
    if (state.mode === 'heating') growFrost(state, unit, wear, around, stepMs);
  }
  const wantedHz = state.mode === 'defrost' ? 60 : state.mode === 'idle' ? 0 : speedFor(state, unit, around);
  // It stops at once and starts at its lowest speed; a change of speed takes minutes.
  const runningHz = Math.max(MIN_HZ, state.speedHz);
  state.speedHz = wantedHz === 0 ? 0 : runningHz + (wantedHz - runningHz) * follow(stepMs, SPEED_TAU_S);
}

function nextMode(state: State, unit: Unit): Mode {
  const error = state.setC - state.roomC;
  if (state.mode === 'heating') return error < -BAND_K ? 'idle' : 'heating';
  if (state.mode === 'cooling') return error > BAND_K ? 'idle' : 'cooling';
  if (wantsCooling(state, unit)) return error < -BAND_K ? 'cooling' : 'idle';
  return error > BAND_K ? 'heating' : 'idle';
}

/** Speed that holds the room (feed-forward of the loss) and corrects its error. */
function speedFor(state: State, unit: Unit, around: Circumstances): number {
  const error = state.setC - state.roomC;
  const heats = state.mode === 'heating';
  const holdW = unit.lossWPerK * (heats ? state.setC - state.outdoorC - 3 : state.outdoorC - state.setC + 6);
  const wantedW = holdW + 900 * (heats ? error : -error);
  const hz = (wantedW / unit.wattPerHz) * (1 + 0.05 * around.firmware);
  return Math.max(MIN_HZ, Math.min(MAX_HZ, hz));
}

/** Ice grows on a coil that is colder than frost in damp air; the unit defrosts by what it believes of it. */
function growFrost(state: State, unit: Unit, wear: HeatPumpWear, around: Circumstances, stepMs: number): void {
  const coilC = state.outdoorC - approachK(state, unit, wear);
  const damp =
    Math.max(0, Math.min(1, (8 - state.outdoorC) / 6)) * Math.max(0.2, Math.min(1, (state.outdoorC + 15) / 15));
  if (coilC < -1) state.frost += (damp * stepMs) / (80 * MINUTE_MS);
  if (state.frost < 1 + 0.15 * around.firmware) return;
  state.mode = 'defrost';
  state.defrostLeftMs = DEFROST_MS;
}

/** What the outdoor coil needs to take or give the heat: more with speed, ice, dirt and a slow fan. */
function approachK(state: State, unit: Unit, wear: HeatPumpWear): number {
  const healthy = unit.approachK * (0.4 + (0.6 * state.speedHz) / 60) * (1 + 0.15 * Math.min(1, state.frost));
  return towards(healthy, LIMIT.approachK, wear.fouling) * (1 + 0.8 * wear.fan);
}

/** Moves heat for a step and lets temperatures and power follow; returns the heat into the room, W. */
function exchange(state: State, unit: Unit, wear: HeatPumpWear, seconds: number): number {
  const share = follow(seconds * SECOND_MS, GAS_TAU_S);
  if (state.mode === 'idle') {
    state.powerW = STANDBY_W;
    state.dischargeC += (state.outdoorC - state.dischargeC) * share * 0.3;
    state.indoorCoilC += (state.roomC - state.indoorCoilC) * share;
    return 0;
  }
  const airK = 1 + 0.5 * wear.filterClog;
  const indoorK = (state.mode === 'heating' ? 6 + 0.22 * state.speedHz : -4 - 0.14 * state.speedHz) * airK;
  const outdoorK = approachK(state, unit, wear) * (state.mode === 'heating' ? -1 : 1);
  const indoorC = state.mode === 'defrost' ? state.roomC - 12 : state.roomC + indoorK;
  const outdoorC = state.mode === 'defrost' ? 4 : state.outdoorC + outdoorK;
  const condensingC = Math.max(indoorC, outdoorC);
  const evaporatingC = Math.min(indoorC, outdoorC);
  const liftK = Math.max(12, condensingC - evaporatingC);
  const suction = Math.max(0.4, 1 + 0.018 * (evaporatingC - (state.mode === 'cooling' ? 10 : 0)));
  const heatW = unit.wattPerHz * state.speedHz * suction * (1 - 0.55 * wear.chargeLost) * (1 - 0.12 * wear.compressor);
  const cop = (CARNOT_SHARE * (condensingC + 273)) / liftK;
  // Friction and inner leakage cost a quarter at the end; lost charge moves less gas but not less air.
  const pumpedW = (heatW / cop) * (1 + 0.25 * wear.compressor) * (1 + 0.3 * wear.chargeLost);
  state.powerW = STANDBY_W + FANS_W + pumpedW;
  const hotC =
    condensingC + 16 + 0.45 * liftK + 0.8 * (superheatK(unit, wear) - unit.superheatK) + 14 * wear.compressor;
  state.dischargeC += (hotC - state.dischargeC) * share;
  state.indoorCoilC += (indoorC - state.indoorCoilC) * share;
  if (state.mode === 'defrost') return -1_500;
  return state.mode === 'heating' ? heatW : -heatW * 0.9;
}

/** The valve holds the superheat by opening wider, as long as it can. */
function superheatK(unit: Unit, wear: HeatPumpWear): number {
  return towards(unit.superheatK, LIMIT.superheatK, wear.chargeLost ** 1.5);
}

function follow(ms: number, tauS: number): number {
  return 1 - Math.exp(-ms / SECOND_MS / tauS);
}

function measure(state: State, unit: Unit, wear: HeatPumpWear, around: Circumstances, random: Random): Signals {
  const noise = Array.from({ length: 13 }, () => gaussian(random));
  const plus = (value: number, sigma: number, i: number): number => value + sigma * (noise[i] ?? 0);
  const runs = state.mode === 'heating' || state.mode === 'cooling';
  const regulated = unit.superheatK + 0.8 * around.firmware;
  const superheat = superheatK({ ...unit, superheatK: regulated }, wear);
  const valve = 12 + 0.45 * state.speedHz - 2 * around.firmware;
  const fanRpm = unit.fanRpm * (1 + 0.05 * around.firmware);
  const indoorFan = 1 + 0.06 * around.firmware;
  return {
    mode: state.mode,
    energyKWh: roundTo(state.energyKWh, 2),
    outdoorTempC: roundTo(plus(state.outdoorC, 0.15, 0), 1),
    roomTempC: roundTo(plus(state.roomC, 0.05, 1), 2),
    setTempC: roundTo(state.setC, 1),
    compressorSpeedHz: roundTo(state.speedHz, 1),
    supplyVoltageV: roundTo(plus(mainsVoltageV(state.time, unit.supplyV) - 4 * around.place, 0.6, 2), 1),
    superheatK: runs ? roundTo(plus(superheat, 0.5, 3), 1) : 0,
    subcoolingK: runs ? roundTo(Math.max(0, plus(unit.subcoolingK * (1 - 0.9 * wear.chargeLost), 0.4, 4)), 1) : 0,
    expansionValvePercent: runs
      ? roundTo(Math.max(0, Math.min(100, plus(valve + wear.chargeLost * 0.8 * (100 - valve), 1, 5))), 0)
      : 0,
    dischargeTempC: roundTo(plus(state.dischargeC, 0.5, 6), 1),
    outdoorCoilApproachK: runs ? roundTo(Math.max(0, plus(approachK(state, unit, wear), 0.25, 7)), 2) : 0,
    indoorCoilTempC: roundTo(plus(state.indoorCoilC, 0.2, 8), 1),
    filterPressurePa: runs
      ? roundTo(
          Math.max(0, towards(unit.filterPa * indoorFan ** 2, LIMIT.filterPa, wear.filterClog) * plus(1, 0.03, 9)),
          1,
        )
      : 0,
    outdoorFanRpm: runs ? roundTo(towards(fanRpm, LIMIT.fanRpm, wear.fan) * plus(1, 0.008, 10), 0) : 0,
    electricPowerW: roundTo(Math.max(0, state.powerW * plus(1, 0.01, 11)), 0),
    compressorVibrationMmPerS:
      state.speedHz > 0 ? roundTo(vibrationMmPerS(state, unit, wear) * plus(1, 0.05, 12), 2) : 0.05,
  };
}

function vibrationMmPerS(state: State, unit: Unit, wear: HeatPumpWear): number {
  return towards(unit.vibrationMmPerS * (0.6 + (0.4 * state.speedHz) / 60), LIMIT.vibration, wear.compressor);
}
