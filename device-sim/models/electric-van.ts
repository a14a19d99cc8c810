/**
 * An electric delivery van of a depot: a tour of stops on workdays, a short one on Saturdays, charging in the evening. Driving
 * resistance of 3 t with its load, 2.8 m² of drag area and 1 % of rolling resistance, heating of the cabin in the cold; a pack
 * of 75 kWh with 0.09 Ω; coolant for inverter and motor. About 30 kWh/100 km in town.
 */
import { gaussian, type Random } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../contract/kernel/time.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import type { Circumstances } from '../confounders.ts';
import { HEALTHY_VAN, VAN_FAULTS, type VanWear } from '../faults/electric-van.ts';
import { endOfLifeLimit } from '../faults/fault-plan.ts';
import { dayStream, outdoorTempC, slowNoise, TEMPERATE } from './climate.ts';
import { defineSimulation, type Machine, towards } from './define-simulation.ts';
import { boundedGaussian, roundTo, streamOf, vary } from './simulation.ts';
import { type Leg, legAt, legsOf } from './trips.ts';

const MODEL = 'electricVan';
const MAX_STEP_MS = 30 * SECOND_MS;
const CAPACITY_KWH = 75;
const EMPTY_KG = 2_400;
const DRAG_N_PER_M2_S2 = 0.5 * 1.2 * 1.7;
const ROLLING_N_PER_KG = 0.11;
const DRIVE_EFFICIENCY = 0.85;
const PACK_OHM = 0.09;
const PACK_J_PER_K = 350_000;
const PACK_LOSS_W_PER_K = 45;
const STANDBY_KW = 0.02;
const FULL_PERCENT = 95;
const EMPTY_PERCENT = 6;
const PLUG_AT_MS = 17 * HOUR_MS;
/** Fleet surveys: about 2 % of the capacity a year. */
const AGING_PERCENT_PER_DAY = 2 / 365;
const LIMIT = {
  spreadMv: endOfLifeLimit(MODEL, 'cellWeakness'),
  flow: endOfLifeLimit(MODEL, 'coolantPumpWear'),
  insulationKOhm: endOfLifeLimit(MODEL, 'insulationLoss'),
  chargeKW: endOfLifeLimit(MODEL, 'chargerDerating'),
  auxV: endOfLifeLimit(MODEL, 'auxBatteryAging'),
  tyreKPa: endOfLifeLimit(MODEL, 'tyreSlowLeak'),
};

interface Unit {
  readonly seed: number;
  readonly builtAt: number;
  readonly healthPercent: number;
  readonly stops: number;
  readonly startMs: number;
  readonly payloadKg: number;
  readonly spreadMv: number;
  readonly flowLPerMin: number;
  readonly insulationKOhm: number;
  readonly chargeKW: number;
  readonly restV: number;
  readonly convertedV: number;
  readonly tyreKPa: number;
  readonly climateC: number;
}

interface State {
  time: number;
  mode: 'parked' | 'driving' | 'charging';
  day: number;
  legs: readonly Leg[];
  nextLeg: number;
  outdoorC: number;
  speedKmH: number;
  payloadKg: number;
  odometerKm: number;
  socPercent: number;
  currentA: number;
  packC: number;
  coolantC: number;
  inverterC: number;
  motorC: number;
  chargeKW: number;
  /** Since the last drive or charge: the 12 V battery sinks while nothing fills it. */
  restedMs: number;
}

export const simulatedElectricVan = defineSimulation<VanWear>({
  id: MODEL,
  faults: VAN_FAULTS,
  healthy: HEALTHY_VAN,
  settleMs: DAY_MS,
  restModes: ['parked'],
  build: createVan,
});

function createVan(seed: number, time: number): Machine<VanWear> {
  const random = streamOf(seed, 1);
  const unit = drawUnit(seed, time, random);
  const traffic = streamOf(seed, 3);
  const noise = streamOf(seed, 2);
  const state = initialState(time, random);
  return {
    advance: (to, wear, around) => advanceTo(state, unit, wear, around, traffic, to),
    mode: () => state.mode,
    measure: (wear, around) => measure(state, unit, wear, around, noise),
  };
}

