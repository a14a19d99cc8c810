/** An ingest over a real log in a temporary folder, with everything around it faked; devices are a line of code. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import type { InboundPublish, RegisteredDevice } from '../../contract/ports/broker.ts';
import type { Labels, Metrics } from '../../contract/ports/services.ts';
import type { LoggedEntry } from '../../contract/ports/telemetry-log.ts';
import type { UpstreamChannel } from '../../contract/wire/topics.ts';
import { createIngest, type Ingest, type IngestNeeds, type IngestOptions } from '../../ingest/create-ingest.ts';
import { openSegmentLog, type SegmentLog, type SegmentLogOptions } from '../../ingest/log/segment-log.ts';
import { manualClock, silentLogger } from './fake-services.ts';
import { RECEIVED_AT, readAll, textOf } from './log-entries.ts';

type DeclaredSignals = RegisteredDevice['declaredSignals'];

/** Sums of counters and last values of gauges, by `name{label=value}`. */
export function recordingMetrics(): Metrics & { readonly values: Map<string, number> } {
  const values = new Map<string, number>();
  const keyOf = (name: string, labels: Labels = {}): string => {
    const parts = Object.entries(labels).map(([label, value]) => `${label}=${value}`);
    return parts.length > 0 ? `${name}{${parts.join(',')}}` : name;
  };
  return {
    values,
    count: (name, _help, labels, by = 1) => {
      const key = keyOf(name, labels);
      values.set(key, (values.get(key) ?? 0) + by);
    },
    gauge: (name, _help, value, labels) => values.set(keyOf(name, labels), value),
  };
}

/** A directory that learns what births declare. */
export function fakeDirectory(model = 'refrigerator') {
  /** by client id */
  const declared = new Map<string, DeclaredSignals>();
  const find = (ref: DeviceRef): RegisteredDevice => ({
    tenant: ref.tenant,
    device: ref.device,
    model,
    declaredSignals: declared.get(clientIdOf(ref)) ?? new Map(),
  });
  return {
    declared,
    peek: find,
    declare: (ref: DeviceRef, signals: DeclaredSignals) => {
      declared.set(clientIdOf(ref), signals);
    },
  };
}

export interface Harness {
  readonly folder: string;
  readonly ingest: Ingest;
  readonly segmentLog: SegmentLog;
  readonly directory: ReturnType<typeof fakeDirectory>;
  readonly metrics: ReturnType<typeof recordingMetrics>;
  /** Resolves when the message may be acknowledged. */
  send(channel: UpstreamChannel, payload: unknown, device?: string): Promise<void>;
  /** Everything in the log as `kind:text`. */
  logged(): Promise<string[]>;
  entries(): Promise<LoggedEntry[]>;
  /** Stops both in order. */
  stop(): Promise<void>;
  /** Opens a new ingest and log on the same files. */
  again(): Promise<Harness>;
}

export interface HarnessOptions {
  readonly log?: SegmentLogOptions;
  readonly ingest?: IngestOptions;
  readonly reader?: Partial<IngestNeeds['reader']>;
  readonly passed?: NonNullable<IngestNeeds['passed']>;
}

const nothingStored: IngestNeeds['reader'] = { hasMessage: async () => false, async *export() {} };

export async function startIngest(options: HarnessOptions = {}, at?: string): Promise<Harness> {
  const folder = at ?? (await mkdtemp(join(tmpdir(), 'presage-ingest-')));
  const metrics = recordingMetrics();
  const services = { clock: manualClock(RECEIVED_AT), logger: silentLogger, metrics };
  const segmentLog = openSegmentLog({ directory: join(folder, 'log'), ...services }, options.log);
  await segmentLog.start();
  const directory = fakeDirectory();
  const { log } = segmentLog;
  const passed = options.passed ? { passed: options.passed } : {};
  const ingest = createIngest(
    { log, directory, reader: { ...nothingStored, ...options.reader }, ...passed, ...services },
    { sequenceFile: join(folder, 'sequence.json'), ...options.ingest },
  );
  await ingest.start();
  const entries = (): Promise<LoggedEntry[]> => readAll(log);
  const stop = async (): Promise<void> => {
    await ingest.stop();
    await segmentLog.stop();
  };
  return {
    folder,
    ingest,
    segmentLog,
    directory,
    metrics,
    send: (channel, payload, device = 'fridge-1') =>
      new Promise((resolve, reject) => {
        ingest.deliver(publishOf(channel, payload, device), (error) => (error ? reject(error) : resolve()));
      }),
    entries,
    logged: async () => (await entries()).map((entry) => `${entry.kind}:${textOf(entry)}`),
    stop,
    again: async () => {
      await stop();
      return startIngest(options, folder);
    },
  };
}

export async function disposeIngest(harness: Harness): Promise<void> {
  await harness.stop();
  await rm(harness.folder, { recursive: true, force: true });
}

function publishOf(channel: UpstreamChannel, payload: unknown, device: string): InboundPublish {
  return {
    device: { tenant: 'acme', device, model: 'refrigerator', declaredSignals: new Map() },
    channel,
    payload: Buffer.isBuffer(payload)
      ? payload
      : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)),
    receivedAt: RECEIVED_AT,
  };
}

/** A telemetry payload with one good sample. */
export function telemetry(seq: number, over: object = {}): object {
  return { v: 1, boot: 'boot-1', seq, t: RECEIVED_AT - 1_000, s: [[0, { freezerTempC: seq }]], ...over };
}
