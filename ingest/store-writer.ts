/**
 * Carries accepted telemetry from the log into the telemetry store, as the log's consumer `store`. The store may be away
 * for hours: the log keeps the data and writing resumes by itself. A sample that the store will never take goes into
 * quarantine and holds up nobody.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import type { Random } from '../contract/kernel/random.ts';
import { SECOND_MS } from '../contract/kernel/time.ts';
import type { QuarantineRecord } from '../contract/ports/registry.ts';
import type { Clock, Logger, Metrics, Readiness, Service } from '../contract/ports/services.ts';
import type { LoggedEntry, Position, TelemetryLog } from '../contract/ports/telemetry-log.ts';
import type { RejectedSample, TakenFromLog, TelemetryWriter } from '../contract/ports/telemetry-store.ts';
import { decodeTelemetryEntry, isEntryOf } from '../contract/wire/log-entry.ts';
import { Counters } from './counters.ts';
import { type BatchOptions, batchStep, type Follower, type FollowOptions, followLog } from './follow-log.ts';
import { quarantineEntry, refusedEntryRecord, refusedSampleRecord } from './quarantine.ts';
import { retryForEver } from './retry.ts';

export const STORE_CONSUMER = 'store';
/** Whoever waits for the store is a ticket or a lookup: more than this at once means that nobody should wait. */
const MAX_WAITERS = 10_000;
const FLUSH_METRICS_MS = SECOND_MS;

export interface StoreWriterNeeds {
  readonly log: TelemetryLog;
  readonly store: TelemetryWriter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface StoreWriterOptions {
  /** Default 5,000. */
  readonly batchEntries?: number;
  /** Default 8 MiB. */
  readonly batchBytes?: number;
  /** How long a batch waits for company: the usual delay until a sample can be read. Default 250 ms. */
  readonly gatherMs?: number;
  /** Default 1 s. */
  readonly commitEveryMs?: number;
  /** Spreads retries. Default Math.random. */
  readonly random?: Random;
}

export interface StoreWriter extends Service {
  /** Everything up to here is stored or in quarantine. */
  storedPosition(): Position;
  /** Resolves when `position` is stored. @throws AppError NOT_READY when the writer stops first, or too many wait */
  passed(position: Position): Promise<void>;
  readiness(): Readiness;
}

export function createStoreWriter(needs: StoreWriterNeeds, options: StoreWriterOptions = {}): StoreWriter {
  return new LogToStore(needs, options);
}

type TakeFrom = NonNullable<TelemetryWriter['takeFrom']>;

interface Waiter {
  readonly position: Position;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

class LogToStore implements StoreWriter {
  readonly #needs: StoreWriterNeeds;
  readonly #options: Required<StoreWriterOptions>;
  readonly #counters: Counters;
  readonly #count: ReturnType<typeof createCounts>;
  readonly #waiters = new Set<Waiter>();
  #follower: Follower | undefined;
  #stored: Position = 0;
  /** From the receipt of the newest stored entry to now. */
  #delayMs = 0;
  #failure: unknown;
  #timer: NodeJS.Timeout | undefined;

  constructor(needs: StoreWriterNeeds, options: StoreWriterOptions) {
    this.#needs = needs;
    this.#options = {
      batchEntries: options.batchEntries ?? 5_000,
      batchBytes: options.batchBytes ?? 8 * 1024 * 1024,
      gatherMs: options.gatherMs ?? 250,
      commitEveryMs: options.commitEveryMs ?? 1_000,
      random: options.random ?? Math.random,
    };
    this.#counters = new Counters(needs.metrics);
    this.#count = createCounts(this.#counters);
  }

  /** Returns at once, also while the store is away. The log must be open. */
  async start(): Promise<void> {
    if (this.#timer) return;
    this.#timer = setInterval(() => this.#flushMetrics(), FLUSH_METRICS_MS).unref();
    this.#follower = followLog(this.#needs, {
      consumer: STORE_CONSUMER,
      from: () => this.#resumeFrom(),
      step: this.#step(),
      commitEveryMs: this.#options.commitEveryMs,
      random: this.#options.random,
    });
  }

