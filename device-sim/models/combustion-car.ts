/**
 * A commuter's car: to work and back, errands, trips at weekends, with stops at lights. The engine warms up from the weather in
 * about ten minutes and is then held at 90 °C by its thermostat; air flow follows speed, load and displacement (1.4 l, one
 * filling every second turn); trims, fuel pressure and voltage are held by their controls as long as these can.
 */
import { gaussian, type Random } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../contract/kernel/time.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import type { Circumstances } from '../confounders.ts';
import { CAR_FAULTS, type CarWear, HEALTHY_CAR } from '../faults/combustion-car.ts';
import { endOfLifeLimit } from '../faults/fault-plan.ts';
import { dayStream, outdoorTempC, slowNoise, TEMPERATE } from './climate.ts';
import { defineSimulation, type Machine, towards } from './define-simulation.ts';
import { isFreeDay } from './household.ts';
import { boundedGaussian, roundTo, streamOf, vary } from './simulation.ts';
import { type Leg, legAt, legsOf } from './trips.ts';

const MODEL = 'combustionCar';
const MAX_STEP_MS = 15 * SECOND_MS;
/** Control modules take the engine for warm after this, or ask the driver to have it looked at. */
const WARM_UP_MS = 12 * MINUTE_MS;
/** A stop that is longer ends the trip: the engine is switched off. */
const LIGHTS_MAX_MS = 3 * MINUTE_MS;
const IDLE_RPM = 780;
const LITRES = 1.4;
/** Coolant and block warm by this much a second for each percent of load, and lose this share a second when off. */
const WARMING_K_PER_S = 0.0042;
const COOLING_TAU_S = 2.5 * 3_600;
const LIMIT = {
  coldC: endOfLifeLimit(MODEL, 'thermostatStuckOpen'),
  hotC: endOfLifeLimit(MODEL, 'waterPumpWear'),
  trimPercent: endOfLifeLimit(MODEL, 'intakeAirLeak'),
  fuelKPa: endOfLifeLimit(MODEL, 'fuelPumpWear'),
  volts: endOfLifeLimit(MODEL, 'alternatorWear'),
  misfires: endOfLifeLimit(MODEL, 'ignitionCoilWear'),
  oxygen: endOfLifeLimit(MODEL, 'catalystAging'),
};

interface Unit {
  readonly seed: number;
  readonly toWorkMs: number;
  readonly commuteLegs: number;
  readonly errands: number;
  readonly thermostatC: number;
  readonly trimPercent: number;
  readonly fuelKPa: number;
  readonly chargingV: number;
  readonly restV: number;
  readonly misfires: number;
  readonly oxygen: number;
  readonly airFactor: number;
  readonly climateC: number;
}

interface State {
  time: number;
  mode: 'parked' | 'warmingUp' | 'driving' | 'idling';
  day: number;
  legs: readonly Leg[];
  nextLeg: number;
  ambientC: number;
  intakeC: number;
  coolantC: number;
  speedKmH: number;
  rpm: number;
  loadPercent: number;
  odometerKm: number;
  runMs: number;
  restedMs: number;
}

export const simulatedCombustionCar = defineSimulation<CarWear>({
  id: MODEL,
  faults: CAR_FAULTS,
  healthy: HEALTHY_CAR,
  settleMs: DAY_MS,
  restModes: ['parked'],
  build: createCar,
});

function createCar(seed: number, time: number): Machine<CarWear> {
  const random = streamOf(seed, 1);
  const unit = drawUnit(seed, random);
  const noise = streamOf(seed, 2);
  const traffic = streamOf(seed, 3);
  const state: State = {
    time,
    mode: 'parked',
    day: -1,
    legs: [],
    nextLeg: 0,
    ambientC: 10,
    intakeC: 10,
    coolantC: 15,
    speedKmH: 0,
    rpm: 0,
    loadPercent: 0,
    odometerKm: 20_000 + 100_000 * random(),
    runMs: 0,
    restedMs: 0,
  };
  return {
    advance: (to, wear, around) => advanceTo(state, unit, wear, around, traffic, to),
    mode: () => state.mode,
    measure: (wear, around) => measure(state, unit, wear, around, noise),
  };
}

function drawUnit(seed: number, random: Random): Unit {
  return {
    seed,
    toWorkMs: (7.2 + 0.4 * boundedGaussian(random)) * HOUR_MS,
    commuteLegs: 7 + Math.floor(6 * random()),
    errands: 0.4 + 0.4 * random(),
    thermostatC: 90 + boundedGaussian(random),
    trimPercent: 1.5 + 1.2 * boundedGaussian(random),
    fuelKPa: vary(random, 380, 0.01),
    chargingV: 14.2 + 0.1 * boundedGaussian(random),
    restV: 12.6 + 0.05 * boundedGaussian(random),
    misfires: vary(random, 0.8, 0.2),
    oxygen: vary(random, 0.15, 0.12),
    airFactor: vary(random, 1, 0.02),
    climateC: boundedGaussian(random),
  };
}

