/** Survival where no trend exists: what must hold for any fleet, and when it is better to say nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { curveChance, restrictedMean, survivalCurve, survivalInterval } from '../../analytics/survival/curve.ts';
import { fitHazard, hazardChance, personPeriods } from '../../analytics/survival/discrete-hazard.ts';
import { groupLives, livesOf, type Observation, type Refusal, type UnitLife } from '../../analytics/survival/lives.ts';
import {
  fitWeibull,
  weibullChance,
  weibullChanceInterval,
  weibullIntervals,
  weibullQuantile,
  weibullRestrictedMean,
  weibullSurvival,
} from '../../analytics/survival/weibull.ts';
import { seededRandom } from '../../contract/kernel/random.ts';

const life = (end: number, failed = true, entry = 0): Observation => ({ entry, end, failed });

/** Lives of a Weibull fleet: watched from an age on, censored at random. */
function fleet(units: number, seed: number, shape = 2, scale = 1_000, { late = false } = {}): Observation[] {
  const random = seededRandom(seed);
  const lives: Observation[] = [];
  while (lives.length < units) {
    const dies = scale * (-Math.log1p(-random())) ** (1 / shape);
    const entry = late ? random() * scale * 0.6 : 0;
    const censored = entry + scale * (0.1 + 1.4 * random());
    if (dies > entry) lives.push(life(Math.min(dies, censored), dies <= censored, entry));
  }
  return lives;
}

function not<Value extends { kind: string }>(value: Value): Exclude<Value, Refusal> {
  if (value.kind === 'refused') throw new Error((value as unknown as Refusal).reason);
  return value as Exclude<Value, Refusal>;
}

const anyLife = fc
  .record({ entry: fc.integer({ min: 0, max: 20 }), span: fc.integer({ min: 1, max: 30 }), failed: fc.boolean() })
  .map(({ entry, span, failed }) => life(entry + span, failed, entry));
const anyFleet = fc.array(anyLife, { minLength: 1, maxLength: 40 });

describe('the survival curve', () => {
  it('does not depend on the order of the units', () => {
    fc.assert(
      fc.property(anyFleet, fc.infiniteStream(fc.nat()), (lives, keys) => {
        const shuffled = [...lives].map((one) => ({ one, key: keys.next().value })).sort((a, b) => a.key - b.key);
        expect(survivalCurve(shuffled.map(({ one }) => one))).toEqual(survivalCurve(lives));
      }),
    );
  });

  it('only stretches when ages are counted in another unit', () => {
    fc.assert(
      fc.property(anyFleet, fc.constantFrom(0.5, 2, 1024), (lives, factor) => {
        const curve = not(survivalCurve(lives));
        const scaled = not(
          survivalCurve(lives.map(({ entry, end, failed }) => life(end * factor, failed, entry * factor))),
        );
        expect(scaled.steps).toEqual(curve.steps.map((step) => ({ ...step, at: step.at * factor })));
      }),
    );
  });

  it('falls, stays within 0..1 and inside its intervals, ties or not', () => {
    fc.assert(
      fc.property(anyFleet, (lives) => {
        let before = 1;
        for (const step of not(survivalCurve(lives)).steps) {
          expect(step.survival).toBeLessThan(before + 1e-12);
          expect(step.survival).toBeGreaterThanOrEqual(0);
          expect(step.failed).toBeLessThanOrEqual(step.atRisk);
          for (const kind of ['plain', 'logLog'] as const) {
            const interval = survivalInterval(step, kind);
            if (!interval) continue;
            expect(interval.lower).toBeLessThanOrEqual(step.survival + 1e-12);
            expect(interval.upper).toBeGreaterThanOrEqual(step.survival - 1e-12);
            expect(interval.lower).toBeGreaterThanOrEqual(0);
            expect(interval.upper).toBeLessThanOrEqual(1);
          }
          before = step.survival;
        }
      }),
    );
  });

  it('is the share of those who live longer when nobody is censored', () => {
    const curve = not(survivalCurve([life(1), life(2), life(2), life(5)]));
    expect(curve.steps.map((step) => step.survival)).toEqual([0.75, 0.25, 0]);
    expect(survivalInterval(curve.steps[2] as never)).toBeUndefined();
  });

  it('takes a unit that was replaced early for one that lived at least so long, not for a failure', () => {
    const curve = not(survivalCurve([life(10), life(20, false), life(30)]));
    expect(curve.steps.map((step) => [step.at, step.atRisk])).toEqual([
      [10, 3],
      [30, 1],
    ]);
  });

  it('counts a unit only from the age at which it was first watched', () => {
    const curve = not(survivalCurve([life(10), life(40, true, 20), life(50, false)]));
    expect(curve.steps.map((step) => step.atRisk)).toEqual([2, 2]);
  });

  it('has no step without a failure, and knows one unit', () => {
    expect(not(survivalCurve([life(10, false), life(5, false)]))).toMatchObject({ steps: [], watchedUntil: 10 });
    expect(not(survivalCurve([life(7)])).steps).toMatchObject([{ at: 7, atRisk: 1, survival: 0, hazard: 1 }]);
  });

  it.each([
    [[], 'no unit was watched'],
    [[life(5, true, 5)], 'does not run from an age to a later one'],
    [[life(Number.NaN)], 'does not run from an age to a later one'],
    [[life(3, true, -1)], 'does not run from an age to a later one'],
  ])('refuses %j', (lives, reason) => {
    expect(survivalCurve(lives)).toMatchObject({ kind: 'refused', reason: expect.stringContaining(reason) });
  });
});

