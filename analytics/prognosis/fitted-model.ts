/** Predictions of a fitted model: for a recording's units in one go, and live, sample by sample, through the same features. */
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Prediction, RemainingLife } from '../../contract/ports/findings.ts';
import { compareSeverity } from '../../contract/ports/findings.ts';
import { compileMean } from './boosted-trees.ts';
import { intervalAt, probabilityOfEnd } from './calibration.ts';
import type { FeatureState } from './features.ts';
import { featureCount, featuresOf, HEAD, initFeatures, observe } from './features.ts';
import { clampLife } from './fit-fleet.ts';
import type { UnitHistory } from './fleet-history.ts';
import type { FittedModelFile } from './model-file.ts';
import type { Prognoser, PrognosisInput } from './prognoser.ts';

/** In cycles, 90 % interval, all at most the model's horizon: a value at the horizon means "at least". */
export interface LifeEstimate {
  readonly median: number;
  readonly lower: number;
  readonly upper: number;
}

/** What is remembered of one live device; plain JSON, at most 60 values a channel. */
export interface FittedState {
  features: FeatureState;
  /** Device time of the first and last cycle taken: how fast this device uses up cycles. */
  firstAt: number;
  lastAt: number;
  /** Informative signals that the last cycle lacked. */
  missing: number;
}

/** Days for which a chance of failure is given. */
const DAYS = [7, 14, 30, 90] as const;
/** Cycles from which a device's own pace is believed. */
const MIN_PACE_CYCLES = 10;

/** Remaining life of a unit after the last row of its history. A history without rows gives the model's mean. */
export function predictUnit(model: FittedModelFile, unit: UnitHistory, columnOf: readonly number[]): LifeEstimate {
  const state = initFeatures(model.plan);
  const width = unit.cycles.length > 0 ? unit.values.length / unit.cycles.length : 0;
  for (let row = 0; row < unit.cycles.length; row++) {
    observe(model.plan, state, unit.cycles[row] as number, (column) => {
      const source = columnOf[column] ?? -1;
      return source < 0 ? Number.NaN : (unit.values[row * width + source] as number);
    });
  }
  return estimateLife(model, state);
}

/**
 * by column of the model: its column in another history, found by name.
 * @throws AppError RECORDING_INVALID naming the columns that the model needs and the history lacks
 */
export function mapColumns(model: FittedModelFile, columns: readonly string[]): number[] {
  const missing = neededColumns(model).filter((name) => !columns.includes(name));
  if (missing.length > 0) {
    throw new AppError('RECORDING_INVALID', `column ${missing.join(', ')} is missing; the model was fitted with it`);
  }
  return model.columns.map((name) => columns.indexOf(name));
}

/** Names of the columns that the model reads; the others had nothing to say. */
export function neededColumns(model: FittedModelFile): string[] {
  const used = new Set([...model.plan.regimes.columns, ...model.plan.channels.map((channel) => channel.column)]);
  return model.columns.filter((_, column) => used.has(column));
}

/** by model: its trees ready to walk. Models are few and live as long as the process. */
const COMPILED = new WeakMap<FittedModelFile, (features: Float64Array) => number>();

function estimateLife(model: FittedModelFile, state: FeatureState): LifeEstimate {
  let mean = COMPILED.get(model);
  if (!mean) {
    mean = compileMean(model.committee);
    COMPILED.set(model, mean);
  }
  const features = new Float64Array(featureCount(model.plan));
  featuresOf(state, features);
  const median = clampLife(mean(features), model.horizon);
  const [lower, upper] = intervalAt(model.calibration, median, model.horizon);
  return { median, lower, upper };
}

/**
 * Follows one device with a fitted model. One sample a cycle is taken, the first; samples of an earlier or the same
 * cycle are left out. The fault key is the model file's, else the worst failure mode that has an end of life.
 * @throws AppError MODEL_FILE_INVALID when the model needs columns that are not signals of the device model
 */
