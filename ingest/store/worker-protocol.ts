/**
 * What the embedded store's event-loop side and its worker thread say to each other: calls by number, answers by number.
 * Everything here survives a structured clone.
 */
import type { DeviceRef, MessageIdentity } from '../../contract/kernel/ids.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type {
  AggregateQuery,
  LatestPageQuery,
  MessageReceipt,
  ModelAggregateQuery,
  ModelBucket,
  RangeQuery,
  RejectedSample,
  RetentionCut,
  RollUpSeries,
  Series,
  SeriesQuery,
  TakenFromLog,
} from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';

export interface EmbeddedLimits {
  /** DuckDB's own memory. */
  readonly memoryLimitMb: number;
  /** Size of the write-ahead log at which it is folded into the file; also what a restart after a crash replays. */
  readonly walLimitMb: number;
  /** Disk space for sorts that do not fit into memory. */
  readonly spillLimitMb: number;
  /** Queries at once. Each holds a thread of the process-wide pool that file syncs need too. */
  readonly readers: number;
  /** Queries that may wait for a reader. */
  readonly maxWaitingQueries: number;
  /** Devices × signals whose latest values stay in memory, some 40 bytes each; beyond that samples are read for them. */
  readonly maxLatestValues: number;
  /** Samples after which the latest values are copied into the file; also what a restart reads for them. */
  readonly latestCopyEvery: number;
  /** Samples that one step of retention rolls up and deletes; writes wait for it. A device with more is one step. */
  readonly sealSamples: number;
  /** Samples of one page of an export. */
  readonly pageRows: number;
}

export interface WorkerSetup extends EmbeddedLimits {
  readonly directory: string;
  /** Where the telemetry log's files are, when the worker shall read them by itself. */
  readonly logDirectory?: string;
}

/** Where an export goes on. */
export interface PageCursor {
  /** Device time to read from. */
  readonly from: number;
  /** How much time to look at in one query; follows the density of the data. */
  readonly widthMs: number;
  /** The last sample given out, when there may be more of the same time. */
  readonly after?: { readonly boot: string; readonly seq: number; readonly index: number };
}

/** Samples column by column, in order. */
export interface Page {
  readonly boots: readonly string[];
  readonly seqs: readonly number[];
  readonly indexes: readonly number[];
  readonly observedAt: readonly number[];
  readonly receivedAt: readonly number[];
  readonly signals: readonly { readonly signal: string; readonly values: readonly (SignalValue | null)[] }[];
  /** Absent after the last page. */
  readonly next?: PageCursor;
}

/** Latest values of some devices, column by column: objects would cost a hundred times as much to hand over. */
export interface LatestPack {
  readonly devices: readonly string[];
  readonly signals: readonly {
    readonly signal: string;
    /** By device; NaN = no value. */
    readonly observedAt: Float64Array;
    readonly values: readonly (SignalValue | null)[];
  }[];
  /** Absent after the last page. */
  readonly next?: string;
}

export type LatestValues = ReadonlyMap<string, { observedAt: number; value: SignalValue }>;

/** Every call that the worker answers. */
export interface WorkerOperations {
  open(): Promise<void>;
  write(messages: readonly TelemetryMessage[], position: Position): Promise<readonly RejectedSample[]>;
  takeFrom(from: Position, durableEnd: Position): Promise<TakenFromLog>;
  storedPosition(): Promise<Position>;
  series(query: SeriesQuery): Promise<readonly Series[]>;
  latest(query: DeviceRef & { model: string }): Promise<LatestValues>;
  page(query: RangeQuery, cursor: PageCursor | undefined): Promise<Page>;
  hasMessage(identity: MessageIdentity & { model: string }): Promise<boolean>;
  receipt(identity: MessageIdentity & { model: string }): Promise<MessageReceipt | undefined>;
  highestSequence(boot: Omit<MessageIdentity, 'seq'> & { model: string }): Promise<number | undefined>;
  aggregate(query: AggregateQuery): Promise<readonly RollUpSeries[]>;
  aggregateModel(query: ModelAggregateQuery): Promise<readonly ModelBucket[]>;
  latestAll(query: LatestPageQuery): Promise<LatestPack>;
  retain(cut: RetentionCut): Promise<number | undefined>;
  /** No write until `thaw`. */
  freeze(): Promise<void>;
  /** Whether the file stayed open as it was. */
  thaw(): Promise<boolean>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface WorkerCall {
  readonly id: number;
  readonly operation: keyof WorkerOperations;
  readonly args: readonly unknown[];
}

export type WorkerAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failure: { readonly code: string; readonly message: string } }
  /** Not an answer: something to count or to log. */
  | { readonly notice: WorkerNotice };

export type WorkerNotice =
  | { readonly kind: 'reopened'; readonly reason: string }
  | { readonly kind: 'latestOverflow'; readonly maxValues: number }
  | { readonly kind: 'stored'; readonly samples: number; readonly fileBytes: number };
