import { describe, expect, it } from 'vitest';
import { consequenceOf, leastChange } from '../../analytics/detectors/consequence.ts';
import type { DetectorInput } from '../../analytics/detectors/detector.ts';
import { type DriftParams, drift, driftingSince } from '../../analytics/detectors/drift.ts';
import { novelty } from '../../analytics/detectors/novelty.ts';
import { type SeasonalParams, seasonalResidual } from '../../analytics/detectors/seasonal-residual.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { detectorChecks } from './detector.checks.ts';

const seasonal: SeasonalParams = {
  contextCount: 1,
  seasonMs: DAY_MS,
  warmupSamples: 72,
  memorySamples: 8_640,
  minSpread: 0.01,
};
const blocks: DriftParams = {
  blockSamples: 12,
  maxBlockSamples: 48,
  needsRest: false,
  blockMs: 0,
  warmupBlocks: 12,
  memoryBlocks: 120,
};

detectorChecks(seasonalResidual, seasonal, 1);
detectorChecks(seasonalResidual, { contextCount: 0, warmupSamples: 20, memorySamples: 2_000, minSpread: 0 }, 0);
detectorChecks(
  seasonalResidual,
  {
    ...seasonal,
    consequence: { tolerance: 0.5, toleranceOfReading: 0.015, limits: [{ limit: 60, direction: 'up' }] },
  },
  1,
);
detectorChecks(drift, blocks, 0);
detectorChecks(drift, { ...blocks, blockSamples: 4, needsRest: true }, 0);
detectorChecks(novelty, { warmupRows: 100, seasonMs: DAY_MS }, 0);
detectorChecks(novelty, { warmupRows: 100 }, 0);

const at = (i: number, value: number, context: readonly number[] = []): DetectorInput => ({
  at: i * 300_000,
  value,
  context,
});

describe('the seasonal residual', () => {
  it('expects the rhythm of the day and the effect of the context', () => {
    const random = seededRandom(4);
    const state = seasonalResidual.init(seasonal);
    const level = (i: number, load: number): number => 50 + 8 * Math.sin((2 * Math.PI * i) / 288) + 4 * load;
    for (let i = 0; i < 2_000; i++) {
      const load = gaussian(random);
      seasonalResidual.learn(state, at(i, level(i, load) + 0.5 * gaussian(random), [load]), true);
    }
    const usual = seasonalResidual.score(state, at(2_000, level(2_000, 2), [2]));
    const odd = seasonalResidual.score(state, at(2_000, level(2_000, 2) + 6, [2]));
    if (usual.kind !== 'scored' || odd.kind !== 'scored') throw new Error('not scored');
    expect(usual.expected).toBeCloseTo(level(2_000, 2), 0);
    expect(usual.surprise).toBeLessThan(1);
    expect(odd).toMatchObject({ direction: 'up' });
    expect(odd.surprise).toBeGreaterThan(5);
  });

  it('is not moved by single outliers', () => {
    const random = seededRandom(5);
    const params = { contextCount: 0, warmupSamples: 20, memorySamples: 2_000, minSpread: 0 };
    const state = seasonalResidual.init(params);
    for (let i = 0; i < 500; i++) {
      seasonalResidual.learn(state, at(i, i % 50 === 49 ? 1e6 : 10 + gaussian(random)), true);
    }
    const result = seasonalResidual.score(state, at(500, 10));
    expect(result.kind === 'scored' && Math.abs(result.expected - 10) < 0.6).toBe(true);
  });

  it('takes a signal of two levels for what it is', () => {
    const state = seasonalResidual.init({ contextCount: 0, warmupSamples: 20, memorySamples: 2_000, minSpread: 0 });
    let top = 0;
    for (let i = 0; i < 3_000; i++) {
      const input = at(i, i % 60 === 7 ? 21.6 : 21.61);
      const result = seasonalResidual.score(state, input);
      if (result.kind === 'scored' && i > 200) top = Math.max(top, result.surprise);
      seasonalResidual.learn(state, input, true);
    }
    expect(top).toBeLessThan(3);
  });
});

