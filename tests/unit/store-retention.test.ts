/** The retention job: what it asks of the store, and when it gives up. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { RetentionCut } from '../../contract/ports/telemetry-store.ts';
import { createRetentionJob } from '../../ingest/store/retention.ts';
import { joinParts, modelBuckets, nearestRank } from '../../ingest/store/roll-ups.ts';
import { SealGate } from '../../ingest/store/seal-gate.ts';
import { BASE_TIME_MS, recordingMetrics, silentLogger } from '../support/store-samples.ts';

describe('retention job', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function start(answers: (number | Error)[], times = { rawDays: 90, minuteDays: 730 }) {
    const cuts: RetentionCut[] = [];
    const metrics = recordingMetrics();
    const store = {
      async retain(cut: RetentionCut) {
        cuts.push(cut);
        const answer = answers.shift();
        if (answer instanceof Error) throw answer;
        return answer;
      },
    };
    const job = createRetentionJob({ store, clock: { now: () => BASE_TIME_MS }, logger: silentLogger, metrics }, times);
    return { job, cuts, metrics };
  }

  it('asks a minute after the start, hour by hour of data until nothing is due, and again after an hour', async () => {
    const { job, cuts, metrics } = start([100, 20]);
    await job.start();
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(cuts.length).toBe(3);
    expect(cuts[0]).toEqual({
      rawBefore: BASE_TIME_MS - 90 * DAY_MS,
      minutesBefore: BASE_TIME_MS - 730 * DAY_MS,
    });
    expect(metrics.values.get('presage_store_retained_samples_total')).toBe(120);
    await vi.advanceTimersByTimeAsync(HOUR_MS);
    expect(cuts.length).toBe(4);
    await job.stop();
    await vi.advanceTimersByTimeAsync(DAY_MS);
    expect(cuts.length).toBe(4);
  });

  it('ends a run that fails and goes on in the next one', async () => {
    const { job, cuts, metrics } = start([new Error('away'), 7]);
    await job.start();
    await vi.advanceTimersByTimeAsync(MINUTE_MS);
    expect(cuts.length).toBe(1);
    expect(metrics.values.get('presage_store_retention_errors_total')).toBe(1);
    await vi.advanceTimersByTimeAsync(HOUR_MS);
    expect(metrics.values.get('presage_store_retained_samples_total')).toBe(7);
    await job.stop();
  });

  it('keeps everything when it is told to', async () => {
    const { job, cuts } = start([], { rawDays: 0, minuteDays: 0 });
    await job.start();
    await vi.advanceTimersByTimeAsync(DAY_MS);
    expect(cuts).toEqual([]);
    await job.stop();
  });
});

describe('roll-ups', () => {
  it('adds late parts to a sealed bucket, whose last value stands', () => {
    const part = { from: 60_000, count: 2, sum: 6, min: 2, max: 4, last: 4 };
    const late = { from: 60_000, count: 1, sum: -3, min: -3, max: -3, last: -3 };
    expect(joinParts([part, late, { ...part, from: 0 }])).toEqual([
      { from: 0, count: 2, min: 2, max: 4, mean: 3, last: 4 },
      { from: 60_000, count: 3, min: -3, max: 4, mean: 1, last: 4 },
    ]);
  });

  it('leaves devices out whose mean no 32-bit float holds', () => {
    expect(modelBuckets([{ from: 0, count: 1, sum: 1e300 }])).toEqual([]);
  });

  it.each([
    [[7], 50, 7],
    [[7], 95, 7],
    [[1, 2], 50, 1],
    [[1, 2, 3, 4], 95, 4],
    [Array.from({ length: 20 }, (_, i) => i + 1), 95, 19],
    [Array.from({ length: 21 }, (_, i) => i + 1), 95, 20],
  ])('takes of %j the percentile %i as %d', (values, percent, expected) => {
    expect(nearestRank(Float64Array.from(values), percent)).toBe(expected);
  });
});

describe('seal gate', () => {
  it('lets readers in together and a sealing step alone', async () => {
    const gate = new SealGate();
    const said: string[] = [];
    const releases: (() => void)[] = [];
    const held = (name: string) => (): Promise<void> =>
      new Promise((resolve) => {
        said.push(`${name} begins`);
        releases.push(() => {
          said.push(`${name} ends`);
          resolve();
        });
      });
    const readers = [gate.read(held('a')), gate.read(held('b'))];
    const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await settle();
    const step = gate.seal(held('step'));
    await settle();
    expect(said).toEqual(['a begins', 'b begins']);
    for (const release of releases.splice(0)) release();
    await Promise.all(readers);
    await settle();
    const late = gate.read(held('late'));
    await settle();
    expect(said.slice(4)).toEqual(['step begins']);
    for (const release of releases.splice(0)) release();
    await step;
    await settle();
    expect(said.slice(4)).toEqual(['step begins', 'step ends', 'late begins']);
    for (const release of releases.splice(0)) release();
    await late;
  });
});
