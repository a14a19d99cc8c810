/** The followers of the log: nothing is lost or stored twice while the store or the database is away. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppError } from '../../contract/kernel/errors.ts';
import type { RegistryRecord } from '../../contract/ports/registry.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type { RejectedSample, TelemetryWriter } from '../../contract/ports/telemetry-store.ts';
import { decodeTelemetryEntry } from '../../contract/wire/log-entry.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { openSegmentLog, type SegmentLog } from '../../ingest/log/segment-log.ts';
import { quarantineEntry, quarantineRecordSchema } from '../../ingest/quarantine.ts';
import { createRegistryWriter, type RegistryWriterOptions } from '../../ingest/registry-writer.ts';
import { createStoreWriter, type StoreWriter, type StoreWriterOptions } from '../../ingest/store-writer.ts';
import { manualClock, silentLogger } from '../support/fake-services.ts';
import { recordingMetrics, telemetry } from '../support/ingest-harness.ts';
import { appended, logEntry, RECEIVED_AT, readAll, textOf } from '../support/log-entries.ts';
import { waitFor } from '../support/wait-for.ts';

const QUICK = { gatherMs: 0, commitEveryMs: 1, random: () => 0 };
let folder: string;
let segmentLog: SegmentLog;
let metrics: ReturnType<typeof recordingMetrics>;
let services: { clock: ReturnType<typeof manualClock>; logger: typeof silentLogger; metrics: typeof metrics };
/** Stopped after the test, before the log. */
let running: { stop(): Promise<void> }[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'presage-follow-'));
  metrics = recordingMetrics();
  services = { clock: manualClock(RECEIVED_AT + 3_000), logger: silentLogger, metrics };
  segmentLog = openSegmentLog({ directory: folder, ...services });
  await segmentLog.start();
});
afterEach(async () => {
  await Promise.all(running.map((one) => one.stop()));
  running = [];
  await segmentLog.stop();
  await rm(folder, { recursive: true });
});

const append = (seq: number): Promise<Position> =>
  appended(segmentLog.log, logEntry({ text: JSON.stringify(telemetry(seq)) }));
const committed = (consumer: string, position: Position): Promise<boolean> =>
  waitFor(`${consumer} at ${position}`, () => segmentLog.log.committed(consumer) >= position);

/** A store in memory that keeps what it was given, and fails as told. */
class FakeStore implements TelemetryWriter {
  readonly batches: { messages: readonly TelemetryMessage[]; position: Position }[] = [];
  position: Position | undefined;
  /** Thrown by the next writes, one each. */
  failures: Error[] = [];
  /** Refused for ever, by sequence number. */
  refuses: (message: TelemetryMessage) => RejectedSample[] = () => [];

  async write(messages: readonly TelemetryMessage[], position: Position): Promise<readonly RejectedSample[]> {
    const failure = this.failures.shift();
    if (failure) throw failure;
    this.batches.push({ messages, position });
    this.position = position;
    return messages.flatMap((message) => this.refuses(message));
  }

  async storedPosition(): Promise<Position | undefined> {
    return this.position;
  }

  get seqs(): number[] {
    return this.batches.flatMap(({ messages }) => messages.map((message) => message.identity.seq));
  }
}

async function startWriter(store: TelemetryWriter, options: StoreWriterOptions = {}): Promise<StoreWriter> {
  const writer = createStoreWriter({ log: segmentLog.log, store, ...services }, { ...QUICK, ...options });
  running.push(writer);
  await writer.start();
  return writer;
}

const quarantined = async () =>
  (await readAll(segmentLog.log))
    .filter((entry) => entry.kind === 'quarantine')
    .map((entry) => quarantineRecordSchema.parse(JSON.parse(textOf(entry))));

