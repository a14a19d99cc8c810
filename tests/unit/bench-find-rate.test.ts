/** The search for the highest rate that holds, and how a figure is judged by its aim and floor. */
import { describe, expect, it } from 'vitest';
import { findRate } from '../bench/find-rate.ts';
import { type Figure, row, verdictOf } from '../bench/ingest/figures.ts';

describe('the search for the highest rate that holds', () => {
  it.each([
    ['far above the start', 50_000],
    ['far below the start', 300],
    ['at the start', 8_000],
  ])('finds a limit %s, at most 15 %% too low and never too high', async (_where, limit) => {
    const found = await findRate({ start: 8_000, max: 1_000_000, holds: async (rate) => rate <= limit });
    expect(found).toBeLessThanOrEqual(limit);
    expect(found * 1.16).toBeGreaterThanOrEqual(limit);
  });

  it('stays close to where it starts when its steps are small', async () => {
    const tried: number[] = [];
    const holds = async (rate: number): Promise<boolean> => {
      tried.push(rate);
      return rate <= 9_000;
    };
    await findRate({ start: 8_000, step: 1.15, max: 1_000_000, holds });
    expect(tried).toEqual([8_000, 9_200]);
  });

  it('answers 0 when nothing holds, and never tries more than the most', async () => {
    expect(await findRate({ start: 1_000, max: 2_000, holds: async () => false })).toBe(0);
    expect(await findRate({ start: 1_000, max: 3_000, holds: async () => true })).toBe(3_000);
    expect(await findRate({ start: 9_000, max: 3_000, holds: async () => true })).toBe(3_000);
  });
});

describe('a figure', () => {
  const figure: Figure = { name: 'ratio', value: 0.5, better: 'higher', aim: 0.7, floor: 0.45, detail: '1 ÷ 2' };

  it.each([
    [{ value: 0.7 }, 'aim'],
    [{ value: 0.69 }, 'floor'],
    [{ value: 0.44 }, 'MISSED'],
    [{ value: 4, better: 'lower', aim: 3, floor: 6 }, 'floor'],
    [{ value: 7, better: 'lower', aim: 3, floor: 6 }, 'MISSED'],
  ] as const)('%o reaches %s', (change, verdict) => {
    expect(verdictOf({ ...figure, ...change })).toBe(verdict);
  });

  it('without aim is only told', () => {
    const { aim: _aim, floor: _floor, ...plain } = figure;
    expect(verdictOf(plain)).toBe('');
    expect(row(plain)).toBe('| ratio | 0.50 | – |  | 1 ÷ 2 |');
  });
});