  async stop(): Promise<void> {
    if (!this.#timer) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#follower?.stop();
    for (const waiter of this.#waiters) waiter.reject(new AppError('NOT_READY', 'the store writer stopped'));
    this.#waiters.clear();
    this.#flushMetrics();
  }

  storedPosition(): Position {
    return this.#stored;
  }

  passed(position: Position): Promise<void> {
    if (position <= this.#stored) return Promise.resolve();
    if (this.#waiters.size >= MAX_WAITERS)
      return Promise.reject(new AppError('NOT_READY', 'too many wait for the store'));
    return new Promise((resolve, reject) => this.#waiters.add({ position, resolve, reject }));
  }

  readiness(): Readiness {
    return this.#failure === undefined ? { ok: true } : { ok: false, detail: errorText(this.#failure) };
  }

  /**
   * The store knows best: it may have been restored from a backup. One that is ahead of the log belongs to another log;
   * it would take new entries for old ones, so nothing is written before somebody looks (see `minimumEnd` of the log).
   * One that is ahead of our commit gets those batches again: it stores nothing twice, and says once more what it refused,
   * in case a crash came between its commit and the quarantine.
   */
  async #resumeFrom(): Promise<Position> {
    const { log, store } = this.#needs;
    const from = await this.#watched(async () => {
      const committed = log.committed(STORE_CONSUMER);
      const stored = (await store.storedPosition()) ?? committed;
      if (stored <= log.end()) return store.takeFrom ? Math.min(stored, committed) : stored;
      throw new AppError('LOG_CORRUPT', `the store holds up to ${stored}, the log ends at ${log.end()}`);
    });
    this.#advance(from);
    return from;
  }

  /** A store that reads the log by itself leaves the event loop to the devices; the others are handed batches. */
  #step(): FollowOptions['step'] {
    const { log, store } = this.#needs;
    const { batchEntries: maxEntries, batchBytes: maxBytes, gatherMs } = this.#options;
    const takeFrom = store.takeFrom?.bind(store);
    if (takeFrom) return (from, signal) => this.#letTake(takeFrom, from, signal);
    const handle: BatchOptions['handle'] = (entries, position, signal) => this.#handle(entries, position, signal);
    return batchStep(log, { handle, maxEntries, maxBytes, gatherMs });
  }

  async #letTake(takeFrom: TakeFrom, from: Position, signal: AbortSignal): Promise<Position> {
    const { log, clock } = this.#needs;
    const { batchBytes, gatherMs } = this.#options;
    if (log.end() === from) return from;
    if (gatherMs > 0 && log.end() - from < batchBytes) await pause(gatherMs, undefined, { signal });
    const take = (): Promise<TakenFromLog> => this.#watched(() => takeFrom(from, log.end()));
    const { next, messages, newestAt, rejected } = await this.#retried(take, signal);
    this.#count.rejected.add('', rejected.length);
    for (const { entry, ...one } of rejected) {
      await this.#quarantine(refusedSampleRecord(one, entry), entry.model, signal);
    }
    this.#count.messages.add('', messages);
    if (newestAt !== undefined) this.#delayMs = Math.max(0, clock.now() - newestAt);
    this.#advance(next);
    return next;
  }

  async #handle(entries: readonly LoggedEntry[], position: Position, signal: AbortSignal): Promise<void> {
    const telemetry = entries.filter((entry) => entry.kind === 'telemetry');
    if (telemetry.length > 0) await this.#write(telemetry, position, signal);
    this.#count.messages.add('', telemetry.length);
    const newest = entries.at(-1);
    if (newest) this.#delayMs = Math.max(0, this.#needs.clock.now() - newest.receivedAt);
    this.#advance(position);
  }

  /** Halves a batch that the store refuses as a whole until the one message is found that it will never take. */
  async #write(entries: readonly LoggedEntry[], position: Position, signal: AbortSignal): Promise<void> {
    try {
      const rejected = await this.#tryWrite(entries, position, signal);
      this.#count.rejected.add('', rejected.length);
      for (const one of rejected) await this.#quarantineSample(one, entries, signal);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const [only] = entries;
      if (entries.length === 1 && only) {
        this.#count.rejected.add('');
        await this.#quarantine(refusedEntryRecord(only, errorText(error)), only.model, signal);
        return;
      }
      const half = Math.ceil(entries.length / 2);
      const first = entries.slice(0, half);
      await this.#write(first, first.at(-1)?.position ?? position, signal);
      await this.#write(entries.slice(half), position, signal);
    }
  }

  #tryWrite(
    entries: readonly LoggedEntry[],
    position: Position,
    signal: AbortSignal,
  ): Promise<readonly RejectedSample[]> {
    const { store } = this.#needs;
    const messages = entries.map(decodeTelemetryEntry);
    return this.#retried(() => this.#watched(() => store.write(messages, position)), signal);
  }

  #retried<T>(write: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return retryForEver(write, {
      signal,
      logger: this.#needs.logger,
      random: this.#options.random,
      what: 'Writing to the telemetry store',
      isFinal: isRefusal,
    });
  }

  /** Remembers for `/readyz` whether the store works. */
  async #watched<T>(action: () => Promise<T>): Promise<T> {
    try {
      const result = await action();
      this.#failure = undefined;
      return result;
    } catch (error) {
      if (!isRefusal(error)) this.#failure = error;
      throw error;
    }
  }

  async #quarantineSample(
    rejected: RejectedSample,
    entries: readonly LoggedEntry[],
    signal: AbortSignal,
  ): Promise<void> {
    const { sample } = rejected;
    const entry = entries.find((candidate) => isEntryOf(candidate, sample));
    await this.#quarantine(refusedSampleRecord(rejected, entry), entry?.model ?? '', signal);
  }

  /** In the log before the position is committed, so that a refused sample is never only gone. */
  async #quarantine(record: QuarantineRecord, model: string, signal: AbortSignal): Promise<void> {
    const { log, logger } = this.#needs;
    const append = (): Promise<void> =>
      new Promise((resolve, reject) => {
        log.append(quarantineEntry(record, model), (error) => (error ? reject(error) : resolve()));
      });
    await retryForEver(append, { signal, logger, random: this.#options.random, what: 'Quarantining a refused sample' });
  }

  #flushMetrics(): void {
    this.#counters.flush();
    const help = 'Time between the receipt of a message and its storage, newest batch';
    this.#needs.metrics.gauge('presage_ingest_store_delay_seconds', help, this.#delayMs / SECOND_MS);
  }

  #advance(position: Position): void {
    this.#stored = Math.max(this.#stored, position);
    for (const waiter of this.#waiters) {
      if (waiter.position > this.#stored) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}

/** Only the store's own word that it will never take something; whatever else went wrong may pass. */
function isRefusal(error: unknown): boolean {
  return error instanceof AppError && error.code === 'STORE_WRITE_REJECTED';
}

function createCounts(counters: Counters) {
  return {
    messages: counters.create('presage_ingest_stored_total', 'Telemetry messages that the store holds'),
    rejected: counters.create('presage_ingest_store_rejected_total', 'Samples or messages that the store refused'),
  };
}
