/** Entries gathered for the next group commit: their frames in one buffer, and whom to call when it is durable. */
import type { Appended, LogEntry, Position } from '../../contract/ports/telemetry-log.ts';
import { encodeFrame } from './frame.ts';

const INITIAL_BYTES = 256 * 1024;
/** A buffer that a burst made larger than this is given back. */
const KEEP_BYTES = 8 * 1024 * 1024;

export class PendingBatch {
  buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  /** Stream position of the first byte. */
  start: Position = 0;
  length = 0;
  #callbacks: Appended[] = [];
  #positions: Position[] = [];

  get end(): Position {
    return this.start + this.length;
  }

  get waiting(): number {
    return this.#callbacks.length;
  }

  /** Takes the entry; `bound` is its frameBound, `durableEnd` what is known to be on the medium at this moment. */
  add(entry: LogEntry, bound: number, durableEnd: Position, done: Appended): void {
    if (this.length + bound > this.buffer.length) this.#grow(this.length + bound);
    this.length += encodeFrame(this.buffer, this.length, entry, this.end, this.end - durableEnd);
    this.addWaiter(done);
  }

  /** Whoever only wants to know when all that came before is durable. */
  addWaiter(done: Appended): void {
    this.#callbacks.push(done);
    this.#positions.push(this.end);
  }

  /** Calls everybody back in order. A callback that throws is handed to `onThrow` and stops nobody else. */
  settle(error: Error | undefined, onThrow: (thrown: unknown) => void): void {
    const callbacks = this.#callbacks;
    const positions = this.#positions;
    this.#callbacks = [];
    this.#positions = [];
    for (let i = 0; i < callbacks.length; i++) {
      try {
        callbacks[i]?.(error, error ? 0 : (positions[i] ?? 0));
      } catch (thrown) {
        onThrow(thrown);
      }
    }
  }

  /** Empty again, for frames from `start` on. Callbacks that were not settled stay. */
  reset(start: Position): void {
    if (this.buffer.length > KEEP_BYTES) this.buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.start = start;
    this.length = 0;
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(bytes, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }
}
