/**
 * The embedded telemetry log: segment files on the local disk. Everything appended while a durable write runs
 * is gathered and becomes the next write, back to back and never on a timer: a lone message waits for one, a
 * flood shares it. What was called back without an error is on the medium. See docs/ingest.md.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, type ErrorCode, errorText } from '../../contract/kernel/errors.ts';
import { SECOND_MS } from '../../contract/kernel/time.ts';
import type { Clock, Logger, Metrics, Readiness, Service } from '../../contract/ports/services.ts';
import type {
  Appended,
  EntryKind,
  LogBatch,
  LogEntry,
  Position,
  ReadOptions,
  TelemetryLog,
} from '../../contract/ports/telemetry-log.ts';
import { ConsumersFile } from './consumers-file.ts';
import { FILE_MODE, FOLDER_MODE, syncFolder } from './durable-files.ts';
import { frameBound } from './frame.ts';
import { GroupCommits } from './group-commits.ts';
import { type LogDisk, nodeDisk } from './log-disk.ts';
import type { PendingBatch } from './pending-batch.ts';
import { recoverSegments } from './recover.ts';
import { encodeSegmentHeader, rewriteEnd, SEGMENT_HEADER_BYTES, type Segment, segmentPath } from './segment-files.ts';
import { openSegmentLogReader, type SegmentReader } from './segment-reader.ts';

const MIB = 1024 * 1024;
/** Part of `maxBytes` up to which segments are kept for somebody who copies them. */
const HOLD_LIMIT = 0.75;

export interface SegmentLogOptions {
  /** Label `log` of the metrics. Default `telemetry`. */
  readonly name?: string;
  /** A segment is closed once it holds this much; at most a quarter of `maxBytes`. Default 64 MiB. */
  readonly segmentBytes?: number;
  /** Bytes kept for consumers that are behind; more is refused with LOG_FULL. Default 2,048 MiB. */
  readonly maxBytes?: number;
  /** Bytes gathered for one group commit; more is refused with LOG_FULL; at most half of `maxBytes`. Default 64 MiB. */
  readonly maxPendingBytes?: number;
  /** Below this much free disk space nothing is taken (LOG_FULL); checked once a second. Default 0 = not checked. */
  readonly minFreeBytes?: number;
  /** Segments are deleted once all of these have committed past them; without names nothing is ever deleted. */
  readonly consumers?: readonly string[];
  /**
   * Positions begin behind this at least. Give what a store that keeps its own position says: were the log's folder
   * replaced, the store would otherwise take new entries for old ones.
   */
  readonly minimumEnd?: Position;
  readonly disk?: LogDisk;
}

/** What opening found, for the start-up line. */
export interface LogRecovery {
  /** A torn tail that was cut off: never acknowledged. */
  readonly droppedBytes: number;
  /** Acknowledged bytes that are gone: the disk or somebody lost them. Always 0 on a healthy disk. */
  readonly lostBytes: number;
}

/** The log and its life; apart because a log has a `start()` of its own, its oldest position. */
export interface SegmentLog extends Service {
  readonly log: TelemetryLog;
  recovered(): LogRecovery;
  /** Whether it takes entries; after LOG_FAILED only a restart helps. */
  readiness(): Readiness;
  /**
   * Keeps every segment, so that the files can be copied while the log goes on. Ended by the function it answers, or by
   * itself when the log fills up: taking entries comes first, and `onGivenUp` is told.
   */
  hold(onGivenUp: () => void): () => void;
}

export interface SegmentLogNeeds {
  readonly directory: string;
  /** Called once when the log failed for good: nothing more is taken until a restart has read what is on the medium. */
  readonly onFailed?: (error: AppError) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export function openSegmentLog(needs: SegmentLogNeeds, options: SegmentLogOptions = {}): SegmentLog {
  const log = new FileLog(needs, options);
  return {
    log,
    start: () => log.open(),
    stop: () => log.close(),
    recovered: () => log.recovery,
    readiness: () => log.readiness(),
    hold: (onGivenUp) => log.hold(onGivenUp),
  };
}

/** The segment that is written to. */
interface Tail {
  readonly file: FileHandle;
  readonly base: Position;
}

class FileLog implements TelemetryLog {
  readonly #needs: SegmentLogNeeds;
  readonly #options: Required<SegmentLogOptions>;
  readonly #labels: { readonly log: string };
  readonly #consumersFile: ConsumersFile;
  readonly #reader: SegmentReader;
  readonly #listeners = new Set<(end: Position) => void>();
  #segments: Segment[] = [];
  #tail: Tail | undefined;
  readonly #commits: GroupCommits;
  /** Where the newest entry of a kind ends, telemetry aside; known for what was appended behind `#openedAt`. */
  readonly #newest = new Map<EntryKind, Position>();
  #openedAt: Position = 0;
  #closed: AppError | undefined = new AppError('LOG_FAILED', 'the log is not started');
  #diskFull = false;
  /** Who copies the files; told when that must end. */
  readonly #holds = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #ticking: Promise<void> | undefined;
  recovery: LogRecovery = { droppedBytes: 0, lostBytes: 0 };
  /** Counted locally, handed to the metrics once a second: an append must not pay for them. */
  #counts = { syncs: 0, appends: 0, refused: new Map<ErrorCode, number>() };

