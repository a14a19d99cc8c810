/**
 * What a fleet's lives say about survival without any assumption about its shape: the product-limit estimate (Kaplan and
 * Meier 1958) and the cumulative hazard (Nelson 1972, Aalen 1978), with censoring and left truncation.
 */
import { flawOf, type Observation, type Refusal, refuse } from './lives.ts';
import { type Interval, LEVEL, twoSidedDeviate } from './numbers.ts';

/** One age at which something failed. */
export interface CurveStep {
  readonly at: number;
  /** Watched just before: entered at a lower age, and not ended at one. */
  readonly atRisk: number;
  readonly failed: number;
  /** Chance to live longer than `at`. */
  readonly survival: number;
  /** Greenwood's sum: variance of the logarithm of the survival; infinite once nobody is left. */
  readonly logVariance: number;
  /** Cumulative hazard and its variance. */
  readonly hazard: number;
  readonly hazardVariance: number;
}

export interface SurvivalCurve {
  readonly kind: 'curve';
  readonly units: number;
  readonly failures: number;
  /** Age up to which anybody was watched: beyond it nothing is known. */
  readonly watchedUntil: number;
  /** By rising age. */
  readonly steps: readonly CurveStep[];
}

/** The curve; refuses only lives that are none. Without a failure it has no step: survival is then 1 as far as was watched. */
export function survivalCurve(lives: readonly Observation[]): SurvivalCurve | Refusal {
  const flaw = flawOf(lives);
  if (flaw !== undefined) return refuse(flaw);
  const entries = lives.map((life) => life.entry).sort((a, b) => a - b);
  const ends = lives.map((life) => life.end).sort((a, b) => a - b);
  const failures = lives.filter((life) => life.failed).map((life) => life.end);
  failures.sort((a, b) => a - b);
  const steps: CurveStep[] = [];
  let before = { survival: 1, logVariance: 0, hazard: 0, hazardVariance: 0 };
  let entered = 0;
  let ended = 0;
  for (let i = 0; i < failures.length; ) {
    const at = failures[i] as number;
    let failed = 0;
    for (; failures[i] === at; i++) failed++;
    while (entered < entries.length && (entries[entered] as number) < at) entered++;
    while ((ends[ended] as number) < at) ended++;
    const atRisk = entered - ended;
    before = {
      survival: before.survival * (1 - failed / atRisk),
      logVariance: before.logVariance + failed / (atRisk * (atRisk - failed)),
      hazard: before.hazard + failed / atRisk,
      hazardVariance: before.hazardVariance + failed / (atRisk * atRisk),
    };
    steps.push({ at, atRisk, failed, ...before });
  }
  const watchedUntil = ends[ends.length - 1] as number;
  return { kind: 'curve', units: lives.length, failures: failures.length, watchedUntil, steps };
}

/** `logLog` never leaves 0..1 and holds better in small fleets; `plain` is Greenwood's own. */
export type IntervalKind = 'logLog' | 'plain';

/** Interval of the survival at one step; `undefined` where nobody is left, because nothing is known of its width. */
export function survivalInterval(
  { survival, logVariance }: Pick<CurveStep, 'survival' | 'logVariance'>,
  kind: IntervalKind = 'logLog',
  level = LEVEL,
): Interval | undefined {
  if (!Number.isFinite(logVariance)) return undefined;
  if (survival === 1) return { lower: 1, upper: 1 };
  const z = twoSidedDeviate(level);
  if (kind === 'plain') {
    const half = z * survival * Math.sqrt(logVariance);
    return { lower: Math.max(0, survival - half), upper: Math.min(1, survival + half) };
  }
  const width = (z * Math.sqrt(logVariance)) / Math.log(survival);
  return { lower: survival ** Math.exp(-width), upper: survival ** Math.exp(width) };
}

/** Interval of the cumulative hazard, on its logarithm, so that it stays positive. */
export function hazardInterval(
  { hazard, hazardVariance }: Pick<CurveStep, 'hazard' | 'hazardVariance'>,
  level = LEVEL,
): Interval {
  const factor = Math.exp((twoSidedDeviate(level) * Math.sqrt(hazardVariance)) / hazard);
  return { lower: hazard / factor, upper: hazard * factor };
}

export interface Chance {
  readonly kind: 'chance';
  readonly p: number;
  readonly lower: number;
  readonly upper: number;
  /** Units that were watched at that age, and failures seen within the span. */
  readonly atRisk: number;
  readonly failures: number;
}

/** Fewer units than this at an age say nothing about it. */
export const MIN_AT_RISK = 5;

/**
 * Chance that a unit of this `age` fails within `span`, from what happened to units of that age. Refused where nobody was
 * watched that long, or too few.
 */
export function curveChance(curve: SurvivalCurve, age: number, span: number, level = LEVEL): Chance | Refusal {
  const until = age + span;
  if (until > curve.watchedUntil) {
    return refuse(
      `no unit was watched up to an age of ${round(until)}; the oldest reached ${round(curve.watchedUntil)}`,
    );
  }
  const within = curve.steps.filter((step) => step.at > age && step.at <= until);
  const first = within[0];
  const last = within[within.length - 1];
  if (!first || !last) return refuse('no unit failed at such an age, so nothing tells how seldom that is');
  if (first.atRisk < MIN_AT_RISK)
    return refuse(`only ${first.atRisk} units were watched at such an age; ${MIN_AT_RISK} are needed`);
  const start = curve.steps.findLast((step) => step.at <= age);
  const survival = within.reduce((product, step) => product * (1 - step.failed / step.atRisk), 1);
  const interval = survivalInterval(
    { survival, logVariance: last.logVariance - (start?.logVariance ?? 0) },
    'logLog',
    level,
  );
  const failures = within.reduce((sum, step) => sum + step.failed, 0);
  return {
    kind: 'chance',
    p: 1 - survival,
    // Where nobody is left, the upper end is certain and the lower unknown.
    lower: interval ? 1 - interval.upper : 0,
    upper: interval ? 1 - interval.lower : 1,
    atRisk: first.atRisk,
    failures,
  };
}

/** Mean of the life up to `until` (restricted mean), with its standard error by Greenwood; refused beyond what was watched. */
export function restrictedMean(
  curve: SurvivalCurve,
  until: number,
): { readonly kind: 'mean'; readonly mean: number; readonly standardError: number } | Refusal {
  if (until > curve.watchedUntil) return refuse(`no unit was watched up to an age of ${round(until)}`);
  const steps = curve.steps.filter((step) => step.at <= until);
  const ages = [...steps.map((step) => step.at), until];
  let [mean, survival, start] = [0, 1, 0];
  /** Area under the curve up to each step. */
  const areas = ages.map((at, index) => {
    mean += survival * (at - start);
    survival = steps[index]?.survival ?? survival;
    start = at;
    return mean;
  });
  const variance = steps.reduce((sum, { atRisk, failed }, index) => {
    const rest = mean - (areas[index] as number);
    return rest === 0 ? sum : sum + (rest * rest * failed) / (atRisk * (atRisk - failed));
  }, 0);
  return { kind: 'mean', mean, standardError: Math.sqrt(variance) };
}

const round = (age: number): number => Math.round(age * 10) / 10;
