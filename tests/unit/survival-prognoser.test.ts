/** Chances by age, as the desk gets them: for failure modes without a trend, and never as a remaining life. */
import { describe, expect, it } from 'vitest';
import type { UnitLife } from '../../analytics/survival/lives.ts';
import { createSurvivalPrognoser } from '../../analytics/survival/survival-prognoser.ts';
import {
  fitWeibull,
  weibullChanceByDelta,
  weibullChanceInterval,
  weibullCovariance,
} from '../../analytics/survival/weibull.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { prediction } from '../../contract/ports/findings.ts';
import { T0 } from '../support/api-harness.ts';

const washingMachine = findModel('washingMachine') as DeviceModel;

/** Machines whose tub leaks by age (in wash cycles), most of them replaced before. */
function machines(count: number, seed = 1, scale = 2_000): UnitLife[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const dies = scale * (-Math.log1p(-random())) ** (1 / 3);
    const seen = 3_000 * random();
    return {
      unit: `u${i}`,
      entry: 0,
      end: Math.max(1, Math.min(dies, seen)),
      ...(dies <= seen ? { failedBy: 'tubLeak' } : {}),
    };
  });
}

/** Follows a machine at four cycles a day until this age. */
function at(age: number, units: readonly UnitLife[], days = 30) {
  const prognoser = createSurvivalPrognoser(washingMachine, { version: 'v1', units });
  let state = prognoser.init();
  for (let day = 0; day <= days; day++) {
    state = prognoser.update(state, { at: T0 + day * DAY_MS, cycle: age - 4 * (days - day), signals: {} });
    // A restart at any time changes nothing.
    state = JSON.parse(JSON.stringify(state));
  }
  return prognoser.predict(state);
}

describe('chances by age', () => {
  it('are given for the failure modes that have no limit, and for no other', () => {
    expect(at(1_500, machines(300)).map((one) => one.faultKey)).toEqual(['tubLeak']);
  });

  it('rise with the span and with age, lie inside their intervals, and name no remaining life', () => {
    const [young] = at(500, machines(300));
    const [old] = at(1_900, machines(300));
    for (const one of [young, old]) {
      expect(prediction.parse(one)).toEqual(one);
      expect(one?.remainingLife).toBeUndefined();
      expect(one?.reason).toMatch(/^no trend: chances by age, from \d+ failures among 300 units$/);
      const chances = one?.probabilityWithin ?? [];
      expect(chances.map(({ days }) => days)).toEqual([7, 14, 30, 90]);
      for (const { p, lower, upper } of chances)
        expect(lower <= p && p <= upper && lower >= 0 && upper <= 1).toBe(true);
      expect(chances.map(({ p }) => p)).toEqual(chances.map(({ p }) => p).sort((a, b) => a - b));
    }
    expect(old?.probabilityWithin[3]?.p).toBeGreaterThan(young?.probabilityWithin[3]?.p as number);
  });

  it('follow from the shape where nobody got so old', () => {
    const [oldest] = at(2_990, machines(300));
    expect(oldest?.probabilityWithin.map(({ days }) => days)).toEqual([7, 14, 30, 90]);
  });

  it('say why there are none', () => {
    const reasonAt = (...args: Parameters<typeof at>) => at(...args)[0]?.reason;
    expect(reasonAt(1_500, machines(300), 1)).toBe('how fast the device ages is not known yet');
    expect(reasonAt(1_500, [])).toBe('no unit was watched');
    expect(reasonAt(1_500, machines(8, 3, 9_000))).toMatch(/^\d failures among 8 units; 5 are needed$/);
    const prognoser = createSurvivalPrognoser(washingMachine, { version: 'v1', units: machines(300) });
    const state = prognoser.update(prognoser.init(), { at: T0, signals: {} });
    expect(prognoser.predict(state)[0]?.reason).toBe('the age of the device is not known');
    const standing = [0, 5].reduce(
      (one, day) => prognoser.update(one, { at: T0 + day * DAY_MS, cycle: 100, signals: {} }),
      prognoser.init(),
    );
    expect(prognoser.predict(standing)[0]?.reason).toBe('the device does not age');
  });

  it('can count age in hours, where the device tells them', () => {
    const prognoser = createSurvivalPrognoser(
      washingMachine,
      { version: 'v1', units: machines(300) },
      { ageOf: ({ signals }) => signals.hours },
    );
    let state = prognoser.init();
    for (let day = 0; day < 10; day++) {
      state = prognoser.update(state, { at: T0 + day * DAY_MS, signals: { hours: 1_000 + day * 24 } });
    }
    expect(prognoser.predict(state)[0]?.probabilityWithin).toHaveLength(4);
  });
});

describe('the quick interval of a chance', () => {
  it('is close to the profile likelihood’s in a fleet of some size', () => {
    const lives = machines(400, 7).map(({ entry, end, failedBy }) => ({
      entry: end > 400 ? 100 : entry,
      end,
      failed: failedBy !== undefined,
    }));
    const fit = fitWeibull(lives);
    if (fit.kind !== 'weibull') throw new Error(fit.reason);
    const covariance = weibullCovariance(lives, fit);
    if (!covariance) throw new Error('no covariance');
    for (const [age, span] of [
      [0, 500],
      [1_000, 50],
      [1_800, 300],
      [2_500, HOUR_MS / 1e5],
    ] as const) {
      const quick = weibullChanceByDelta(fit, covariance, age, span);
      const exact = weibullChanceInterval(lives, fit, age, span);
      expect(quick.p).toBeCloseTo(exact.p, 9);
      expect(quick.lower / exact.lower).toBeGreaterThan(0.93);
      expect(quick.lower / exact.lower).toBeLessThan(1.07);
      expect(quick.upper / exact.upper).toBeGreaterThan(0.93);
      expect(quick.upper / exact.upper).toBeLessThan(1.07);
    }
  });
});
