/**
 * A refrigerator-freezer as three heat reservoirs (fresh food, freezer, evaporator), two thermostats, a defrost timer and
 * people who open the door. Kept as simple as the faults allow: charge, friction and fan speed act on the physics,
 * so that duty, temperatures and current move together as they do in a real one.
 */
import { gaussian, type Random } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import { type Circumstances, circumstancesAt, USUAL } from '../confounders.ts';
import { endOfLifeLimit, type FaultPlan, severityAt } from '../faults/fault-plan.ts';
import { NO_WEAR, REFRIGERATOR_FAULTS, type RefrigeratorFault, type RefrigeratorWear } from '../faults/refrigerator.ts';
import { doorOpeningsPerHour, mainsVoltageV, roomTempC } from './household.ts';
import {
  boundedGaussian,
  intervalOf,
  roundTo,
  type SimulatedModel,
  type Simulation,
  type SimulationOptions,
  streamOf,
  vary,
} from './simulation.ts';

const MODEL = 'refrigerator';
/** Long enough for cycles, duty and defrost to settle before the first sample. */
const SETTLE_MS = 12 * HOUR_MS;
/** Coarsest time step: the evaporator follows within minutes. */
const MAX_STEP_MS = MINUTE_MS;
const DUTY_SLOTS = 12;
const SMOOTHING_HOURS = 6;
const FREEZER_BAND_K = 1.5;
const FRESH_BAND_K = 0.6;
const DEFROST_HEATER_W = 260;
const DEFROST_MAX_MS = 25 * MINUTE_MS;
const DEFROST_DONE_C = 8;
const DOOR_HEAT_W = 150;
/** Heat that a torn gasket lets in, as a multiple of what the walls of the fresh-food compartment do. */
const GASKET_LOSS = 1.6;
const FREEZER_J_PER_K = 26_000;
const FRESH_J_PER_K = 62_000;
const EVAPORATOR_J_PER_K = 3_200;
/** Heat transfer to the evaporator when its fan stands: natural convection. */
const STILL_AIR_SHARE = 0.15;
const WEATHER_DAYS = 3;
const WEATHER_SIGMA_K = 0.9;
const VIBRATION_LIMIT_MM_PER_S = endOfLifeLimit(MODEL, 'compressorBearingWear');
const WARM_FOOD_C = endOfLifeLimit(MODEL, 'refrigerantLeak');

/** What differs from one unit to the next. */
interface Unit {
  readonly freezerSetC: number;
  readonly freshSetC: number;
  readonly freezerLossWPerK: number;
  readonly freshLossWPerK: number;
  readonly capacityW: number;
  readonly freezerCoilWPerK: number;
  readonly freshCoilWPerK: number;
  readonly currentA: number;
  readonly vibrationMmPerS: number;
  readonly fanRpm: number;
  readonly supplyV: number;
  readonly roomC: number;
  readonly defrostAfterRunMs: number;
  readonly doorOpeningsPerDay: number;
}

interface State {
  time: number;
  freshC: number;
  freezerC: number;
  evaporatorC: number;
  roomC: number;
  weatherK: number;
  running: boolean;
  damperOpen: boolean;
  defrostLeftMs: number;
  runSinceDefrostMs: number;
  doorLeftMs: number;
  doorOpened: boolean;
  smoothedFreshC: number;
  failedAt: number | undefined;
}

interface Randomness {
  readonly weather: Random;
  readonly door: Random;
  readonly noise: Random;
}

function drawUnit(random: Random): Unit {
  return {
    freezerSetC: -18 + 0.6 * boundedGaussian(random),
    freshSetC: 4 + 0.4 * boundedGaussian(random),
    freezerLossWPerK: vary(random, 0.85, 0.05),
    freshLossWPerK: vary(random, 1.9, 0.05),
    capacityW: vary(random, 172, 0.04),
    freezerCoilWPerK: vary(random, 12, 0.04),
    freshCoilWPerK: vary(random, 4.2, 0.04),
    currentA: vary(random, 1.15, 0.04),
    vibrationMmPerS: vary(random, 1.9, 0.08),
    fanRpm: vary(random, 2400, 0.02),
    supplyV: 230 + 2 * boundedGaussian(random),
    roomC: 21.5 + 0.9 * boundedGaussian(random),
    defrostAfterRunMs: (8 + 4 * random()) * HOUR_MS,
    doorOpeningsPerDay: vary(random, 24, 0.2),
  };
}

