/**
 * Chance of failure in each period of life, as a regression on age and covariates (batch, firmware, use, climate): where
 * what the units differ in matters more than their age. Logistic or complementary log-log by iteratively reweighted least
 * squares, with a ridge so that a covariate that few failures speak of is not believed (Tutz and Schmid 2016, "Modeling
 * Discrete Time-to-Event Data", chapters 3 and 7).
 */
import { type Observation, type Refusal, refuse } from './lives.ts';
import { type Interval, invert, LEVEL, twoSidedDeviate } from './numbers.ts';

/** One period of one life. */
export interface PersonPeriod {
  /** Covariates in that period, without the constant. */
  readonly covariates: readonly number[];
  readonly failed: boolean;
}

/** `cloglog`: proportional hazards, whatever the length of the periods. `logit`: proportional odds. */
export type HazardLink = 'logit' | 'cloglog';

export interface HazardFit {
  readonly kind: 'hazard';
  readonly link: HazardLink;
  /** Constant first, then one a covariate, in the covariates' units. */
  readonly coefficients: readonly number[];
  readonly covariance: readonly (readonly number[])[];
  /** Without the penalty. */
  readonly logLikelihood: number;
  readonly periods: number;
  readonly failures: number;
}

export interface HazardOptions {
  readonly link?: HazardLink;
  /**
   * Strength of the pull towards zero, in observations: `ridge / 2 × Σ (coefficient × the covariate's standard deviation)²`
   * is taken from the log-likelihood, so units do not matter. The constant is free. 1.
   */
  readonly ridge?: number;
  /** Failures needed for the constant and for each covariate; 5. */
  readonly minFailuresEach?: number;
}

const MAX_ITERATIONS = 100;
/** Linear predictors beyond this are certain to the last digit. */
const MAX_LINEAR = 30;

/** Fits the hazard of a period. Refused where failures are fewer than parameters can stand on, or rows differ in length. */
export function fitHazard(periods: readonly PersonPeriod[], options: HazardOptions = {}): HazardFit | Refusal {
  const { link = 'cloglog', ridge = 1, minFailuresEach = 5 } = options;
  const width = periods[0]?.covariates.length ?? 0;
  if (periods.some(({ covariates }) => covariates.length !== width || !covariates.every(Number.isFinite))) {
    return refuse('a period has other covariates than the first, or one that is not a number');
  }
  const failures = periods.filter((one) => one.failed).length;
  const needed = minFailuresEach * (1 + width);
  if (failures < needed) return refuse(`${failures} failures; ${needed} are needed for ${width} covariates`);
  if (failures === periods.length) return refuse('every period ends in a failure');
  const rows = periods.map((one) => [1, ...one.covariates]);
  const penalty = [0, ...deviationsOf(periods, width).map((deviation) => ridge * deviation * deviation)];
  const solved = iterate(rows, periods, penalty, link);
  if (!solved) return refuse('the covariates cannot be told apart');
  return { kind: 'hazard', link, periods: periods.length, failures, ...solved };
}

function deviationsOf(periods: readonly PersonPeriod[], width: number): number[] {
  return Array.from({ length: width }, (_, column) => {
    const values = periods.map((one) => one.covariates[column] as number);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  });
}

type Solved = Pick<HazardFit, 'coefficients' | 'covariance' | 'logLikelihood'>;

/** Fisher scoring; a step that makes things worse is halved. */
function iterate(
  rows: readonly (readonly number[])[],
  periods: readonly PersonPeriod[],
  penalty: readonly number[],
  link: HazardLink,
): Solved | undefined {
  const objective = (beta: readonly number[]): number =>
    logLikelihoodOf(rows, periods, beta, link) -
    beta.reduce((sum, value, i) => sum + ((penalty[i] as number) * value * value) / 2, 0);
  const share = periods.filter((one) => one.failed).length / periods.length;
  const start = link === 'logit' ? Math.log(share / (1 - share)) : Math.log(-Math.log1p(-share));
  let beta: readonly number[] = penalty.map((_, i) => (i === 0 ? start : 0));
  let value = objective(beta);
  for (let i = 0; i < MAX_ITERATIONS; i++) {
    const { score, information } = scoring(rows, periods, beta, penalty, link);
    const covariance = invert(information);
    if (!covariance) return undefined;
    const direction = covariance.map((row) => dot(row, score));
    let next = beta;
    let better = Number.NEGATIVE_INFINITY;
    for (let step = 1; step > 1e-9 && !(better >= value); step /= 2) {
      next = beta.map((one, j) => one + step * (direction[j] as number));
      better = objective(next);
    }
    const gain = better - value;
    if (!(gain > 1e-13 * (1 + Math.abs(value)))) break;
    beta = next;
    value = better;
  }
  const covariance = invert(scoring(rows, periods, beta, penalty, link).information);
  return covariance && { coefficients: beta, covariance, logLikelihood: logLikelihoodOf(rows, periods, beta, link) };
}

