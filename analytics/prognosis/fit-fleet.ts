/**
 * Fits a prognosis model to a fleet's run-to-failure history: one pipeline without settings for any fleet. Units are
 * split into folds; one ensemble is fitted without each fold, their mean is the estimate, and the errors each makes on
 * its own left-out fold calibrate the intervals. Pure and synchronous: callers choose the thread.
 */
import { AppError } from '../../contract/kernel/errors.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import type { TreeEnsemble } from './boosted-trees.ts';
import { binFeatures, DEFAULT_BOOSTING, fitBoostedTrees, predictTrees, roundTo } from './boosted-trees.ts';
import type { HeldOutError } from './calibration.ts';
import { calibrate, intervalAt } from './calibration.ts';
import type { FeaturePlan } from './features.ts';
import { featureCount, featuresOf, initFeatures, observe } from './features.ts';
import type { FleetHistory, UnitHistory } from './fleet-history.ts';
import type { PrognosisMetrics } from './metrics.ts';
import { scorePredictions } from './metrics.ts';
import type { FittedModelFile } from './model-file.ts';
import { MODEL_SCHEMA, sealModel } from './model-file.ts';
import { planFeatures, remainingAt } from './plan-features.ts';

export interface FitOptions {
  /** Remaining life is capped here, in cycles. */
  readonly horizon: number;
  readonly seed: number;
  /** Identifies the training data in the model file. */
  readonly dataHash: string;
  readonly name?: string;
  readonly deviceModel?: string;
  readonly faultKey?: string;
}

export const DEFAULT_FIT: FitOptions = { horizon: 125, seed: 1, dataHash: '' };

/** Called after each step; `done` of `of`. */
export type OnProgress = (done: number, of: number, what: string) => void;

const MIN_UNITS = 3;
const MIN_ROWS = 60;
const FOLDS = 5;
/** Neighbouring rows of a unit say nearly the same: this many, evenly spread, are learned from. */
const ROWS_PER_UNIT = 70;
const MAX_ROWS = 40_000;
/** Before this row a unit has too little past to learn from. */
const FIRST_ROW = 10;

/** Rows drawn from the history as features and targets; columns for training, rows for prediction. */
interface TrainingRows {
  readonly columns: readonly Float64Array[];
  readonly rows: readonly Float64Array[];
  readonly target: Float64Array;
  /** by row: index of its unit */
  readonly unit: Int32Array;
}

/**
 * Fits a model. Same history, options and seed give the same model, byte for byte.
 * @throws AppError TRAINING_DATA_INSUFFICIENT when there are fewer than three units or hardly any rows
 */
export function fitFleet(
  history: FleetHistory,
  options: FitOptions,
  onProgress: OnProgress = () => {},
): FittedModelFile {
  checkSufficient(history);
  const steps = Math.min(FOLDS, history.units.length) + 1;
  const plan = roundPlan(planFeatures(history, options.horizon));
  const training = drawRows(history, plan, options);
  onProgress(1, steps, 'features');
  const foldOf = assignFolds(history.units.length, options.seed);
  const binned = binFeatures(training.columns, training.target.length);
  const committee: TreeEnsemble[] = [];
  const heldOut: HeldOutError[] = [];
  for (let fold = 0; fold < steps - 1; fold++) {
    const learned = rowsWhere(training, (unit) => foldOf[unit] !== fold);
    const ensemble = fitBoostedTrees(binned, training.target, learned, {
      ...DEFAULT_BOOSTING,
      minLeafRows: Math.max(2, Math.min(DEFAULT_BOOSTING.minLeafRows, Math.floor(learned.length / 40))),
      seed: options.seed * 1000 + fold,
    });
    committee.push(ensemble);
    for (const row of rowsWhere(training, (unit) => foldOf[unit] === fold)) {
      heldOut.push({
        unit: training.unit[row] as number,
        estimate: clampLife(predictTrees(ensemble, training.rows[row] as Float64Array), options.horizon),
        actual: training.target[row] as number,
      });
    }
    onProgress(fold + 2, steps, `fold ${fold + 1} of ${steps - 1}`);
  }
  return sealModel({
    schema: MODEL_SCHEMA,
    name: options.name ?? 'boosted-trees',
    horizon: options.horizon,
    ...(options.deviceModel === undefined ? {} : { deviceModel: options.deviceModel }),
    ...(options.faultKey === undefined ? {} : { faultKey: options.faultKey }),
    trainedOn: {
      units: history.units.length,
      rows: history.units.reduce((sum, unit) => sum + unit.cycles.length, 0),
      dataHash: options.dataHash,
      seed: options.seed,
    },
    latestFirstCycle: Math.max(...history.units.map((unit) => unit.cycles[0] as number)),
    columns: [...history.columns],
    plan: {
      regimes: {
        columns: [...plan.regimes.columns],
        centres: plan.regimes.centres.map((centre) => [...centre]),
        scales: [...plan.regimes.scales],
      },
      channels: plan.channels.map(({ column, mean, deviation }) => ({
        column,
        mean: [...mean],
        deviation: [...deviation],
      })),
      indices: plan.indices.map(({ offset, weights }) => ({ offset, weights: [...weights] })),
    },
    committee: committee.map(({ base, trees }) => ({
      base,
      trees: trees.map(({ feature, at, left }) => ({ feature: [...feature], at: [...at], left: [...left] })),
    })),
    calibration: calibrate(heldOut, options.horizon),
    metrics: crossValidatedMetrics(heldOut, foldOf, options.horizon),
  });
}

