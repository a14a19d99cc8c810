/**
 * Weibull lives with censoring and left truncation, by maximum likelihood: two parameters, so it can speak where the
 * curve cannot (beyond the oldest unit), as far as the shape holds. Intervals by profile likelihood, which are not
 * symmetric and hold in small fleets (Lawless 2003, "Statistical Models and Methods for Lifetime Data", chapter 5).
 *
 * S(t) = exp(−(t/λ)^k): k < 1 infant mortality, 1 chance, > 1 wear.
 */
import { flawOf, type Observation, type Refusal, refuse } from './lives.ts';
import { findRoot, type Interval, invert, LEVEL, twoSidedDeviate } from './numbers.ts';

export interface WeibullFit {
  readonly kind: 'weibull';
  readonly shape: number;
  /** Age by which 63 % have failed, in the unit of the ages. */
  readonly scale: number;
  readonly logLikelihood: number;
  readonly units: number;
  readonly failures: number;
}

/** Fewer failures than this, and the shape is anybody's guess. */
export const MIN_FAILURES = 5;
/** Shapes outside are no property of a machine but of too little data. */
const SHAPES: readonly [number, number] = [0.02, 200];
const MAX_NEWTON = 60;

/**
 * Fits shape and scale. Refused for lives that are none, for fewer than `minFailures` failures, and where all failures are
 * at one age or the ages tell no shape.
 */
export function fitWeibull(lives: readonly Observation[], minFailures = MIN_FAILURES): WeibullFit | Refusal {
  const flaw = flawOf(lives);
  if (flaw !== undefined) return refuse(flaw);
  const failedAt = lives.filter((life) => life.failed).map((life) => life.end);
  if (failedAt.length < Math.max(2, minFailures)) {
    return refuse(`${failedAt.length} failures among ${lives.length} units; ${Math.max(2, minFailures)} are needed`);
  }
  if (failedAt.every((age) => age === failedAt[0])) return refuse('all failures are at one age');
  const sums = likelihoodOf(lives);
  const shape = newtonShape(sums);
  if (shape === undefined) return refuse('the ages of the failures tell no shape');
  const scale = sums.unit * (sums.exposure(shape).value / sums.failures) ** (1 / shape);
  const logLikelihood = sums.at(shape, sums.exposure(shape).value / sums.failures);
  return { kind: 'weibull', shape, scale, logLikelihood, units: lives.length, failures: sums.failures };
}

/** Sums over the lives, on ages divided by the oldest one so that powers stay in range. */
interface Likelihood {
  readonly unit: number;
  readonly failures: number;
  readonly logSum: number;
  /** Σ (endᵏ − entryᵏ) with its first two derivatives by k. */
  exposure(shape: number): { readonly value: number; readonly slope: number; readonly bend: number };
  /** Log-likelihood in the original unit; `power` is scaleᵏ in ours. */
  at(shape: number, power: number): number;
}

function likelihoodOf(lives: readonly Observation[]): Likelihood {
  const unit = lives.reduce((oldest, life) => Math.max(oldest, life.end), 0);
  const ages = lives.map((life) => ({ end: Math.log(life.end / unit), entry: Math.log(life.entry / unit) }));
  const failedAt = lives.filter((life) => life.failed).map((life) => Math.log(life.end / unit));
  const failures = failedAt.length;
  const logSum = failedAt.reduce((sum, log) => sum + log, 0);
  const exposure = (shape: number) => {
    let [value, slope, bend] = [0, 0, 0];
    for (const { end, entry } of ages) {
      const power = Math.exp(shape * end);
      value += power;
      slope += power * end;
      bend += power * end * end;
      if (entry === Number.NEGATIVE_INFINITY) continue;
      const before = Math.exp(shape * entry);
      value -= before;
      slope -= before * entry;
      bend -= before * entry * entry;
    }
    return { value, slope, bend };
  };
  return {
    unit,
    failures,
    logSum,
    exposure,
    at: (shape, power) =>
      failures * Math.log(shape) +
      (shape - 1) * logSum -
      failures * Math.log(power) -
      exposure(shape).value / power -
      failures * Math.log(unit),
  };
}

