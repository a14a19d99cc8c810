import { describe, expect, it } from 'vitest';
import {
  type BoostingOptions,
  binFeatures,
  DEFAULT_BOOSTING,
  fitBoostedTrees,
  predictTrees,
} from '../../analytics/prognosis/boosted-trees.ts';
import { seededRandom } from '../../contract/kernel/random.ts';

const ROWS = 2_000;

/** y = 10·sin(3x0) + 5·[x1 > 0.5] + noise; x2 says nothing; x3 is constant. */
function problem(seed: number) {
  const random = seededRandom(seed);
  const columns = [0, 1, 2, 3].map((feature) =>
    Float64Array.from({ length: ROWS }, () => (feature === 3 ? 7 : random())),
  );
  const noise = Float64Array.from({ length: ROWS }, () => random() - 0.5);
  const truth = (x: readonly number[]) => 10 * Math.sin(3 * (x[0] ?? 0)) + ((x[1] ?? 0) > 0.5 ? 5 : 0);
  const rowOf = (row: number) => columns.map((column) => column[row] as number);
  const target = Float64Array.from({ length: ROWS }, (_, row) => truth(rowOf(row)) + (noise[row] as number));
  return { columns, target, truth, rowOf };
}

function learn(seed: number, options: Partial<BoostingOptions> = {}) {
  const { columns, target } = problem(seed);
  const rows = Int32Array.from({ length: ROWS }, (_, row) => row);
  return fitBoostedTrees(binFeatures(columns, ROWS), target, rows, {
    ...DEFAULT_BOOSTING,
    featureShare: 1,
    ...options,
  });
}

describe('boosted trees', () => {
  it('learn a known function with a step and a curve', () => {
    const ensemble = learn(1);
    const fresh = problem(2);
    const errors = Array.from({ length: ROWS }, (_, row) => {
      const x = fresh.rowOf(row);
      return (predictTrees(ensemble, x) - fresh.truth(x)) ** 2;
    });
    expect(Math.sqrt(errors.reduce((a, b) => a + b, 0) / ROWS)).toBeLessThan(0.45);
  });

  it('learn a quantile with pinball loss', () => {
    const ensemble = learn(3, { loss: { kind: 'quantile', quantile: 0.9 }, minLeafRows: 40 });
    const fresh = problem(4);
    const below = Array.from({ length: ROWS }, (_, row) =>
      (fresh.target[row] as number) <= predictTrees(ensemble, fresh.rowOf(row)) ? 1 : 0,
    );
    const share = below.reduce<number>((a, b) => a + b, 0) / ROWS;
    expect(share).toBeGreaterThan(0.84);
    expect(share).toBeLessThan(0.95);
  });

  it('are the same for the same seed and others for another', () => {
    expect(learn(1)).toEqual(learn(1));
    expect(learn(1, { seed: 2 })).not.toEqual(learn(1));
  });

  it('send a missing value to the left, in training and in prediction', () => {
    const random = seededRandom(5);
    const x = Float64Array.from({ length: ROWS }, (_, row) => (row % 2 === 0 ? Number.NaN : random()));
    const target = Float64Array.from(x, (value) => (Number.isNaN(value) ? -3 : 4));
    const rows = Int32Array.from({ length: ROWS }, (_, row) => row);
    const ensemble = fitBoostedTrees(binFeatures([x], ROWS), target, rows, { ...DEFAULT_BOOSTING, featureShare: 1 });
    expect(predictTrees(ensemble, [Number.NaN])).toBeLessThan(predictTrees(ensemble, [0.9]));
    expect(Number.isFinite(predictTrees(ensemble, [Number.NaN]))).toBe(true);
  });

  it('give the mean when no feature can be split', () => {
    const target = Float64Array.from([1, 2, 3, 6]);
    const rows = Int32Array.from([0, 1, 2, 3]);
    const ensemble = fitBoostedTrees(binFeatures([new Float64Array(4).fill(1)], 4), target, rows, DEFAULT_BOOSTING);
    expect(predictTrees(ensemble, [1])).toBe(3);
  });
});
