/**
 * The condition signals of one sample, each judged by its own detectors in the operating mode of the sample. Nothing is
 * learned here: what is learned is decided once the alerts are (learn-signals.ts).
 */
import type { SignalValue } from '../../contract/wire/payloads.ts';
import { initBand, recordBand } from '../alerts/bands.ts';
import { contextFeatures } from '../detectors/context.ts';
import type { DetectorInput } from '../detectors/detector.ts';
import {
  DRIFT_DETECTOR,
  initMonitor,
  type MonitorResult,
  RESIDUAL_DETECTOR,
  scoreMonitor,
} from '../detectors/signal-monitor.ts';
import { contextOf, type DeviceState, type ModeState, type SignalState } from '../device-state.ts';
import type { DevicePlan, SignalPlan } from '../plan.ts';
import { brief } from '../stats/rounding.ts';
import { type BaselineRows, baselineRows } from './baseline-rows.ts';
import type { SampleToScore } from './sample.ts';

const MAX_SIGNALS = 200;
const OTHER_MODE = 'other';

/** One judged value of the sample. */
export interface Judged {
  readonly plan: SignalPlan;
  readonly signal: SignalState;
  readonly mode: ModeState;
  readonly value: number;
  readonly input: DetectorInput;
  readonly result: MonitorResult | undefined;
}

/** Scores every condition signal of the sample; nothing is learned yet. @param lying sensors that do not measure */
export function judgeSignals(
  state: DeviceState,
  plan: DevicePlan,
  sample: SampleToScore,
  lying: ReadonlySet<string>,
): Judged[] {
  const context = contextFeatures(
    contextOf(state, plan),
    plan.contexts.map((spec) => numberOf(sample.signals[spec.name])),
  );
  const modeName = modeNameOf(plan, sample);
  const rows = baselineRows(state, plan, modeName, sample.observedAt, context, contextLies(plan, lying));
  const judged: Judged[] = [];
  for (const signalPlan of plansOf(state, plan, sample)) {
    const value = sample.signals[signalPlan.name];
    if (typeof value !== 'number') continue;
    if (signalPlan.range && (value < signalPlan.range[0] || value > signalPlan.range[1])) {
      state.outOfRange++;
      continue;
    }
    const signal = signalOf(state, signalPlan.name);
    if (!signal) continue;
    if (!plan.model && countsOnly(signal, value)) continue;
    const mode = modeOf(signal, modeName, signalPlan, rows);
    const row = rows?.row(mode);
    const input: DetectorInput = { at: sample.observedAt, value, context, ...(row ? { row } : {}) };
    const result = audible(plan, scoreMonitor(mode.monitor, input));
    if (result) {
      note(mode, input.at, value, result);
      recordBand(signal.band, input.at, bandSlotMs(plan), result.expected, result.low, result.high);
    }
    judged.push({ plan: signalPlan, signal, mode, value, input, result });
  }
  return judged;
}

/** Whether a sensor lies that explains the others. */
export function contextLies(plan: DevicePlan, lying: ReadonlySet<string>): boolean {
  return lying.size > 0 && plan.contexts.some(({ name }) => lying.has(name));
}

/** The judgement without what a muted detector says. */
function audible({ muted }: DevicePlan, result: MonitorResult | undefined): MonitorResult | undefined {
  if (!muted || muted.size === 0 || !result) return result;
  return {
    ...result,
    ...(muted.has(RESIDUAL_DETECTOR.name) ? { persisted: 0 } : {}),
    ...(muted.has(DRIFT_DETECTOR.name) ? { drift: 0, driftSince: undefined } : {}),
  };
}

const COUNTER_RISES = 20;
const COUNTER_FALL_SHARE = 0.01;

/** Whether the signal of an unknown device only rises, apart from a reset now and then: mileage or hours, not a condition. */
function countsOnly(signal: SignalState, value: number): boolean {
  if (signal.last !== null && value > signal.last) signal.rises++;
  if (signal.last !== null && value < signal.last) signal.falls++;
  signal.last = value;
  const counts = signal.rises >= COUNTER_RISES && signal.falls <= COUNTER_FALL_SHARE * signal.rises;
  // What was seen before it was recognised says nothing either.
  if (counts) for (const name of Object.keys(signal.modes)) delete signal.modes[name];
  return counts;
}

function bandSlotMs(plan: DevicePlan): number {
  return Math.max(2 * 3_600_000, plan.intervalMs);
}

function plansOf(state: DeviceState, plan: DevicePlan, sample: SampleToScore): readonly SignalPlan[] {
  if (plan.model) return plan.conditions;
  const plans: SignalPlan[] = [];
  const alone = Object.keys(sample.signals).length === 1;
  for (const name in sample.signals) {
    if (typeof sample.signals[name] === 'number') plans.push(plan.planSignal(name, alone));
    if (plans.length >= MAX_SIGNALS) {
      state.overflow++;
      break;
    }
  }
  return plans;
}

function numberOf(value: SignalValue | undefined): number | undefined {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'number' ? value : undefined;
}

function signalOf(state: DeviceState, name: string): SignalState | undefined {
  const known = Object.hasOwn(state.signals, name) ? state.signals[name] : undefined;
  if (known) return known;
  if (Object.keys(state.signals).length >= MAX_SIGNALS) {
    state.overflow++;
    return undefined;
  }
  const signal: SignalState = {
    modes: {},
    band: initBand(),
    withheldSince: null,
    withheldSamples: 0,
    last: null,
    rises: 0,
    falls: 0,
  };
  state.signals[name] = signal;
  return signal;
}

/** The mode's name when the catalogue has it, '' when the sample names none, else one name for all others. */
export function modeNameOf(plan: DevicePlan, sample: SampleToScore): string {
  const value = plan.modeSignal ? sample.signals[plan.modeSignal] : undefined;
  if (value === undefined) return '';
  return typeof value === 'string' && plan.modeIds.has(value) ? value : OTHER_MODE;
}

function modeOf(signal: SignalState, name: string, plan: SignalPlan, rows: BaselineRows | undefined): ModeState {
  const known = Object.hasOwn(signal.modes, name) ? signal.modes[name] : undefined;
  if (known) return known;
  const mode: ModeState = {
    monitor: initMonitor(plan.params),
    ...(rows ? { design: rows.join() } : {}),
    last: null,
  };
  signal.modes[name] = mode;
  return mode;
}

function note(mode: ModeState, at: number, value: number, result: MonitorResult): void {
  const { expected, low, high } = result;
  mode.last = {
    at,
    value,
    expected: brief(expected),
    low: brief(low),
    high: brief(high),
    point: brief(result.persisted),
    drift: brief(result.drift),
    driftSince: result.driftSince ?? null,
  };
}
