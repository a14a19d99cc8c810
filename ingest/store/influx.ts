/**
 * The InfluxDB telemetry store, through the official client. Writing a batch again overwrites it with itself, so the
 * telemetry log may repeat as often as it likes; a line that the server refuses is searched for and handed back with the
 * server's words, and everything else is stored. See docs/stores.md.
 */
import type { Logger, Metrics } from '../../contract/ports/services.ts';
import type { RejectedSample, RetentionCut, TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import type { Sample, TelemetryMessage } from '../../contract/wire/sample.ts';
import { readLatestPage, readModelBuckets, readRollUps } from './influx-aggregate.ts';
import { InfluxConnection, type InfluxLimits, type InfluxTarget } from './influx-connection.ts';
import { linesOf } from './influx-lines.ts';
import {
  readHasMessage,
  readHighestSequence,
  readKinds,
  readLatest,
  readReceipt,
  readSamples,
  readSeries,
  slotReader,
} from './influx-read.ts';
import { finishSeals, sealOldestHour } from './influx-seal.ts';
import { type MovedSlots, SlotKeeper } from './influx-slots.ts';
import { checkLatestPage, checkSeries, wholeBuckets } from './queries.ts';
import { SealGate } from './seal-gate.ts';
import { rejectedSample, SignalKinds, type StorableMessage } from './signal-kinds.ts';
import { asUnavailable, meterWrite } from './store-meter.ts';

export interface InfluxStoreDeps extends InfluxTarget {
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export type InfluxStoreOptions = Partial<InfluxLimits>;

export const DEFAULT_INFLUX_LIMITS: InfluxLimits = {
  timeoutMs: 30_000,
  maxLines: 2000,
  parallelRequests: 3,
  maxBytes: 8 * 1024 * 1024,
  gzipFromBytes: Number.MAX_SAFE_INTEGER,
  pageRows: 2_000,
};

/** A sample on its way, so that a refused line leads back to it. */
interface Line {
  readonly text: string;
  readonly message: TelemetryMessage;
  readonly sample: Sample;
}

/** The store. `start` does not need the server: it may be away for hours while the telemetry log holds the data. */
export function createInfluxStore(deps: InfluxStoreDeps, options: InfluxStoreOptions = {}): TelemetryStore {
  const { logger, metrics, ...target } = deps;
  const limits: InfluxLimits = { ...DEFAULT_INFLUX_LIMITS, ...options };
  const connection = new InfluxConnection(target, limits, logger);
  const kinds = new SignalKinds();
  const slots = new SlotKeeper(slotReader(connection, limits.pageRows));
  /** Writes follow each other: the client's buffer belongs to one of them. */
  let lastWrite: Promise<unknown> = Promise.resolve();
  const gate = new SealGate();
  let sealsFinished = false;

  function inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = lastWrite.then(action, action);
    lastWrite = result;
    return result;
  }

  async function finishOldSeals(): Promise<void> {
    if (!sealsFinished && (await connection.api()) === 'v1') await gate.seal(() => finishSeals(connection));
    sealsFinished = true;
  }

  async function retain(cut: RetentionCut): Promise<number | undefined> {
    try {
      if ((await connection.api()) !== 'v1') return undefined;
      await finishOldSeals();
      return await gate.seal(() => sealOldestHour(connection, cut));
    } catch (error) {
      sealsFinished = false;
      throw asUnavailable(error);
    }
  }

  async function store(messages: readonly TelemetryMessage[]): Promise<readonly RejectedSample[]> {
    try {
      await finishOldSeals();
      await loadKinds(connection, kinds, messages);
      const { storable, rejected } = kinds.plan(messages);
      const moved = await slots.place(storable);
      const crowded = [...moved].flatMap(([message, places]) => withoutSlot(storable, message, places));
      const requests = requestsOf(storable, moved, limits);
      const refused = await writeAll(connection, requests, limits.parallelRequests);
      const samples = storable.reduce((sum, message) => sum + message.samples.length, 0);
      const stored = samples - refused.length - crowded.length;
      metrics.count('presage_store_samples_total', 'Samples stored', { engine: 'influx' }, stored);
      return [...rejected, ...crowded, ...refused];
    } catch (error) {
      kinds.clear();
      slots.clear();
      throw asUnavailable(error);
    }
  }

  return {
    start: async () => {},
    async stop() {
      await lastWrite.catch(() => undefined); // Its caller heard of the error.
      connection.close();
    },
    ping: () => connection.ping(),
    write: (messages) => inTurn(() => meterWrite(metrics, 'influx', () => store(messages))),
    retain: (cut) => inTurn(() => retain(cut)),
    storedPosition: async () => undefined,
    async series(query) {
      checkSeries(query);
      return gate.read(() => readSeries(connection, query, limits.pageRows));
    },
    latest: (query) => readLatest(connection, query),
    export: (query) => readSamples(connection, query, limits.pageRows),
    hasMessage: (identity) => readHasMessage(connection, identity),
    receipt: (identity) => readReceipt(connection, identity),
    highestSequence: (boot) => readHighestSequence(connection, boot),
    aggregate: (query) => gate.read(async () => readRollUps(connection, wholeBuckets(query))),
    aggregateModel: (query) => gate.read(async () => readModelBuckets(connection, wholeBuckets(query))),
    async latestAll(query) {
      checkLatestPage(query);
      return readLatestPage(connection, query);
    },
  };
}

async function loadKinds(
  connection: InfluxConnection,
  kinds: SignalKinds,
  messages: readonly TelemetryMessage[],
): Promise<void> {
  for (const model of new Set(messages.map((message) => message.model))) {
    if (!kinds.has(model)) kinds.load(model, await readKinds(connection, model));
  }
}

type Moved = ReadonlyMap<TelemetryMessage, MovedSlots>;

/** Samples of a message for which their millisecond has no slot left. */
function withoutSlot(
  storable: readonly StorableMessage[],
  message: TelemetryMessage,
  places: MovedSlots,
): RejectedSample[] {
  if (![...places.values()].includes(undefined)) return [];
  const samples = storable.find((one) => one.message === message)?.samples ?? [];
  return samples
    .filter(({ observedAt }) => isCrowded(places, Math.floor(observedAt)))
    .map((sample) => rejectedSample(message, sample, 'too many messages of this device have the same millisecond'));
}

/** Lines in portions that one request may hold, made when they are asked for. */
function* requestsOf(
  storable: readonly StorableMessage[],
  moved: Moved,
  limits: InfluxLimits,
): Generator<readonly Line[]> {
  let lines: Line[] = [];
  let bytes = 0;
  for (const { message, samples: all } of storable) {
    const places = moved.get(message);
    const samples = places ? all.filter(({ observedAt }) => !isCrowded(places, Math.floor(observedAt))) : all;
    for (const [i, text] of linesOf(message, samples, places).entries()) {
      const lineBytes = Buffer.byteLength(text) + 1;
      if (lines.length >= limits.maxLines || (lines.length > 0 && bytes + lineBytes > limits.maxBytes)) {
        yield lines;
        lines = [];
        bytes = 0;
      }
      lines.push({ text, message, sample: samples[i] as Sample });
      bytes += lineBytes;
    }
  }
  if (lines.length > 0) yield lines;
}

function isCrowded(places: MovedSlots, ms: number): boolean {
  return places.has(ms) && places.get(ms) === undefined;
}

/** Sends the requests, a few at once: the server stores one while the next is made. Ends when all have ended. */
async function writeAll(
  connection: InfluxConnection,
  requests: Generator<readonly Line[]>,
  parallel: number,
): Promise<RejectedSample[]> {
  const refused: RejectedSample[] = [];
  const lane = async (): Promise<void> => {
    for (const lines of requests) refused.push(...(await writeLines(connection, lines)));
  };
  const lanes = await Promise.allSettled(Array.from({ length: parallel }, lane));
  for (const outcome of lanes) if (outcome.status === 'rejected') throw outcome.reason;
  return refused;
}

/** Writes lines; when the server refuses, halves them until each refused line is alone. Neighbours are written again, which changes nothing. */
async function writeLines(connection: InfluxConnection, lines: readonly Line[]): Promise<RejectedSample[]> {
  const reply = await connection.write(lines.map(({ text }) => text));
  if (reply.kind === 'stored') return [];
  const [only] = lines;
  if (lines.length === 1 && only) return [rejectedSample(only.message, only.sample, reply.reason)];
  const middle = Math.ceil(lines.length / 2);
  return [
    ...(await writeLines(connection, lines.slice(0, middle))),
    ...(await writeLines(connection, lines.slice(middle))),
  ];
}
