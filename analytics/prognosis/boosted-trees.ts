/**
 * Histogram gradient-boosted regression trees (Friedman 2001; binned as in Ke et al. 2017, "LightGBM"). Written here
 * because the fitted models must train in seconds without native code, be deterministic by seed, and fit in a JSON file.
 */

import type { Random } from '../../contract/kernel/random.ts';
import { seededRandom } from '../../contract/kernel/random.ts';

/**
 * One binary tree as parallel arrays. Node `i` is a leaf when `feature[i]` is −1 and then `at[i]` is its value;
 * otherwise a row goes to node `left[i]` when its feature is ≤ `at[i]` or missing (NaN), else to `left[i] + 1`.
 */
export interface Tree {
  readonly feature: readonly number[];
  readonly at: readonly number[];
  readonly left: readonly number[];
}

export interface TreeEnsemble {
  readonly base: number;
  readonly trees: readonly Tree[];
}

/** What a tree minimises: squared error gives the mean, pinball loss gives a quantile. */
export type BoostingLoss = { readonly kind: 'squared' } | { readonly kind: 'quantile'; readonly quantile: number };

export interface BoostingOptions {
  readonly trees: number;
  readonly learningRate: number;
  readonly maxLeaves: number;
  readonly minLeafRows: number;
  /** Share of rows drawn for each tree, 0..1. */
  readonly rowShare: number;
  /** Share of features drawn for each tree, 0..1. */
  readonly featureShare: number;
  readonly loss: BoostingLoss;
  readonly seed: number;
}

export const DEFAULT_BOOSTING: BoostingOptions = {
  trees: 200,
  learningRate: 0.06,
  maxLeaves: 16,
  minLeafRows: 20,
  rowShare: 0.5,
  featureShare: 0.3,
  loss: { kind: 'squared' },
  seed: 1,
};

/** Features of all rows replaced by the number of the bin they fall in; bin 0 = missing. Column-major. */
export interface BinnedFeatures {
  readonly rowCount: number;
  readonly featureCount: number;
  readonly bins: Uint8Array;
  /** by feature: upper edges; bin b+1 holds values in (edges[b − 1], edges[b]]. */
  readonly edges: readonly Float64Array[];
}

/** At most this many bins a feature, the one for missing values included. */
const MAX_BINS = 64;

/** Replaces each feature by its quantile bin. `columns[f][row]`; NaN = missing. */
export function binFeatures(columns: readonly Float64Array[], rowCount: number): BinnedFeatures {
  const bins = new Uint8Array(columns.length * rowCount);
  const edges = columns.map((column, feature) => {
    const cuts = quantileEdges(column);
    for (let row = 0; row < rowCount; row++) {
      bins[feature * rowCount + row] = binOf(cuts, column[row] ?? Number.NaN);
    }
    return cuts;
  });
  return { rowCount, featureCount: columns.length, bins, edges };
}

/** Rounded so that the model file stays small; training uses the rounded edges, so file and memory agree exactly. */
function quantileEdges(column: Float64Array): Float64Array {
  const sorted = column.filter((value) => Number.isFinite(value)).sort();
  const distinct = new Set<number>();
  for (let cut = 1; cut < MAX_BINS - 1; cut++) {
    const value = sorted[Math.floor((cut * sorted.length) / (MAX_BINS - 1))];
    if (value !== undefined) distinct.add(roundTo(value, 6));
  }
  return Float64Array.from(distinct).sort();
}