/** Remaining life is between nothing and the horizon, whatever the trees add up to. */
export function clampLife(value: number, horizon: number): number {
  return Math.max(0, Math.min(horizon, value));
}

function checkSufficient(history: FleetHistory): void {
  const { units } = history;
  if (units.length < MIN_UNITS) {
    throw new AppError('TRAINING_DATA_INSUFFICIENT', `${units.length} unit(s), at least ${MIN_UNITS} needed`);
  }
  const rows = units.reduce((sum, unit) => sum + unit.cycles.length, 0);
  if (rows < MIN_ROWS) {
    throw new AppError('TRAINING_DATA_INSUFFICIENT', `${rows} rows in all, at least ${MIN_ROWS} needed`);
  }
}

/** Eight digits are enough to normalise with and keep the model file small. */
function roundPlan(plan: FeaturePlan): FeaturePlan {
  const round = (values: readonly number[]) => values.map((value) => roundTo(value, 8));
  return {
    regimes: {
      columns: plan.regimes.columns,
      centres: plan.regimes.centres.map(round),
      scales: round(plan.regimes.scales),
    },
    channels: plan.channels.map(({ column, mean, deviation }) => ({
      column,
      mean: round(mean),
      deviation: round(deviation),
    })),
    indices: plan.indices.map(({ offset, weights }) => ({ offset: roundTo(offset, 8), weights: round(weights) })),
  };
}

/** Rows of each unit at even steps from a random start, so that every unit counts alike and no age is favoured. */
function drawRows(history: FleetHistory, plan: FeaturePlan, { horizon, seed }: FitOptions): TrainingRows {
  const random = seededRandom(seed);
  const perUnit = Math.max(4, Math.min(ROWS_PER_UNIT, Math.floor(MAX_ROWS / history.units.length)));
  const rows: Float64Array[] = [];
  const target: number[] = [];
  const unitOf: number[] = [];
  history.units.forEach((unit, index) => {
    const first = Math.min(FIRST_ROW, Math.floor(unit.cycles.length / 4));
    const step = Math.max(1, (unit.cycles.length - first) / perUnit);
    const start = first + random() * step;
    walkUnit(history, plan, unit, (row, features) => {
      if (Math.floor((row - start) / step) === Math.floor((row - 1 - start) / step) || row < first) return;
      rows.push(features());
      target.push(Math.min(horizon, remainingAt(unit, row)));
      unitOf.push(index);
    });
  });
  const columns = Array.from({ length: featureCount(plan) }, (_, feature) =>
    Float64Array.from(rows, (row) => row[feature] as number),
  );
  return { columns, rows, target: Float64Array.from(target), unit: Int32Array.from(unitOf) };
}

/** Feeds a unit row by row; `visit` may ask for the features known after that row. */
function walkUnit(
  history: FleetHistory,
  plan: FeaturePlan,
  unit: UnitHistory,
  visit: (row: number, features: () => Float64Array) => void,
): void {
  const width = history.columns.length;
  const state = initFeatures(plan);
  for (let row = 0; row < unit.cycles.length; row++) {
    observe(plan, state, unit.cycles[row] as number, (column) => unit.values[row * width + column] as number);
    visit(row, () => {
      const features = new Float64Array(featureCount(plan));
      featuresOf(state, features);
      return features;
    });
  }
}

/** by unit: its fold. Shuffled by seed, so that an order in the file (by age, by plant) does not end up in one fold. */
function assignFolds(units: number, seed: number): Int32Array {
  const random = seededRandom(seed ^ 0x5bd1e995);
  const order = Int32Array.from({ length: units }, (_, i) => i);
  for (let i = units - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const swapped = order[i] as number;
    order[i] = order[j] as number;
    order[j] = swapped;
  }
  const folds = new Int32Array(units);
  const count = Math.min(FOLDS, units);
  order.forEach((unit, position) => {
    folds[unit] = position % count;
  });
  return folds;
}

function rowsWhere(training: TrainingRows, wanted: (unit: number) => boolean): Int32Array {
  return Int32Array.from({ length: training.unit.length }, (_, row) => row).filter((row) =>
    wanted(training.unit[row] as number),
  );
}

/** Each fold is judged with intervals calibrated on the other folds only. */
function crossValidatedMetrics(
  heldOut: readonly HeldOutError[],
  foldOf: Int32Array,
  horizon: number,
): PrognosisMetrics {
  const folds = [...new Set(foldOf)];
  const scored = folds.flatMap((fold) => {
    const others = heldOut.filter((error) => foldOf[error.unit] !== fold);
    const calibration = calibrate(others, horizon);
    return heldOut
      .filter((error) => foldOf[error.unit] === fold)
      .map(({ estimate, actual }) => {
        const [lower, upper] = intervalAt(calibration, estimate, horizon);
        return { actual, median: estimate, lower, upper };
      });
  });
  const metrics = scorePredictions(scored);
  if (!metrics) throw new AppError('TRAINING_DATA_INSUFFICIENT', 'no rows are left to learn from');
  return metrics;
}
