/**
 * Linear regression that learns one row at a time (a Kalman filter on the coefficients, in units of the residual's
 * variance). It knows how sure it is of each prediction: a row unlike all before it has a high leverage, so the band
 * widens instead of an alarm going off. O(d²) a row for d features.
 */

/** Plain JSON. */
export interface RegressionState {
  /** Coefficients, in units of the target per unit of the feature. */
  readonly coefficients: number[];
  /** Upper triangle of their covariance by rows, in units of the residual's variance. */
  readonly covariance: number[];
}

/** Variance of a coefficient before anything is known, in units of the residual's variance. */
export const PRIOR_VARIANCE = 100;

/** @example initRegression(2).coefficients // => [0, 0] */
export function initRegression(features: number): RegressionState {
  const covariance: number[] = [];
  for (let i = 0; i < features; i++) for (let j = i; j < features; j++) covariance.push(i === j ? PRIOR_VARIANCE : 0);
  return { coefficients: new Array<number>(features).fill(0), covariance };
}

/**
 * Prediction for a row of features.
 * @example predict({ coefficients: [2, 3], covariance: [] }, [1, 10]) // => 32
 */
export function predict(state: RegressionState, features: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < features.length; i++) sum += (state.coefficients[i] as number) * (features[i] as number);
  return sum;
}

/**
 * Leverage: variance of the prediction itself, in units of the residual's variance.
 * @example leverage(initRegression(1), [1]) // => 100
 */
export function leverage(state: RegressionState, features: readonly number[]): number {
  const count = features.length;
  const { covariance } = state;
  let sum = 0;
  for (let i = 0, at = 0; i < count; i++) {
    const feature = features[i] as number;
    sum += (covariance[at++] as number) * feature * feature;
    for (let j = i + 1; j < count; j++) sum += 2 * (covariance[at++] as number) * feature * (features[j] as number);
  }
  return Math.max(0, sum);
}

/** Products of the covariance with the features; reused between calls because this is the hottest loop of scoring. */
const gain = new Float64Array(64);

/**
 * Moves the coefficients towards `residual` (already limited by the caller, for robustness) and adds `wander` to the
 * coefficients' variance, so that the memory stays about `1 / sqrt(wander)` rows long.
 */
export function learnRow(state: RegressionState, features: readonly number[], residual: number, wander: number): void {
  const count = features.length;
  const { covariance, coefficients } = state;
  gain.fill(0, 0, count);
  for (let i = 0, at = 0; i < count; i++) {
    const feature = features[i] as number;
    gain[i] = (gain[i] as number) + (covariance[at++] as number) * feature;
    for (let j = i + 1; j < count; j++) {
      const element = covariance[at++] as number;
      gain[i] = (gain[i] as number) + element * (features[j] as number);
      gain[j] = (gain[j] as number) + element * feature;
    }
  }
  let variance = 1;
  for (let i = 0; i < count; i++) variance += (gain[i] as number) * (features[i] as number);
  for (let i = 0, at = 0; i < count; i++) {
    const share = (gain[i] as number) / variance;
    coefficients[i] = (coefficients[i] as number) + share * residual;
    // Never below zero by rounding, never above what was believed before anything was seen.
    const own = (covariance[at] as number) - share * (gain[i] as number) + wander;
    covariance[at++] = Math.min(PRIOR_VARIANCE, Math.max(wander, own));
    for (let j = i + 1; j < count; j++) {
      covariance[at] = (covariance[at] as number) - share * (gain[j] as number);
      at++;
    }
  }
}