describe('the chance to fail at an age', () => {
  const curve = not(survivalCurve(fleet(200, 1)));

  it('is what happened to the units of that age', () => {
    const [at, until] = [400, 700].map((age) => curve.steps.findLast((step) => step.at <= age)?.survival as number);
    const chance = not(curveChance(curve, 400, 300));
    expect(chance.p).toBeCloseTo(1 - (until as number) / (at as number), 12);
    expect(chance.lower).toBeLessThan(chance.p);
    expect(chance.upper).toBeGreaterThan(chance.p);
  });

  it('is refused where nobody was watched that long, too few were, or nothing failed', () => {
    expect(curveChance(curve, 1_400, 900)).toMatchObject({
      reason: expect.stringContaining('no unit was watched up to'),
    });
    const few = not(survivalCurve([life(10), life(20), life(30, false)]));
    expect(curveChance(few, 5, 10)).toMatchObject({ reason: expect.stringContaining('only 3 units') });
    expect(curveChance(curve, 0, 1)).toMatchObject({
      reason: expect.stringContaining('no unit failed at such an age'),
    });
  });

  it('gives a mean life up to an age that is the area under the curve', () => {
    expect(restrictedMean(not(survivalCurve([life(1), life(3)])), 3)).toMatchObject({ mean: 2 });
    expect(restrictedMean(curve, 1e6).kind).toBe('refused');
  });
});

describe('a Weibull fleet', () => {
  it('is found again, with intervals that hold it in about nine of ten fleets', () => {
    let [shapes, scales, chances] = [0, 0, 0];
    const runs = 60;
    const truth = weibullChance({ shape: 2, scale: 1_000 }, 500, 200);
    for (let seed = 0; seed < runs; seed++) {
      const lives = fleet(60, 100 + seed, 2, 1_000, { late: seed % 2 === 1 });
      const fit = not(fitWeibull(lives));
      const { shape, scale } = weibullIntervals(lives, fit);
      const chance = weibullChanceInterval(lives, fit, 500, 200);
      if (shape.lower <= 2 && 2 <= shape.upper) shapes++;
      if (scale.lower <= 1_000 && 1_000 <= scale.upper) scales++;
      if (chance.lower <= truth && truth <= chance.upper) chances++;
    }
    // Binomial of 60 at 0.9: at least 48 but for one run in 200.
    expect(Math.min(shapes, scales, chances)).toBeGreaterThanOrEqual(48);
  });

  it('keeps its shape and stretches its scale when ages are counted in another unit', () => {
    const lives = fleet(50, 3, 1.5, 300, { late: true });
    const scaled = lives.map(({ entry, end, failed }) => life(end * 1e4, failed, entry * 1e4));
    const [a, b] = [not(fitWeibull(lives)), not(fitWeibull(scaled))];
    expect(b.shape / a.shape).toBeCloseTo(1, 8);
    expect(b.scale / a.scale / 1e4).toBeCloseTo(1, 8);
    const chance = weibullChanceInterval(lives, a, 100, 50);
    const same = weibullChanceInterval(scaled, b, 1e6, 5e5);
    expect(same.lower / chance.lower).toBeCloseTo(1, 6);
    expect(same.upper / chance.upper).toBeCloseTo(1, 6);
  });

  it('does not depend on the order of the units', () => {
    const lives = fleet(40, 9);
    expect(not(fitWeibull([...lives].reverse())).shape).toBeCloseTo(not(fitWeibull(lives)).shape, 10);
  });

  it('is exponential when the shape is one, and consistent with itself', () => {
    const fit = { shape: 1, scale: 50 };
    expect(weibullSurvival(fit, 50)).toBeCloseTo(Math.exp(-1), 12);
    expect(weibullChance(fit, 900, 5)).toBeCloseTo(weibullChance(fit, 0, 5), 12);
    expect(weibullRestrictedMean(fit, 10, 1_000)).toBeCloseTo(50, 4);
    const aged = { shape: 2.5, scale: 80 };
    expect(weibullChance(aged, 30, weibullQuantile(aged, 30, 0.3))).toBeCloseTo(0.3, 12);
  });

  it.each([
    [[life(5, false), life(6, false)], '0 failures among 2 units'],
    [[life(5)], '1 failures among 1 units'],
    [Array.from({ length: 9 }, () => life(5)), 'all failures are at one age'],
    [[], 'no unit was watched'],
  ])('is refused for %j', (lives, reason) => {
    expect(fitWeibull(lives)).toEqual({ kind: 'refused', reason: expect.stringContaining(reason) });
  });

  it('has finite or refused answers for any fleet', () => {
    fc.assert(
      fc.property(anyFleet, (lives) => {
        const fit = fitWeibull(lives);
        if (fit.kind === 'refused') return;
        expect(fit.shape > 0 && fit.scale > 0 && Number.isFinite(fit.logLikelihood)).toBe(true);
        const { p, lower, upper } = weibullChanceInterval(lives, fit, 5, 5);
        expect(lower).toBeLessThanOrEqual(p + 1e-9);
        expect(upper).toBeGreaterThanOrEqual(p - 1e-9);
      }),
      { numRuns: 50 },
    );
  });
});

