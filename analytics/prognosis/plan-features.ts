/** Decides from a training history which columns matter and how they are normalised: the first half of a fit. */
import type { ChannelPlan, FeaturePlan } from './features.ts';
import { HEAD } from './features.ts';
import type { FleetHistory, UnitHistory } from './fleet-history.ts';
import type { Regimes } from './regimes.ts';
import { findRegimes, regimeOf } from './regimes.ts';

/** A model never carries more channels than this: it bounds the state of a live device. */
const MAX_CHANNELS = 24;
/** Columns that explain less of the remaining life than this are noise. */
const MIN_INFORMATION = 0.02;
/** A column is constant in a regime when its spread is below this share of its size. */
const CONSTANT_SHARE = 1e-7;
const SMOOTH_ROWS = 15;
const RIDGE = 1e-3;

/** Normalisation, informative channels and the health index for a fleet; `horizon` in cycles. */
export function planFeatures(history: FleetHistory, horizon: number): FeaturePlan {
  const regimes = findRegimes(history);
  const labels = history.units.map((unit) => regimesOfRows(unit, regimes, history.columns.length));
  const channels = history.columns
    .map((_, column) => channelOf(history, labels, regimes, column))
    .filter((channel) => channel.deviation.some((deviation) => deviation > 0))
    .map((channel) => ({ channel, information: informationOf(history, labels, channel, horizon) }))
    .filter(({ information }) => information >= MIN_INFORMATION)
    .sort((a, b) => b.information - a.information)
    .slice(0, MAX_CHANNELS)
    .map(({ channel }) => channel);
  const indices = channels.length > 1 ? [healthIndex(history, labels, channels, horizon)] : [];
  return { regimes, channels, indices };
}

function regimesOfRows(unit: UnitHistory, regimes: Regimes, width: number): Uint8Array {
  return Uint8Array.from(unit.cycles, (_, row) =>
    regimeOf(regimes, (column) => unit.values[row * width + column] as number),
  );
}

function channelOf(
  history: FleetHistory,
  labels: readonly Uint8Array[],
  regimes: Regimes,
  column: number,
): ChannelPlan {
  const count = regimes.centres.length;
  const n = new Float64Array(count);
  const mean = new Float64Array(count);
  const squares = new Float64Array(count);
  forEachRow(history, labels, (unit, row, regime) => {
    const value = unit.values[row * history.columns.length + column] as number;
    if (!Number.isFinite(value)) return;
    // Welford (1962): one pass without cancellation.
    n[regime] = (n[regime] as number) + 1;
    const delta = value - (mean[regime] as number);
    mean[regime] = (mean[regime] as number) + delta / (n[regime] as number);
    squares[regime] = (squares[regime] as number) + delta * (value - (mean[regime] as number));
  });
  const deviation = Array.from(squares, (sum, regime) => {
    const spread = Math.sqrt(sum / Math.max(1, n[regime] as number));
    return spread > CONSTANT_SHARE * Math.abs(mean[regime] as number) ? spread : 0;
  });
  return { column, mean: Array.from(mean), deviation };
}

function forEachRow(
  history: FleetHistory,
  labels: readonly Uint8Array[],
  visit: (unit: UnitHistory, row: number, regime: number) => void,
): void {
  history.units.forEach((unit, index) => {
    const regimes = labels[index] as Uint8Array;
    for (let row = 0; row < unit.cycles.length; row++) visit(unit, row, regimes[row] as number);
  });
}

/** Normalised values of one unit in one channel; NaN = missing. */
function normalised(unit: UnitHistory, labels: Uint8Array, channel: ChannelPlan, width: number): Float64Array {
  return Float64Array.from(unit.cycles, (_, row) => {
    const regime = labels[row] as number;
    const deviation = channel.deviation[regime] ?? 0;
    const value = unit.values[row * width + channel.column] as number;
    if (!Number.isFinite(value)) return Number.NaN;
    return deviation === 0 ? 0 : (value - (channel.mean[regime] ?? 0)) / deviation;
  });
}

/**
 * Share of the variance of remaining life that the smoothed change since the unit's start explains (correlation ratio
 * over 20 quantile groups). Also finds signals that go up on some units and down on others, by the size of the change.
 */
