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

export interface TelemetryWriter {
  /**
   * Stores the messages of a log batch that ends at `position`, and remembers the position with them where the store
   * can. Idempotent: writing a batch again changes nothing.
   * @throws AppError STORE_UNAVAILABLE (retriable); nothing of the batch may be assumed stored then
   */
  write(messages: readonly TelemetryMessage[], position: Position): Promise<readonly RejectedSample[]>;
  /**
   * The same with raw log entries, where the store can decode them off the event loop; entries of other kinds than
   * `telemetry` only move the position. The bodies are copied, never transferred: the caller keeps its buffers.
   * Absent = the caller decodes and uses `write`.
   */
  writeEntries?(entries: readonly LoggedEntry[], position: Position): Promise<readonly RejectedSample[]>;
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

export interface TelemetryStore extends TelemetryWriter, TelemetryReader {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Throws when the store does not answer. */
  ping(): Promise<void>;
}