describe('what the residual does not trust', () => {
  it('is its own straight line where the context was never like that', () => {
    const random = seededRandom(11);
    const params = { contextCount: 1, warmupSamples: 50, memorySamples: 5_000, minSpread: 0 };
    const state = seasonalResidual.init(params);
    // It saturates: a straight line fits as long as the load stays low.
    const flow = (load: number): number => 10 + 4 * Math.min(1, load);
    for (let i = 0; i < 1_500; i++) {
      const load = 0.8 * random();
      seasonalResidual.learn(state, at(i, flow(load) + 0.05 * gaussian(random), [load]), true);
    }
    const strange = seasonalResidual.score(state, at(1_500, flow(3), [3]));
    expect(strange.kind === 'scored' && strange.surprise).toBeLessThan(4);
    const usual = seasonalResidual.score(state, at(1_500, flow(0.5) + 2, [0.5]));
    expect(usual.kind === 'scored' && usual.surprise).toBeGreaterThan(6);
  });

  it('is rows that all say the same: a week of one weather is one observation', () => {
    const random = seededRandom(12);
    const params = { contextCount: 1, warmupSamples: 50, memorySamples: 5_000, minSpread: 0 };
    const band = (hangs: number): number => {
      const state = seasonalResidual.init(params);
      let noise = 0;
      for (let i = 0; i < 2_000; i++) {
        noise = hangs * noise + Math.sqrt(1 - hangs * hangs) * gaussian(random);
        seasonalResidual.learn(state, at(i, 10 + noise, [gaussian(random)]), true);
      }
      const result = seasonalResidual.score(state, at(2_000, 10, [8]));
      return result.kind === 'scored' ? result.high - result.low : 0;
    };
    expect(band(0.98)).toBeGreaterThan(1.3 * band(0));
  });
});

describe('a change of no consequence', () => {
  const consequence = { tolerance: 1, toleranceOfReading: 0, limits: [{ limit: 60, direction: 'up' as const }] };

  it('is a tenth of the way to the end of life, or what the sensor cannot tell, but not a quarter of the way', () => {
    expect(leastChange(consequence, 20)).toBe(4);
    expect(leastChange(consequence, 54)).toBe(1);
    expect(leastChange(consequence, 58)).toBe(0.5);
    expect(leastChange(consequence, 70)).toBe(1);
    expect(leastChange(undefined, 20)).toBe(0);
    expect(leastChange(consequenceOf(undefined, []), 20)).toBe(0);
  });

  it('does not count, however quiet the signal; a larger one does; both are rare, so neither is learned', () => {
    const random = seededRandom(13);
    const params = { contextCount: 0, warmupSamples: 50, memorySamples: 5_000, minSpread: 0, consequence };
    const state = seasonalResidual.init(params);
    for (let i = 0; i < 1_000; i++) seasonalResidual.learn(state, at(i, 20 + 0.1 * gaussian(random)), true);
    const small = seasonalResidual.score(state, at(1_000, 22));
    const large = seasonalResidual.score(state, at(1_000, 25));
    if (small.kind !== 'scored' || large.kind !== 'scored') throw new Error('not scored');
    expect(small.surprise).toBeLessThan(1);
    expect(small.rarity).toBeGreaterThan(6);
    expect(large.surprise).toBeGreaterThan(6);
  });
});