export const simulatedRefrigerator: SimulatedModel = {
  id: MODEL,
  intervalMs: intervalOf(MODEL),
  faults: REFRIGERATOR_FAULTS,
  create: createRefrigerator,
};

/** A refrigerator of the catalogue. Severity 0 and no fault give the same signals, bit for bit. */
function createRefrigerator(seed: number, options: SimulationOptions): Simulation {
  const unit = drawUnit(streamOf(seed, 1));
  const random: Randomness = { weather: streamOf(seed, 2), door: streamOf(seed, 3), noise: streamOf(seed, 4) };
  const fault = faultOf(options.fault);
  const state = initialState(unit, options.startAt - SETTLE_MS, streamOf(seed, 5));
  const duty = new Float32Array(DUTY_SLOTS);
  let dutySlot = 0;

  const advance = (time: number): RefrigeratorWear => {
    const wear = wearAt(fault, options.fault, state, time);
    const around = circumstancesAt(options.confounders, time);
    const runShare = advanceTo(state, unitIn(unit, around), wear, random, around, time);
    duty[dutySlot++ % DUTY_SLOTS] = runShare;
    noteFailure(state, fault, options.fault);
    return wear;
  };
  for (let time = state.time + 5 * MINUTE_MS; time <= options.startAt; time += 5 * MINUTE_MS) advance(time);

  return {
    step(time) {
      const wear = advance(time);
      return measure(
        state,
        unitIn(unit, circumstancesAt(options.confounders, time)),
        wear,
        average(duty),
        random.noise,
      );
    },
    failedAt: () => state.failedAt,
  };
}

/** Warm groceries are load; another room, other mains and another thermostat curve are places and firmware. */
function unitIn(unit: Unit, around: Circumstances): Unit {
  if (around === USUAL) return unit;
  return {
    ...unit,
    freshSetC: unit.freshSetC - 0.4 * around.firmware,
    freezerSetC: unit.freezerSetC - 0.6 * around.firmware,
    freshLossWPerK: unit.freshLossWPerK * (1 + 0.4 * (around.load - 1)),
    // A heated room takes little of the weather outside.
    roomC: unit.roomC + 0.25 * around.weatherK + 2 * around.place,
    supplyV: unit.supplyV - 4 * around.place,
    doorOpeningsPerDay: unit.doorOpeningsPerDay * around.useRate,
  };
}

function faultOf(plan: FaultPlan | undefined): RefrigeratorFault | undefined {
  if (!plan) return undefined;
  const fault = REFRIGERATOR_FAULTS.find((candidate) => candidate.code === plan.faultKey);
  if (!fault) throw new Error(`The refrigerator has no simulated fault ${plan.faultKey}`);
  return fault;
}

function initialState(unit: Unit, time: number, random: Random): State {
  return {
    time,
    freshC: unit.freshSetC,
    freezerC: unit.freezerSetC + FREEZER_BAND_K * (2 * random() - 1),
    evaporatorC: unit.freezerSetC - 2,
    roomC: unit.roomC,
    weatherK: WEATHER_SIGMA_K * gaussian(random),
    running: random() < 0.5,
    damperOpen: random() < 0.5,
    defrostLeftMs: 0,
    runSinceDefrostMs: random() * unit.defrostAfterRunMs,
    doorLeftMs: 0,
    doorOpened: false,
    smoothedFreshC: unit.freshSetC,
    failedAt: undefined,
  };
}

function wearAt(fault: RefrigeratorFault | undefined, plan: FaultPlan | undefined, state: State, time: number) {
  if (!fault) return NO_WEAR;
  const severity = severityAt(plan, time);
  if (severity === 0) return NO_WEAR;
  return fault.wear(severity, state.failedAt !== undefined || (fault.failsBy === 'severity' && severity >= 1));
}