/** The shape with the highest profile likelihood: Newton, kept inside a bracket by halving. `undefined` = none inside. */
function newtonShape({ failures, logSum, exposure }: Likelihood): number | undefined {
  const derivatives = (shape: number): [number, number] => {
    const { value, slope, bend } = exposure(shape);
    const ratio = slope / value;
    return [
      failures / shape + logSum - failures * ratio,
      -failures / (shape * shape) - failures * (bend / value - ratio * ratio),
    ];
  };
  let [low, high] = SHAPES;
  if (!(derivatives(low)[0] > 0 && derivatives(high)[0] < 0)) return undefined;
  let shape = 1;
  for (let i = 0; i < MAX_NEWTON; i++) {
    const [first, second] = derivatives(shape);
    if (first > 0) low = shape;
    else high = shape;
    const next = shape - first / second;
    const step = second < 0 && next > low && next < high ? next : Math.sqrt(low * high);
    if (Math.abs(step - shape) <= 1e-14 * shape) return step;
    shape = step;
  }
  return shape;
}

/** Survival of a fitted fleet at an age. */
export function weibullSurvival({ shape, scale }: Pick<WeibullFit, 'shape' | 'scale'>, age: number): number {
  return Math.exp(-((age / scale) ** shape));
}

/** Chance that a unit of this age fails within `span`. */
export function weibullChance(
  { shape, scale }: Pick<WeibullFit, 'shape' | 'scale'>,
  age: number,
  span: number,
): number {
  return -Math.expm1((age / scale) ** shape - ((age + span) / scale) ** shape);
}

/** Mean remaining life of a unit of this age, at most `span`: area under its conditional survival, by Simpson's rule. */
export function weibullRestrictedMean(fit: Pick<WeibullFit, 'shape' | 'scale'>, age: number, span: number): number {
  const pieces = 400;
  let sum = 0;
  for (let i = 0; i <= pieces; i++) {
    const weight = i === 0 || i === pieces ? 1 : i % 2 === 1 ? 4 : 2;
    sum += weight * (1 - weibullChance(fit, age, (span * i) / pieces));
  }
  return (sum * span) / pieces / 3;
}

/** Age span after which a unit of this age has failed with chance `p`. */
export function weibullQuantile({ shape, scale }: Pick<WeibullFit, 'shape' | 'scale'>, age: number, p: number): number {
  return scale * ((age / scale) ** shape - Math.log1p(-p)) ** (1 / shape) - age;
}

export interface WeibullIntervals {
  readonly shape: Interval;
  readonly scale: Interval;
}

/** Profile-likelihood intervals of both parameters; an end that the data leave open is 0 or Infinity. */
export function weibullIntervals(lives: readonly Observation[], fit: WeibullFit, level = LEVEL): WeibullIntervals {
  const sums = likelihoodOf(lives);
  const drop = fit.logLikelihood - twoSidedDeviate(level) ** 2 / 2;
  const byShape = (shape: number) => sums.at(shape, sums.exposure(shape).value / sums.failures) - drop;
  const byScale = (scale: number) => bestOver(sums, fit.shape, (shape) => shape * Math.log(scale / sums.unit)) - drop;
  return { shape: edges(byShape, fit.shape), scale: edges(byScale, fit.scale) };
}

/** Chance of failure of a unit of this age within `span`, with its profile-likelihood interval. */
export function weibullChanceInterval(
  lives: readonly Observation[],
  fit: WeibullFit,
  age: number,
  span: number,
  level = LEVEL,
): Interval & { readonly p: number } {
  const sums = likelihoodOf(lives);
  const drop = fit.logLikelihood - twoSidedDeviate(level) ** 2 / 2;
  const [from, to] = [age / sums.unit, (age + span) / sums.unit];
  // The cumulative hazard over the span as the parameter: with the shape it gives the scale.
  const byHazard = (hazard: number) =>
    bestOver(sums, fit.shape, (shape) => Math.log((to ** shape - (from === 0 ? 0 : from ** shape)) / hazard)) - drop;
  const hazard = -Math.log1p(-weibullChance(fit, age, span));
  if (!(hazard > 0 && Number.isFinite(hazard))) return { p: hazard > 0 ? 1 : 0, lower: 0, upper: 1 };
  const { lower, upper } = edges(byHazard, hazard);
  return { p: -Math.expm1(-hazard), lower: -Math.expm1(-lower), upper: -Math.expm1(-upper) };
}

/** What the delta method needs of the lives: once a fleet, so that a chance at an age then costs nothing. */
export type WeibullCovariance = readonly (readonly number[])[];

