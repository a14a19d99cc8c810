/** One surprise out of several that may depend on each other. */

/**
 * Weighted harmonic mean of p values (Wilson 2019, "The harmonic mean p-value for combining dependent tests"), on the
 * scale of surprise: valid for dependent signals, near the largest surprise when one stands out, higher when several agree.
 * @param surprises −log10 p each, ≥ 0
 * @param weights > 0, same length; absent = all the same
 * @example combineSurprises([3, 0], [1, 1]) // => 2.699404...
 */
export function combineSurprises(surprises: readonly number[], weights?: readonly number[]): number {
  let top = 0;
  for (const surprise of surprises) if (surprise > top) top = surprise;
  let weightSum = 0;
  let sum = 0;
  for (let i = 0; i < surprises.length; i++) {
    const weight = weights?.[i] ?? 1;
    weightSum += weight;
    // Scaled by the largest, so that 10^300 never appears.
    sum += weight * 10 ** ((surprises[i] as number) - top);
  }
  return weightSum > 0 ? Math.max(0, top + Math.log10(sum / weightSum)) : 0;
}

/**
 * Calibrated score `1 − p` of a surprise.
 * @example scoreOf(2) // => 0.99
 */
export function scoreOf(surprise: number): number {
  return 1 - 10 ** -Math.max(0, surprise);
}
