/**
 * A front-loading washing machine in a family: programmes as lists of phases, each of which lasts as long as its physics takes
 * (water in, heat, water out). Sizes as in data sheets of the class: 2 kW for 15 l and the laundry give about 1.4 K/min,
 * 8 l/min from the tap, 16 l/min through the pump, 3–6 mm/s at the tub when it spins at 1,400 1/min.
 */
import { gaussian, type Random } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../contract/kernel/time.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import type { Circumstances } from '../confounders.ts';
import { endOfLifeLimit } from '../faults/fault-plan.ts';
import { HEALTHY_WASHER, WASHER_FAULTS, type WasherWear } from '../faults/washing-machine.ts';
import { dayStream, outdoorTempC, TEMPERATE } from './climate.ts';
import { defineSimulation, type Machine, towards } from './define-simulation.ts';
import { dayCourse, isFreeDay, mainsVoltageV } from './household.ts';
import { boundedGaussian, roundTo, streamOf, vary } from './simulation.ts';

const MODEL = 'washingMachine';
const MAX_STEP_MS = 10 * SECOND_MS;
const ROOM_C = 20;
const WATER_J_PER_L_K = 4_186;
const LAUNDRY_J_PER_KG_K = 1_500;
const TUB_J_PER_K = 8_000;
const TUB_LOSS_W_PER_K = 3;
const MM_PER_L = 8;
/** Mean heater power that its overheat guard lets through at the end of life. */
const HEAT_SHARE_AT_END = 0.26;
/** Phases end by themselves after this, whatever was reached. */
const PHASE_LIMIT_MS = { filling: 8 * MINUTE_MS, heating: 90 * MINUTE_MS, draining: 5 * MINUTE_MS } as const;
const LIMIT = {
  vibration: endOfLifeLimit(MODEL, 'drumBearingWear'),
  drain: endOfLifeLimit(MODEL, 'drainPumpClog'),
  fill: endOfLifeLimit(MODEL, 'inletValveClog'),
  slip: endOfLifeLimit(MODEL, 'driveBeltWear'),
};

type Phase =
  | { readonly mode: 'filling'; readonly litres: number }
  | { readonly mode: 'heating'; readonly targetC: number }
  | { readonly mode: 'washing' | 'spinning'; readonly lastsMs: number; readonly rpm: number }
  | { readonly mode: 'draining' };

interface Programme {
  readonly targetC: number;
  readonly spinRpm: number;
  readonly washMinutes: number;
  readonly loadKg: number;
}

const PROGRAMMES: readonly Programme[] = [
  { targetC: 60, spinRpm: 1_400, washMinutes: 40, loadKg: 6 },
  { targetC: 40, spinRpm: 1_400, washMinutes: 35, loadKg: 5.5 },
  { targetC: 40, spinRpm: 1_000, washMinutes: 25, loadKg: 3 },
  { targetC: 30, spinRpm: 1_000, washMinutes: 15, loadKg: 2.2 },
];

interface Unit {
  readonly heaterW: number;
  readonly fillLPerMin: number;
  readonly drainLPerMin: number;
  readonly vibrationMmPerS: number;
  readonly motorA: number;
  readonly pumpA: number;
  readonly slipPercent: number;
  readonly supplyV: number;
  readonly secondWash: number;
  readonly seed: number;
}

interface Wash {
  readonly startMs: number;
  readonly programme: Programme;
  readonly loadKg: number;
  /** How badly the laundry lies in the drum, 1 = usual. */
  readonly imbalance: number;
}

interface State {
  time: number;
  /** What ran in the last step: the sensors read that, not the phase that begins. */
  mode: string;
  day: number;
  washes: readonly Wash[];
  nextWash: number;
  wash: Wash | undefined;
  phases: readonly Phase[];
  phase: number;
  phaseMs: number;
  litres: number;
  waterC: number;
  cycles: number;
  fillLPerMin: number;
  drainLPerMin: number;
  heatingKPerMin: number;
  heaterW: number;
  rpm: number;
}

export const simulatedWashingMachine = defineSimulation<WasherWear>({
  id: MODEL,
  faults: WASHER_FAULTS,
  healthy: HEALTHY_WASHER,
  settleMs: 12 * HOUR_MS,
  restModes: ['idle'],
  build: createWasher,
});

function createWasher(seed: number, time: number): Machine<WasherWear> {
  const random = streamOf(seed, 1);
  const unit = drawUnit(seed, random);
  const noise = streamOf(seed, 2);
  const state = initialState(time, random);
  return {
    advance: (to, wear, around) => advanceTo(state, unit, wear, around, to),
    mode: () => state.mode,
    measure: (wear, around) => measure(state, unit, wear, around, noise),
  };
}