/** To work and back, sometimes an errand in the evening; at weekends one or two longer trips. */
function tripsOf(unit: Unit, day: number, around: Circumstances): Leg[] {
  const random = dayStream(unit.seed, 31, day);
  const free = isFreeDay(day * DAY_MS);
  const late = 8 * boundedGaussian(random) * MINUTE_MS;
  const errand = random() < unit.errands * around.useRate;
  const home = random() >= around.useRate;
  const trip = (start: number, legs: number, fast: number): Leg[] =>
    legsOf(start, Math.max(1, Math.round(legs)), {
      drive: () => 1.5 + 3.5 * random(),
      stop: () => 0.4 + 1.2 * random(),
      speed: () => (fast + 35 * random()) * (1 + 0.2 * around.place),
    });
  const more = Math.sqrt(Math.max(0.2, around.useRate));
  if (free) {
    return [
      ...trip(10 * HOUR_MS + 3 * late, (6 + 8 * random()) * more, 40),
      ...(errand ? trip(15 * HOUR_MS + 2 * late, (4 + 6 * random()) * more, 30) : []),
    ];
  }
  if (home) return trip(18 * HOUR_MS + late, 5, 30);
  return [
    ...trip(unit.toWorkMs + late, unit.commuteLegs * more, 32),
    ...trip(unit.toWorkMs + 9.3 * HOUR_MS + 2 * late, unit.commuteLegs * more, 30),
    ...(errand ? trip(19.8 * HOUR_MS + late, (3 + 4 * random()) * more, 28) : []),
  ];
}

function advanceTo(state: State, unit: Unit, wear: CarWear, around: Circumstances, traffic: Random, to: number): void {
  state.ambientC = outdoorTempC(unit.seed, to, TEMPERATE) + unit.climateC + around.weatherK + 4 * around.place;
  while (state.time < to) {
    const stepMs = Math.min(MAX_STEP_MS, to - state.time);
    state.time += stepMs;
    const doing = wear.stranded ? 'off' : nowDoing(state, unit, around);
    if (doing === 'off') rest(state, stepMs);
    else run(state, unit, wear, around, doing === 'lights' ? undefined : doing, traffic(), stepMs);
  }
}

/** Between two legs of a trip the engine runs at the lights; a longer stop is a place to be. */
function nowDoing(state: State, unit: Unit, around: Circumstances): Leg | 'lights' | 'off' {
  const time = state.time - around.useShiftMs;
  const day = Math.floor(time / DAY_MS);
  if (day !== state.day) {
    state.day = day;
    state.legs = tripsOf(unit, day, around);
    state.nextLeg = 0;
  }
  const timeOfDay = time - day * DAY_MS;
  const { leg, next } = legAt(state.legs, timeOfDay, state.nextLeg);
  state.nextLeg = next;
  if (leg) return leg;
  const before = state.legs[next - 1];
  const after = state.legs[next];
  const atLights = before !== undefined && after !== undefined && after.from - before.to <= LIGHTS_MAX_MS;
  return atLights && timeOfDay >= before.to ? 'lights' : 'off';
}

function rest(state: State, stepMs: number): void {
  state.mode = 'parked';
  state.restedMs += stepMs;
  state.runMs = 0;
  state.speedKmH = 0;
  state.rpm = 0;
  state.loadPercent = 0;
  const share = 1 - Math.exp(-stepMs / SECOND_MS / COOLING_TAU_S);
  state.coolantC += (state.ambientC - state.coolantC) * share;
  state.intakeC += (state.ambientC - state.intakeC) * share * 3;
}

function run(
  state: State,
  unit: Unit,
  wear: CarWear,
  around: Circumstances,
  leg: Leg | undefined,
  draw: number,
  stepMs: number,
): void {
  const seconds = stepMs / SECOND_MS;
  state.runMs += stepMs;
  state.restedMs = 0;
  state.mode = state.runMs < WARM_UP_MS ? 'warmingUp' : leg ? 'driving' : 'idling';
  state.speedKmH = leg ? leg.speedKmH * (0.7 + 0.6 * draw) : 0;
  const idleRpm = IDLE_RPM + 30 * around.firmware + 5 * Math.max(0, 60 - state.coolantC);
  state.rpm = leg ? 1_150 + 17 * state.speedKmH + 500 * draw : idleRpm + 20 * draw;
  // Freight, hills and the air conditioning are load.
  const cabin = 4 * Math.max(0, state.ambientC - 22) * 0.25;
  const road = leg ? 16 + 0.38 * state.speedKmH + 14 * draw + 6 * around.place : 0;
  state.loadPercent = Math.min(95, 18 + cabin + road * (0.6 + 0.4 * around.load));
  state.odometerKm += (state.speedKmH * stepMs) / HOUR_MS;
  const intakeC = state.ambientC + (leg ? 8 : 20);
  state.intakeC += (intakeC - state.intakeC) * (1 - Math.exp(-seconds / 180));
  warm(state, unit, wear, seconds);
}

