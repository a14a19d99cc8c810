import { describe, expect, it } from 'vitest';
import { DEVICE_DETECTORS } from '../../analytics/detectors/registry.ts';
import { relations } from '../../analytics/detectors/relations.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';
import { deviceDetectorChecks, exampleRows } from './device-detector.checks.ts';

for (const detector of DEVICE_DETECTORS) deviceDetectorChecks(detector);

describe('relations', () => {
  const taught = (rows: ReturnType<typeof exampleRows>) => {
    const state = relations.init();
    for (const row of rows) relations.learn(state, row, true);
    return state;
  };
  const surprises = (state: ReturnType<typeof taught>, rows: ReturnType<typeof exampleRows>) =>
    rows.map((row) => {
      const score = relations.score(state, row);
      relations.learn(state, row, score.surprise < 3);
      return score;
    });

  it('finds a signal that left the others but not its own range, and names it', () => {
    let named = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const state = taught(exampleRows(2_000, seed));
      const scores = surprises(state, exampleRows(400, seed + 100, 200));
      const top = scores.slice(200).reduce((best, one) => (one.surprise > best.surprise ? one : best));
      expect(top.surprise, `seed ${seed}`).toBeGreaterThan(5);
      if (top.lines[0]?.signal === 'flow') named++;
    }
    // What the faulty signal explained before deviates too, and is sometimes ahead in a single row.
    expect(named).toBeGreaterThanOrEqual(8);
  });

  it('stays below the threshold of a healthy device', () => {
    // 20 devices, 3,000 rows at a minute: 42 device-days. The threshold at two minutes is 5.2.
    let over = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const state = relations.init();
      if (surprises(state, exampleRows(3_000, seed)).some(({ surprise }) => surprise > 5.2)) over++;
    }
    expect(over).toBeLessThanOrEqual(1);
  });

  const regulated = (count: number, change: (value: number, i: number) => number) => {
    const random = seededRandom(6);
    return exampleRows(count, 2).map((row, i) => {
      const value = Math.round(87 + gaussian(random));
      return { at: row.at, names: [...row.names, 'coolant'], values: [...row.values, change(value, i)] };
    });
  };

  it.each([
    ['a jump', (value: number, i: number) => value + (i >= 2_000 ? 9 : 0)],
    ['a stuck sensor', (value: number, i: number) => (i >= 2_000 ? 87 : value)],
    ['a noisy sensor', (value: number, i: number) => value + (i >= 2_000 ? Math.round(9 * Math.sin(i * i)) : 0)],
  ])('finds %s', (_, change) => {
    const rows = regulated(2_200, change);
    const scores = surprises(taught(rows.slice(0, 2_000)), rows.slice(2_000));
    const top = scores.reduce((best, one) => (one.surprise > best.surprise ? one : best));
    expect(top.surprise).toBeGreaterThan(5);
    expect(top.lines[0]?.signal).toBe('coolant');
  });

  it('starts anew with a signal that has come to stay, not with one that passes by', () => {
    const rows = exampleRows(1_000, 5);
    const more = (i: number, row: (typeof rows)[number]) => ({
      at: row.at,
      names: [...row.names, 'late'],
      values: [...row.values, i % 7],
    });
    const state = taught(rows.slice(0, 500));
    for (const [i, row] of rows.slice(500, 600).entries())
      relations.learn(state, i % 3 === 0 ? more(i, row) : row, true);
    expect(state.names).not.toContain('late');
    for (const [i, row] of rows.slice(600, 900).entries()) relations.learn(state, more(i, row), true);
    expect(state.names).toContain('late');
  });
});
