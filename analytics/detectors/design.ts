/**
 * The rows that the signals of one device were measured in, as regression features: context and time of season. All
 * signals of a sample are explained by the same row, so what the rows teach about certainty is kept once a mode instead
 * of once a signal. A signal that begins anew (a change was adopted) must not believe itself as sure as the others:
 * it starts a design of its own.
 */
import { initCovariance, learnCovariance, type RegressionRow, rowOf } from '../stats/regression.ts';

/** Plain JSON. */
export interface DesignState {
  /** Upper triangle by rows, in units of the residual's variance. */
  readonly covariance: number[];
  /** Rows learned. */
  rows: number;
  /** Mean and variance of each context feature in them. */
  readonly centre: number[];
  readonly spread: number[];
}

/** A row, and how far its context lies outside of what the design knows. */
export interface BaselineRow extends RegressionRow {
  /** In spans of the usual context; 0 = well within. The straight line was never seen out there. */
  readonly strangeness: number;
}

/** A signal may still join when no more rows than these were learned. */
const JOIN_ROWS = 3;
const HARMONICS = 2;
/** So many standard deviations to either side of its mean are the usual span of a context. */
const USUAL = 2;
const MOST_STRANGE = 3;
/** Spread of a context below which it counts as standing still; features are about of unit size. */
const LEAST_SPREAD = 0.05;

/** @example featureCount(2, 86_400_000) // => 7 */
export function featureCount(contextCount: number, seasonMs: number | undefined): number {
  return 1 + contextCount + (seasonMs ? 2 * HARMONICS : 0);
}

/** Features of one sample: 1, the context, and two harmonics of the season. */
export function featuresOf(
  contextCount: number,
  seasonMs: number | undefined,
  at: number,
  context: readonly number[],
): number[] {
  const features = [1];
  for (let i = 0; i < contextCount; i++) features.push(context[i] ?? 0);
  if (seasonMs) {
    const angle = (2 * Math.PI * (at % seasonMs)) / seasonMs;
    const sin = Math.sin(angle);
    const cos = Math.cos(angle);
    features.push(sin, cos, 2 * sin * cos, cos * cos - sin * sin);
  }
  return features;
}

/**
 * The design that a new signal joins: the newest one if it has hardly begun, else one that nobody uses any more, made
 * new, else another. So there are never more of them than signals.
 * @param used designs that some signal of this mode uses
 * @returns its index
 */
export function joinDesign(
  designs: DesignState[],
  used: ReadonlySet<number>,
  features: number,
  contextCount: number,
): number {
  const young = designs.findIndex((design) => design.rows <= JOIN_ROWS);
  if (young >= 0) return young;
  const free = designs.findIndex((_, i) => !used.has(i));
  const zeros = (): number[] => new Array<number>(contextCount).fill(0);
  const fresh: DesignState = { covariance: initCovariance(features), rows: 0, centre: zeros(), spread: zeros() };
  if (free < 0) return designs.push(fresh) - 1;
  designs[free] = fresh;
  return free;
}

export function designRow(design: DesignState, features: readonly number[]): BaselineRow {
  return { ...rowOf(design.covariance, features), strangeness: strangenessOf(design, features) };
}

function strangenessOf({ centre, spread, rows }: DesignState, features: readonly number[]): number {
  if (rows === 0) return 0;
  let squares = 0;
  for (let i = 0; i < centre.length; i++) {
    const half = USUAL * Math.max(LEAST_SPREAD, Math.sqrt(spread[i] as number));
    const outside = Math.abs((features[i + 1] as number) - (centre[i] as number)) - half;
    if (outside > 0) squares += (outside / (2 * half)) ** 2;
  }
  return Math.min(MOST_STRANGE, Math.sqrt(squares));
}

/** @param memorySamples rows that the baselines remember */
export function learnDesign(design: DesignState, row: RegressionRow, memorySamples: number): void {
  learnCovariance(design.covariance, row, 1 / memorySamples ** 2);
  design.rows++;
  const weight = 1 / Math.min(memorySamples, design.rows);
  for (let i = 0; i < design.centre.length; i++) {
    const before = (row.features[i + 1] as number) - (design.centre[i] as number);
    design.centre[i] = Math.fround((design.centre[i] as number) + weight * before);
    design.spread[i] = Math.fround((1 - weight) * ((design.spread[i] as number) + weight * before * before));
  }
}
