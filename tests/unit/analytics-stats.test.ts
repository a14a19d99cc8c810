import { describe, expect, it } from 'vitest';
import { combineSurprises, scoreOf } from '../../analytics/stats/combine.ts';
import { normalSurprise, studentToNormal } from '../../analytics/stats/normal.ts';
import {
  initRegression,
  learnCoefficients,
  learnCovariance,
  predict,
  type RegressionState,
  rowOf,
} from '../../analytics/stats/regression.ts';
import { initTail, learnTail, tailSurprise } from '../../analytics/stats/tail.ts';

describe('the normal tail', () => {
  // -scipy.stats.norm.logsf(z) / log(10), SciPy 1.17.1
  it.each([
    [-2, 0.009994379534108703],
    [0, 0.30102999566398114],
    [1, 0.7995455414919703],
    [2.5, 2.206931805795301],
    [3, 2.869699035929369],
    [3.5, 3.633335998656067],
    [6, 9.005864327476706],
    [10, 23.118053405486076],
    [40, 349.43700645934587],
  ])('gives the surprise of z = %f as SciPy does', (z, expected) => {
    expect(normalSurprise(z)).toBeCloseTo(expected, 7);
  });

  // norm.isf(t.sf(t, degrees)), SciPy 1.17.1; Wallace's formula is an approximation
  it.each([
    [2, 8, 1.7476985620285195],
    [4, 8, 2.882145516049678],
    [-3, 12, -2.540585736299097],
    [6, 30, 4.825821011010258],
    [1, 5, 0.90925134379124],
  ])('turns t = %f with %f degrees of freedom into the normal deviate', (t, degrees, expected) => {
    expect(Math.abs(studentToNormal(t, degrees) - expected)).toBeLessThan(0.05);
  });
});

function learnRow(state: RegressionState, features: readonly number[], residual: number): void {
  const row = rowOf(state.covariance, features);
  learnCoefficients(state.coefficients, row, residual);
  learnCovariance(state.covariance, row, 0);
}

describe('the regression', () => {
  const rows = [
    [1, 0.5, 3.1],
    [1, -1.2, -0.4],
    [1, 2.0, 6.2],
    [1, 0.3, 2.4],
    [1, -0.7, 0.9],
  ] as const;

  it('learns row by row what ridge regression finds at once', () => {
    const state = initRegression(2);
    for (const [a, b, y] of rows) learnRow(state, [a, b], y - predict(state, [a, b]));
    // numpy: inv(X'X + I/100) X'y and that inverse
    expect(state.coefficients[0]).toBeCloseTo(2.07315482, 7);
    expect(state.coefficients[1]).toBeCloseTo(2.01499374, 7);
    expect(state.covariance[0]).toBeCloseTo(0.20487525, 7);
    expect(state.covariance[1]).toBeCloseTo(-0.0293611, 7);
    expect(state.covariance[2]).toBeCloseTo(0.16344347, 7);
  });

  it('knows that a row unlike all before it is uncertain', () => {
    const state = initRegression(2);
    for (let i = 0; i < 100; i++) learnRow(state, [1, (i % 3) - 1], 0);
    expect(rowOf(state.covariance, [1, 0]).leverage).toBeLessThan(0.02);
    expect(rowOf(state.covariance, [1, 10]).leverage).toBeGreaterThan(1);
  });
});

describe('the learned tail', () => {
  it('starts as a generalised Pareto tail behind a normal body', () => {
    // -log10(0.0668 * genpareto.sf(2.5, 0.15, scale=0.439 * 0.85)), SciPy 1.17.1
    expect(tailSurprise(initTail(), 4)).toBeCloseTo(3.18925843296601, 9);
  });

  it('finds the same value less surprising once the stream has shown heavy tails', () => {
    const tail = initTail();
    const before = tailSurprise(tail, 6);
    for (let i = 0; i < 2_000; i++) learnTail(tail, i % 10 === 0 ? 6 : 0, 5_000);
    expect(tailSurprise(tail, 6)).toBeLessThan(before / 2);
  });

  it('rises with the value and is zero on the other side', () => {
    const tail = initTail();
    const surprises = [-3, 0, 0.5, 1.5, 1.6, 3, 10, 1e6].map((z) => tailSurprise(tail, z));
    expect(surprises[0]).toBe(0);
    expect(surprises).toEqual([...surprises].sort((a, b) => a - b));
    expect(surprises.every(Number.isFinite)).toBe(true);
  });
});

describe('combining surprises', () => {
  it('is the harmonic mean of the p values', () => {
    expect(combineSurprises([3, 0], [1, 1])).toBeCloseTo(-Math.log10(2 / 1001), 12);
  });

  it('stays finite for p values far below what a number can hold', () => {
    expect(combineSurprises([900, 20], [1, 0.5])).toBeCloseTo(900 + Math.log10(1 / 1.5), 6);
  });

  it('says nothing when there is nothing', () => {
    expect(combineSurprises([], [])).toBe(0);
    expect(scoreOf(0)).toBe(0);
    expect(scoreOf(2)).toBeCloseTo(0.99, 12);
  });
});