  constructor(needs: SegmentLogNeeds, options: SegmentLogOptions) {
    const maxBytes = options.maxBytes ?? 2048 * MIB;
    this.#needs = needs;
    this.#options = {
      name: options.name ?? 'telemetry',
      maxBytes,
      // Otherwise the one segment that may never be deleted, the last, could fill the log for ever. It holds at least one
      // whole group commit.
      segmentBytes: Math.min(options.segmentBytes ?? 64 * MIB, Math.floor(maxBytes / 4)),
      maxPendingBytes: Math.min(options.maxPendingBytes ?? 64 * MIB, Math.floor(maxBytes / 2)),
      minFreeBytes: options.minFreeBytes ?? 0,
      consumers: options.consumers ?? [],
      minimumEnd: options.minimumEnd ?? 0,
      disk: options.disk ?? nodeDisk,
    };
    this.#labels = { log: this.#options.name };
    this.#consumersFile = new ConsumersFile(join(needs.directory, 'consumers.json'));
    this.#commits = new GroupCommits({
      write: (batch) => this.#write(batch),
      mustBeAlone: (batch) => this.#needsSegment(batch),
      onDurable: (end) => this.#announce(end),
      onFailure: (from, failure) => this.#fail(from, failure),
      onRefused: (error, count) => this.#countRefused(error instanceof AppError ? error.code : 'LOG_FAILED', count),
      onThrow: (thrown) => needs.logger.error({ error: errorText(thrown) }, 'A callback of the log threw'),
    });
    this.#reader = openSegmentLogReader(needs.directory, { durableEnd: () => this.#commits.durableEnd });
  }

  /** @throws AppError LOG_CORRUPT when something durable is damaged */
  async open(): Promise<void> {
    if (this.#tail) return;
    const { directory, logger } = this.#needs;
    await mkdir(directory, { recursive: true, mode: FOLDER_MODE });
    await this.#consumersFile.load();
    const { segments, end, lastCommit, droppedBytes } = await recoverSegments(directory);
    const furthest = Math.max(this.#consumersFile.furthest, this.#options.minimumEnd);
    const lostBytes = Math.max(0, furthest - (end ?? furthest));
    this.#segments = segments;
    this.recovery = { droppedBytes, lostBytes };
    if (lostBytes > 0) logger.error({ directory, lostBytes }, 'Acknowledged entries are missing from the log');
    if (droppedBytes > 0) logger.warn({ directory, droppedBytes }, 'Cut off a torn tail that was never acknowledged');
    await this.#openTail(end ?? furthest, furthest, lastCommit ?? furthest);
    await this.#checkDisk();
    this.#closed = undefined;
    this.#timer = setInterval(() => {
      this.#ticking ??= this.#tick().finally(() => {
        this.#ticking = undefined;
      });
    }, SECOND_MS).unref();
  }

  /** Writes what was appended before, closes the files, refuses what comes after. */
  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#closed ??= new AppError('LOG_FAILED', 'the log is stopped');
    await this.#commits.idle();
    await this.#ticking;
    const tail = this.#tail;
    this.#tail = undefined;
    if (!tail) return;
    await this.#consumersFile.save(this.#commits.durableEnd);
    await this.#reader.close();
    await tail.file.close();
    this.#flushMetrics();
  }

  readiness(): Readiness {
    const refusal = this.#closed ?? this.#fullness(0);
    return refusal ? { ok: false, detail: refusal.message } : { ok: true };
  }

  append(entry: LogEntry, done: Appended): void {
    const bound = frameBound(entry);
    const refusal = this.#closed ?? this.#fullness(bound);
    if (refusal) {
      this.#countRefused(refusal.code);
      queueMicrotask(() => done(refusal, 0));
      return;
    }
    this.#commits.add(entry, bound, done);
    if (entry.kind !== 'telemetry') this.#newest.set(entry.kind, this.#commits.end);
    this.#counts.appends++;
  }

  barrier(done: (error: Error | undefined) => void): void {
    const closed = this.#closed;
    if (closed) {
      queueMicrotask(() => done(closed));
      return;
    }
    this.#commits.addWaiter(done);
  }

  read(from: Position, options: ReadOptions): Promise<LogBatch> {
    // Whoever waits for rare entries need not read all the telemetry between them.
    if (options.kinds && this.#noneSince(from, options.kinds)) {
      return Promise.resolve({ entries: [], next: Math.max(from, this.#commits.durableEnd) });
    }
    return this.#reader.read(from, options);
  }

  end(): Position {
    return this.#commits.durableEnd;
  }

  start(): Position {
    return this.#segments[0]?.base ?? 0;
  }

  onDurable(listener: (end: Position) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  committed(consumer: string): Position {
    return this.#consumersFile.committed(consumer);
  }

  async commit(consumer: string, position: Position): Promise<void> {
    if (position > this.#commits.durableEnd)
      throw new RangeError(`${consumer} commits ${position}, the log ends at ${this.#commits.durableEnd}`);
    this.#consumersFile.set(consumer, position);
    await this.#consumersFile.save(this.#commits.durableEnd);
    await this.#trim();
  }

  hold(onGivenUp: () => void): () => void {
    this.#holds.add(onGivenUp);
    return () => this.#holds.delete(onGivenUp);
  }

  lagBytes(consumer: string): number {
    return Math.max(0, this.#commits.durableEnd - this.committed(consumer));
  }

  #noneSince(from: Position, kinds: ReadonlySet<EntryKind>): boolean {
    if (from < this.#openedAt || kinds.has('telemetry')) return false;
    for (const kind of kinds) if ((this.#newest.get(kind) ?? 0) > from) return false;
    return true;
  }

  /** Why nothing more can be taken, if so. */
  #fullness(bytes: number): AppError | undefined {
    const { maxBytes, maxPendingBytes, name } = this.#options;
    if (this.#diskFull) return new AppError('LOG_FULL', `${name}: the disk has too little free space`);
    if (this.#commits.pendingBytes + bytes > maxPendingBytes)
      return new AppError('LOG_FULL', `${name}: the disk is too slow`);
    const kept = this.#commits.end + bytes - this.start();
    return kept > maxBytes ? new AppError('LOG_FULL', `${name}: ${kept} bytes wait for consumers`) : undefined;
  }

  #needsSegment(batch: PendingBatch): boolean {
    const filled = batch.start - this.#openedTail().base;
    return filled > 0 && filled + batch.length > this.#options.segmentBytes;
  }

  async #write(batch: PendingBatch): Promise<void> {
    const { disk } = this.#options;
    if (this.#needsSegment(batch)) await this.#roll(batch.start, batch.start);
    const { file, base } = this.#openedTail();
    await disk.write(file.fd, batch.buffer, batch.length, SEGMENT_HEADER_BYTES + batch.start - base);
    await disk.sync(file.fd);
    this.#counts.syncs++;
  }

  /**
   * Nothing that was not confirmed durable is ever acknowledged. When the disk was full, the half-written bytes are cut off
   * and the log goes on; after any other error nobody knows what is on the medium (a second fdatasync may succeed without
   * having written the pages that the first one lost), so the log stays failed.
   */
  async #fail(from: Position, failure: NodeJS.ErrnoException): Promise<AppError> {
    const noSpace = isNoSpace(failure) && (await this.#cutOff(from));
    const error = new AppError(noSpace ? 'LOG_FULL' : 'LOG_FAILED', errorText(failure), { cause: failure });
    if (noSpace) this.#diskFull = true;
    else this.#closed = error;
    this.#needs.logger.error({ directory: this.#needs.directory, error: errorText(failure) }, error.message);
    if (!noSpace) this.#needs.onFailed?.(error);
    return error;
  }

  async #cutOff(position: Position): Promise<boolean> {
    try {
      const { file, base } = this.#openedTail();
      await file.truncate(SEGMENT_HEADER_BYTES + position - base);
      await file.datasync();
      return true;
    } catch (error) {
      this.#needs.logger.error({ error: errorText(error) }, 'Could not cut off a half-written group commit');
      return false;
    }
  }

  #announce(end: Position): void {
    for (const listener of this.#listeners) {
      try {
        listener(end);
      } catch (error) {
        this.#needs.logger.error({ error: errorText(error) }, 'A listener of the log threw');
      }
    }
  }

  #openedTail(): Tail {
    if (!this.#tail) throw new AppError('LOG_FAILED', 'the log is not open');
    return this.#tail;
  }

  /** Opens the last segment for appending, or begins one where positions were never used before. */
  async #openTail(end: Position, furthest: Position, lastCommit: Position): Promise<void> {
    const last = this.#segments.at(-1);
    if (last && end >= furthest) {
      const file = await open(last.path, constants.O_RDWR | this.#options.disk.openFlags);
      try {
        // What a killed or failed process wrote last may be in the page cache only; followers will see it.
        await rewriteEnd(file, this.#options.disk, last, lastCommit, end);
        await syncFolder(this.#needs.directory);
      } catch (error) {
        await file.close();
        throw error;
      }
      this.#tail = { file, base: last.base };
    } else {
      await this.#roll(furthest, end);
    }
    this.#openedAt = Math.max(end, furthest);
    this.#commits.open(this.#openedAt);
  }

  async #roll(base: Position, previousEnd: Position): Promise<void> {
    const path = segmentPath(this.#needs.directory, base);
    const created = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
    const file = await open(path, created | this.#options.disk.openFlags, FILE_MODE);
    try {
      await this.#options.disk.write(file.fd, encodeSegmentHeader(base, previousEnd), SEGMENT_HEADER_BYTES, 0);
      await file.datasync();
      await syncFolder(this.#needs.directory);
    } catch (error) {
      await file.close();
      await unlink(path);
      throw error;
    }
    await this.#tail?.file.close();
    this.#tail = { file, base };
    this.#segments.push({ path, base });
  }

  /** Deletes the segments that every named consumer has left behind, never the one that is written to. */
  async #trim(): Promise<void> {
    const { consumers } = this.#options;
    if (consumers.length === 0 || this.#isHeld()) return;
    const passed = Math.min(...consumers.map((name) => this.committed(name)));
    for (let next = this.#segments[1]; next && next.base <= passed; next = this.#segments[1]) {
      const behind = this.#segments.shift();
      if (behind) await unlink(behind.path);
      // Oldest first, each deletion durable before the next: a power cut cannot leave a hole in the chain.
      await syncFolder(this.#needs.directory);
    }
  }

  #isHeld(): boolean {
    if (this.#holds.size === 0) return false;
    if (!this.#diskFull && this.#commits.durableEnd - this.start() < HOLD_LIMIT * this.#options.maxBytes) return true;
    for (const onGivenUp of this.#holds) onGivenUp();
    this.#holds.clear();
    return false;
  }

  async #tick(): Promise<void> {
    try {
      await this.#checkDisk();
      this.#isHeld();
      await this.#measureOldest();
      this.#flushMetrics();
    } catch (error) {
      this.#needs.logger.warn({ error: errorText(error) }, 'Could not measure the log');
    }
  }

  async #checkDisk(): Promise<void> {
    const { minFreeBytes, disk } = this.#options;
    const enough = Math.max(minFreeBytes, this.#diskFull ? MIB : 0);
    if (enough === 0) return;
    const freeBytes = await disk.freeBytes(this.#needs.directory);
    const full = freeBytes < enough;
    if (full !== this.#diskFull) this.#needs.logger.warn({ freeBytes, full }, 'Free disk space changed');
    this.#diskFull = full;
  }

  /** Age of the oldest entry that some consumer still needs. */
  async #measureOldest(): Promise<void> {
    const behind = Math.min(...this.#options.consumers.map((name) => this.committed(name)), this.#commits.durableEnd);
    const { entries } = await this.#reader.read(behind, { maxEntries: 1 });
    const ageMs = entries[0] ? Math.max(0, this.#needs.clock.now() - entries[0].receivedAt) : 0;
    const help = 'Age of the oldest entry that a consumer of the log still needs';
    this.#needs.metrics.gauge('presage_log_oldest_seconds', help, ageMs / SECOND_MS, this.#labels);
  }

  #countRefused(code: ErrorCode, by = 1): void {
    this.#counts.refused.set(code, (this.#counts.refused.get(code) ?? 0) + by);
  }

  #flushMetrics(): void {
    const { metrics } = this.#needs;
    const { appends, syncs, refused } = this.#counts;
    this.#counts = { appends: 0, syncs: 0, refused: new Map() };
    metrics.count('presage_log_appends_total', 'Entries taken by the log', this.#labels, appends);
    metrics.count('presage_log_syncs_total', 'Group commits: one durable write each', this.#labels, syncs);
    for (const [reason, by] of refused) {
      const help = 'Entries that the log did not take or could not make durable; none of them was acknowledged';
      metrics.count('presage_log_refused_total', help, { ...this.#labels, reason }, by);
    }
    metrics.gauge('presage_log_bytes', 'Bytes kept in the log', this.#commits.durableEnd - this.start(), this.#labels);
    const lost = 'Acknowledged bytes that were missing when the log was opened; must stay 0';
    metrics.gauge('presage_log_lost_bytes', lost, this.recovery.lostBytes, this.#labels);
    for (const consumer of this.#options.consumers) {
      const help = 'Bytes between a consumer and the end of the log';
      metrics.gauge('presage_log_lag_bytes', help, this.lagBytes(consumer), { ...this.#labels, consumer });
    }
  }
}

/** Before anything was synced: the write itself, or making the file for it. */
function isNoSpace({ code, syscall }: NodeJS.ErrnoException): boolean {
  return (code === 'ENOSPC' || code === 'EDQUOT') && (syscall === 'write' || syscall === 'open');
}