function binOf(edges: Float64Array, value: number): number {
  if (Number.isNaN(value)) return 0;
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value <= (edges[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low + 1;
}

/** `value` with so many significant digits. */
export function roundTo(value: number, digits: number): number {
  return Number(value.toPrecision(digits));
}

/**
 * Fits an ensemble to `target` on the given rows (indices into the binned features; repeats count twice).
 * Cost: about rows × features × log2(leaves) × trees steps, scaled by both shares.
 */
export function fitBoostedTrees(
  features: BinnedFeatures,
  target: Float64Array,
  rows: Int32Array,
  options: BoostingOptions,
): TreeEnsemble {
  const random = seededRandom(options.seed);
  const base = roundTo(baseOf(target, rows, options.loss), 8);
  const estimate = new Float64Array(features.rowCount).fill(base);
  const gradient = new Float64Array(features.rowCount);
  const grower = createGrower(features, gradient, options);
  const trees: Tree[] = [];
  for (let round = 0; round < options.trees; round++) {
    fillGradient(gradient, target, estimate, rows, options.loss);
    const tree = grower.grow(
      draw(rows, options.rowShare, random),
      drawFeatures(features, options.featureShare, random),
      (leafRows, start, end) => leafValue(leafRows, start, end, target, estimate, gradient, options),
    );
    if (tree.feature.length === 1) continue; // No split gained anything on this draw.
    trees.push(tree);
    const walk = binnedWalker(tree, features);
    for (const row of rows) estimate[row] = (estimate[row] as number) + walk(row);
  }
  return { base, trees };
}

/** Value of the ensemble for one row of features; NaN = missing. */
export function predictTrees(ensemble: TreeEnsemble, features: ArrayLike<number>): number {
  let sum = ensemble.base;
  for (const tree of ensemble.trees) sum += predictTree(tree, features);
  return sum;
}

function predictTree(tree: Tree, features: ArrayLike<number>): number {
  const { feature, at, left } = tree;
  let node = 0;
  for (;;) {
    const index = feature[node] as number;
    if (index < 0) return at[node] as number;
    // `!(x > at)` also sends a missing value (NaN) to the left.
    node = (left[node] as number) + ((features[index] as number) > (at[node] as number) ? 1 : 0);
  }
}

/**
 * The mean of several ensembles as one function over flat arrays: faster than walking the trees one by
 * one, which matters for live devices that ask after every sample.
 */
export function compileMean(ensembles: readonly TreeEnsemble[]): (features: ArrayLike<number>) => number {
  const trees = ensembles.flatMap((ensemble) => ensemble.trees);
  const size = trees.reduce((sum, tree) => sum + tree.feature.length, 0);
  const feature = new Int16Array(size);
  const at = new Float64Array(size);
  const left = new Int32Array(size);
  const roots = new Int32Array(trees.length);
  let next = 0;
  trees.forEach((tree, index) => {
    roots[index] = next;
    feature.set(tree.feature, next);
    at.set(tree.at, next);
    left.set(
      tree.left.map((child) => child + (roots[index] as number)),
      next,
    );
    next += tree.feature.length;
  });
  const base = ensembles.reduce((sum, ensemble) => sum + ensemble.base, 0);
  return (features) => {
    let sum = base;
    for (let tree = 0; tree < roots.length; tree++) {
      let node = roots[tree] as number;
      let index = feature[node] as number;
      while (index >= 0) {
        node = (left[node] as number) + ((features[index] as number) > (at[node] as number) ? 1 : 0);
        index = feature[node] as number;
      }
      sum += at[node] as number;
    }
    return sum / ensembles.length;
  };
}

/** Walks a tree by bins instead of values; about twice as fast, and the same by construction of the edges. */
function binnedWalker(tree: Tree, features: BinnedFeatures): (row: number) => number {
  const { feature, at, left } = tree;
  const limits = feature.map((index, node) =>
    index < 0 ? 0 : binOf(features.edges[index] as Float64Array, at[node] as number),
  );
  return (row) => {
    let node = 0;
    for (;;) {
      const index = feature[node] as number;
      if (index < 0) return at[node] as number;
      const bin = features.bins[index * features.rowCount + row] as number;
      node = (left[node] as number) + (bin > (limits[node] as number) ? 1 : 0);
    }
  };
}

function baseOf(target: Float64Array, rows: Int32Array, loss: BoostingLoss): number {
  const values = Float64Array.from(rows, (row) => target[row] as number);
  if (loss.kind === 'quantile') return quantileInPlace(values, loss.quantile);
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

function quantileInPlace(values: Float64Array, quantile: number): number {
  if (values.length === 0) return 0;
  values.sort();
  const position = quantile * (values.length - 1);
  const below = values[Math.floor(position)] as number;
  const above = values[Math.ceil(position)] as number;
  return below + (above - below) * (position - Math.floor(position));
}

function fillGradient(
  gradient: Float64Array,
  target: Float64Array,
  estimate: Float64Array,
  rows: Int32Array,
  loss: BoostingLoss,
): void {
  for (const row of rows) {
    const residual = (target[row] as number) - (estimate[row] as number);
    if (loss.kind === 'squared') gradient[row] = residual;
    else gradient[row] = residual > 0 ? loss.quantile : loss.quantile - 1;
  }
}

/** Shrunk best constant of a leaf: the mean residual, or the residual's quantile. */
function leafValue(
  leafRows: Int32Array,
  start: number,
  end: number,
  target: Float64Array,
  estimate: Float64Array,
  gradient: Float64Array,
  { loss, learningRate }: BoostingOptions,
): number {
  if (loss.kind === 'squared') {
    let sum = 0;
    for (let i = start; i < end; i++) sum += gradient[leafRows[i] as number] as number;
    return roundTo((learningRate * sum) / (end - start + 1), 5);
  }
  const residuals = new Float64Array(end - start);
  for (let i = start; i < end; i++) {
    const row = leafRows[i] as number;
    residuals[i - start] = (target[row] as number) - (estimate[row] as number);
  }
  return roundTo(learningRate * quantileInPlace(residuals, loss.quantile), 5);
}

function draw(rows: Int32Array, share: number, random: Random): Int32Array {
  if (share >= 1) return Int32Array.from(rows);
  const drawn = rows.filter(() => random() < share);
  return drawn.length > 1 ? drawn : Int32Array.from(rows);
}

function drawFeatures(features: BinnedFeatures, share: number, random: Random): Int32Array {
  const usable = Int32Array.from({ length: features.featureCount }, (_, index) => index).filter(
    (index) => (features.edges[index]?.length ?? 0) > 0,
  );
  const drawn = usable.filter(() => random() < share);
  return drawn.length > 0 ? drawn : usable;
}

interface Split {
  readonly feature: number;
  /** Rows whose bin is at most this go left. */
  readonly bin: number;
  readonly gain: number;
}

/** A leaf that may still be split: its rows stand in `rows[start..end)`. */
interface OpenLeaf {
  readonly node: number;
  readonly start: number;
  readonly end: number;
  readonly sums: Float64Array;
  readonly counts: Int32Array;
  readonly split: Split | undefined;
}

interface Grower {
  grow(rows: Int32Array, drawn: Int32Array, readingOf: (rows: Int32Array, start: number, end: number) => number): Tree;
}

/** Grows trees best leaf first: the split with the largest gain anywhere comes next, up to `maxLeaves`. */
function createGrower(features: BinnedFeatures, gradient: Float64Array, options: BoostingOptions): Grower {
  const { bins, rowCount } = features;

  function histogram(rows: Int32Array, start: number, end: number, drawn: Int32Array) {
    const sums = new Float64Array(drawn.length * MAX_BINS);
    const counts = new Int32Array(drawn.length * MAX_BINS);
    for (let slot = 0; slot < drawn.length; slot++) {
      const column = (drawn[slot] as number) * rowCount;
      const offset = slot * MAX_BINS;
      for (let i = start; i < end; i++) {
        const row = rows[i] as number;
        const cell = offset + (bins[column + row] as number);
        sums[cell] = (sums[cell] as number) + (gradient[row] as number);
        counts[cell] = (counts[cell] as number) + 1;
      }
    }
    return { sums, counts };
  }

  function bestSplit(sums: Float64Array, counts: Int32Array, drawn: Int32Array): Split | undefined {
    let best: Split | undefined;
    for (let slot = 0; slot < drawn.length; slot++) {
      const found = bestSplitOfFeature(sums, counts, slot * MAX_BINS, options.minLeafRows);
      if (found.gain > (best?.gain ?? 1e-9)) best = { ...found, feature: drawn[slot] as number };
    }
    return best;
  }

  function partition(rows: Int32Array, leaf: OpenLeaf, split: Split): number {
    const column = split.feature * rowCount;
    let low = leaf.start;
    let high = leaf.end - 1;
    while (low <= high) {
      const row = rows[low] as number;
      if ((bins[column + row] as number) <= split.bin) {
        low++;
      } else {
        rows[low] = rows[high] as number;
        rows[high--] = row;
      }
    }
    return low;
  }

  function grow(
    rows: Int32Array,
    drawn: Int32Array,
    readingOf: (rows: Int32Array, start: number, end: number) => number,
  ): Tree {
    const feature: number[] = [-1];
    const at: number[] = [0];
    const left: number[] = [0];
    const openLeaf = (node: number, start: number, end: number, sums: Float64Array, counts: Int32Array): OpenLeaf => ({
      node,
      start,
      end,
      sums,
      counts,
      split: bestSplit(sums, counts, drawn),
    });
    const root = histogram(rows, 0, rows.length, drawn);
    const open: OpenLeaf[] = [openLeaf(0, 0, rows.length, root.sums, root.counts)];
    while (open.length < options.maxLeaves) {
      const index = indexOfBest(open);
      const leaf = open[index];
      if (!leaf?.split) break;
      const middle = partition(rows, leaf, leaf.split);
      const child = feature.length;
      feature[leaf.node] = leaf.split.feature;
      at[leaf.node] = (features.edges[leaf.split.feature] as Float64Array)[leaf.split.bin - 1] as number;
      left[leaf.node] = child;
      feature.push(-1, -1);
      at.push(0, 0);
      left.push(0, 0);
      const [leftHistogram, rightHistogram] = childHistograms(rows, leaf, middle, drawn);
      open[index] = openLeaf(child, leaf.start, middle, leftHistogram.sums, leftHistogram.counts);
      open.push(openLeaf(child + 1, middle, leaf.end, rightHistogram.sums, rightHistogram.counts));
    }
    for (const leaf of open) at[leaf.node] = readingOf(rows, leaf.start, leaf.end);
    return { feature, at, left };
  }

  /** Counts only the smaller child; the other is what is left of the parent. */
  function childHistograms(rows: Int32Array, leaf: OpenLeaf, middle: number, drawn: Int32Array) {
    const leftIsSmaller = middle - leaf.start <= leaf.end - middle;
    const small = leftIsSmaller ? histogram(rows, leaf.start, middle, drawn) : histogram(rows, middle, leaf.end, drawn);
    const { sums, counts } = leaf;
    for (let cell = 0; cell < sums.length; cell++) {
      sums[cell] = (sums[cell] as number) - (small.sums[cell] as number);
      counts[cell] = (counts[cell] as number) - (small.counts[cell] as number);
    }
    const large = { sums, counts };
    return leftIsSmaller ? ([small, large] as const) : ([large, small] as const);
  }

  return { grow };
}

/** Largest drop of squared error over all bins of one feature; the last bin is no split, bin 0 = missing against the rest is left out. */
function bestSplitOfFeature(sums: Float64Array, counts: Int32Array, offset: number, minRows: number) {
  let total = 0;
  let count = 0;
  for (let bin = 0; bin < MAX_BINS; bin++) {
    total += sums[offset + bin] as number;
    count += counts[offset + bin] as number;
  }
  const parent = (total * total) / Math.max(1, count);
  let gain = 0;
  let chosen = 0;
  let leftSum = sums[offset] as number;
  let leftCount = counts[offset] as number;
  for (let bin = 1; bin < MAX_BINS - 1; bin++) {
    leftSum += sums[offset + bin] as number;
    leftCount += counts[offset + bin] as number;
    const rightCount = count - leftCount;
    if (leftCount < minRows) continue;
    if (rightCount < minRows) break;
    const rightSum = total - leftSum;
    const gained = (leftSum * leftSum) / leftCount + (rightSum * rightSum) / rightCount - parent;
    if (gained > gain) {
      gain = gained;
      chosen = bin;
    }
  }
  return { bin: chosen, gain };
}

function indexOfBest(open: readonly OpenLeaf[]): number {
  let best = 0;
  for (let i = 1; i < open.length; i++) {
    if ((open[i]?.split?.gain ?? 0) > (open[best]?.split?.gain ?? 0)) best = i;
  }
  return best;
}