export function createFittedPrognoser(model: FittedModelFile, deviceModel: DeviceModel): Prognoser<FittedState> {
  const signals = new Set(deviceModel.signals.map((signal) => signal.name));
  const unknown = neededColumns(model).filter((name) => !signals.has(name));
  if (unknown.length > 0) {
    const list = unknown.join(', ');
    throw new AppError('MODEL_FILE_INVALID', `columns ${list} are not signals of the device model ${deviceModel.id}`);
  }
  const about = {
    ...faultOf(model, deviceModel),
    method: { name: model.name, version: model.version },
  };
  return {
    name: model.name,
    version: model.version,
    init: () => ({ features: initFeatures(model.plan), firstAt: 0, lastAt: 0, missing: 0 }),
    update: (state, input) => takeSample(model, state, input),
    predict: (state) => [{ ...about, ...predictLive(model, state) }],
  };
}

function takeSample(model: FittedModelFile, state: FittedState, input: PrognosisInput): FittedState {
  const { cycle, signals } = input;
  if (cycle === undefined || !Number.isFinite(cycle)) return state;
  if (state.features.count > 0 && cycle <= state.features.lastCycle) return state;
  if (state.features.count === 0) state.firstAt = input.at;
  state.lastAt = input.at;
  const readingOf = (column: number) => signals[model.columns[column] as string] ?? Number.NaN;
  state.missing = model.plan.channels.filter((channel) => !Number.isFinite(readingOf(channel.column))).length;
  observe(model.plan, state.features, cycle, readingOf);
  return state;
}

function predictLive(
  model: FittedModelFile,
  state: FittedState,
): Pick<Prediction, 'probabilityWithin'> & Partial<Prediction> {
  const reason = reasonAgainst(model, state);
  if (reason !== undefined) return { probabilityWithin: [], reason };
  const estimate = estimateLife(model, state.features);
  const remainingLife: RemainingLife = { ...estimate, unit: 'cycle' };
  return { remainingLife, probabilityWithin: probabilities(model, state, estimate.median) };
}

function reasonAgainst(model: FittedModelFile, { features, missing }: FittedState): string | undefined {
  if (features.count === 0) return `warming up: have 0, need ${HEAD} cycles with a cycle count`;
  if (features.firstCycle > model.latestFirstCycle + HEAD) {
    return `history starts at cycle ${features.firstCycle}; the model needs it from the beginning of life`;
  }
  if (features.count < HEAD) return `warming up: have ${features.count}, need ${HEAD} cycles`;
  const channels = model.plan.channels.length;
  if (missing * 2 > channels) return `missing inputs: ${missing} of ${channels} signals in the last cycle`;
  return undefined;
}

/** Only as far as the horizon reaches at the device's own pace; unknown pace gives none. */
function probabilities(model: FittedModelFile, state: FittedState, median: number): Prediction['probabilityWithin'] {
  const cycles = state.features.lastCycle - state.features.firstCycle;
  const days = (state.lastAt - state.firstAt) / DAY_MS;
  if (cycles < MIN_PACE_CYCLES || !(days > 0)) return [];
  return DAYS.filter((within) => (within * cycles) / days < model.horizon).map((within) => ({
    days: within,
    ...probabilityOfEnd(model.calibration, median, (within * cycles) / days),
  }));
}

function faultOf(model: FittedModelFile, deviceModel: DeviceModel): { faultKey: string; component: string } {
  const modes = deviceModel.failureModes;
  const worst = modes
    .filter((mode) => mode.endOfLife)
    .reduce(
      (a, b) => (a && compareSeverity(a.severity, b.severity) >= 0 ? a : b),
      modes.find((mode) => mode.endOfLife),
    );
  const mode = modes.find(({ code }) => code === model.faultKey) ?? worst ?? modes[0];
  return mode
    ? { faultKey: mode.code, component: mode.component }
    : { faultKey: 'unexplained', component: deviceModel.id };
}