function drawUnit(seed: number, random: Random): Unit {
  return {
    seed,
    heaterW: vary(random, 2_000, 0.02),
    fillLPerMin: vary(random, 8, 0.08),
    drainLPerMin: vary(random, 16, 0.05),
    vibrationMmPerS: vary(random, 4.6, 0.1),
    motorA: vary(random, 1, 0.04),
    pumpA: vary(random, 0.22, 0.04),
    slipPercent: vary(random, 1.3, 0.1),
    supplyV: 230 + 2 * boundedGaussian(random),
    secondWash: 0.35 + 0.3 * random(),
  };
}

function initialState(time: number, random: Random): State {
  return {
    time,
    mode: 'idle',
    day: -1,
    washes: [],
    nextWash: 0,
    wash: undefined,
    phases: [],
    phase: 0,
    phaseMs: 0,
    litres: 0,
    waterC: ROOM_C,
    cycles: 200 + Math.floor(1_200 * random()),
    fillLPerMin: 0,
    drainLPerMin: 0,
    heatingKPerMin: 0,
    heaterW: 0,
    rpm: 0,
  };
}

/** A family washes once a day at least, and more at weekends. */
function washesOf(unit: Unit, day: number, around: Circumstances): readonly Wash[] {
  const random = dayStream(unit.seed, 11, day);
  const draws = Array.from({ length: 3 }, () => ({
    chance: random(),
    hour: random(),
    kind: random(),
    load: boundedGaussian(random, 2),
    imbalance: boundedGaussian(random, 2),
  }));
  const more = unit.secondWash * around.useRate + (isFreeDay(day * DAY_MS) ? 0.2 : 0);
  const chances = [around.useRate < 1 ? around.useRate : 1, more, more * 0.5];
  return draws
    .map((draw, i): Wash | undefined => {
      const programme = PROGRAMMES[Math.floor(draw.kind * PROGRAMMES.length)] as Programme;
      if (draw.chance >= (chances[i] ?? 0)) return undefined;
      return {
        startMs: ([7, 17, 11][i] ?? 7) * HOUR_MS + draw.hour * 3 * HOUR_MS,
        programme,
        loadKg: Math.min(8, programme.loadKg * (1 + 0.15 * draw.load) * around.load),
        imbalance: 1 + 0.13 * draw.imbalance,
      };
    })
    .filter((wash) => wash !== undefined)
    .sort((a, b) => a.startMs - b.startMs);
}

function phasesOf({ programme, loadKg }: Wash, around: Circumstances): readonly Phase[] {
  const litres = (12 + 0.6 * loadKg) * (1 - 0.06 * around.firmware);
  const tumbleRpm = 50 * (1 + 0.08 * around.firmware);
  const rinse: readonly Phase[] = [
    { mode: 'filling', litres },
    { mode: 'washing', lastsMs: 4 * MINUTE_MS, rpm: tumbleRpm },
    { mode: 'draining' },
  ];
  return [
    { mode: 'filling', litres },
    { mode: 'heating', targetC: programme.targetC },
    { mode: 'washing', lastsMs: programme.washMinutes * MINUTE_MS, rpm: tumbleRpm },
    { mode: 'draining' },
    ...rinse,
    ...rinse,
    { mode: 'spinning', lastsMs: 9 * MINUTE_MS, rpm: programme.spinRpm * (1 - 0.05 * around.firmware) },
  ];
}

function advanceTo(state: State, unit: Unit, wear: WasherWear, around: Circumstances, to: number): void {
  while (state.time < to) {
    const stepMs = Math.min(MAX_STEP_MS, to - state.time);
    const phase = state.phases[state.phase];
    if (!phase && !startWash(state, unit, around)) {
      rest(state, to - state.time);
      state.time = to;
      return;
    }
    state.time += stepMs;
    if (phase) runPhase(state, unit, wear, around, phase, stepMs);
  }
}

/** Whether somebody starts a programme now. */
function startWash(state: State, unit: Unit, around: Circumstances): boolean {
  const personTime = state.time - around.useShiftMs;
  const day = Math.floor(personTime / DAY_MS);
  if (day !== state.day) {
    state.day = day;
    state.washes = washesOf(unit, day, around);
    state.nextWash = 0;
  }
  const wash = state.washes[state.nextWash];
  if (!wash || personTime - day * DAY_MS < wash.startMs) return false;
  state.nextWash++;
  state.wash = wash;
  state.phases = phasesOf(wash, around);
  state.phase = 0;
  state.phaseMs = 0;
  state.cycles++;
  return true;
}

