import { describe, expect, it } from 'vitest';
import { forgetHeld, initMaxima, learnMaximum, maximaDeviate } from '../../analytics/stats/block-maxima.ts';
import { invertRidged } from '../../analytics/stats/precision.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';

describe('block maxima', () => {
  const learned = (seed: number, rows: number) => {
    const random = seededRandom(seed);
    const state = initMaxima();
    for (let i = 0; i < rows; i++) learnMaximum(state, Math.abs(gaussian(random)));
    return state;
  };

  it('says nothing while there are too few blocks', () => {
    expect(maximaDeviate(learned(1, 60), 1e6)).toBe(0);
  });

  it('keeps a bounded number of blocks, each twice as long as before', () => {
    const state = learned(1, 20_000);
    expect(state.maxima.length).toBeLessThanOrEqual(32);
    expect(state.maxima.length).toBeGreaterThanOrEqual(15);
    expect(state.length * state.maxima.length).toBeGreaterThan(10_000);
  });

  it('finds the largest values of a healthy record usual and larger ones less and less so', () => {
    const state = learned(2, 20_000);
    expect(maximaDeviate(state, 1)).toBe(0);
    const deviates = [4, 5, 6, 8].map((size) => maximaDeviate(state, size));
    expect(deviates).toEqual([...deviates].sort((a, b) => a - b));
    expect(deviates[0]).toBeLessThan(3);
    expect(deviates[3]).toBeGreaterThan(4);
  });

  it('rarely finds a new block of the same record as unusual as it says', () => {
    let over = 0;
    for (let seed = 1; seed <= 400; seed++) {
      const random = seededRandom(seed);
      const state = initMaxima();
      for (let i = 0; i < 1_000; i++) learnMaximum(state, Math.abs(gaussian(random)));
      const length = state.length;
      let top = 0;
      for (let i = 0; i < length; i++) top = Math.max(top, Math.abs(gaussian(random)));
      // Deviate 2: 2.3 % of blocks; log maxima have a longer upper tail than that.
      if (maximaDeviate(state, top) > 2) over++;
    }
    expect(over / 400).toBeLessThan(0.05);
  });

  it('believes a block at once where it is told to', () => {
    const eager = initMaxima();
    const patient = initMaxima();
    for (let i = 0; i < 8; i++) {
      learnMaximum(eager, 1, { heldBlocks: 0, dropsOldest: false });
      learnMaximum(patient, 1);
    }
    expect(eager.maxima).toHaveLength(1);
    expect(patient.maxima).toHaveLength(0);
  });

  it('forgets the oldest of its record, made when least was known, where it is told to', () => {
    const rules = { heldBlocks: 4, dropsOldest: true };
    const random = seededRandom(4);
    const odd = initMaxima();
    const even = initMaxima();
    for (let i = 0; i < 5_000; i++) {
      const size = Math.abs(gaussian(random));
      learnMaximum(odd, i < 30 ? 1_000 : size, rules);
      learnMaximum(even, size, rules);
    }
    expect(odd.spread).toBeCloseTo(even.spread, 6);
  });

  it('can take back the newest blocks before they are believed', () => {
    const state = learned(3, 1_000);
    forgetHeld(state);
    const before = maximaDeviate(state, 8);
    for (let i = 0; i < state.length * 4; i++) learnMaximum(state, 20);
    forgetHeld(state);
    expect(maximaDeviate(state, 8)).toBe(before);
  });
});

describe('the inverse of a covariance', () => {
  it('is the one that numpy.linalg.inv gives', () => {
    // numpy 2.4.6: inv([[4, 1, 0.5], [1, 3, -1], [0.5, -1, 2]] + 0.1 * identity)
    const inverse = invertRidged([4, 1, 0.5, 1, 3, -1, 0.5, -1, 2], 3, 0.1);
    const expected = [
      0.29440051293011327, -0.1389185723445181, -0.13624706133789274, -0.1389185723445181, 0.44667664030775817,
      0.245779012609532, -0.13624706133789274, 0.24577901260953203, 0.6256678777516563,
    ];
    for (const [i, value] of inverse.entries()) expect(value).toBeCloseTo(expected[i] as number, 10);
  });

  it('stays finite for signals that repeat each other', () => {
    expect(invertRidged([1, 1, 1, 1], 2, 0.02).every(Number.isFinite)).toBe(true);
  });
});
