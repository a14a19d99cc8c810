import { describe, expect, it } from 'vitest';
import type { LogEntry } from '../../contract/ports/telemetry-log.ts';
import { TICK_EVERY_MS } from '../../contract/ports/telemetry-log.ts';
import { LogTicker } from '../../ingest/ticker.ts';

/** A second each, with the log's end after it. */
function run(ends: (second: number) => number, seconds: number): number[] {
  const ticks: number[] = [];
  let second = 0;
  let own = 0;
  const ticker = new LogTicker({
    clock: { now: () => second * 1_000 },
    log: {
      append: (entry: LogEntry) => {
        ticks.push(entry.receivedAt);
        own += 50;
      },
      end: () => ends(second) + own,
    },
  });
  for (; second < seconds; second++) ticker.beat();
  return ticks;
}

describe('the log of an idle server', () => {
  it('says often enough that somebody listens', () => {
    const ticks = run(() => 0, 120);
    expect(ticks.length).toBeGreaterThan(4);
    ticks.forEach((at, i) => {
      expect(at - (ticks[i - 1] ?? 0)).toBeLessThanOrEqual(TICK_EVERY_MS);
    });
  });

  it('says nothing while others do', () => {
    expect(run((second) => second * 100, 300)).toEqual([]);
    expect(run((second) => Math.floor(second / 10) * 100, 300)).toEqual([]);
  });
});
