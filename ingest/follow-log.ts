/**
 * Follows the log as one of its consumers: step by step in order, and commits what is finished. Sleeps until the log says
 * that there is more; a batch gathers for a moment, so that a trickle does not become many tiny writes.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { errorText } from '../contract/kernel/errors.ts';
import type { Random } from '../contract/kernel/random.ts';
import type { Logger } from '../contract/ports/services.ts';
import type {
  EntryKind,
  LogConsumers,
  LoggedEntry,
  LogNotifier,
  LogReader,
  Position,
} from '../contract/ports/telemetry-log.ts';
import { retryForEver } from './retry.ts';

export interface FollowNeeds {
  readonly log: LogReader & LogConsumers & LogNotifier;
  readonly logger: Logger;
}

export interface FollowOptions {
  readonly consumer: string;
  /** Where to begin; asked again until it answers. */
  readonly from: () => Promise<Position>;
  /** Works on from a position and says how far it came; no further when there is nothing. An error is tried again. */
  readonly step: (from: Position, signal: AbortSignal) => Promise<Position>;
  /** Finished positions are committed this often: each commit costs two fsyncs beside the log's own. */
  readonly commitEveryMs: number;
  readonly random: Random;
}

export interface BatchOptions {
  /** Takes the entries up to `position`. */
  readonly handle: (entries: readonly LoggedEntry[], position: Position, signal: AbortSignal) => Promise<void>;
  /** Entries of other kinds are passed over; all when absent. */
  readonly kinds?: ReadonlySet<EntryKind>;
  readonly maxEntries: number;
  /** Bodies of one batch together, roughly. */
  readonly maxBytes: number;
  /** How long a batch that is not full waits for more. */
  readonly gatherMs: number;
}

export interface Follower {
  /** Up to here everything is handled. */
  position(): Position;
  /** Ends after the batch in hand, or gives it up when it is waiting for a retry; commits what is finished. */
  stop(): Promise<void>;
}

/** Begins to follow at once. */
export function followLog(needs: FollowNeeds, options: FollowOptions): Follower {
  return new LogFollower(needs, options);
}

class LogFollower implements Follower {
  readonly #needs: FollowNeeds;
  readonly #options: FollowOptions;
  readonly #abort = new AbortController();
  readonly #unsubscribe: () => void;
  readonly #running: Promise<void>;
  #position: Position = 0;
  #committed: Position = 0;
  #wake: (() => void) | undefined;
  #commitTimer: NodeJS.Timeout | undefined;

  constructor(needs: FollowNeeds, options: FollowOptions) {
    this.#needs = needs;
    this.#options = options;
    this.#unsubscribe = needs.log.onDurable(() => this.#wake?.());
    this.#running = this.#run();
  }

  position(): Position {
    return this.#position;
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#abort.abort();
    this.#wake?.();
    await this.#running;
    clearTimeout(this.#commitTimer);
    await this.#commit();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const { consumer, random, from } = this.#options;
    const retrying = { signal, random, logger: this.#needs.logger, what: `Following the log as ${consumer}` };
    try {
      this.#position = await retryForEver(from, retrying);
      this.#committed = this.#needs.log.committed(consumer);
      while (!signal.aborted) await retryForEver(() => this.#step(), retrying);
    } catch (error) {
      if (!signal.aborted) this.#needs.logger.error({ consumer, error: errorText(error) }, 'A log follower stopped');
    }
  }

  async #step(): Promise<void> {
    const next = await this.#options.step(this.#position, this.#abort.signal);
    if (next === this.#position) {
      await this.#sleep();
      return;
    }
    this.#position = next;
    this.#scheduleCommit();
  }

  #scheduleCommit(): void {
    this.#commitTimer ??= setTimeout(() => void this.#commit(), this.#options.commitEveryMs).unref();
  }

  async #sleep(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      // Looked at again after the listener is in place: nothing that became durable in between is slept through.
      if (this.#needs.log.end() > this.#position || this.#abort.signal.aborted) resolve();
    });
    this.#wake = undefined;
  }

  async #commit(): Promise<void> {
    this.#commitTimer = undefined;
    const position = this.#position;
    if (position <= this.#committed) return;
    try {
      await this.#needs.log.commit(this.#options.consumer, position);
      this.#committed = position;
    } catch (error) {
      const { consumer } = this.#options;
      this.#needs.logger.warn({ consumer, error: errorText(error) }, 'Could not commit; trying again');
      // By itself, also when nothing more comes: a full disk gets room only when finished segments may be deleted.
      if (!this.#abort.signal.aborted) this.#scheduleCommit();
    }
  }
}

/** A step that reads a batch, lets it gather, and hands it on. */
export function batchStep(log: LogReader, options: BatchOptions): FollowOptions['step'] {
  return async (from, signal) => {
    const { entries, next } = await gather(log, from, options, signal);
    if (next > from) await options.handle(entries, next, signal);
    return next;
  };
}

async function gather(
  log: LogReader,
  from: Position,
  { maxEntries, maxBytes, gatherMs, kinds }: BatchOptions,
  signal: AbortSignal,
): Promise<{ entries: readonly LoggedEntry[]; next: Position }> {
  const filter = kinds ? { kinds } : {};
  const entries: LoggedEntry[] = [];
  let next = from;
  let bytes = 0;
  let waited = gatherMs === 0;
  // What is passed over counts too: otherwise a flood of other kinds would hold back the few that were found.
  while (entries.length < maxEntries && bytes < maxBytes && next - from < maxBytes * 2) {
    const batch = await log.read(next, { ...filter, maxEntries: maxEntries - entries.length });
    for (const entry of batch.entries) {
      entries.push(entry);
      bytes += entry.body.byteLength;
    }
    const atEnd = batch.next === next;
    next = batch.next;
    if (atEnd && (waited || next === from)) break;
    if (atEnd) await pause(gatherMs, undefined, { signal });
    waited ||= atEnd;
  }
  return { entries, next };
}
