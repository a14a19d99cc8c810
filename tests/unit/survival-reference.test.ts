/**
 * Survival analysis against R: tests/fixtures/survival/expected.json was written once by make.R beside it, whose head says
 * with which versions and from which (synthetic) lives.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { hazardInterval, restrictedMean, survivalCurve, survivalInterval } from '../../analytics/survival/curve.ts';
import { fitHazard, type HazardLink } from '../../analytics/survival/discrete-hazard.ts';
import type { Observation } from '../../analytics/survival/lives.ts';
import { twoSidedDeviate } from '../../analytics/survival/numbers.ts';
import { fitWeibull, weibullChanceInterval, weibullIntervals } from '../../analytics/survival/weibull.ts';

/** R writes null where a value is not defined. */
const column = z.array(z.number().nullable());
const curve = z.object({
  at: column,
  atRisk: column,
  failed: column,
  survival: column,
  se: column,
  lower: column,
  upper: column,
  hazard: column,
  hazardSe: column,
});
const fleet = z.object({
  entry: z.array(z.number()),
  end: z.array(z.number()),
  failed: z.array(z.number()),
  plain: curve,
  logLog: curve,
  restrictedMean: z.object({ tau: z.number(), mean: z.number(), se: z.number() }),
  weibull: z.object({
    shape: z.number(),
    scale: z.number(),
    logLikelihood: z.number(),
    shapeEdges: z.array(z.number()),
    scaleEdges: z.array(z.number()),
    age: z.number(),
    within: z.number(),
    probability: z.number(),
    probabilityEdges: z.array(z.number()),
  }),
  survreg: z.object({ shape: z.number(), scale: z.number(), logLikelihood: z.number() }).nullable(),
});
const regression = z.object({ beta: z.array(z.number()), se: z.array(z.number()), logLikelihood: z.number() });
const ridge = z.object({ lambda: z.number(), beta: z.array(z.number()) });
const reference = z
  .object({
    origin: z.string(),
    level: z.number(),
    fleets: z.record(z.string(), fleet),
    hazard: z.object({
      x1: z.array(z.number()),
      x2: z.array(z.number()),
      failed: z.array(z.number()),
      logit: regression,
      cloglog: regression,
      logitRidge: ridge,
      cloglogRidge: ridge,
    }),
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/survival/expected.json', import.meta.url), 'utf8')));

const { level } = reference;

function near(found: number, expected: number, relative: number): void {
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(relative * Math.max(1e-6, Math.abs(expected)));
}

describe.each(Object.entries(reference.fleets))(`fleet %s, against ${reference.origin}`, (_name, expected) => {
  const lives: Observation[] = expected.end.map((end, i) => ({
    entry: expected.entry[i] as number,
    end,
    failed: expected.failed[i] === 1,
  }));
  const found = survivalCurve(lives);
  if (found.kind !== 'curve') throw new Error(found.reason);

  it('has the same numbers at risk, survival and cumulative hazard, with Greenwood and Aalen errors', () => {
    const { at, atRisk, failed, survival, se, hazard, hazardSe } = expected.logLog;
    expect(found.steps.map((step) => step.at)).toEqual(at);
    expect(found.steps.map((step) => step.atRisk)).toEqual(atRisk);
    expect(found.steps.map((step) => step.failed)).toEqual(failed);
    found.steps.forEach((step, i) => {
      near(step.survival, survival[i] as number, 1e-10);
      near(step.hazard, hazard[i] as number, 1e-10);
      near(Math.sqrt(step.hazardVariance), hazardSe[i] as number, 1e-10);
      if (step.survival > 0) near(step.survival * Math.sqrt(step.logVariance), se[i] as number, 1e-10);
    });
  });

  it.each([
    ['plain', expected.plain],
    ['logLog', expected.logLog],
  ] as const)('has the same %s intervals', (kind, { lower, upper }) => {
    found.steps.forEach((step, i) => {
      const interval = survivalInterval(step, kind, level);
      if (lower[i] === null || interval === undefined) {
        expect([interval, lower[i]]).toEqual([undefined, null]);
        return;
      }
      near(interval.lower, Math.max(0, lower[i] as number), 1e-9);
      near(interval.upper, upper[i] as number, 1e-9);
    });
  });

  it('has a hazard interval around the hazard', () => {
    for (const step of found.steps) {
      const { lower, upper } = hazardInterval(step, level);
      near(Math.sqrt(lower * upper), step.hazard, 1e-12);
      near(
        Math.log(upper / step.hazard),
        (twoSidedDeviate(level) * Math.sqrt(step.hazardVariance)) / step.hazard,
        1e-9,
      );
    }
  });

  it('has the same restricted mean and error', () => {
    const { tau, mean, se } = expected.restrictedMean;
    const ours = restrictedMean(found, tau);
    if (ours.kind !== 'mean') throw new Error(ours.reason);
    near(ours.mean, mean, 1e-9);
    near(ours.standardError, se, 1e-9);
  });

  it('has the same Weibull parameters, likelihood, and profile intervals of parameters and of the chance to fail', () => {
    const { weibull, survreg } = expected;
    const fit = fitWeibull(lives, 3);
    if (fit.kind !== 'weibull') throw new Error(fit.reason);
    near(fit.shape, weibull.shape, 1e-5);
    near(fit.scale, weibull.scale, 1e-5);
    near(fit.logLikelihood, weibull.logLikelihood, 1e-9);
    if (survreg) {
      near(fit.shape, survreg.shape, 1e-6);
      near(fit.scale, survreg.scale, 1e-6);
      near(fit.logLikelihood, survreg.logLikelihood, 1e-9);
    }
    const { shape, scale } = weibullIntervals(lives, fit, level);
    near(shape.lower, weibull.shapeEdges[0] as number, 1e-4);
    near(shape.upper, weibull.shapeEdges[1] as number, 1e-4);
    near(scale.lower, weibull.scaleEdges[0] as number, 1e-4);
    near(scale.upper, weibull.scaleEdges[1] as number, 1e-4);
    const chance = weibullChanceInterval(lives, fit, weibull.age, weibull.within, level);
    near(chance.p, weibull.probability, 1e-5);
    near(chance.lower, weibull.probabilityEdges[0] as number, 1e-4);
    near(chance.upper, weibull.probabilityEdges[1] as number, 1e-4);
  });
});

describe(`discrete hazard, against ${reference.origin}`, () => {
  const { x1, x2, failed, ...fits } = reference.hazard;
  const periods = x1.map((one, i) => ({ covariates: [one, x2[i] as number], failed: failed[i] === 1 }));

  it.each(['logit', 'cloglog'] satisfies HazardLink[])(
    'has the coefficients, errors and likelihood of glm with %s',
    (link) => {
      const fit = fitHazard(periods, { link, ridge: 0 });
      if (fit.kind !== 'hazard') throw new Error(fit.reason);
      fit.coefficients.forEach((value, i) => {
        near(value, fits[link].beta[i] as number, 1e-6);
        near(Math.sqrt(fit.covariance[i]?.[i] as number), fits[link].se[i] as number, 1e-5);
      });
      near(fit.logLikelihood, fits[link].logLikelihood, 1e-9);
    },
  );

  it.each(['logit', 'cloglog'] satisfies HazardLink[])('has the optimum of the ridge likelihood with %s', (link) => {
    const { lambda, beta } = fits[`${link}Ridge`];
    const fit = fitHazard(periods, { link, ridge: lambda });
    if (fit.kind !== 'hazard') throw new Error(fit.reason);
    fit.coefficients.forEach((value, i) => {
      near(value, beta[i] as number, 1e-4);
    });
  });
});