describe('drift', () => {
  /** Samples of a unit-variance residual that hang together (AR(1)), shifted by `shift` from `from` on. */
  function* residuals(seed: number, count: number, from: number, shift: number): Generator<DetectorInput> {
    const random = seededRandom(seed);
    let value = 0;
    for (let i = 0; i < count; i++) {
      value = 0.7 * value + Math.sqrt(1 - 0.49) * gaussian(random);
      yield at(i, value + (i >= from ? shift : 0));
    }
  }

  it('finds a shift of one and a half sigma of a sample, which no single sample shows', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const state = drift.init(blocks);
      let found = 0;
      for (const input of residuals(seed, 2_400, 1_200, 1.5)) {
        const result = drift.score(state, input);
        if (result.kind === 'scored' && result.surprise > 5.5 && found === 0) found = input.at / 300_000;
        drift.learn(state, input, result.kind !== 'scored' || result.surprise < 2);
      }
      expect(found, `seed ${seed}`).toBeGreaterThan(1_200);
      expect(found, `seed ${seed}`).toBeLessThan(2_000);
    }
  });

  it('says since when', () => {
    const state = drift.init(blocks);
    for (const input of residuals(3, 1_600, 1_200, 1.5)) drift.learn(state, input, input.at < 1_200 * 300_000);
    const since = (driftingSince(state) ?? 0) / 300_000;
    expect(Math.abs(since - 1_200)).toBeLessThan(80);
  });

  it('stays quiet on a healthy residual for as long as the budget asks', () => {
    // 40 streams of 8,000 samples = 1,111 days at 5 minutes; the threshold of a refrigerator is 5.5.
    let alarms = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const state = drift.init(blocks);
      let before = false;
      for (const input of residuals(seed, 8_000, 8_000, 0)) {
        const result = drift.score(state, input);
        const over = result.kind === 'scored' && result.surprise > 5.5;
        if (over && !before) alarms++;
        before = over;
        drift.learn(state, input, result.kind !== 'scored' || result.surprise < 2);
      }
    }
    expect(alarms).toBeLessThanOrEqual(1);
  });

  it('does not take the beginning of a slow fault for a signal that hangs together', () => {
    const state = drift.init(blocks);
    for (let i = 0; i < 3_000; i++) {
      // Far below the smallest spread that is believed of a block.
      drift.learn(state, at(i, i < 500 ? 0 : ((i - 500) / 2_500) * 0.2), true);
    }
    expect(state.blockSamples).toBe(blocks.blockSamples);
    expect(state.blocks).toBeGreaterThan(200);
  });

  it('closes a block of a rare mode when a season is over', () => {
    const params = { ...blocks, blockSamples: 40, blockMs: DAY_MS / 4 };
    const state = drift.init(params);
    // Twelve samples a day.
    for (let i = 0; i < 240; i++) drift.learn(state, { at: i * (DAY_MS / 12), value: 0, context: [] }, true);
    expect(state.blocks).toBeGreaterThanOrEqual(16);
  });

  it('forgets a drift after the repair', () => {
    const state = drift.init(blocks);
    const random = seededRandom(8);
    for (let i = 0; i < 2_400; i++) {
      drift.learn(state, at(i, gaussian(random) + (i >= 1_000 && i < 1_600 ? 3 : 0)), i < 1_000 || i >= 1_600);
    }
    const result = drift.score(state, at(2_400, 0));
    expect(result.kind === 'scored' && result.surprise < 2).toBe(true);
  });

  it('does not judge a signal that wanders by itself when asked not to', () => {
    const random = seededRandom(9);
    const state = drift.init({ ...blocks, blockSamples: 4, maxBlockSamples: 16, needsRest: true });
    let level = 0;
    for (let i = 0; i < 3_000; i++) {
      level += 0.1 * gaussian(random);
      drift.learn(state, at(i, level), true);
    }
    const result = drift.score(state, at(3_000, level));
    expect(result.kind).toBe('warmingUp');
  });
});

describe('novelty', () => {
  it('ranks a new level and a missing rhythm above all that was usual', () => {
    const random = seededRandom(10);
    const state = novelty.init({ warmupRows: 100, seasonMs: DAY_MS });
    const surprises: number[] = [];
    for (let i = 0; i < 4_000; i++) {
      const rhythm = i >= 3_000 && i < 3_100 ? 0 : 10 * Math.sin((2 * Math.PI * i) / 288);
      const input = at(i, 100 + rhythm + gaussian(random) + (i >= 3_600 && i < 3_700 ? 25 : 0));
      const result = novelty.score(state, input);
      surprises.push(result.kind === 'scored' ? result.surprise : 0);
      novelty.learn(state, input, true);
    }
    const top = (from: number, to: number): number => Math.max(...surprises.slice(from, to));
    expect(top(3_600, 3_700)).toBeGreaterThan(top(1_000, 3_000));
    expect(top(3_000, 3_100)).toBeGreaterThan(top(1_000, 2_900));
  });
});
