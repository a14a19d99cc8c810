/**
 * What is on its way into the log. Everything appended while others are written is gathered and becomes the next write.
 * Two writes may be under way at once: while the medium has one, the event loop hands it the next, so that neither waits
 * for the other. They are called back in order, each only when all before it are durable too.
 */
import type { Appended, LogEntry, Position } from '../../contract/ports/telemetry-log.ts';
import { PendingBatch } from './pending-batch.ts';

const MAX_WRITES = 2;

export interface GroupCommitNeeds {
  /** Puts a batch on the medium. */
  write(batch: PendingBatch): Promise<void>;
  /** Whether a batch may only be written when no other one is under way. */
  mustBeAlone(batch: PendingBatch): boolean;
  /** The durable end has moved, and everything up to it has been called back. */
  onDurable(end: Position): void;
  /**
   * A write failed: nothing behind `from` counts, whatever became of it. Returns with what error all of it is called back;
   * until then nothing is written.
   */
  onFailure(from: Position, failure: NodeJS.ErrnoException): Promise<Error>;
  /** `count` entries or waiters are called back with an error. */
  onRefused(error: Error, count: number): void;
  /** A callback threw. */
  onThrow(thrown: unknown): void;
}

/** A write under way, or one that waits for those before it. */
interface Flight {
  readonly batch: PendingBatch;
  readonly isAlone: boolean;
  landed: boolean;
  failure: NodeJS.ErrnoException | undefined;
  /** Ends when it was dealt with. */
  readonly end: Promise<void>;
}

export class GroupCommits {
  readonly #needs: GroupCommitNeeds;
  /** oldest first; at most MAX_WRITES */
  readonly #flights: Flight[] = [];
  readonly #spares: PendingBatch[] = [];
  #pending = new PendingBatch();
  #scheduled = false;
  #durableEnd: Position = 0;

  constructor(needs: GroupCommitNeeds) {
    this.#needs = needs;
  }

  /** Up to here everything is on the medium. */
  get durableEnd(): Position {
    return this.#durableEnd;
  }

  /** Where the next entry will start. */
  get end(): Position {
    return this.#pending.end;
  }

  /** Bytes that no write has taken yet. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  /** Begins behind `end`, which is durable. */
  open(end: Position): void {
    this.#durableEnd = end;
    this.#pending.reset(end);
  }

  /** Takes the entry; `bound` is its frameBound. */
  add(entry: LogEntry, bound: number, done: Appended): void {
    this.#pending.add(entry, bound, this.#durableEnd, done);
    this.#schedule();
  }

  /** Calls back when everything taken so far is durable. */
  addWaiter(done: Appended): void {
    this.#pending.addWaiter(done);
    this.#schedule();
  }

  /** Ends when everything taken so far was called back. */
  async idle(): Promise<void> {
    while (this.#scheduled || this.#flights.length > 0 || this.#pending.waiting > 0) {
      if (this.#flights.length === 0) await new Promise(setImmediate);
      else await Promise.all(this.#flights.map(({ end }) => end));
    }
  }

  /** A write begins after the current round of I/O callbacks: what arrived together is written together. */
  #schedule(): void {
    if (this.#scheduled || this.#flights.length >= MAX_WRITES) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#launch();
    });
  }

  /** Writes what is pending, unless it has to wait; whoever lands tries again. */
  #launch(): void {
    const flights = this.#flights;
    if (this.#pending.waiting === 0 || flights.length >= MAX_WRITES) return;
    if (flights.some(({ isAlone, failure }) => isAlone || failure !== undefined)) return;
    const isAlone = this.#needs.mustBeAlone(this.#pending);
    if (isAlone && flights.length > 0) return;
    const batch = this.#takePending();
    // Only waiters: what they wait for is before them.
    const written = batch.length > 0 ? this.#needs.write(batch) : Promise.resolve();
    const end = written.then(
      () => this.#land(flight, undefined),
      (error: unknown) => this.#land(flight, error instanceof Error ? error : new Error(String(error))),
    );
    const flight: Flight = { batch, isAlone, landed: false, failure: undefined, end };
    flights.push(flight);
  }

  async #land(flight: Flight, failure: NodeJS.ErrnoException | undefined): Promise<void> {
    flight.landed = true;
    flight.failure = failure;
    const durable = this.#takeDurable();
    this.#launch(); // Before the callbacks run, so that the medium does not wait for them.
    for (const batch of durable) {
      batch.settle(undefined, this.#needs.onThrow);
      this.#spares.push(batch);
    }
    if (durable.length > 0) this.#needs.onDurable(this.#durableEnd);
    const [first] = this.#flights;
    if (first?.failure && this.#flights.every(({ landed }) => landed)) await this.#fail(first.batch, first.failure);
  }

  /** The oldest flights that have ended well: those behind one that has not must wait for it. */
  #takeDurable(): PendingBatch[] {
    const durable: PendingBatch[] = [];
    for (let [first] = this.#flights; first?.landed && !first.failure; [first] = this.#flights) {
      this.#flights.shift();
      this.#durableEnd = first.batch.end;
      durable.push(first.batch);
    }
    return durable;
  }

  /** Everything from the failed write on fails with it, also what came meanwhile. */
  async #fail(batch: PendingBatch, failure: NodeJS.ErrnoException): Promise<void> {
    const error = await this.#needs.onFailure(batch.start, failure);
    const failed = [...this.#flights.map((flight) => flight.batch), this.#takePending()];
    this.#flights.length = 0;
    this.#pending.reset(this.#durableEnd);
    for (const one of failed) {
      this.#needs.onRefused(error, one.waiting);
      one.settle(error, this.#needs.onThrow);
      this.#spares.push(one);
    }
  }

  #takePending(): PendingBatch {
    const batch = this.#pending;
    this.#pending = this.#spares.pop() ?? new PendingBatch();
    this.#pending.reset(batch.end);
    return batch;
  }
}