function noteFailure(state: State, fault: RefrigeratorFault | undefined, plan: FaultPlan | undefined): void {
  if (!fault || state.failedAt !== undefined || severityAt(plan, state.time) === 0) return;
  const failed = fault.failsBy === 'severity' ? severityAt(plan, state.time) >= 1 : state.smoothedFreshC > WARM_FOOD_C;
  if (failed) state.failedAt = state.time;
}

/** Integrates to `time` in steps of at most a minute; returns the share of it in which the compressor ran. */
function advanceTo(
  state: State,
  unit: Unit,
  wear: RefrigeratorWear,
  random: Randomness,
  around: Circumstances,
  time: number,
): number {
  const spanMs = time - state.time;
  if (spanMs <= 0) return state.running ? 1 : 0;
  const stepCount = Math.ceil(spanMs / MAX_STEP_MS);
  const stepMs = spanMs / stepCount;
  driftWeather(state, random.weather, spanMs);
  state.doorOpened = state.doorLeftMs > 0;
  let ranMs = 0;
  for (let i = 0; i < stepCount; i++) {
    state.time += stepMs;
    state.roomC = roomTempC(state.time, unit.roomC) + state.weatherK;
    useDoor(state, unit, random.door, stepMs, around.useShiftMs);
    control(state, unit, wear, stepMs);
    exchangeHeat(state, unit, wear, stepMs / 1_000);
    if (state.running) ranMs += stepMs;
  }
  state.time = time;
  state.smoothedFreshC += (state.freshC - state.smoothedFreshC) * (1 - Math.exp(-spanMs / (SMOOTHING_HOURS * HOUR_MS)));
  return ranMs / spanMs;
}

/** Weather that comes and goes over days (Ornstein–Uhlenbeck process). */
function driftWeather(state: State, random: Random, spanMs: number): void {
  const keep = Math.exp(-spanMs / (WEATHER_DAYS * DAY_MS));
  state.weatherK = state.weatherK * keep + WEATHER_SIGMA_K * Math.sqrt(1 - keep * keep) * boundedGaussian(random, 3);
}

/** Both draws are made each step, so that the door's use does not depend on anything else. */
function useDoor(state: State, unit: Unit, random: Random, stepMs: number, shiftMs: number): void {
  const opens = random() < (doorOpeningsPerHour(state.time - shiftMs, unit.doorOpeningsPerDay) * stepMs) / HOUR_MS;
  const openMs = (15 + 45 * random()) * 1_000;
  if (opens && state.doorLeftMs <= 0) state.doorLeftMs = openMs;
  if (state.doorLeftMs > 0) state.doorOpened = true;
}

/** Freezer thermostat drives the compressor, the damper lets cold air to the fresh food, the timer defrosts. */
function control(state: State, unit: Unit, wear: RefrigeratorWear, stepMs: number): void {
  if (state.freshC > unit.freshSetC + FRESH_BAND_K) state.damperOpen = true;
  else if (state.freshC < unit.freshSetC - FRESH_BAND_K) state.damperOpen = false;
  if (state.defrostLeftMs > 0) {
    state.defrostLeftMs = state.evaporatorC >= DEFROST_DONE_C ? 0 : state.defrostLeftMs - stepMs;
    return;
  }
  if (state.runSinceDefrostMs >= unit.defrostAfterRunMs) {
    state.runSinceDefrostMs = 0;
    state.defrostLeftMs = DEFROST_MAX_MS;
    state.running = false;
    return;
  }
  const tooWarm = state.freezerC > unit.freezerSetC + FREEZER_BAND_K || state.freshC > unit.freshSetC + 4;
  const coldEnough = state.freezerC < unit.freezerSetC - FREEZER_BAND_K && state.freshC <= unit.freshSetC + 4;
  state.running = !wear.stalled && (tooWarm || (state.running && !coldEnough));
  if (state.running) state.runSinceDefrostMs += stepMs;
}