function rest(state: State, ms: number): void {
  stopAll(state);
  state.mode = 'idle';
  state.waterC += (ROOM_C - state.waterC) * (1 - Math.exp(-ms / HOUR_MS));
}

function stopAll(state: State): void {
  state.fillLPerMin = 0;
  state.drainLPerMin = 0;
  state.heatingKPerMin = 0;
  state.heaterW = 0;
  state.rpm = 0;
}

function runPhase(
  state: State,
  unit: Unit,
  wear: WasherWear,
  around: Circumstances,
  phase: Phase,
  stepMs: number,
): void {
  state.phaseMs += stepMs;
  state.mode = phase.mode;
  stopAll(state);
  switch (phase.mode) {
    case 'filling':
      fill(state, unit, wear, around, phase.litres, stepMs);
      return;
    case 'heating':
      heat(state, unit, wear, around, phase.targetC, stepMs);
      return;
    case 'draining':
      drain(state, unit, wear, stepMs);
      return;
    case 'washing':
    case 'spinning':
      turn(state, unit, wear, phase);
      return;
  }
}

function turn(
  state: State,
  unit: Unit,
  wear: WasherWear,
  phase: Phase & { readonly mode: 'washing' | 'spinning' },
): void {
  if (wear.dead === 'drum') {
    abandon(state);
    return;
  }
  state.rpm = phase.rpm * (1 - slipPercent(unit, wear, phase.mode) / 100);
  if (state.phaseMs >= phase.lastsMs) nextPhase(state);
}

function fill(state: State, unit: Unit, wear: WasherWear, around: Circumstances, litres: number, stepMs: number): void {
  // Fewer taps are open at night: ±5 % over the day; another house has other pipes.
  const pressure = 1 - 0.05 * dayCourse(state.time, 19) - 0.12 * around.place;
  state.fillLPerMin = wear.dead === 'valve' ? 0 : towards(unit.fillLPerMin * pressure, LIMIT.fill, wear.valveClog);
  const added = Math.min(Math.max(0, litres - state.litres), (state.fillLPerMin * stepMs) / MINUTE_MS);
  const inletC = 9 + 0.3 * (outdoorTempC(unit.seed, state.time, TEMPERATE) + around.weatherK) + 2 * around.place;
  const laundry = (state.wash?.loadKg ?? 0) * LAUNDRY_J_PER_KG_K + TUB_J_PER_K;
  const before = state.litres * WATER_J_PER_L_K + laundry;
  state.waterC = (state.waterC * before + inletC * added * WATER_J_PER_L_K) / (before + added * WATER_J_PER_L_K);
  state.litres += added;
  if (state.litres >= litres - 1e-6) nextPhase(state);
  else if (state.phaseMs >= PHASE_LIMIT_MS.filling && wear.dead === 'valve') abandon(state);
}

function heat(state: State, unit: Unit, wear: WasherWear, around: Circumstances, targetC: number, stepMs: number) {
  if (wear.dead === 'drum') {
    abandon(state);
    return;
  }
  state.rpm = 45 * (1 - slipPercent(unit, wear, 'heating') / 100);
  const volts = supplyV(state, unit, around, true);
  const through = wear.dead === 'heater' ? 0 : 1 - wear.scale * (1 - HEAT_SHARE_AT_END);
  state.heaterW = unit.heaterW * (volts / 230) ** 2 * through;
  const capacity = state.litres * WATER_J_PER_L_K + (state.wash?.loadKg ?? 0) * LAUNDRY_J_PER_KG_K + TUB_J_PER_K;
  const netW = state.heaterW - TUB_LOSS_W_PER_K * (state.waterC - ROOM_C);
  state.heatingKPerMin = (netW * 60) / capacity;
  state.waterC += (state.heatingKPerMin * stepMs) / MINUTE_MS;
  if (state.waterC >= targetC || state.phaseMs >= PHASE_LIMIT_MS.heating) nextPhase(state);
}

function drain(state: State, unit: Unit, wear: WasherWear, stepMs: number): void {
  // A high column of water helps the pump a little.
  const healthy = unit.drainLPerMin * (0.93 + 0.005 * Math.min(20, state.litres));
  state.drainLPerMin = wear.dead === 'pump' ? 0 : towards(healthy, LIMIT.drain, wear.pumpClog);
  state.litres = Math.max(0, state.litres - (state.drainLPerMin * stepMs) / MINUTE_MS);
  if (state.litres === 0) nextPhase(state);
  else if (state.phaseMs >= PHASE_LIMIT_MS.draining && wear.dead === 'pump') finish(state);
}