function drawUnit(seed: number, builtAt: number, random: Random): Unit {
  return {
    seed,
    builtAt,
    healthPercent: 96 + 1.2 * boundedGaussian(random),
    stops: Math.round(vary(random, 30, 0.1)),
    startMs: (7.3 + 0.3 * boundedGaussian(random)) * HOUR_MS,
    payloadKg: vary(random, 600, 0.15),
    spreadMv: vary(random, 12, 0.12),
    flowLPerMin: vary(random, 10, 0.04),
    insulationKOhm: vary(random, 3_000, 0.12),
    chargeKW: vary(random, 10.6, 0.01),
    restV: 12.62 + 0.06 * boundedGaussian(random),
    convertedV: 14.1 + 0.08 * boundedGaussian(random),
    tyreKPa: vary(random, 465, 0.015),
    climateC: boundedGaussian(random),
  };
}

function initialState(time: number, random: Random): State {
  return {
    time,
    mode: 'parked',
    day: -1,
    legs: [],
    nextLeg: 0,
    outdoorC: 10,
    speedKmH: 0,
    payloadKg: 0,
    odometerKm: 10_000 + 50_000 * random(),
    socPercent: 90,
    currentA: 0,
    packC: 12,
    coolantC: 10,
    inverterC: 10,
    motorC: 10,
    chargeKW: 0,
    restedMs: 0,
  };
}

/** Legs of a day: a full tour on workdays, a third of it on Saturdays, none on Sundays. */
function tourOf(unit: Unit, day: number, around: Circumstances): Leg[] {
  const random = dayStream(unit.seed, 21, day);
  const weekday = (day + 4) % 7; // 1970-01-01 was a Thursday.
  const share = weekday === 0 ? 0 : weekday === 6 ? 0.35 : 1;
  const late = 10 * boundedGaussian(random) * MINUTE_MS;
  const count = Math.round(unit.stops * share * (0.9 + 0.2 * random()) * around.useRate);
  return legsOf(unit.startMs + late, Math.min(60, count), {
    drive: () => 4 + 8 * random(),
    stop: () => 2 + 3 * random(),
    speed: () => (24 + 26 * random()) * (1 + 0.15 * around.place),
  });
}

function advanceTo(state: State, unit: Unit, wear: VanWear, around: Circumstances, traffic: Random, to: number): void {
  state.outdoorC = outdoorTempC(unit.seed, to, TEMPERATE) + unit.climateC + around.weatherK + 4 * around.place;
  while (state.time < to) {
    const stepMs = Math.min(MAX_STEP_MS, to - state.time);
    state.time += stepMs;
    const leg = wear.stranded ? undefined : legNow(state, unit, around);
    if (leg && state.socPercent > EMPTY_PERCENT) drive(state, unit, wear, around, leg, traffic(), stepMs);
    else if (!wear.stranded && isPlugged(state, around)) charge(state, unit, wear, around, stepMs);
    else park(state, stepMs);
    exchangeHeat(state, unit, wear, around, stepMs / SECOND_MS);
  }
}

function legNow(state: State, unit: Unit, around: Circumstances): Leg | undefined {
  const time = state.time - around.useShiftMs;
  const day = Math.floor(time / DAY_MS);
  if (day !== state.day) {
    state.day = day;
    state.legs = tourOf(unit, day, around);
    state.nextLeg = 0;
  }
  const { leg, next } = legAt(state.legs, time - day * DAY_MS, state.nextLeg);
  state.nextLeg = next;
  return leg;
}

/** Plugged in when it came home in the evening; stays so until it is full, and the hysteresis keeps it from starting again. */
function isPlugged(state: State, around: Circumstances): boolean {
  const full = FULL_PERCENT - 5 * Math.max(0, around.firmware);
  const hour = (state.time - around.useShiftMs) % DAY_MS;
  if (hour < PLUG_AT_MS && hour > 6 * HOUR_MS) return false;
  return state.socPercent < (state.mode === 'charging' ? full : full - 3);
}

