/**
 * Operating regimes: a machine that runs at a few settings shows different values at each, which says nothing about
 * wear. The settings are found, not configured: columns whose values fall into a few tight groups that come and go all
 * life long and that explain much of what the other columns do.
 */
import type { FleetHistory } from './fleet-history.ts';
import { columnValues } from './fleet-history.ts';

/** Columns that name the regime, and the centre of each regime in them. Without regimes there is one, with no columns. */
export interface Regimes {
  readonly columns: readonly number[];
  /** by regime, then by entry of `columns` */
  readonly centres: readonly (readonly number[])[];
  /** by entry of `columns`: range of the centres, so that distances in different units compare. */
  readonly scales: readonly number[];
}

export const ONE_REGIME: Regimes = { columns: [], centres: [[]], scales: [] };

const MAX_GROUPS = 8;
const MAX_REGIMES = 16;
/** A group that holds less than this share of the rows is an outlier, not a way of running. */
const MIN_SHARE = 0.02;
/** Widest group against narrowest gap between groups. */
const MAX_WIDTH_TO_GAP = 0.25;
/** A setting's groups are spread over the whole life: their mean age, as share of life, stays near one half. */
const MAX_AGE_BIAS = 0.15;
/** A regime explains at least this share of the variance of at least this share of the other columns. */
const MIN_EXPLAINED = 0.3;
const MIN_COLUMNS_EXPLAINED = 0.25;

/** Finds the regimes of a fleet; `ONE_REGIME` when its columns do not fall into groups. */
export function findRegimes(history: FleetHistory): Regimes {
  const ages = lifeShares(history);
  const grouped = history.columns
    .map((_, column) => ({ column, groups: groupsOf(columnValues(history, column), ages) }))
    .filter((entry): entry is { column: number; groups: Int8Array } => entry.groups !== undefined);
  const settings = grouped.slice(0, 6);
  if (settings.length === 0) return ONE_REGIME;
  const labels = jointLabels(settings.map((entry) => entry.groups));
  if (!labels || !explains(history, labels, new Set(grouped.map((entry) => entry.column)))) return ONE_REGIME;
  return regimesOf(
    history,
    settings.map((entry) => entry.column),
    labels,
  );
}

/** The regime whose centre is nearest; a row with a missing setting counts as the regime that fits the rest. */
export function regimeOf(regimes: Regimes, readingOf: (column: number) => number): number {
  let best = 0;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (let regime = 0; regime < regimes.centres.length; regime++) {
    let distance = 0;
    for (let i = 0; i < regimes.columns.length; i++) {
      const value = readingOf(regimes.columns[i] as number);
      const centre = regimes.centres[regime]?.[i] ?? 0;
      if (Number.isFinite(value)) distance += ((value - centre) / (regimes.scales[i] ?? 1)) ** 2;
    }
    if (distance < bestDistance) {
      best = regime;
      bestDistance = distance;
    }
  }
  return best;
}

/** Age of every row as a share of its unit's life. */
function lifeShares(history: FleetHistory): Float64Array {
  return Float64Array.from(
    history.units.flatMap((unit) => Array.from(unit.cycles, (_, row) => (row + 0.5) / unit.cycles.length)),
  );
}

/** Group number of every row (−1 = missing), or `undefined` when the column does not look like a setting. */
function groupsOf(values: Float64Array, ages: Float64Array): Int8Array | undefined {
  const sorted = values.filter((value) => Number.isFinite(value)).sort();
  const cuts = groupCuts(sorted);
  if (!cuts) return undefined;
  const groups = Int8Array.from(values, (value) =>
    Number.isFinite(value) ? cuts.filter((cut) => value > cut).length : -1,
  );
  for (let group = 0; group <= cuts.length; group++) {
    if (Math.abs(meanAge(groups, ages, group) - 0.5) > MAX_AGE_BIAS) return undefined;
  }
  return groups;
}

/** Where to cut sorted values so that every group is narrow against the gaps around it; `undefined` when that fails. */
function groupCuts(sorted: Float64Array): number[] | undefined {
  if (sorted.length < 2) return undefined;
  const gaps: { size: number; index: number }[] = [];
  for (let i = 1; i < sorted.length; i++) {
    const size = (sorted[i] as number) - (sorted[i - 1] as number);
    if (size > 0) gaps.push({ size, index: i });
  }
  gaps.sort((a, b) => b.size - a.size);
  for (let groups = Math.min(MAX_GROUPS, gaps.length + 1); groups >= 2; groups--) {
    const bounds = gaps.slice(0, groups - 1).map((gap) => gap.index);
    bounds.sort((a, b) => a - b);
    if (areTight(sorted, bounds, gaps[groups - 2]?.size ?? 0)) {
      return bounds.map((index) => ((sorted[index] as number) + (sorted[index - 1] as number)) / 2);
    }
  }
  return undefined;
}

