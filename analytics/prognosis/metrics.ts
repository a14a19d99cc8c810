/** How predictions of remaining life are judged, the same in fits, benches and reports. */

/** One prediction and what really came, in the same unit; both at most the horizon. */
export interface ScoredPrediction {
  readonly actual: number;
  readonly median: number;
  readonly lower: number;
  readonly upper: number;
}

export interface PrognosisMetrics {
  readonly count: number;
  readonly rmse: number;
  /** Mean of the asymmetric score of the PHM 2008 challenge: late predictions cost more than early ones. */
  readonly phm08: number;
  /** Share of actual values inside their 90 % interval. */
  readonly coverage: number;
  readonly meanWidth: number;
  /** Mean interval score at 90 % (Winkler 1972): width, plus 20 × the distance of a miss. */
  readonly winkler: number;
}

/** Metrics over at least one prediction; `undefined` for none, because nothing is known then. */
export function scorePredictions(predictions: readonly ScoredPrediction[]): PrognosisMetrics | undefined {
  if (predictions.length === 0) return undefined;
  const mean = (of: (prediction: ScoredPrediction) => number) =>
    predictions.reduce((sum, prediction) => sum + of(prediction), 0) / predictions.length;
  return {
    count: predictions.length,
    rmse: Math.sqrt(mean(({ median, actual }) => (median - actual) ** 2)),
    phm08: mean(({ median, actual }) => phm08(median - actual)),
    coverage: mean(({ actual, lower, upper }) => (actual >= lower && actual <= upper ? 1 : 0)),
    meanWidth: mean(({ lower, upper }) => upper - lower),
    winkler: mean(winkler),
  };
}

/**
 * Cost of an error `predicted − actual` in the PHM 2008 challenge (Saxena et al. 2008).
 * @example phm08(0) // => 0
 */
export function phm08(error: number): number {
  return error < 0 ? Math.exp(-error / 13) - 1 : Math.exp(error / 10) - 1;
}

function winkler({ actual, lower, upper }: ScoredPrediction): number {
  const miss = actual < lower ? lower - actual : actual > upper ? actual - upper : 0;
  return upper - lower + 20 * miss;
}