/** Gradient and expected information of the penalised log-likelihood. */
function scoring(
  rows: readonly (readonly number[])[],
  periods: readonly PersonPeriod[],
  beta: readonly number[],
  penalty: readonly number[],
  link: HazardLink,
): { score: number[]; information: number[][] } {
  const score = beta.map((value, i) => -(penalty[i] as number) * value);
  const information = beta.map((_, i) => beta.map((__, j) => (i === j ? (penalty[i] as number) : 0)));
  rows.forEach((row, index) => {
    const { p, slope } = hazardAt(dot(row, beta), link);
    const spread = Math.max(p * (1 - p), 1e-300);
    const residual = ((periods[index]?.failed ? 1 : 0) - p) * (slope / spread);
    const weight = (slope * slope) / spread;
    for (let i = 0; i < row.length; i++) {
      const x = row[i] as number;
      score[i] = (score[i] as number) + residual * x;
      const line = information[i] as number[];
      for (let j = 0; j < row.length; j++) line[j] = (line[j] as number) + weight * x * (row[j] as number);
    }
  });
  return { score, information };
}

/** Hazard of a period and how fast it rises with the linear predictor. */
function hazardAt(linear: number, link: HazardLink): { p: number; slope: number } {
  const eta = Math.min(MAX_LINEAR, Math.max(-MAX_LINEAR, linear));
  if (link === 'logit') {
    const p = 1 / (1 + Math.exp(-eta));
    return { p, slope: p * (1 - p) };
  }
  // Beyond 3.5 the chance not to fail is below 1e-14.
  const rate = Math.exp(Math.min(eta, 3.5));
  return { p: -Math.expm1(-rate), slope: rate * Math.exp(-rate) };
}

/** −log of the chance to come through the period, exact where the hazard is tiny. */
function cumulative(linear: number, link: HazardLink): number {
  const eta = Math.min(MAX_LINEAR, Math.max(-MAX_LINEAR, linear));
  return link === 'logit' ? Math.log1p(Math.exp(eta)) : Math.exp(Math.min(eta, 3.5));
}

function logLikelihoodOf(
  rows: readonly (readonly number[])[],
  periods: readonly PersonPeriod[],
  beta: readonly number[],
  link: HazardLink,
): number {
  return rows.reduce((sum, row, index) => {
    const passed = cumulative(dot(row, beta), link);
    return sum + (periods[index]?.failed ? Math.log(-Math.expm1(-passed)) : -passed);
  }, 0);
}

function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/**
 * Chance to fail in at least one of the coming periods (one row of covariates each), with an interval by the delta method
 * on the logarithm of the cumulative hazard.
 */
export function hazardChance(
  fit: HazardFit,
  coming: readonly (readonly number[])[],
  level = LEVEL,
): Interval & { readonly p: number } {
  const gradient = fit.coefficients.map(() => 0);
  let hazard = 0;
  for (const covariates of coming) {
    const row = [1, ...covariates];
    const linear = dot(row, fit.coefficients);
    hazard += cumulative(linear, fit.link);
    const slope = fit.link === 'logit' ? hazardAt(linear, 'logit').p : cumulative(linear, 'cloglog');
    row.forEach((x, i) => {
      gradient[i] = (gradient[i] as number) + slope * x;
    });
  }
  if (hazard === 0) return { p: 0, lower: 0, upper: 0 };
  const variance = dot(
    gradient,
    fit.covariance.map((row) => dot(row, gradient)),
  );
  const factor = Math.exp((twoSidedDeviate(level) * Math.sqrt(Math.max(0, variance))) / hazard);
  return { p: -Math.expm1(-hazard), lower: -Math.expm1(-hazard / factor), upper: -Math.expm1(-hazard * factor) };
}

/** More periods than this of one life are cut: the rest of it is not looked at. */
const MAX_PERIODS = 5_000;

/**
 * A life cut into periods of `length`, with the covariates of each: a period counts when the unit was watched from its
 * beginning, and, unless it failed in it, to its end. Late entry and censoring thus need no assumption.
 * @param covariatesAt covariates of the period that begins at this age
 */
export function personPeriods(
  { entry, end, failed }: Observation,
  length: number,
  covariatesAt: (age: number) => readonly number[],
): PersonPeriod[] {
  const periods: PersonPeriod[] = [];
  for (let index = Math.ceil(entry / length); periods.length < MAX_PERIODS; index++) {
    const from = index * length;
    const to = from + length;
    if (from >= end || (to > end && !failed)) break;
    periods.push({ covariates: covariatesAt(from), failed: failed && end <= to });
  }
  return periods;
}
