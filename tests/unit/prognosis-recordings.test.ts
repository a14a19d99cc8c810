import { describe, expect, it } from 'vitest';
import { reportLeadTimes } from '../../analytics/evaluate/lead-time.ts';
import { calibrate, type HeldOutError, intervalAt, probabilityOfEnd } from '../../analytics/prognosis/calibration.ts';
import { createHistoryBuilder } from '../../analytics/prognosis/history-builder.ts';
import { phm08, scorePredictions } from '../../analytics/prognosis/metrics.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';

function build(header: string, ...rows: string[]) {
  const builder = createHistoryBuilder('fleet.csv', header.split(','));
  for (const [index, row] of rows.entries()) builder.addRow(row.split(','), index + 2);
  return builder.finish();
}

describe('a run-to-failure recording', () => {
  it('keeps units in order of appearance and sorts the cycles of each', () => {
    const { history, ignoredColumns } = build('cycle,Unit,heat,site', '2,b,20,x', '1,a,5,x', '1,b,10,y', '2,a,,y');
    expect(history.columns).toEqual(['heat']);
    expect(ignoredColumns).toEqual(['site']);
    expect(history.units.map(({ id }) => id)).toEqual(['b', 'a']);
    expect(Array.from(history.units[0]?.values ?? [])).toEqual([10, 20]);
    expect(Array.from(history.units[1]?.values ?? [])).toEqual([5, Number.NaN]);
  });

  it.each([
    ['a column is missing', 'unit,heat', ['1,2'], /fleet\.csv: line 1: column cycle is missing/],
    ['a column stands twice', 'unit,cycle,heat,heat', ['1,1,2,3'], /line 1: column heat stands twice/],
    ['a row is short', 'unit,cycle,heat', ['1,1,2', '1,2'], /line 3: 2 columns, expected 3/],
    [
      'a text stands among numbers',
      'unit,cycle,heat',
      ['1,1,2', '1,2,hot'],
      /line 3, column heat: "hot" is not a number/,
    ],
    ['a number is endless', 'unit,cycle,heat', ['1,1,2', '1,2,1e999'], /line 3, column heat: "1e999" is not a number/],
    ['a cycle is no number', 'unit,cycle,heat', ['1,one,2'], /line 2, column cycle: "one" is not a number/],
    ['a unit has no name', 'unit,cycle,heat', [',1,2'], /line 2, column unit: empty/],
    [
      'a cycle stands twice',
      'unit,cycle,heat',
      ['1,1,2', '1,1,3'],
      /line 3, column cycle: unit 1 has cycle 1 twice \(also line 2\)/,
    ],
    ['there are no rows', 'unit,cycle,heat', [], /there are no rows/],
    ['there is nothing to learn from', 'unit,cycle,site', ['1,1,x'], /no column of numbers/],
  ])('is refused with its place when %s', (_what, header, rows, message) => {
    expect(() => build(header, ...rows)).toThrow(message);
  });
});

describe('calibrated intervals', () => {
  /** Errors that grow with the level, as they do far from failure. */
  function errors(seed: number, count: number): HeldOutError[] {
    const random = seededRandom(seed);
    return Array.from({ length: count }, (_, i) => {
      const actual = 100 * random();
      return {
        unit: i % 50,
        actual,
        estimate: Math.max(0, Math.min(100, actual + (2 + 0.1 * actual) * gaussian(random))),
      };
    });
  }
  const calibration = calibrate(errors(1, 4_000), 100);

  it('cover about 90 % of new cases, near failure as well as far from it', () => {
    for (const [from, to] of [
      [0, 20],
      [20, 60],
      [60, 100],
    ] as const) {
      const fresh = errors(2, 8_000).filter(({ estimate }) => estimate >= from && estimate < to);
      const inside = fresh.filter(({ estimate, actual }) => {
        const [lower, upper] = intervalAt(calibration, estimate, 100);
        return actual >= lower && actual <= upper;
      });
      expect(inside.length / fresh.length, `${from}–${to}`).toBeGreaterThan(0.86);
      expect(inside.length / fresh.length, `${from}–${to}`).toBeLessThan(0.94);
    }
  });

  it('are wider when few units stand behind them', () => {
    const few = calibrate(
      errors(1, 4_000).map((error) => ({ ...error, unit: error.unit % 3 })),
      100,
    );
    const [lower, upper] = intervalAt(calibration, 50, 100);
    const [fewLower, fewUpper] = intervalAt(few, 50, 100);
    expect(fewUpper - fewLower).toBeGreaterThan(1.4 * (upper - lower));
  });

  it('turn into chances of failing within a time, with bounds', () => {
    const chances = [0, 20, 30, 40, 60, 90].map((within) => probabilityOfEnd(calibration, 30, within));
    const p = chances.map((chance) => chance.p);
    expect(p).toEqual(p.toSorted((a, b) => a - b));
    expect(p[0]).toBe(0);
    expect(p[2]).toBeGreaterThan(0.35);
    expect(p[2]).toBeLessThan(0.65);
    expect(p[5]).toBeGreaterThan(0.98);
    for (const { p: chance, lower, upper } of chances) {
      expect(lower).toBeLessThanOrEqual(chance);
      expect(upper).toBeGreaterThanOrEqual(chance);
    }
  });
});

describe('scores of predictions', () => {
  it('are the usual ones', () => {
    // Origin: worked by hand from the definitions (PHM 2008 challenge; Winkler 1972 at 90 %).
    const scores = scorePredictions([
      { actual: 50, median: 60, lower: 40, upper: 70 },
      { actual: 50, median: 37, lower: 30, upper: 45 },
    ]);
    expect(scores?.rmse).toBeCloseTo(Math.sqrt((100 + 169) / 2), 12);
    expect(scores?.phm08).toBeCloseTo(Math.E - 1, 12);
    expect(scores).toMatchObject({ count: 2, coverage: 0.5, meanWidth: 22.5, winkler: (30 + 15 + 100) / 2 });
    expect(phm08(0)).toBe(0);
  });

  it('of nothing are unknown', () => {
    expect(scorePredictions([])).toBeUndefined();
  });
});

describe('lead times', () => {
  const limits = { leastLead: 10, mostLead: 125 };

  it('are judged by the first warning of each device', () => {
    const report = reportLeadTimes(
      [
        { device: 'a', at: 160 },
        { device: 'b', at: 195 },
        { device: 'c', at: 20 },
        { device: 'c', at: 150 },
        { device: 'd', at: 201 },
        { device: 'healthy-1', at: 30 },
      ],
      [
        ...['a', 'b', 'c', 'd'].map((device) => ({ device, failedAt: 200 })),
        { device: 'healthy-1' },
        { device: 'healthy-2' },
      ],
      limits,
    );
    expect(report).toEqual({
      failures: 4,
      warned: 2,
      tooEarly: 1,
      tooLate: 1,
      missed: 1,
      exactlyOne: 2,
      healthy: 2,
      falselyWarned: 1,
      lead: { count: 3, min: 5, lowerQuartile: 22.5, median: 40, upperQuartile: 110, max: 180 },
    });
  });

  it('have no distribution when nothing was warned of', () => {
    const report = reportLeadTimes([], [{ device: 'a', failedAt: 200 }], limits);
    expect(report).toMatchObject({ failures: 1, warned: 0, missed: 1 });
    expect(report.lead).toBeUndefined();
  });
});