function drive(
  state: State,
  unit: Unit,
  wear: VanWear,
  around: Circumstances,
  leg: Leg,
  draw: number,
  stepMs: number,
): void {
  state.mode = 'driving';
  state.restedMs = 0;
  state.chargeKW = 0;
  state.payloadKg = unit.payloadKg * around.load * (1 - 0.9 * leg.done);
  state.speedKmH = leg.speedKmH * (0.75 + 0.5 * draw);
  const speed = state.speedKmH / 3.6;
  const massKg = EMPTY_KG + state.payloadKg;
  // Stops and starts cost nearly as much again as rolling; hills come with the place.
  const rolling = massKg * ROLLING_N_PER_KG * (1.8 + 0.4 * around.place);
  const heaterKW = Math.min(4, Math.max(0, 18 - state.outdoorC) * 0.12) + Math.max(0, state.outdoorC - 24) * 0.15;
  const powerKW = ((DRAG_N_PER_M2_S2 * speed * speed + rolling) * speed) / 1_000 / DRIVE_EFFICIENCY + heaterKW + 0.4;
  state.odometerKm += (state.speedKmH * stepMs) / HOUR_MS;
  useEnergy(state, unit, wear, powerKW, stepMs);
}

function charge(state: State, unit: Unit, wear: VanWear, around: Circumstances, stepMs: number): void {
  state.mode = 'charging';
  state.restedMs = 0;
  state.speedKmH = 0;
  state.payloadKg = 0;
  // Other pipes and wires, other mains: 3 % less or more.
  const healthy = unit.chargeKW * (1 - 0.03 * around.place);
  state.chargeKW = towards(healthy, LIMIT.chargeKW, wear.charger);
  useEnergy(state, unit, wear, -0.93 * state.chargeKW, stepMs);
}

function park(state: State, stepMs: number): void {
  state.mode = 'parked';
  state.restedMs += stepMs;
  state.speedKmH = 0;
  state.payloadKg = 0;
  state.chargeKW = 0;
  state.currentA = 0;
  state.socPercent = Math.max(0, state.socPercent - ((STANDBY_KW * stepMs) / HOUR_MS / CAPACITY_KWH) * 100);
}

function useEnergy(state: State, unit: Unit, wear: VanWear, powerKW: number, stepMs: number): void {
  const openV = openVoltage(state.socPercent);
  state.currentA = (powerKW * 1_000) / openV;
  const capacity = (CAPACITY_KWH * (unit.healthPercent - 12 * wear.cell)) / 100;
  const used = ((powerKW * stepMs) / HOUR_MS / capacity) * 100;
  state.socPercent = Math.max(0, Math.min(100, state.socPercent - used));
}

/** 96 cells of about 3.45 V (empty) to 4.15 V (full). */
function openVoltage(socPercent: number): number {
  return 96 * (3.45 + 0.007 * socPercent);
}

function packOhm(state: State, wear: VanWear): number {
  return PACK_OHM * (1 + 0.02 * Math.max(0, 20 - state.packC)) * (1 + 0.5 * wear.cell);
}

function exchangeHeat(state: State, unit: Unit, wear: VanWear, around: Circumstances, seconds: number): void {
  const lossW = state.currentA * state.currentA * packOhm(state, wear);
  state.packC += ((lossW - PACK_LOSS_W_PER_K * (state.packC - state.outdoorC)) * seconds) / PACK_J_PER_K;
  const powerKW = Math.abs(state.currentA) * 0.38;
  const flowShare = flowLPerMin(state, unit, wear, around) / unit.flowLPerMin;
  const carried = state.mode === 'parked' ? 1 : Math.max(0.25, flowShare);
  const coolantC = state.outdoorC + (state.mode === 'parked' ? 0 : 6 + (0.35 * powerKW) / carried);
  const inverterC = state.mode === 'parked' ? state.outdoorC : coolantC + (0.7 * powerKW) / carried;
  const motorC = state.mode === 'driving' ? coolantC + (1.6 * powerKW) / carried : state.outdoorC;
  state.coolantC += (coolantC - state.coolantC) * follow(seconds, 400);
  state.inverterC += (inverterC - state.inverterC) * follow(seconds, state.mode === 'parked' ? 2_400 : 240);
  state.motorC += (motorC - state.motorC) * follow(seconds, state.mode === 'driving' ? 700 : 3_600);
}