function nextPhase(state: State): void {
  state.phase++;
  state.phaseMs = 0;
  if (state.phase >= state.phases.length) finish(state);
}

/** Stops with an error: what water there is goes out. */
function abandon(state: State): void {
  state.phases = [{ mode: 'draining' }];
  state.phase = 0;
  state.phaseMs = 0;
}

function finish(state: State): void {
  state.phases = [];
  state.phase = 0;
  state.wash = undefined;
}

function slipPercent(unit: Unit, wear: WasherWear, mode: 'heating' | 'washing' | 'spinning'): number {
  const spun = towards(unit.slipPercent, LIMIT.slip, wear.beltSlip);
  return mode === 'spinning' ? spun : 0.7 * spun;
}

function supplyV(state: State, unit: Unit, around: Circumstances, heats: boolean): number {
  return mainsVoltageV(state.time, unit.supplyV) - 4 * around.place - (heats ? 1.5 : 0);
}

function measure(state: State, unit: Unit, wear: WasherWear, around: Circumstances, random: Random): Signals {
  const { mode } = state;
  const noise = Array.from({ length: 11 }, () => gaussian(random));
  const near = (value: number, share: number, i: number): number =>
    value === 0 ? 0 : Math.max(0, value * (1 + share * (noise[i] ?? 0)));
  const volts = supplyV(state, unit, around, state.heaterW > 0) + 0.5 * (noise[0] ?? 0);
  const heating = state.heatingKPerMin === 0 ? 0 : state.heatingKPerMin + 0.06 * (noise[1] ?? 0);
  const turns = mode === 'washing' || mode === 'heating' || mode === 'spinning';
  return {
    mode,
    washCycles: state.cycles,
    loadKg: roundTo(near(state.wash?.loadKg ?? 0, 0.03, 2), 1),
    drumSpeedRpm: roundTo(near(state.rpm, 0.01, 3), 0),
    waterTempC: roundTo(Math.max(0, state.waterC + 0.2 * (noise[4] ?? 0)), 1),
    supplyVoltageV: roundTo(volts, 1),
    waterLevelMm: roundTo(near(state.litres * MM_PER_L, 0.03, 5), 0),
    fillRateLPerMin: roundTo(near(state.fillLPerMin, 0.03, 6), 2),
    heaterPowerW: roundTo(near(state.heaterW, 0.01, 7), 0),
    heatingRateKPerMin: roundTo(heating, 2),
    motorCurrentA: roundTo(turns ? near(motorA(state, unit, wear, mode, volts), 0.05, 8) : 0, 2),
    driveSlipPercent: roundTo(state.rpm > 0 ? near(slipPercent(unit, wear, mode as 'washing'), 0.12, 9) : 0, 1),
    vibrationMmPerS: roundTo(near(vibrationMmPerS(state, unit, wear, around, mode), 0.06, 10), 2),
    drainRateLPerMin: roundTo(near(state.drainLPerMin, 0.03, 6), 2),
    pumpCurrentA: roundTo(mode === 'draining' ? near(pumpA(unit, wear, volts), 0.04, 7) : 0, 3),
  };
}

function motorA(state: State, unit: Unit, wear: WasherWear, mode: string, volts: number): number {
  const load = state.wash?.loadKg ?? 0;
  const grip = (230 / volts) * unit.motorA * (1 - 0.2 * wear.beltSlip);
  return mode === 'spinning'
    ? grip * (1.5 * (state.rpm / 1_400) + 0.06 * load + 1.2 * wear.bearing)
    : grip * (0.9 + 0.11 * load + 0.4 * wear.bearing);
}

function pumpA(unit: Unit, wear: WasherWear, volts: number): number {
  return (volts / 230) * (wear.dead === 'pump' ? 0.5 : unit.pumpA * (1 + 0.5 * wear.pumpClog));
}

/** Grows with the square of the speed; a wooden floor swings along. */
function vibrationMmPerS(state: State, unit: Unit, wear: WasherWear, around: Circumstances, mode: string): number {
  if (mode !== 'spinning') return state.rpm > 0 ? 0.6 + 0.5 * wear.bearing : 0.05;
  const floor = 1 + 0.15 * around.place;
  const healthy = unit.vibrationMmPerS * (state.rpm / 1_400) ** 2 * (state.wash?.imbalance ?? 1) * floor;
  return towards(healthy, LIMIT.vibration, wear.bearing);
}