describe('store writer', () => {
  it('stores what is in the log and what comes later, once and in order, and commits it', async () => {
    const store = new FakeStore();
    for (const seq of [1, 2, 3]) await append(seq);
    const writer = await startWriter(store);
    const last = await append(4);
    await writer.passed(last);
    await committed('store', last);
    expect(store.seqs).toEqual([1, 2, 3, 4]);
    expect(writer.storedPosition()).toBe(last);
    expect(store.batches[0]?.messages[0]?.samples).toEqual([
      { index: 0, observedAt: RECEIVED_AT - 1_000, signals: { freezerTempC: 1 } },
    ]);
    await writer.stop();
    expect(metrics.values.get('presage_ingest_stored_total')).toBe(4);
    expect(metrics.values.get('presage_ingest_store_delay_seconds')).toBe(3);
  });

  it('passes over entries that are not telemetry', async () => {
    const store = new FakeStore();
    const writer = await startWriter(store);
    const position = await appended(segmentLog.log, logEntry({ kind: 'birth' }));
    await writer.passed(position);
    await committed('store', position);
    expect(store.batches).toEqual([]);
  });

  it('waits for a store that is away and then goes on where it was', async () => {
    const store = new FakeStore();
    store.failures = [new AppError('STORE_UNAVAILABLE'), new Error('socket hang up')];
    const writer = await startWriter(store);
    const position = await append(1);
    await waitFor('a failure', () => !writer.readiness().ok);
    expect(writer.readiness().detail).toBeDefined();
    await writer.passed(position);
    expect(store.seqs).toEqual([1]);
    expect(writer.readiness()).toEqual({ ok: true });
  });

  it('starts while the store is away', async () => {
    const store = new FakeStore();
    const answer = store.storedPosition.bind(store);
    let asked = 0;
    store.storedPosition = async () => {
      if (asked++ === 0) throw new AppError('STORE_UNAVAILABLE');
      return answer();
    };
    const writer = await startWriter(store);
    await writer.passed(await append(1));
    expect(store.seqs).toEqual([1]);
  });

  it('stops while the store is away, and the next one stores what was left', async () => {
    const away = new FakeStore();
    away.write = () => Promise.reject(new AppError('STORE_UNAVAILABLE'));
    const writer = await startWriter(away);
    const position = await append(1);
    await waitFor('a failure', () => !writer.readiness().ok);
    const waiting = writer.passed(position);
    await Promise.all([expect(waiting).rejects.toMatchObject({ code: 'NOT_READY' }), writer.stop()]);
    expect(segmentLog.log.committed('store')).toBe(0);
    const store = new FakeStore();
    await (await startWriter(store)).passed(position);
    expect(store.seqs).toEqual([1]);
  });

  it('begins where the store says it is, not where it committed', async () => {
    const store = new FakeStore();
    store.position = await append(1);
    const last = await append(2);
    await segmentLog.log.commit('store', last);
    const writer = await startWriter(store);
    await writer.passed(last);
    expect(store.seqs).toEqual([2]);
  });

  it('asks a store that is ahead of the commit again what it refused, under the same name', async () => {
    const refusing = (): TelemetryWriter => ({
      write: () => Promise.reject(new Error('not asked')),
      takeFrom: async (from) => {
        const { entries, next } = await segmentLog.log.read(from, { maxEntries: 9, kinds: new Set(['telemetry']) });
        const rejected = entries.flatMap((entry) => {
          const { identity, receivedAt, samples } = decodeTelemetryEntry(entry);
          return samples.map((sample) => ({ sample: { ...identity, ...sample, receivedAt }, reason: 'no', entry }));
        });
        return { next, messages: entries.length, newestAt: undefined, rejected };
      },
      storedPosition: async () => segmentLog.log.end(),
    });
    const last = await append(1);
    for (let start = 1; start <= 2; start++) {
      const writer = await startWriter(refusing(), { commitEveryMs: 60_000 });
      await waitFor('the refusal', async () => (await quarantined()).length === start);
      // As after a kill between the quarantine and the commit.
      if (start === 1) vi.spyOn(segmentLog.log, 'commit').mockRejectedValueOnce(new Error('killed'));
      await writer.stop();
    }
    const sources = (await quarantined()).map((record) => record.source);
    const source = `${String(last).padStart(16, '0')}-s0`;
    expect(sources).toEqual([source, source]);
  });

  it('begins where it committed when the store does not know', async () => {
    const store = new FakeStore();
    await segmentLog.log.commit('store', await append(1));
    const writer = await startWriter(store);
    await writer.passed(await append(2));
    expect(store.seqs).toEqual([2]);
  });

  it('writes nothing into a store that is ahead of the log, and says so', async () => {
    const store = new FakeStore();
    store.position = 1e9;
    const writer = await startWriter(store);
    await append(1);
    await waitFor('the complaint', () => !writer.readiness().ok);
    expect(writer.readiness().detail).toContain('1000000000');
    expect(store.seqs).toEqual([]);
  });

  it('quarantines a sample that the store refuses before it commits', async () => {
    const store = new FakeStore();
    store.refuses = ({ identity, receivedAt, samples }) =>
      identity.seq === 2
        ? samples.map((sample) => ({ sample: { ...identity, ...sample, receivedAt }, reason: 'type\nconflict' }))
        : [];
    const writer = await startWriter(store);
    for (const seq of [1, 2]) await append(seq);
    const last = await append(3);
    await committed('store', last);
    await writer.passed(last);
    expect(await quarantined()).toMatchObject([
      {
        reason: 'STORE_WRITE_REJECTED',
        at: 's[0]',
        boot: 'boot-1',
        seq: 2,
        samples: 1,
        excerpt: 'type\\u000aconflict: {"freezerTempC":2}',
      },
    ]);
    expect((await readAll(segmentLog.log)).at(-1)).toMatchObject({ model: 'refrigerator', kind: 'quarantine' });
  });

  it('halves a batch that is refused as a whole until only the bad message is left out', async () => {
    const store = new FakeStore();
    const write = store.write.bind(store);
    store.write = (messages, position) =>
      messages.some((message) => message.identity.seq === 5)
        ? Promise.reject(new AppError('STORE_WRITE_REJECTED', 'line 5'))
        : write(messages, position);
    for (let seq = 1; seq <= 9; seq++) await append(seq);
    const writer = await startWriter(store);
    await writer.passed(segmentLog.log.end());
    expect(store.seqs).toEqual([1, 2, 3, 4, 6, 7, 8, 9]);
    expect(store.batches.map(({ position }) => position)).toEqual(
      [...store.batches.map(({ position }) => position)].sort((a, b) => a - b),
    );
    expect(await quarantined()).toMatchObject([{ reason: 'STORE_WRITE_REJECTED', at: '', samples: 0 }]);
  });

  it('lets a store that reads the log itself do so, batch by batch, also when it was away', async () => {
    const ranges: [Position, Position][] = [];
    let failures = 1;
    const store: TelemetryWriter = {
      write: () => Promise.reject(new Error('not asked')),
      takeFrom: async (from, durableEnd) => {
        if (failures-- > 0) throw new AppError('STORE_UNAVAILABLE');
        ranges.push([from, durableEnd]);
        const { entries, next } = await segmentLog.log.read(from, { maxEntries: 1 });
        return { next, messages: entries.length, newestAt: entries[0]?.receivedAt, rejected: [] };
      },
      storedPosition: async () => undefined,
    };
    const first = await append(1);
    const second = await append(2);
    const writer = await startWriter(store);
    await writer.passed(second);
    await committed('store', second);
    expect(ranges).toEqual([
      [0, second],
      [first, second],
    ]);
    await writer.stop();
    expect(metrics.values.get('presage_ingest_stored_total')).toBe(2);
    expect(metrics.values.get('presage_ingest_store_delay_seconds')).toBe(3);
  });

  it('keeps batches within entries and bytes', async () => {
    const store = new FakeStore();
    for (let seq = 1; seq <= 20; seq++) await append(seq);
    const writer = await startWriter(store, { batchEntries: 8 });
    await writer.passed(segmentLog.log.end());
    expect(store.batches.map(({ messages }) => messages.length)).toEqual([8, 8, 4]);
  });

  it('gathers what comes within a moment into one batch', async () => {
    const store = new FakeStore();
    const writer = await startWriter(store, { gatherMs: 200 });
    const positions = await Promise.all([append(1), append(2)]);
    const last = await append(3);
    await writer.passed(Math.max(...positions, last));
    expect(store.batches).toHaveLength(1);
  });
});

