/** From the door to the embedded store: with duplicates, disorder and restarts every message is stored exactly once. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../contract/kernel/random.ts';
import { createEmbeddedStore } from '../../ingest/store/embedded.ts';
import { createStoreWriter } from '../../ingest/store-writer.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { startIngest, telemetry } from '../support/ingest-harness.ts';
import { RECEIVED_AT } from '../support/log-entries.ts';

const SEED = 7;
const DEVICES = ['a', 'b', 'c'];
const ROUNDS = 4;
const MESSAGES_PER_ROUND = 400;

describe('ingest into the embedded store', () => {
  it(`stores every acknowledged message exactly once over ${ROUNDS} restarts (seed ${SEED})`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'presage-to-store-'));
    const random = seededRandom(SEED);
    const services = { clock: manualClock(RECEIVED_AT), logger: silentLogger, metrics: noMetrics };
    const store = createEmbeddedStore({
      directory: join(folder, 'store'),
      logDirectory: join(folder, 'ingest', 'log'),
      ...services,
    });
    await store.start();
    const sent = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      // Small segments and a narrow memory: deletion, forgetting and look-ups all happen.
      const h = await startIngest(
        {
          log: { segmentBytes: 20_000, consumers: ['store', 'sequence'] },
          ingest: {
            snapshotEveryBytes: 10_000,
            sequenceLimits: { maxDevices: 1, maxWindowsPerDevice: 4 },
            lookupTimeoutMs: 60_000, // A slow machine is not what is looked at here.
          },
          reader: store,
          passed: (position) => writer.passed(position),
        },
        join(folder, 'ingest'),
      );
      const writer = createStoreWriter({ log: h.segmentLog.log, store, ...services }, { gatherMs: 5 });
      await writer.start();
      const sends = Array.from({ length: MESSAGES_PER_ROUND }, () => {
        const device = DEVICES[Math.floor(random() * DEVICES.length)] ?? 'a';
        const seq = Math.floor(random() * 100) + round * 50;
        sent.add(`${device} ${seq}`);
        return () => h.send('telemetry', telemetry(seq), device);
      });
      // Some at once, some one after the other.
      await Promise.all(sends.slice(0, MESSAGES_PER_ROUND / 2).map((send) => send()));
      for (const send of sends.slice(MESSAGES_PER_ROUND / 2)) await send();
      if (round === ROUNDS - 1) await writer.passed(h.segmentLog.log.end());
      await writer.stop();
      await h.stop();
    }
    const stored: string[] = [];
    for (const device of DEVICES) {
      const range = { tenant: 'acme', device, model: 'refrigerator', from: 0, to: RECEIVED_AT };
      for await (const sample of store.export(range)) stored.push(`${device} ${sample.seq}`);
    }
    expect(stored.sort()).toEqual([...sent].sort());
    await store.stop();
    await rm(folder, { recursive: true });
  }, 300_000);
});