/** Covariance of the logarithms of shape and scale, by the observed information; `undefined` where the likelihood has no top. */
export function weibullCovariance(
  lives: readonly Observation[],
  { shape, scale }: WeibullFit,
): WeibullCovariance | undefined {
  /** Σ (end/scale)ᵏ zʲ − (entry/scale)ᵏ zʲ, z the logarithm of the age over the scale. */
  const moments = [0, 0, 0];
  const add = (age: number, sign: 1 | -1): void => {
    const z = Math.log(age / scale);
    for (let j = 0; j < 3; j++) moments[j] = (moments[j] as number) + sign * Math.exp(shape * z) * z ** j;
  };
  for (const { entry, end } of lives) {
    add(end, 1);
    if (entry > 0) add(entry, -1);
  }
  const [total = 0, first = 0, second = 0] = moments;
  const failures = lives.filter((life) => life.failed).length;
  const byShape = failures + shape * shape * second;
  const both = -shape * (total - failures + shape * first);
  return invert([
    [byShape, both],
    [both, shape * shape * total],
  ]);
}

/** Chance of failure of a unit of this age within `span`; interval by the delta method on the logarithm of its cumulative hazard. */
export function weibullChanceByDelta(
  { shape, scale }: Pick<WeibullFit, 'shape' | 'scale'>,
  covariance: WeibullCovariance,
  age: number,
  span: number,
  level = LEVEL,
): Interval & { readonly p: number } {
  const power = (at: number): number => (at / scale) ** shape;
  const byLog = (at: number): number => (at > 0 ? power(at) * Math.log(at / scale) : 0);
  const hazard = power(age + span) - power(age);
  if (!(hazard > 0)) return { p: 0, lower: 0, upper: 0 };
  const gradient = [(shape * (byLog(age + span) - byLog(age))) / hazard, -shape];
  const variance = covariance.reduce(
    (sum, row, i) =>
      sum + row.reduce((part, value, j) => part + value * (gradient[i] as number) * (gradient[j] as number), 0),
    0,
  );
  const factor = Math.exp(twoSidedDeviate(level) * Math.sqrt(Math.max(0, variance)));
  return { p: -Math.expm1(-hazard), lower: -Math.expm1(-hazard / factor), upper: -Math.expm1(-hazard * factor) };
}

/** Shapes tried around the fitted one, as a factor. */
const SHAPE_REACH = 30;

/** Highest log-likelihood over the shape while `logPower` (of scaleᵏ, in our unit) follows from it; golden section on log k. */
function bestOver(sums: Likelihood, around: number, logPower: (shape: number) => number): number {
  const value = (log: number): number => {
    const shape = Math.exp(log);
    const found = sums.at(shape, Math.exp(logPower(shape)));
    return Number.isNaN(found) ? Number.NEGATIVE_INFINITY : found;
  };
  const golden = (Math.sqrt(5) - 1) / 2;
  let low = Math.log(around / SHAPE_REACH);
  let high = Math.log(around * SHAPE_REACH);
  let [a, b] = [high - golden * (high - low), low + golden * (high - low)];
  let [fa, fb] = [value(a), value(b)];
  // The likelihood is flat at its top: half the digits of the shape give all of its value.
  while (high - low > 1e-7) {
    if (fa > fb) {
      [high, b, fb] = [b, a, fa];
      a = high - golden * (high - low);
      fa = value(a);
    } else {
      [low, a, fa] = [a, b, fb];
      b = low + golden * (high - low);
      fb = value(b);
    }
  }
  return Math.max(fa, fb);
}

/** Largest distance of an interval's end, as a power of e. */
const MAX_LOG_DISTANCE = 24;

/** Where a profile that is positive at `peak` falls below zero, on either side. */
function edges(profile: (x: number) => number, peak: number): Interval {
  const top = Math.log(peak);
  const side = (sign: 1 | -1, open: number): number => {
    for (let distance = 0.125; distance <= MAX_LOG_DISTANCE; distance *= 2) {
      const end = top + sign * distance;
      if (!(profile(Math.exp(end)) < 0)) continue;
      const root = findRoot((log) => Math.max(profile(Math.exp(log)), -1e3), top, end, 1e-11);
      return Math.exp(root);
    }
    return open;
  };
  return { lower: side(-1, 0), upper: side(1, Number.POSITIVE_INFINITY) };
}