describe('registry writer', () => {
  async function startRegistry(
    store: (records: readonly RegistryRecord[]) => Promise<void>,
    options: RegistryWriterOptions = {},
  ) {
    const writer = createRegistryWriter(
      { log: segmentLog.log, sink: { store }, ...services },
      { ...QUICK, ...options },
    );
    running.push(writer);
    await writer.start();
    return writer;
  }

  it('hands on births, states, events and quarantine entries with their positions', async () => {
    const records: RegistryRecord[] = [];
    await startRegistry(async (batch) => {
      records.push(...batch);
    });
    const { log } = segmentLog;
    const birth = { v: 1, boot: 'b', t: 1, firmware: '2.1' };
    const record = {
      tenant: 'acme',
      device: 'fridge-1',
      reason: 'PAYLOAD_NOT_JSON',
      at: '',
      channel: 'telemetry',
      receivedAt: RECEIVED_AT,
      sha256: 'ab',
      excerpt: 'x',
      samples: 0,
    } as const;
    const positions = [
      await appended(log, logEntry({ kind: 'birth', text: JSON.stringify(birth) })),
      await append(1),
      await appended(log, logEntry({ kind: 'state', text: '{"v":1,"boot":"b","state":"online"}' })),
      await appended(log, logEntry({ kind: 'event', text: '{"v":1,"boot":"b","seq":1,"t":1}' })),
      await appended(log, logEntry({ kind: 'other', text: '{}' })),
      await appended(log, quarantineEntry(record, 'refrigerator')),
    ];
    await committed('registry', positions[5] ?? 0);
    expect(records).toEqual([
      {
        kind: 'birth',
        position: positions[0],
        ref: { tenant: 'acme', device: 'fridge-1' },
        birth,
        receivedAt: RECEIVED_AT,
      },
      expect.objectContaining({ kind: 'state', position: positions[2] }),
      expect.objectContaining({ kind: 'event', position: positions[3] }),
      { kind: 'quarantine', position: positions[5], record },
    ]);
  });

  it('tries again until the database is back, and commits only then', async () => {
    let tries = 0;
    const writer = await startRegistry(async () => {
      if (tries++ === 0) throw new AppError('SQL_UNAVAILABLE');
    });
    const position = await appended(segmentLog.log, logEntry({ kind: 'birth', text: '{"v":1,"boot":"b","t":1}' }));
    await waitFor('a failure', () => !writer.readiness().ok);
    expect(segmentLog.log.committed('registry')).toBe(0);
    await committed('registry', position);
    expect(tries).toBe(2);
    expect(writer.readiness().ok).toBe(true);
  });

  it('passes over an entry that is not readable and counts it', async () => {
    const records: RegistryRecord[] = [];
    const writer = await startRegistry(async (batch) => {
      records.push(...batch);
    });
    await appended(segmentLog.log, logEntry({ kind: 'birth', text: '{"v":9}' }));
    const position = await appended(segmentLog.log, logEntry({ kind: 'birth', text: '{"v":1,"boot":"b","t":1}' }));
    await committed('registry', position);
    expect(records).toHaveLength(1);
    await writer.stop();
    expect(metrics.values.get('presage_ingest_dropped_total{reason=unreadable}')).toBe(1);
  });

  it('sets the one record aside that the database will never take, and stores the others once', async () => {
    const stored: RegistryRecord[] = [];
    await startRegistry(async (batch) => {
      const isPoison = (record: RegistryRecord): boolean => record.kind === 'birth' && record.birth.boot === 'poison';
      if (batch.some(isPoison)) throw new AppError('STORE_WRITE_REJECTED', 'invalid byte sequence');
      stored.push(...batch);
    });
    const boots = ['a', 'b', 'poison', 'c', 'd'];
    const positions = await Promise.all(
      boots.map((boot) =>
        appended(segmentLog.log, logEntry({ kind: 'birth', text: `{"v":1,"boot":"${boot}","t":1}` })),
      ),
    );
    await committed('registry', Math.max(...positions));
    expect(stored.map(({ position }) => position)).toEqual(positions);
    expect(stored.map((record) => (record.kind === 'birth' ? record.birth.boot : record.kind))).toEqual([
      'a',
      'b',
      'quarantine',
      'c',
      'd',
    ]);
    expect(stored[2]).toMatchObject({
      record: { reason: 'STORE_WRITE_REJECTED', channel: 'birth', excerpt: expect.stringContaining('invalid byte') },
    });
  });
});
