/**
 * Inverse of a covariance matrix (the precision matrix). Row i of it, divided by its diagonal, is the regression of
 * signal i on all others, so one matrix holds every relation between the signals.
 */

/**
 * Inverse of a symmetric matrix plus `ridge` on its diagonal, by Cholesky's decomposition. O(n³).
 * @param matrix n × n by rows, positive semi-definite up to rounding
 * @param ridge > 0: keeps signals that repeat each other from blowing up
 * @example invertRidged([2, 0, 0, 4], 2, 0) // => [0.5, 0, 0, 0.25]
 */
export function invertRidged(matrix: readonly number[], n: number, ridge: number): number[] {
  const root = choleskyOf(matrix, n, ridge);
  // Inverse of the lower triangle, column by column.
  const lower = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    lower[j * n + j] = 1 / (root[j * n + j] as number);
    for (let i = j + 1; i < n; i++) {
      let sum = 0;
      for (let k = j; k < i; k++) sum -= (root[i * n + k] as number) * (lower[k * n + j] as number);
      lower[i * n + j] = sum / (root[i * n + i] as number);
    }
  }
  const inverse = new Array<number>(n * n).fill(0);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = i; k < n; k++) sum += (lower[k * n + i] as number) * (lower[k * n + j] as number);
      inverse[i * n + j] = sum;
      inverse[j * n + i] = sum;
    }
  }
  return inverse;
}

function choleskyOf(matrix: readonly number[], n: number, ridge: number): Float64Array {
  const root = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = (matrix[i * n + j] as number) + (i === j ? ridge : 0);
      for (let k = 0; k < j; k++) sum -= (root[i * n + k] as number) * (root[j * n + k] as number);
      // Rounding may leave a pivot at or below zero: it is then as small as the ridge.
      if (i === j) root[i * n + j] = Math.sqrt(Math.max(sum, ridge, 1e-12));
      else root[i * n + j] = sum / (root[j * n + j] as number);
    }
  }
  return root;
}
