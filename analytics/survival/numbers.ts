/** The few numerical tools of survival analysis: deviates of an interval, roots, small positive definite systems. */
import { normalSurprise } from '../stats/normal.ts';

/** Intervals are 90 % unless asked otherwise. */
export const LEVEL = 0.9;

export interface Interval {
  readonly lower: number;
  readonly upper: number;
}

/**
 * Standard normal deviate that leaves `level` between its two signs. Its square is the limit of chi-square with one degree
 * of freedom.
 * @example twoSidedDeviate(0.9) // => 1.6448536269514...
 */
export function twoSidedDeviate(level: number): number {
  const wanted = -Math.log10((1 - level) / 2);
  let low = 0;
  let high = 40;
  for (let i = 0; i < 200 && high - low > 1e-15 * high; i++) {
    const middle = (low + high) / 2;
    if (normalSurprise(middle) < wanted) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

const MAX_STEPS = 200;

/**
 * Where `f` crosses zero between `low` and `high`, at which it must have different signs. False position after Illinois
 * (Dowell and Jarratt 1971): as safe as halving, and much faster.
 * @example findRoot((x) => x * x - 2, 0, 2) // => 1.414213562373...
 */
export function findRoot(f: (x: number) => number, low: number, high: number, tolerance = 1e-13): number {
  let [a, b] = [low, high];
  let [fa, fb] = [f(a), f(b)];
  let side = 0;
  for (let i = 0; i < MAX_STEPS && Math.abs(b - a) > tolerance * (1 + Math.abs(a) + Math.abs(b)); i++) {
    const guess = (a * fb - b * fa) / (fb - fa);
    // Halving now and then bounds the worst case.
    const x =
      Number.isFinite(guess) && guess > Math.min(a, b) && guess < Math.max(a, b) && i % 8 !== 7 ? guess : (a + b) / 2;
    const fx = f(x);
    if (fx === 0) return x;
    if (fx * fb > 0) {
      [b, fb] = [x, fx];
      if (side === -1) fa /= 2;
      side = -1;
    } else {
      [a, fa] = [x, fx];
      if (side === 1) fb /= 2;
      side = 1;
    }
  }
  return (a + b) / 2;
}

/** Lower triangle L of a symmetric positive definite matrix A = L Lᵀ (Cholesky), or `undefined` when A is not one. */
function factor(matrix: readonly (readonly number[])[]): number[][] | undefined {
  const lower: number[][] = [];
  for (let i = 0; i < matrix.length; i++) {
    const row: number[] = [];
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i]?.[j] ?? 0;
      for (let k = 0; k < j; k++) sum -= (row[k] as number) * ((i === j ? row : lower[j])?.[k] as number);
      if (i !== j) row.push(sum / (lower[j]?.[j] as number));
      else if (sum > 1e-12 * Math.abs(matrix[i]?.[i] ?? 0)) row.push(Math.sqrt(sum));
      else return undefined;
    }
    lower.push(row);
  }
  return lower;
}

/** Inverse of a symmetric positive definite matrix, or `undefined` when it is not one. For a handful of rows. */
export function invert(matrix: readonly (readonly number[])[]): number[][] | undefined {
  const lower = factor(matrix);
  if (!lower) return undefined;
  const size = matrix.length;
  const columns = matrix.map((_, column) => {
    const x = new Array<number>(size).fill(0);
    for (let i = 0; i < size; i++) {
      let sum = i === column ? 1 : 0;
      for (let k = 0; k < i; k++) sum -= (lower[i]?.[k] as number) * (x[k] as number);
      x[i] = sum / (lower[i]?.[i] as number);
    }
    for (let i = size - 1; i >= 0; i--) {
      let sum = x[i] as number;
      for (let k = i + 1; k < size; k++) sum -= (lower[k]?.[i] as number) * (x[k] as number);
      x[i] = sum / (lower[i]?.[i] as number);
    }
    return x;
  });
  // Symmetric: columns are rows.
  return columns;
}
