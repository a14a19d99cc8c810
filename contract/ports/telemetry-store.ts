/** The telemetry store: long-term samples. Adapters meet `tests/checks/telemetry-store.checks.ts`. */
import type { DeviceRef, MessageIdentity } from '../kernel/ids.ts';
import type { SignalValue } from '../wire/payloads.ts';
import type { Sample, TelemetryMessage } from '../wire/sample.ts';
import type { LoggedEntry, Position } from './telemetry-log.ts';

/** One stored sample with its whole identity, as `export` gives it back. */
export interface StoredSample extends MessageIdentity, Sample {
  readonly receivedAt: number;
}

export interface RangeQuery extends DeviceRef {
  readonly model: string;
  /** Inclusive, epoch ms of the device's clock. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

export interface SeriesQuery extends RangeQuery {
  readonly signals: readonly string[];
  /** Down-sample to at most this many points a signal, keeping minima and maxima; raw when absent. */
  readonly points?: number;
}

/** Points of one signal, oldest first. */
export interface Series {
  readonly signal: string;
  readonly points: readonly (readonly [observedAt: number, value: SignalValue])[];
}

/** A sample that the store will never take, with its own words. */
export interface RejectedSample {
  readonly sample: StoredSample;
  readonly reason: string;
}

/** What a store took from the log by itself. */
export interface TakenFromLog {
  /** Everything up to here is stored or rejected. */
  readonly next: Position;
  readonly messages: number;
  /** Receive time of the newest message, epoch ms. */
  readonly newestAt: number | undefined;
  /** With the log entry that each came in. */
  readonly rejected: readonly (RejectedSample & { readonly entry: LoggedEntry })[];
}

export interface TelemetryWriter {
  /**
   * Stores the messages of a log batch that ends at `position`, and remembers the position with them where the store
   * can. Idempotent: writing a batch again changes nothing.
   * @throws AppError STORE_UNAVAILABLE (retriable); nothing of the batch may be assumed stored then
   */
  write(messages: readonly TelemetryMessage[], position: Position): Promise<readonly RejectedSample[]>;
  /**
   * Reads the log by itself behind `from`, at most up to `durableEnd`, and stores what it finds: for a store that was told
   * where the log's files are and works in a thread of its own. Idempotent as `write` is; what it refused is said again.
   * Absent = the caller reads, decodes and uses `write`.
   * @throws AppError STORE_UNAVAILABLE (retriable), as `write`; LOG_CORRUPT
   */
  takeFrom?(from: Position, durableEnd: Position): Promise<TakenFromLog>;
  /** Position of the last stored batch, where the store keeps it itself; `undefined` = ask the log. */
  storedPosition(): Promise<Position | undefined>;
}

export interface TelemetryReader {
  series(query: SeriesQuery): Promise<readonly Series[]>;
  /** Last value of each signal by device time, backfill excluded. */
  latest(
    query: DeviceRef & { model: string },
  ): Promise<ReadonlyMap<string, { observedAt: number; value: SignalValue }>>;
  /** All samples of a range ordered by device time, boot, seq, index; constant memory. */
  export(query: RangeQuery): AsyncIterable<StoredSample>;
  /** Whether any sample of this message is stored. */
  hasMessage(identity: MessageIdentity & { model: string }): Promise<boolean>;
}

/** Widths of the roll-ups that every store offers: a minute and an hour. Buckets start at multiples of the width. */
export const ROLL_UP_WIDTHS_MS = [60_000, 3_600_000] as const;
export type RollUpWidthMs = (typeof ROLL_UP_WIDTHS_MS)[number];

/** What is left of a number signal's values in one bucket. */
export interface RollUp {
  /** Start of the bucket, epoch ms. */
  readonly from: number;
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** The value with the greatest device time. */
  readonly last: number;
}

export interface AggregateQuery extends RangeQuery {
  readonly signals: readonly string[];
  readonly bucketMs: RollUpWidthMs;
}