describe('failure modes, batches and firmware', () => {
  const units: UnitLife[] = [
    { unit: 'a', entry: 0, end: 10, failedBy: 'leak', batch: 'x', firmware: '1' },
    { unit: 'b', entry: 0, end: 12, failedBy: 'fan', batch: 'x', firmware: '2' },
    { unit: 'c', entry: 0, end: 20, batch: 'y' },
  ];

  it('are told apart: another failure mode ends the watch, it is no failure of this one', () => {
    expect(livesOf(units, 'leak').map((one) => one.failed)).toEqual([true, false, false]);
    expect([...groupLives(units, 'batch').keys()]).toEqual(['x', 'y']);
    expect([...groupLives(units, 'firmware').values()].flat().map((one) => one.unit)).toEqual(['a', 'b']);
  });
});

describe('the hazard of a period', () => {
  const random = seededRandom(5);
  const units = Array.from({ length: 400 }, (_, i) => {
    const bad = i % 4 === 0 ? 1 : 0;
    const dies = 900 * (-Math.log1p(-random()) / (bad ? 3 : 1)) ** (1 / 1.8);
    const censored = 1_500 * random();
    return { bad, life: life(Math.min(dies, censored) + 1e-6, dies <= censored) };
  });
  const length = 50;
  const covariatesAt = (bad: number) => (age: number) => [Math.log(age + length / 2), bad];
  const periods = units.flatMap(({ bad, life: one }) => personPeriods(one, length, covariatesAt(bad)));

  it('finds a bad batch among healthy ones, as a factor on the hazard', () => {
    const fit = not(fitHazard(periods));
    expect(Math.exp(fit.coefficients[2] as number)).toBeGreaterThan(2);
    expect(Math.exp(fit.coefficients[2] as number)).toBeLessThan(4.5);
    expect(fit.coefficients[1]).toBeGreaterThan(0.4);
    const [usual, poor] = [0, 1].map((bad) => hazardChance(fit, [300, 350].map(covariatesAt(bad))));
    expect(poor?.p).toBeGreaterThan(usual?.upper as number);
    expect(usual?.lower).toBeLessThan(usual?.p as number);
  });

  it('does not depend on the units of the covariates, with a ridge either', () => {
    const stretched = periods.map(({ covariates: [age = 0, bad = 0], failed }) => ({
      covariates: [age * 1e3, bad / 7],
      failed,
    }));
    const [a, b] = [not(fitHazard(periods, { ridge: 10 })), not(fitHazard(stretched, { ridge: 10 }))];
    expect((b.coefficients[1] as number) * 1e3).toBeCloseTo(a.coefficients[1] as number, 6);
    expect((b.coefficients[2] as number) / 7).toBeCloseTo(a.coefficients[2] as number, 6);
  });

  it('believes a covariate less the stronger the ridge', () => {
    const sizes = [0, 10, 1_000].map((ridge) => Math.abs(not(fitHazard(periods, { ridge })).coefficients[2] as number));
    expect(sizes[0]).toBeGreaterThan(sizes[1] as number);
    expect(sizes[1]).toBeGreaterThan(sizes[2] as number);
  });

  it('counts a period only when it was watched from its beginning, and to its end unless the unit failed', () => {
    const cut = (one: Observation) => personPeriods(one, 10, (age) => [age]).map((p) => [p.covariates[0], p.failed]);
    expect(cut(life(25, true))).toEqual([
      [0, false],
      [10, false],
      [20, true],
    ]);
    expect(cut(life(25, false))).toEqual([
      [0, false],
      [10, false],
    ]);
    expect(cut(life(30, true, 12))).toEqual([[20, true]]);
    expect(cut(life(5, false))).toEqual([]);
  });

  it.each([
    [periods.slice(0, 20), 'failures; 15 are needed'],
    [
      [
        { covariates: [1], failed: true },
        { covariates: [1, 2], failed: false },
      ],
      'other covariates',
    ],
    [
      Array.from({ length: 40 }, () => ({ covariates: [] as number[], failed: true })),
      'every period ends in a failure',
    ],
  ])('is refused with its reason (%#)', (some, reason) => {
    expect(fitHazard(some)).toMatchObject({ kind: 'refused', reason: expect.stringContaining(reason) });
  });

  it('is refused when covariates cannot be told apart and nothing holds them', () => {
    const twins = periods.map(({ covariates: [age = 0], failed }) => ({ covariates: [age, age], failed }));
    expect(fitHazard(twins, { ridge: 0 })).toMatchObject({
      kind: 'refused',
      reason: 'the covariates cannot be told apart',
    });
    expect(fitHazard(twins).kind).toBe('hazard');
  });
});
