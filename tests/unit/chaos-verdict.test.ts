/**
 * The verdict of the chaos run catches the bugs it is there for. The real ingest takes the traffic of misbehaving devices
 * in this process; each bug is planted from outside, by a module replaced or by a log, store or crash of the test's own.
 */
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ExportedSample, QuarantineEntry } from '../../contract/http/resources.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import type { Appended, LogEntry, LoggedEntry, TelemetryLog } from '../../contract/ports/telemetry-log.ts';
import { decodeTelemetryEntry } from '../../contract/wire/log-entry.ts';
import { createIngest } from '../../ingest/create-ingest.ts';
import { quarantineRecordSchema } from '../../ingest/quarantine.ts';
import type { JournalMessage } from '../chaos/journal.ts';
import { createTraffic, DECLARED, pick } from '../chaos/traffic.ts';
import { judge, type OfTenant, type Verdict } from '../chaos/verdict.ts';
import { silentLogger } from '../support/fake-services.ts';
import { fakeDirectory, recordingMetrics } from '../support/ingest-harness.ts';

const planted = vi.hoisted(() => ({ noDedupe: false }));
vi.mock(import('../../ingest/accept.ts'), async (original) => {
  const real = await original();
  return { accept: (seq, window) => (planted.noDedupe ? { kind: 'accepted' } : real.accept(seq, window)) };
});
afterEach(() => {
  planted.noDedupe = false;
});

interface Bugs {
  /** The log says "durable" at once and writes later; a crash comes before. */
  readonly acknowledgeFirst?: boolean;
  readonly noDedupe?: boolean;
  /** What the store takes for the identity of a sample; the last one written wins. */
  readonly storeKey?: (sample: OfTenant<ExportedSample>) => string;
}

const NOW = Date.UTC(2026, 5, 1);
const WHOLE_IDENTITY = (sample: OfTenant<ExportedSample>): string =>
  [sample.tenant, sample.device, sample.boot, sample.seq, sample.index].join('/');

/** A log in memory that makes entries durable at `flush`; a crash loses what was not flushed. */
function memoryLog(acknowledgeFirst: boolean) {
  const durable: LoggedEntry[] = [];
  let waiting: { entry: LogEntry; done: Appended }[] = [];
  let position = 0;
  let barriers: (() => void)[] = [];
  const nothing = (): never => {
    throw new Error('not part of this test');
  };
  const log: TelemetryLog = {
    append(entry, done) {
      const copy = { ...entry, body: Uint8Array.from(entry.body) };
      waiting.push({ entry: copy, done });
      if (acknowledgeFirst) queueMicrotask(() => done(undefined, ++position));
    },
    barrier(done) {
      if (waiting.length === 0 || acknowledgeFirst) queueMicrotask(() => done(undefined));
      else barriers.push(() => done(undefined));
    },
    read: async () => ({ entries: [], next: position }),
    end: () => position,
    start: () => 0,
    committed: () => 0,
    commit: async () => undefined,
    lagBytes: () => 0,
    onDurable: nothing,
  };
  return {
    log,
    durable,
    flush() {
      for (const { entry, done } of waiting.splice(0)) {
        durable.push({ ...entry, position: durable.length + 1 });
        if (!acknowledgeFirst) done(undefined, ++position);
      }
      for (const barrier of barriers.splice(0)) barrier();
    },
    crash() {
      waiting = [];
      barriers = [];
    },
  };
}

async function runWith(seed: number, bugs: Bugs): Promise<Verdict> {
  planted.noDedupe = bugs.noDedupe === true;
  const random = seededRandom(seed);
  const memory = memoryLog(bugs.acknowledgeFirst === true);
  const directory = fakeDirectory();
  const traffics = ['north', 'south'].flatMap((tenant) =>
    ['fridge-0', 'fridge-1'].map((device) => ({ tenant, device, traffic: createTraffic(tenant, device, random) })),
  );
  const journal: JournalMessage[] = [];
  const declaredSignals = new Map([[DECLARED.name, DECLARED.kind]]);
  for (const { tenant, device } of traffics) directory.declare({ tenant, device }, declaredSignals);
  const ingest = createIngest({
    log: memory.log,
    directory,
    reader: { hasMessage: async () => false, async *export() {} },
    clock: { now: () => NOW },
    logger: silentLogger,
    metrics: recordingMetrics(),
  });
  await ingest.start();
  const send = (message: JournalMessage): void => {
    message.sends++;
    const { tenant, device, payload } = message;
    const publish = {
      device: { tenant, device, model: 'refrigerator', declaredSignals },
      channel: 'telemetry' as const,
      payload,
      receivedAt: NOW,
    };
    ingest.deliver(publish, (error) => {
      if (!error) message.acks++;
    });
  };
  for (let step = 0; step < 400; step++) {
    const { traffic } = pick(traffics, random);
    const message = traffic.next(NOW + step);
    journal.push(message);
    send(message);
    if (random() < 0.1) send(pick(journal, random));
    if (random() < 0.02) traffic.reboot();
    await Promise.resolve();
    if (step < 380 && random() < 0.2) memory.flush();
  }
  // The last of them are on their way when the power goes.
  await new Promise((resolve) => setImmediate(resolve));
  memory.crash();
  await ingest.stop();
  return judge({ journal, ...storedBy(memory.durable, bugs.storeKey ?? WHOLE_IDENTITY, bugs.noDedupe === true) });
}

