/**
 * The telemetry log: the one hinge between ingest and all that follows. What `append` has confirmed is on disk.
 * The same port carries the findings stream. Adapters meet `tests/checks/telemetry-log.checks.ts`.
 */

/** Where an entry ends in the log; rises with every entry; 0 = before the first. Never reused. */
export type Position = number;

/** What an entry holds: the outcome of accepting one message, or a finding. */
export const ENTRY_KINDS = [
  'telemetry',
  'birth',
  'state',
  'event',
  'quarantine',
  'finding',
  'other',
  /** A device logged in: what follows of it came through this connection. Older versions read it as `other`. */
  'session',
  /** Something that the desk tells analytics, from this place of the log on: see orders.ts. Older versions read it as `other`. */
  'order',
  /** Nothing came for {@link TICK_EVERY_MS}, and somebody listened: time passed. Of no device. Older versions: `other`. */
  'tick',
] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

/**
 * Whoever listens to devices logs at least so often that it does. A longer gap between two entries tells readers that
 * nobody was listening, so that nobody's silence counts.
 */
export const TICK_EVERY_MS = 20_000;
/** Tenant and device of entries of kind `tick`; no tenant and no device is called so. */
export const TICK_NAME = '*';

export interface LogEntry {
  readonly kind: EntryKind;
  readonly tenant: string;
  readonly device: string;
  /** Device model id, so that consumers need no registry. */
  readonly model: string;
  /** Server clock, epoch ms. */
  readonly receivedAt: number;
  /** UTF-8 JSON. Telemetry: the accepted payload, with `null` where a sample was refused (see decodeTelemetryEntry). */
  readonly body: Uint8Array;
}

export interface LoggedEntry extends LogEntry {
  readonly position: Position;
}

export interface ReadOptions {
  /** Only entries of these partitions (see partitionOf); all when absent. */
  readonly partitions?: ReadonlySet<number>;
  /** Only entries of these kinds; all when absent. */
  readonly kinds?: ReadonlySet<EntryKind>;
  readonly maxEntries: number;
}

export interface LogBatch {
  readonly entries: readonly LoggedEntry[];
  /** Read on from here, also when entries of other partitions or kinds were passed over. */
  readonly next: Position;
}

/** Called once: with the entry's position when it is durable, or with the error when it is not and never will be. */
export type Appended = (error: Error | undefined, position: Position) => void;

export interface LogAppender {
  /**
   * Callback, not promise: this is the hottest line of the house. `done` is never called before `append` has returned,
   * and durable entries call back in the order of their appends. `entry.body` is copied before `append` returns.
   */
  append(entry: LogEntry, done: Appended): void;
  /** Calls back when everything appended so far is durable (for the acknowledgement of a duplicate). */
  barrier(done: (error: Error | undefined) => void): void;
}

export interface LogReader {
  /**
   * Durable entries after `from`, oldest first; an empty batch when there are none yet, and fewer than `maxEntries`
   * whenever that is cheaper. A `from` before `start()` reads on from `start()`.
   */
  read(from: Position, options: ReadOptions): Promise<LogBatch>;
  /** End of the durable part. */
  end(): Position;
  /** Oldest position that can still be read from. */
  start(): Position;
}

export interface LogConsumers {
  /** Up to where `consumer` has durably finished; 0 when it is new. */
  committed(consumer: string): Position;
  /** Says that `consumer` will never ask again for anything up to `position`. Segments behind all consumers are deleted. */
  commit(consumer: string, position: Position): Promise<void>;
  /** Bytes between `consumer` and the end. */
  lagBytes(consumer: string): number;
}

/** Wakes followers, so that nobody polls. */
export interface LogNotifier {
  /** Calls `listener` whenever the durable end moved, at most once a group commit. Returns what removes it. */
  onDurable(listener: (end: Position) => void): () => void;
}

export interface TelemetryLog extends LogAppender, LogReader, LogConsumers, LogNotifier {}