function informationOf(
  history: FleetHistory,
  labels: readonly Uint8Array[],
  channel: ChannelPlan,
  horizon: number,
): number {
  const changes: number[] = [];
  const targets: number[] = [];
  history.units.forEach((unit, index) => {
    const z = normalised(unit, labels[index] as Uint8Array, channel, history.columns.length);
    const head = meanOf(z, 0, Math.min(HEAD, z.length));
    for (let row = HEAD; row < z.length; row += 3) {
      const change = meanOf(z, Math.max(0, row - SMOOTH_ROWS + 1), row + 1) - head;
      if (!Number.isFinite(change)) continue;
      changes.push(change);
      targets.push(Math.min(horizon, remainingAt(unit, row)));
    }
  });
  return Math.max(
    correlationRatio(changes, targets),
    correlationRatio(
      changes.map((change) => Math.abs(change)),
      targets,
    ),
  );
}

export function remainingAt(unit: UnitHistory, row: number): number {
  return (unit.cycles[unit.cycles.length - 1] as number) - (unit.cycles[row] as number);
}

function meanOf(values: Float64Array, start: number, end: number): number {
  let sum = 0;
  let count = 0;
  for (let i = start; i < end; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) continue;
    sum += value;
    count++;
  }
  return count > 0 ? sum / count : Number.NaN;
}

const GROUPS = 20;

function correlationRatio(x: readonly number[], y: readonly number[]): number {
  if (x.length < 2 * GROUPS) return 0;
  const order = Int32Array.from(x, (_, i) => i).sort((a, b) => (x[a] as number) - (x[b] as number));
  const mean = y.reduce((a, b) => a + b, 0) / y.length;
  const total = y.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  if (total === 0) return 0;
  let between = 0;
  for (let group = 0; group < GROUPS; group++) {
    const start = Math.floor((group * order.length) / GROUPS);
    const end = Math.floor(((group + 1) * order.length) / GROUPS);
    let sum = 0;
    for (let i = start; i < end; i++) sum += y[order[i] as number] as number;
    between += (end - start) * (sum / (end - start) - mean) ** 2;
  }
  return between / total;
}

/** Ridge regression of the capped remaining life on the channels of single rows (missing = 0, the regime's mean). */
function healthIndex(
  history: FleetHistory,
  labels: readonly Uint8Array[],
  channels: readonly ChannelPlan[],
  horizon: number,
): { offset: number; weights: number[] } {
  const size = channels.length + 1;
  const normal = Array.from({ length: size }, () => new Float64Array(size + 1));
  const x = new Float64Array(size);
  x[size - 1] = 1;
  history.units.forEach((unit, index) => {
    const columns = channels.map((channel) =>
      normalised(unit, labels[index] as Uint8Array, channel, history.columns.length),
    );
    for (let row = 0; row < unit.cycles.length; row++) {
      for (let i = 0; i < channels.length; i++) {
        const z = columns[i]?.[row] ?? 0;
        x[i] = Number.isFinite(z) ? Math.max(-8, Math.min(8, z)) : 0;
      }
      addToNormalEquations(normal, x, Math.min(horizon, remainingAt(unit, row)) / horizon);
    }
  });
  const solution = solveRidge(normal, RIDGE);
  return { offset: solution[size - 1] ?? 0, weights: solution.slice(0, size - 1) };
}

function addToNormalEquations(normal: Float64Array[], x: Float64Array, y: number): void {
  for (let i = 0; i < x.length; i++) {
    const line = normal[i] as Float64Array;
    const xi = x[i] as number;
    for (let j = 0; j < x.length; j++) line[j] = (line[j] as number) + xi * (x[j] as number);
    line[x.length] = (line[x.length] as number) + xi * y;
  }
}

/** Gauss-Jordan with row pivots; the ridge, a share of each diagonal, keeps duplicated columns solvable. */
function solveRidge(normal: Float64Array[], ridge: number): number[] {
  const size = normal.length;
  for (let i = 0; i < size - 1; i++)
    (normal[i] as Float64Array)[i] = ((normal[i] as Float64Array)[i] as number) * (1 + ridge) + 1e-9;
  for (let pivot = 0; pivot < size; pivot++) {
    let best = pivot;
    for (let i = pivot + 1; i < size; i++) {
      if (Math.abs(normal[i]?.[pivot] ?? 0) > Math.abs(normal[best]?.[pivot] ?? 0)) best = i;
    }
    const line = normal[best] as Float64Array;
    normal[best] = normal[pivot] as Float64Array;
    normal[pivot] = line;
    const head = line[pivot] as number;
    if (Math.abs(head) < 1e-12) continue;
    for (let j = pivot; j <= size; j++) line[j] = (line[j] as number) / head;
    for (let i = 0; i < size; i++) {
      const other = normal[i] as Float64Array;
      const factor = other[pivot] as number;
      if (i === pivot || factor === 0) continue;
      for (let j = pivot; j <= size; j++) other[j] = (other[j] as number) - factor * (line[j] as number);
    }
  }
  return normal.map((line) => line[size] ?? 0);
}