function exchangeHeat(state: State, unit: Unit, wear: RefrigeratorWear, seconds: number): void {
  const wetCoil = 0.5 + 0.5 * wear.charge;
  const air = wetCoil * (state.running ? Math.max(STILL_AIR_SHARE, wear.fan) : STILL_AIR_SHARE);
  const fromFreezerW = unit.freezerCoilWPerK * air * (state.freezerC - state.evaporatorC);
  const damper = state.damperOpen && state.running ? wetCoil * wear.fan : 0.02;
  const fromFreshW = unit.freshCoilWPerK * damper * (state.freshC - state.evaporatorC);
  const openSeconds = Math.min(seconds, Math.max(0, state.doorLeftMs / 1_000));
  state.doorLeftMs -= openSeconds * 1_000;
  const doorJ = DOOR_HEAT_W * openSeconds * Math.max(0, (state.roomC - state.freshC) / 18);
  const heaterW = state.defrostLeftMs > 0 ? DEFROST_HEATER_W : 0;

  state.freezerC +=
    ((unit.freezerLossWPerK * (state.roomC - state.freezerC) - fromFreezerW) * seconds) / FREEZER_J_PER_K;
  const freshLossWPerK = unit.freshLossWPerK * (1 + GASKET_LOSS * wear.gasket);
  state.freshC += ((freshLossWPerK * (state.roomC - state.freshC) - fromFreshW) * seconds + doorJ) / FRESH_J_PER_K;
  state.evaporatorC +=
    ((fromFreezerW + fromFreshW + heaterW - coolingW(state, unit, wear)) * seconds) / EVAPORATOR_J_PER_K;
}

/** Heat that the compressor pumps: more from a warmer evaporator (none below about −53 °C), less into a warmer room. */
function coolingW(state: State, unit: Unit, wear: RefrigeratorWear): number {
  if (!state.running) return 0;
  const aboveC = state.evaporatorC + 25;
  const suction = 1 + (aboveC > 0 ? 0.015 : 0.035) * aboveC;
  const condensing = 1 - 0.006 * (state.roomC - 22);
  return Math.max(0, unit.capacityW * wear.charge * (1 - 0.1 * wear.friction) * suction * condensing);
}

function modeOf(state: State): string {
  if (state.defrostLeftMs > 0) return 'defrost';
  return state.running ? 'cooling' : 'idle';
}

function measure(state: State, unit: Unit, wear: RefrigeratorWear, duty: number, noise: Random): Signals {
  const voltage = mainsVoltageV(state.time, unit.supplyV) + 0.6 * gaussian(noise);
  const currentNoise = 1 + 0.012 * gaussian(noise);
  const vibrationNoise = gaussian(noise);
  const fanNoise = gaussian(noise);
  const vibration = state.running
    ? unit.vibrationMmPerS + wear.friction * (VIBRATION_LIMIT_MM_PER_S - unit.vibrationMmPerS)
    : 0.12;
  return {
    mode: modeOf(state),
    freshFoodTempC: roundTo(state.freshC + 0.08 * gaussian(noise), 2),
    freezerTempC: roundTo(state.freezerC + 0.1 * gaussian(noise), 2),
    evaporatorTempC: roundTo(state.evaporatorC + 0.15 * gaussian(noise), 2),
    compressorCurrentA: roundTo(Math.max(0, currentA(state, unit, wear, voltage) * currentNoise), 3),
    compressorDutyRatio: roundTo(duty, 3),
    compressorVibrationMmPerS: roundTo(Math.max(0, vibration * (1 + 0.035 * vibrationNoise)), 3),
    evaporatorFanRpm:
      state.running && wear.fan > 0 ? Math.max(0, Math.round(unit.fanRpm * wear.fan + 9 * fanNoise)) : 0,
    supplyVoltageV: roundTo(voltage, 1),
    ambientTempC: roundTo(state.roomC + 0.05 * gaussian(noise), 2),
    doorOpen: state.doorOpened,
  };
}

/** Idle electronics, the defrost heater, or the motor: more load from a warm evaporator and room, less with little charge. */
function currentA(state: State, unit: Unit, wear: RefrigeratorWear, voltageV: number): number {
  if (state.defrostLeftMs > 0) return DEFROST_HEATER_W / voltageV;
  if (!state.running) return 0.03;
  const load = (1 + 0.01 * (state.evaporatorC + 25)) * (1 + 0.008 * (state.roomC - 22));
  return unit.currentA * (230 / voltageV) * load * (0.5 + 0.5 * wear.charge) * (1 + 0.35 * wear.friction);
}

function average(values: Float32Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total / values.length;
}
