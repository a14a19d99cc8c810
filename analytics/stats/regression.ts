/**
 * Linear regression that learns one row at a time (a Kalman filter on the coefficients, in units of the residual's
 * variance). It knows how sure it is of each prediction: a row unlike all before it has a high leverage, so the band
 * widens instead of an alarm going off. What depends on the rows alone (the covariance) is kept apart from the
 * coefficients, so that many targets measured in the same rows can share it. O(d²) a row, O(d) a target, for d features.
 */

/** Plain JSON; one target. */
export interface RegressionState {
  /** Coefficients, in units of the target per unit of the feature. */
  readonly coefficients: number[];
  /** Upper triangle of their covariance by rows, in units of the residual's variance. */
  readonly covariance: number[];
}

/** Variance of a coefficient before anything is known, in units of the residual's variance. */
export const PRIOR_VARIANCE = 100;

/** @example initCovariance(2) // => [100, 0, 100] */
export function initCovariance(features: number): number[] {
  const covariance: number[] = [];
  for (let i = 0; i < features; i++) for (let j = i; j < features; j++) covariance.push(i === j ? PRIOR_VARIANCE : 0);
  return covariance;
}

/** @example initRegression(2).coefficients // => [0, 0] */
export function initRegression(features: number): RegressionState {
  return { coefficients: new Array<number>(features).fill(0), covariance: initCovariance(features) };
}

/**
 * Prediction for a row of features.
 * @example predict({ coefficients: [2, 3] }, [1, 10]) // => 32
 */
export function predict(state: Pick<RegressionState, 'coefficients'>, features: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < features.length; i++) sum += (state.coefficients[i] as number) * (features[i] as number);
  return sum;
}

/** What a row is worth to every target measured in it. */
export interface RegressionRow {
  readonly features: readonly number[];
  /** Covariance times features. */
  readonly gain: Float64Array;
  /** Variance of the prediction itself, in units of the residual's variance. */
  readonly leverage: number;
}

/**
 * Works out gain and leverage of a row. O(d²).
 * @example rowOf(initCovariance(1), [1]).leverage // => 100
 */
export function rowOf(covariance: readonly number[], features: readonly number[]): RegressionRow {
  const count = features.length;
  const gain = new Float64Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    const feature = features[i] as number;
    gain[i] = (gain[i] as number) + (covariance[at++] as number) * feature;
    for (let j = i + 1; j < count; j++) {
      const element = covariance[at++] as number;
      gain[i] = (gain[i] as number) + element * (features[j] as number);
      gain[j] = (gain[j] as number) + element * feature;
    }
  }
  let leverage = 0;
  for (let i = 0; i < count; i++) leverage += (gain[i] as number) * (features[i] as number);
  return { features, gain, leverage: Math.max(0, leverage) };
}

/** Moves the coefficients of one target towards its `residual`, already limited by the caller for robustness. O(d). */
export function learnCoefficients(coefficients: number[], row: RegressionRow, residual: number): void {
  const share = residual / (1 + row.leverage);
  for (let i = 0; i < coefficients.length; i++) {
    coefficients[i] = (coefficients[i] as number) + share * (row.gain[i] as number);
  }
}

/**
 * Takes the row into the covariance and adds `wander` to the coefficients' variance, so that the memory stays about
 * `1 / sqrt(wander)` rows long. `row` must come from this very covariance. O(d²).
 */
export function learnCovariance(
  covariance: number[],
  { gain, leverage, features }: RegressionRow,
  wander: number,
): void {
  const count = features.length;
  for (let i = 0, at = 0; i < count; i++) {
    const share = (gain[i] as number) / (1 + leverage);
    // Never below zero by rounding, never above what was believed before anything was seen.
    const own = (covariance[at] as number) - share * (gain[i] as number) + wander;
    covariance[at++] = Math.min(PRIOR_VARIANCE, Math.max(wander, own));
    for (let j = i + 1; j < count; j++) {
      covariance[at] = (covariance[at] as number) - share * (gain[j] as number);
      at++;
    }
  }
}