function flowLPerMin(state: State, unit: Unit, wear: VanWear, around: Circumstances): number {
  if (state.mode === 'parked') return 0;
  const driving = towards(unit.flowLPerMin * (1 - 0.05 * around.firmware), LIMIT.flow, wear.pump);
  return state.mode === 'driving' ? driving : 0.6 * driving;
}

function follow(seconds: number, tauS: number): number {
  return 1 - Math.exp(-seconds / tauS);
}

function measure(state: State, unit: Unit, wear: VanWear, around: Circumstances, random: Random): Signals {
  const noise = Array.from({ length: 13 }, () => gaussian(random));
  const plus = (value: number, sigma: number, i: number): number => value + sigma * (noise[i] ?? 0);
  const above = (value: number): number => Math.max(0, value);
  const years = (state.time - unit.builtAt) / DAY_MS;
  return {
    mode: state.mode,
    odometerKm: roundTo(state.odometerKm, 1),
    outdoorTempC: roundTo(plus(state.outdoorC, 0.2, 0), 1),
    speedKmH: roundTo(state.speedKmH, 1),
    payloadKg: roundTo(state.payloadKg, 0),
    packCurrentA: roundTo(state.currentA === 0 ? 0 : plus(state.currentA, 0.4, 1), 1),
    socPercent: roundTo(state.socPercent, 1),
    packVoltageV: roundTo(plus(openVoltage(state.socPercent) - state.currentA * packOhm(state, wear), 0.25, 2), 1),
    cellSpreadMv: roundTo(above(plus(cellSpreadMv(state, unit, wear), 1.2, 3)), 0),
    packTempC: roundTo(plus(state.packC, 0.15, 4), 1),
    stateOfHealthPercent: roundTo(
      plus(unit.healthPercent - AGING_PERCENT_PER_DAY * years - 12 * wear.cell, 0.06, 5),
      1,
    ),
    insulationKOhm: roundTo(above(insulationKOhm(state, unit, wear) * plus(1, 0.02, 6)), 0),
    coolantFlowLPerMin: roundTo(above(flowLPerMin(state, unit, wear, around) * plus(1, 0.02, 7)), 2),
    inverterTempC: roundTo(plus(state.inverterC, 0.3, 8), 1),
    motorTempC: roundTo(plus(state.motorC, 0.4, 9), 1),
    chargePowerKW: roundTo(state.chargeKW * plus(1, 0.006, 10), 2),
    auxVoltageV: roundTo(plus(auxVoltageV(state, unit, wear, around), 0.03, 11), 2),
    tyrePressureKPa: roundTo(above(plus(towards(unit.tyreKPa, LIMIT.tyreKPa, wear.tyre), 2, 12)), 0),
  };
}

/** More under current and near empty; a weak cell stands out everywhere, most under load. */
function cellSpreadMv(state: State, unit: Unit, wear: VanWear): number {
  const healthy = unit.spreadMv + 0.06 * Math.abs(state.currentA) + 0.3 * Math.max(0, 25 - state.socPercent);
  return towards(healthy, LIMIT.spreadMv, state.mode === 'parked' ? 0.6 * wear.cell : wear.cell);
}

/** Damp days lower it by a fifth and more. */
function insulationKOhm(state: State, unit: Unit, wear: VanWear): number {
  const damp = 1 + 0.1 * slowNoise(unit.seed, 73, state.time, DAY_MS);
  return towards(unit.insulationKOhm * damp, LIMIT.insulationKOhm, wear.insulation);
}

/** The converter holds it while driving and charging; at rest the battery shows what it is worth, less in the cold. */
function auxVoltageV(state: State, unit: Unit, wear: VanWear, around: Circumstances): number {
  if (state.mode !== 'parked') return unit.convertedV + 0.1 * around.firmware - 0.15 * wear.auxBattery;
  const sunk = 0.12 * (1 - Math.exp(-state.restedMs / (6 * HOUR_MS)));
  const cold = 0.004 * Math.max(0, 15 - state.outdoorC);
  return towards(unit.restV - sunk - cold, LIMIT.auxV, wear.auxBattery);
}