/** Warms with the heat of the engine until the thermostat holds it; then it follows within a minute. */
function warm(state: State, unit: Unit, wear: CarWear, seconds: number): void {
  const held = unit.thermostatC + 0.05 * (state.loadPercent - 30) + (state.speedKmH === 0 ? 3 : 0);
  // An open thermostat lets the weather through, a weak pump the load.
  const cold = towards(held, LIMIT.coldC + 0.15 * (state.ambientC - 5), wear.thermostat);
  const target = towards(cold, LIMIT.hotC, wear.waterPump);
  const gain = WARMING_K_PER_S * (12 + state.loadPercent) * seconds;
  const followed = (target - state.coolantC) * (1 - Math.exp(-seconds / 60));
  state.coolantC += Math.min(gain, followed);
}

function measure(state: State, unit: Unit, wear: CarWear, around: Circumstances, random: Random): Signals {
  const noise = Array.from({ length: 12 }, () => gaussian(random));
  const plus = (value: number, sigma: number, i: number): number => value + sigma * (noise[i] ?? 0);
  const runs = state.rpm > 0;
  const limited = (value: number): number => Math.max(-99, Math.min(99, value));
  return {
    mode: state.mode,
    odometerKm: roundTo(state.odometerKm, 1),
    vehicleSpeedKmH: roundTo(state.speedKmH, 0),
    engineSpeedRpm: roundTo(runs ? plus(state.rpm, 8, 0) : 0, 0),
    engineLoadPercent: roundTo(runs ? Math.max(0, plus(state.loadPercent, 0.8, 1)) : 0, 1),
    ambientTempC: roundTo(plus(state.ambientC, 0.3, 2), 0),
    intakeAirTempC: roundTo(plus(state.intakeC, 0.5, 3), 0),
    coolantTempC: roundTo(plus(state.coolantC, 0.4, 4), 0),
    massAirFlowGPerS: runs ? roundTo(Math.max(0, massAirFlow(state, unit, wear) * plus(1, 0.025, 5)), 2) : 0,
    longTermFuelTrimPercent: runs ? roundTo(limited(plus(longTrim(state, unit, wear, around), 0.5, 6)), 1) : 0,
    shortTermFuelTrimPercent: runs ? roundTo(limited(plus(shortTrim(wear), 1.6, 7)), 1) : 0,
    fuelRailPressureKPa: runs ? roundTo(Math.max(0, plus(fuelPressure(state, unit, wear), 2.5, 8)), 0) : 0,
    moduleVoltageV: roundTo(plus(voltage(state, unit, wear, around), 0.04, 9), 2),
    misfiresPer1000: runs
      ? roundTo(Math.max(0, towards(unit.misfires, LIMIT.misfires, wear.ignition) * plus(1, 0.3, 10)), 1)
      : 0,
    oxygenSwitchRatio: runs
      ? roundTo(Math.max(0, towards(unit.oxygen, LIMIT.oxygen, wear.catalyst) * plus(1, 0.06, 11)), 3)
      : 0,
  };
}

/** g/s: one filling of the displacement every second turn, less by load and by warm air; a leak takes its part past the meter. */
function massAirFlow(state: State, unit: Unit, wear: CarWear): number {
  const densityGPerL = (1.2 * 293) / (273 + state.intakeC);
  const filled = (state.rpm / 120) * LITRES * densityGPerL * (state.loadPercent / 100) * unit.airFactor;
  const passed = wear.airLeak * (state.speedKmH === 0 ? 0.3 : 0.1);
  return filled * (1 - passed);
}

/** What the control has learned: fuel and season move it by a few percent. */
function longTrim(state: State, unit: Unit, wear: CarWear, around: Circumstances): number {
  const fuel = 1.2 * slowNoise(unit.seed, 74, state.time, 10 * DAY_MS);
  const healthy = unit.trimPercent + fuel + 1.5 * around.firmware + 1 * around.place;
  return towards(healthy, LIMIT.trimPercent, wear.airLeak) + 5 * wear.fuelPump;
}

function shortTrim(wear: CarWear): number {
  return 3 * wear.airLeak + 2.5 * wear.ignition;
}

/** A worn pump no longer holds its pressure, least under load. */
function fuelPressure(state: State, unit: Unit, wear: CarWear): number {
  return towards(unit.fuelKPa - 0.1 * state.loadPercent, LIMIT.fuelKPa, wear.fuelPump);
}

/** The regulator charges more in the cold; at rest the battery shows what it is worth. */
function voltage(state: State, unit: Unit, wear: CarWear, around: Circumstances): number {
  if (state.mode === 'parked') {
    const sunk = 0.1 * (1 - Math.exp(-state.restedMs / (6 * HOUR_MS)));
    return unit.restV - sunk - 0.004 * Math.max(0, 15 - state.ambientC) - 0.4 * wear.alternator;
  }
  const cold = 0.006 * (20 - Math.min(40, state.intakeC));
  return towards(unit.chargingV + cold + 0.1 * around.firmware, LIMIT.volts, wear.alternator);
}