/** What a store that follows the log gives back. Without deduplication in front it keeps what it is given. */
function storedBy(entries: readonly LoggedEntry[], keyOf: NonNullable<Bugs['storeKey']>, keepsAll: boolean) {
  const stored = new Map<string, OfTenant<ExportedSample>>();
  const quarantined: OfTenant<QuarantineEntry>[] = [];
  entries.forEach((entry, row) => {
    if (entry.kind === 'quarantine') {
      const record = quarantineRecordSchema.parse(JSON.parse(Buffer.from(entry.body).toString()));
      const { boot = '', seq = -1 } = record;
      quarantined.push({ ...record, id: String(row), boot, seq, state: 'refused', replayable: false });
      return;
    }
    const { identity, receivedAt, samples } = decodeTelemetryEntry(entry);
    for (const { index, observedAt, signals } of samples) {
      const sample = { ...identity, index, time: observedAt, receivedAt, signals };
      stored.set(keepsAll ? `${row}/${index}` : keyOf(sample), sample);
    }
  });
  return { exported: [...stored.values()], quarantined };
}

const SEEDS = [1, 2, 3, 4, 5];

describe('the verdict of a chaos run', () => {
  it.each(SEEDS)('finds nothing wrong with the pipeline as it is (seed %i)', async (seed) => {
    const verdict = await runWith(seed, {});
    expect(verdict).toMatchObject({ ok: true, violations: {}, examples: [] });
    expect(verdict.samples.acked).toBeGreaterThan(300);
    expect(verdict.quarantineEntries).toBeGreaterThan(20);
    expect(verdict.messages.copies).toBeGreaterThan(verdict.messages.sent);
  });

  it.each(SEEDS)('catches an acknowledgement before the disk has it (seed %i)', async (seed) => {
    const verdict = await runWith(seed, { acknowledgeFirst: true });
    expect(verdict.ok).toBe(false);
    expect(verdict.violations.missing).toBeGreaterThan(0);
  });

  it.each(SEEDS)('catches an ingest that does not recognise repetitions (seed %i)', async (seed) => {
    const verdict = await runWith(seed, { noDedupe: true });
    expect(verdict.violations.doubled).toBeGreaterThan(0);
  });

  it.each(SEEDS)('catches a store that takes the time for the identity (seed %i)', async (seed) => {
    const verdict = await runWith(seed, { storeKey: ({ tenant, device, time }) => `${tenant}/${device}/${time}` });
    expect(verdict.violations.missing).toBeGreaterThan(0);
  });

  it.each(SEEDS)('catches a store that forgets the tenant (seed %i)', async (seed) => {
    const verdict = await runWith(seed, {
      storeKey: ({ device, boot, seq, index }) => [device, boot, seq, index].join('/'),
    });
    expect(verdict.violations.missing).toBeGreaterThan(0);
  });

  it('catches what a tenant sees of another', async () => {
    const message = createTraffic('north', 'fridge-0', () => 0.5).next(NOW);
    message.sends = message.acks = 1;
    const [sample] = message.samples;
    const exported = { tenant: 'south', device: 'fridge-0', boot: message.boot, seq: message.seq, index: 0 };
    const leaked = { ...exported, time: sample?.time ?? 0, receivedAt: NOW, signals: sample?.signals ?? {} };
    expect(judge({ journal: [message], exported: [leaked], quarantined: [] }).violations.unsent).toBe(1);
  });

  it('catches a value and a time that changed', async () => {
    const message = createTraffic('north', 'fridge-0', () => 0.5).next(NOW);
    message.sends = 1;
    const exported = message.samples.map((sample, index) => ({
      ...{ tenant: 'north', device: 'fridge-0', boot: message.boot, seq: message.seq, index, receivedAt: NOW },
      ...(index === 0
        ? { time: sample.time + 1, signals: sample.signals }
        : { time: sample.time, signals: { ...sample.signals, freezerTempC: 0 } }),
    }));
    const verdict = judge({ journal: [message], exported, quarantined: [] });
    expect(verdict.violations).toEqual({ different: message.samples.length });
  });
});