/** Roll-ups of one signal, oldest first; buckets without values are left out. */
export interface RollUpSeries {
  readonly signal: string;
  readonly buckets: readonly RollUp[];
}

export interface ModelAggregateQuery {
  readonly tenant: string;
  readonly model: string;
  readonly signal: string;
  readonly from: number;
  readonly to: number;
  readonly bucketMs: RollUpWidthMs;
}

/**
 * A number signal across the devices of a model in one bucket. Each device counts once, with the mean of its values, so
 * that a device that sends often does not outvote the others. Rounded to 32-bit floats (7 digits).
 */
export interface ModelBucket {
  readonly from: number;
  readonly devices: number;
  /** Samples behind it. */
  readonly count: number;
  /** Nearest rank. */
  readonly p50: number;
  readonly p95: number;
  readonly mean: number;
}

export interface LatestPageQuery {
  readonly tenant: string;
  readonly model: string;
  /** 1 to 1,000 devices. */
  readonly limit: number;
  /** Devices behind this one, in the order of their ids. */
  readonly after?: string;
}

export interface DeviceLatest {
  readonly device: string;
  readonly values: ReadonlyMap<string, { observedAt: number; value: SignalValue }>;
}

export interface LatestPage {
  /** By device id; devices without a live value are left out. */
  readonly devices: readonly DeviceLatest[];
  /** `after` of the next page; absent after the last. */
  readonly next?: string;
}

/** Questions about long ranges and whole fleets. All bounded: STORE_QUERY_INVALID names the limit. */
export interface TelemetryAggregates {
  /** Roll-ups of the whole buckets that the range touches; signals without numbers give none. */
  aggregate(query: AggregateQuery): Promise<readonly RollUpSeries[]>;
  aggregateModel(query: ModelAggregateQuery): Promise<readonly ModelBucket[]>;
  /** `latest` for all devices of a tenant and model, page by page. */
  latestAll(query: LatestPageQuery): Promise<LatestPage>;
}

/** What is stored of one message. */
export interface MessageReceipt {
  /** Server clock, epoch ms. */
  readonly receivedAt: number;
  /** Device clock, of its first stored sample. */
  readonly observedAt: number;
  /** Stored samples. */
  readonly samples: number;
}

/** What the HTTP API asks of a store. */
export type ApiReader = TelemetryReader & Pick<TelemetryAggregates, 'aggregateModel'>;

export interface TelemetryLookups {
  /** `undefined` when no sample of the message is stored, or retention deleted them. */
  receipt(identity: MessageIdentity & { model: string }): Promise<MessageReceipt | undefined>;
  /** Greatest sequence number stored of a boot, `undefined` when there is none. May remember what retention deleted. */
  highestSequence(boot: Omit<MessageIdentity, 'seq'> & { model: string }): Promise<number | undefined>;
}

/** Times before which data may go; epoch ms. */
export interface RetentionCut {
  /** Raw samples of whole hours that were observed and received before this become roll-ups. */
  readonly rawBefore: number;
  /** Minute roll-ups older than this go; hour roll-ups stay. */
  readonly minutesBefore: number;
}

export interface TelemetryRetention {
  /**
   * Rolls the oldest hour of one model up, or some of its devices, and deletes their samples, as one step that a crash
   * cannot halve.
   * @returns the samples deleted, or `undefined` when nothing is left to do
   */
  retain(cut: RetentionCut): Promise<number | undefined>;
}

export interface TelemetryFiles {
  /**
   * Holds back every change of the store's own files, so that they can be copied; reading goes on. Resolves when they rest,
   * with what ends it: that answers whether they rested all the time. Absent = the data lie in another server.
   */
  freeze?(): Promise<() => Promise<boolean>>;
}

export interface TelemetryStore
  extends TelemetryWriter,
    TelemetryReader,
    TelemetryAggregates,
    TelemetryLookups,
    TelemetryRetention,
    TelemetryFiles {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Throws when the store does not answer. */
  ping(): Promise<void>;
}
