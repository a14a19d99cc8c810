/** The same sequence number with another content: the first stays, the second goes into quarantine, also after a restart. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { ContentRing, fingerprintOf, MemoryBudget } from '../../ingest/content-ring.ts';
import { quarantineRecordSchema } from '../../ingest/quarantine.ts';
import { SequenceBook } from '../../ingest/sequence.ts';
import { disposeIngest, type Harness, type HarnessOptions, startIngest, telemetry } from '../support/ingest-harness.ts';
import { RECEIVED_AT, textOf } from '../support/log-entries.ts';

let harness: Harness | undefined;
afterEach(async () => {
  if (harness) await disposeIngest(harness);
  harness = undefined;
});

async function start(options: HarnessOptions = {}): Promise<Harness> {
  harness = await startIngest(options);
  return harness;
}

async function conflictsOf(h: Harness) {
  const entries = (await h.entries()).filter((entry) => entry.kind === 'quarantine');
  return entries.map((entry) => quarantineRecordSchema.parse(JSON.parse(textOf(entry))));
}

const kindsOf = async (h: Harness): Promise<string[]> => (await h.entries()).map((entry) => entry.kind);
const forged = (seq: number): object => telemetry(seq, { s: [[0, { freezerTempC: -99 }]] });

describe('a sequence number that comes again with another content', () => {
  it('is quarantined and acknowledged, and the first message stays', async () => {
    const h = await start();
    await h.send('telemetry', telemetry(7));
    await h.send('telemetry', forged(7));
    await h.send('telemetry', telemetry(7));
    expect(await kindsOf(h)).toEqual(['telemetry', 'quarantine']);
    expect(await conflictsOf(h)).toMatchObject([
      { reason: 'SEQUENCE_CONFLICT', at: 'seq', boot: 'boot-1', seq: 7, samples: 1, channel: 'telemetry' },
    ]);
    await h.ingest.stop();
    const { values } = h.metrics;
    expect(values.get('presage_ingest_conflicts_total{channel=telemetry}')).toBe(1);
    expect(values.get('presage_ingest_quarantined_total{reason=SEQUENCE_CONFLICT}')).toBe(1);
    expect(values.get('presage_ingest_duplicates_total{channel=telemetry}')).toBe(1);
  });

  it('is a conflict also while the first is in flight', async () => {
    const h = await start();
    await Promise.all([
      h.send('telemetry', telemetry(1)),
      h.send('telemetry', forged(1)),
      h.send('telemetry', forged(2)),
    ]);
    expect((await kindsOf(h)).sort()).toEqual(['quarantine', 'telemetry', 'telemetry']);
  });

  it.each(['snapshot', 'log alone'])('is known after a restart from the %s', async (from) => {
    let h = await start();
    for (let seq = 1; seq <= 40; seq++) await h.send('telemetry', telemetry(seq));
    if (from === 'log alone') {
      await h.stop();
      await rm(join(h.folder, 'sequence.json'));
    }
    h = harness = await h.again();
    await h.send('telemetry', telemetry(3));
    await h.send('telemetry', forged(3));
    expect(await conflictsOf(h)).toMatchObject([{ reason: 'SEQUENCE_CONFLICT', seq: 3 }]);
  });

  it('is found for every number of the window', async () => {
    const h = await start();
    for (let seq = 0; seq < 4_096; seq += 15) await h.send('telemetry', telemetry(seq));
    await h.send('telemetry', forged(15));
    expect(await conflictsOf(h)).toMatchObject([{ seq: 15 }]);
  });

  it('is not suspected of a copy of a message that had a bad sample', async () => {
    const mixed = telemetry(1, {
      s: [
        [0, { freezerTempC: 1 }],
        [1, { nonsense: 1 }],
      ],
    });
    let h = await start();
    await h.send('telemetry', mixed);
    await h.send('telemetry', mixed);
    await h.stop();
    await rm(join(h.folder, 'sequence.json'));
    h = harness = await h.again();
    await h.send('telemetry', mixed);
    expect((await conflictsOf(h)).map((record) => record.reason)).toEqual(['SIGNAL_UNKNOWN']);
  });

  it('is a conflict of events too', async () => {
    const h = await start();
    const event = { v: 1, boot: 'boot-1', seq: 1, t: RECEIVED_AT, events: [{ name: 'doorOpened' }] };
    await h.send('event', event);
    await h.send('event', event);
    await h.send('event', { ...event, events: [{ name: 'doorClosed' }] });
    expect(await kindsOf(h)).toEqual(['event', 'quarantine']);
  });
});

describe('the ring of fingerprints', () => {
  it('never tells a wrong fingerprint, and all of the last window while the budget lasts', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -20, max: 300 }), { minLength: 1, maxLength: 200 }), (jumps) => {
        const ring = ContentRing.create(512, new MemoryBudget(1 << 20));
        const truth = new Map<number, number>();
        let seq = 100;
        let top = 0;
        for (const jump of jumps) {
          seq = Math.max(0, seq + jump);
          top = Math.max(top, seq);
          ring?.set(seq, 1 + (seq % 999));
          if (top - seq < 512) truth.set(seq, 1 + (seq % 999));
          for (const [known, fingerprint] of truth) {
            const told = ring?.of(known) ?? 0;
            expect([0, fingerprint]).toContain(told);
            if (top - known < 64) expect(told).toBe(fingerprint);
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  it('stays small when the budget is used up, and gives back what it had', () => {
    const budget = new MemoryBudget(128 + 128);
    const ring = ContentRing.create(4_096, budget);
    for (let seq = 0; seq < 1_000; seq++) ring?.set(seq, 5);
    expect([ring?.of(999), ring?.of(999 - 127), ring?.of(999 - 128)]).toEqual([5, 5, 0]);
    expect(budget.refusals).toBeGreaterThan(0);
    expect(ContentRing.create(4_096, budget)).toBeUndefined();
    ring?.release();
    expect(ContentRing.create(4_096, budget)).toBeDefined();
  });

  it('gives the memory of forgotten boots and devices to others', () => {
    const book = new SequenceBook({ maxDevices: 1, maxWindowsPerDevice: 1, maxFingerprintBytes: 128 * 3 });
    for (let n = 0; n < 50; n++) {
      const window = book.window(book.device({ tenant: 'acme', device: `d${n % 7}` }), 'telemetry', `boot-${n}`);
      window.mark(1, fingerprintOf(Buffer.from('x')));
      expect(window.fingerprintOf(1)).not.toBe(0);
    }
  });
});
