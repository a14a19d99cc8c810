/** How good a device's data is: gaps, lateness, refusals and its clock. */
import { afterEach, describe, expect, it } from 'vitest';
import { countMessage, dataQuality, newQuality, watchClock } from '../../ingest/data-quality.ts';
import { disposeIngest, type Harness, startIngest, telemetry } from '../support/ingest-harness.ts';
import { RECEIVED_AT } from '../support/log-entries.ts';

const REF = { tenant: 'acme', device: 'fridge-1' };

describe('the data-quality score', () => {
  it.each([
    [{ messages: 100 }, 1],
    [{ messages: 90, missing: 10 }, 0.9],
    [{ messages: 100, missing: 10, late: 10 }, 0.975],
    [{ messages: 50, refused: 50 }, 0.5],
    [{ messages: 100, skewMs: 61_000 }, 0.8],
    [{ messages: 100, skewMs: -61_000 }, 0.8],
    [{ messages: 100, skewMs: 59_000 }, 1],
    [{ messages: 1, refused: 99, skewMs: 1e9 }, 0],
    [{}, 1],
  ])('of %j is %d', (counts, score) => {
    expect(dataQuality({ ...newQuality(), ...counts }).score).toBe(score);
  });

  it('forgets: a device that was repaired gets its score back', () => {
    const counts = newQuality();
    countMessage(counts, false, 5_000);
    const before = dataQuality(counts).score;
    for (let i = 0; i < 100_000; i++) countMessage(counts, false, 0);
    expect(before).toBeLessThan(0.01);
    expect(dataQuality(counts).score).toBeGreaterThan(0.99);
    expect(counts.messages).toBeLessThanOrEqual(10_000);
  });

  it('judges a clock by the message with the least delay, and says once that it became wrong', () => {
    const counts = newQuality();
    const group = (skewMs: number) =>
      Array.from({ length: 32 }, (_, i) => watchClock(counts, 1e12 + skewMs - i * 1_000_000, 1e12)).filter(Boolean)
        .length;
    expect([group(-500), group(-90_000), group(-91_000), group(0), group(61_000)]).toEqual([0, 1, 0, 0, 1]);
    expect(dataQuality(counts)).toMatchObject({ clockSkewed: true, clockSkewMs: 61_000 });
  });
});

describe('ingest', () => {
  let harness: Harness | undefined;
  afterEach(async () => {
    if (harness) await disposeIngest(harness);
    harness = undefined;
  });

  it('knows gaps, late and refused messages and a wrong clock of each device, also after a restart', async () => {
    harness = await startIngest();
    expect(harness.ingest.dataQuality(REF)).toBeUndefined();
    const t = RECEIVED_AT - 120_000;
    for (let seq = 0; seq < 40; seq++) await harness.send('telemetry', telemetry(seq, { t }));
    for (const seq of [44, 42, 42]) await harness.send('telemetry', telemetry(seq, { t }));
    await harness.send('telemetry', 'no json');
    await harness.send('telemetry', telemetry(0), 'fridge-2');
    const expected = {
      messages: 42,
      gaps: 3,
      late: 1,
      quarantined: 1,
      clockSkewed: true,
      clockSkewMs: -120_000,
      score: 0.708,
    };
    expect(harness.ingest.dataQuality(REF)).toEqual(expected);
    expect(harness.ingest.dataQuality({ ...REF, device: 'fridge-2' })?.score).toBe(1);
    harness = await harness.again();
    expect(harness.ingest.dataQuality(REF)).toEqual(expected);
  });
});
