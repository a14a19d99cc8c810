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

interface Grouping {
  readonly count: number;
  /** Group number of every row; −1 = missing. */
  readonly groups: Int8Array;
  /** Widest group against narrowest gap. */
  readonly looseness: number;
}

interface Setting extends Grouping {
  readonly column: number;
}

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

/** Finds the regimes of a fleet; `ONE_REGIME` when no column looks like a setting. */
export function findRegimes(history: FleetHistory): Regimes {
  const ages = lifeShares(history);
  const columns = history.columns.map((_, column) => columnValues(history, column));
  const settings = columns
    .flatMap((values, column) => {
      const grouping = groupsOf(values, ages);
      return grouping && explains(columns, column, grouping.groups) ? [{ column, ...grouping }] : [];
    })
    .sort((a, b) => b.count - a.count || a.looseness - b.looseness);
  const chosen = chooseSettings(settings, ages);
  return chosen ? regimesOf(columns, chosen.columns, chosen.labels) : ONE_REGIME;
}

/** The column with most groups first; another one only when it tells more regimes apart, each as good as a group has to be. */
function chooseSettings(
  settings: readonly Setting[],
  ages: Float64Array,
): { readonly columns: readonly number[]; readonly labels: Int16Array } | undefined {
  let chosen: Setting[] = [];
  let best: { labels: Int16Array; count: number } | undefined;
  for (const setting of settings) {
    const joint = jointLabels([...chosen, setting].map(({ groups }) => groups));
    if (!joint || joint.count <= (best?.count ?? 1) || !areRegimes(joint, ages)) continue;
    chosen = [...chosen, setting];
    best = joint;
  }
  return best && { columns: chosen.map(({ column }) => column), labels: best.labels };
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

/** The groups of a column, or `undefined` when it does not look like a setting. */
function groupsOf(values: Float64Array, ages: Float64Array): Grouping | undefined {
  const found = groupCuts(values.filter((value) => Number.isFinite(value)).sort());
  if (!found) return undefined;
  const { cuts, looseness } = found;
  const groups = Int8Array.from(values, (value) =>
    Number.isFinite(value) ? cuts.filter((cut) => value > cut).length : -1,
  );
  for (let group = 0; group <= cuts.length; group++) {
    if (Math.abs(meanAge(groups, ages, group) - 0.5) > MAX_AGE_BIAS) return undefined;
  }
  return { groups, count: cuts.length + 1, looseness };
}

/** Where to cut sorted values so that every group is narrow against the gaps around it; `undefined` when that fails. */
function groupCuts(sorted: Float64Array): { cuts: number[]; looseness: number } | undefined {
  const gaps: { size: number; index: number }[] = [];
  for (let i = 1; i < sorted.length; i++) {
    const size = (sorted[i] as number) - (sorted[i - 1] as number);
    if (size > 0) gaps.push({ size, index: i });
  }
  gaps.sort((a, b) => b.size - a.size);
  for (let groups = Math.min(MAX_GROUPS, gaps.length + 1); groups >= 2; groups--) {
    const bounds = gaps.slice(0, groups - 1).map((gap) => gap.index);
    bounds.sort((a, b) => a - b);
    const looseness = widestGroup(sorted, bounds) / (gaps[groups - 2]?.size ?? 1);
    if (looseness <= MAX_WIDTH_TO_GAP) {
      return { cuts: bounds.map((i) => ((sorted[i] as number) + (sorted[i - 1] as number)) / 2), looseness };
    }
  }
  return undefined;
}

/** Infinite when a group holds too few rows. */
function widestGroup(sorted: Float64Array, bounds: readonly number[]): number {
  const edges = [0, ...bounds, sorted.length];
  let widest = 0;
  for (let i = 1; i < edges.length; i++) {
    const start = edges[i - 1] as number;
    const end = edges[i] as number;
    if (end - start < MIN_SHARE * sorted.length) return Number.POSITIVE_INFINITY;
    widest = Math.max(widest, (sorted[end - 1] as number) - (sorted[start] as number));
  }
  return widest;
}

/** Every regime holds enough rows, all life long. */
function areRegimes({ labels, count }: { labels: Int16Array; count: number }, ages: Float64Array): boolean {
  for (let regime = 0; regime < count; regime++) {
    if (labels.filter((label) => label === regime).length < MIN_SHARE * labels.length) return false;
    if (Math.abs(meanAge(labels, ages, regime) - 0.5) > MAX_AGE_BIAS) return false;
  }
  return true;
}

function meanAge(groups: Int8Array | Int16Array, ages: Float64Array, group: number): number {
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
function jointLabels(columns: readonly Int8Array[]): { labels: Int16Array; count: number } | undefined {
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
  return { labels, count: labelOf.size };
}

/** Whether the groups of one column explain enough of the other columns. */
function explains(columns: readonly Float64Array[], setting: number, groups: Int8Array): boolean {
  const shares = columns
    .filter((_, column) => column !== setting)
    .map((values) => explainedShare(values, groups))
    .filter((share): share is number => share !== undefined);
  const explained = shares.filter((share) => share >= MIN_EXPLAINED).length;
  return explained > 0 && explained >= MIN_COLUMNS_EXPLAINED * shares.length;
}

/** Share of a column's variance that lies between regimes; `undefined` for a constant column. */
function explainedShare(values: Float64Array, labels: Int8Array): number | undefined {
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

function regimesOf(all: readonly Float64Array[], columns: readonly number[], labels: Int16Array): Regimes {
  const count = Math.max(...labels) + 1;
  const byColumn = columns.map((column) => {
    const values = all[column] as Float64Array;
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