function areTight(sorted: Float64Array, bounds: readonly number[], smallestGap: number): boolean {
  const edges = [0, ...bounds, sorted.length];
  for (let i = 1; i < edges.length; i++) {
    const start = edges[i - 1] as number;
    const end = edges[i] as number;
    if (end - start < MIN_SHARE * sorted.length) return false;
    if ((sorted[end - 1] as number) - (sorted[start] as number) > MAX_WIDTH_TO_GAP * smallestGap) return false;
  }
  return true;
}

function meanAge(groups: Int8Array, ages: Float64Array, group: number): number {
  let sum = 0;
  let count = 0;
  for (let row = 0; row < groups.length; row++) {
    if (groups[row] !== group) continue;
    sum += ages[row] as number;
    count++;
  }
  return count > 0 ? sum / count : 0.5;
}

/** One label per combination of groups that occurs; `undefined` when there are too many to be ways of running. */
function jointLabels(columns: readonly Int8Array[]): Int16Array | undefined {
  /** by combination of group numbers */
  const labelOf = new Map<string, number>();
  const rows = columns[0]?.length ?? 0;
  const labels = new Int16Array(rows);
  for (let row = 0; row < rows; row++) {
    const key = columns.map((groups) => groups[row]).join(',');
    if (key.includes('-1')) {
      labels[row] = -1;
      continue;
    }
    const label = labelOf.get(key) ?? labelOf.size;
    labelOf.set(key, label);
    labels[row] = label;
    if (labelOf.size > MAX_REGIMES) return undefined;
  }
  return labelOf.size > 1 ? labels : undefined;
}

/** Whether the labels explain enough of the columns that are not settings themselves (all columns when all are grouped). */
function explains(history: FleetHistory, labels: Int16Array, grouped: ReadonlySet<number>): boolean {
  const others = history.columns.map((_, column) => column).filter((column) => !grouped.has(column));
  const judged = (others.length > 0 ? others : history.columns.map((_, column) => column))
    .map((column) => explainedShare(columnValues(history, column), labels))
    .filter((share): share is number => share !== undefined);
  const explained = judged.filter((share) => share >= MIN_EXPLAINED).length;
  return explained > 0 && explained >= MIN_COLUMNS_EXPLAINED * judged.length;
}

/** Share of a column's variance that lies between regimes; `undefined` for a constant column. */
function explainedShare(values: Float64Array, labels: Int16Array): number | undefined {
  const sums = new Float64Array(MAX_REGIMES + 1);
  const squares = new Float64Array(MAX_REGIMES + 1);
  const counts = new Float64Array(MAX_REGIMES + 1);
  for (let row = 0; row < values.length; row++) {
    const label = labels[row] as number;
    const value = values[row] as number;
    if (label < 0 || !Number.isFinite(value)) continue;
    sums[label] = (sums[label] as number) + value;
    squares[label] = (squares[label] as number) + value * value;
    counts[label] = (counts[label] as number) + 1;
  }
  const count = counts.reduce((a, b) => a + b, 0);
  const mean = sums.reduce((a, b) => a + b, 0) / count;
  const total = squares.reduce((a, b) => a + b, 0) - count * mean * mean;
  if (!(total > 1e-9 * Math.abs(mean * mean * count))) return undefined;
  const between = sums.reduce(
    (sum, s, i) => sum + (counts[i] ? (s / (counts[i] as number) - mean) ** 2 * (counts[i] as number) : 0),
    0,
  );
  return between / total;
}

function regimesOf(history: FleetHistory, columns: readonly number[], labels: Int16Array): Regimes {
  const count = Math.max(...labels) + 1;
  const byColumn = columns.map((column) => {
    const values = columnValues(history, column);
    return Array.from({ length: count }, (_, regime) => {
      const members = values.filter((_, row) => labels[row] === regime);
      return members.reduce((a, b) => a + b, 0) / Math.max(1, members.length);
    });
  });
  return {
    columns,
    centres: Array.from({ length: count }, (_, regime) => byColumn.map((centres) => centres[regime] ?? 0)),
    scales: byColumn.map((centres) => Math.max(...centres) - Math.min(...centres) || 1),
  };
}
