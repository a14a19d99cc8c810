/** Down-sampling, worked out by hand. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BucketExtremes, bucketsFor, Changes } from '../../ingest/store/down-sample.ts';

describe('buckets', () => {
  it('cover the range, are whole milliseconds wide and never give more points than asked for', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2e12 }),
        fc.integer({ min: 1, max: 1e12 }),
        fc.integer({ min: 2, max: 10_000 }),
        (from, span, points) => {
          const { widthMs, count } = bucketsFor(from, from + span, points, 2);
          expect(Number.isInteger(widthMs)).toBe(true);
          expect(count * 2).toBeLessThanOrEqual(points);
          expect(widthMs * count).toBeGreaterThanOrEqual(span);
        },
      ),
    );
  });
});

describe('extremes', () => {
  const extremes = (points: readonly (readonly [number, number])[]) => {
    const bucket = new BucketExtremes({ from: 0, widthMs: 10, count: 2 });
    for (const [at, value] of points) bucket.add(at, value);
    return bucket.points();
  };

  it('are empty without points', () => expect(extremes([])).toEqual([]));
  it('are one point where a bucket has one value', () =>
    expect(
      extremes([
        [4, 7],
        [3, 7],
        [12, 1],
      ]),
    ).toEqual([
      [3, 7],
      [12, 1],
    ]));
  it('come in order of time, from points in any order', () =>
    expect(
      extremes([
        [19, 5],
        [9, -3],
        [1, 8],
        [5, 0],
        [11, 6],
        [15, 5],
      ]),
    ).toEqual([
      [1, 8],
      [9, -3],
      [11, 6],
      [15, 5],
    ]));
});

describe('changes', () => {
  const changes = (maxPoints: number, values: string) => {
    const kept = new Changes(0, 12, maxPoints);
    [...values].forEach((value, at) => {
      kept.add(at, value);
    });
    return kept.points().map(([at, value]) => `${at}${value}`);
  };

  it('are empty without points', () => expect(changes(3, '')).toEqual([]));
  it('leave repetitions out', () => expect(changes(3, 'aaabbbaaaaaa')).toEqual(['0a', '3b', '6a']));
  it('keep the first of each bucket when there are too many', () =>
    expect(changes(3, 'abababababab')).toEqual(['0a', '4a', '8a']));
});
