/**
 * Holds publishes back until their device and tenant may send them. Aedes reads on from a socket only when everything
 * from its last read (64 KiB at most) is answered, so an answer that waits stops the reading: the device is slowed down
 * by TCP, and what waits here is bounded by one read a connection.
 */
import type { Connection } from './connection.ts';
import type { DeviceBudget, DeviceLimits } from './limits.ts';

/** Calls `work` when it is its turn; never after `drop`. */
export interface Pacer {
  run(connection: Connection, budget: DeviceBudget, work: () => void): void;
  /** Forgets what waits on a connection. */
  drop(connection: Connection): void;
}

export interface PacerEvents {
  /** A publish has to wait. */
  waits(because: 'device' | 'tenant'): void;
  /** The device has been over its limit for so long. */
  floods(connection: Connection, overMs: number): void;
}

/** @param now monotonic ms */
export function createPacer(limits: DeviceLimits, now: () => number, events: PacerEvents): Pacer {
  /** What waits, oldest first; the oldest is booked. */
  const queues = new WeakMap<Connection, { readonly works: (() => void)[]; timer: NodeJS.Timeout }>();

  function drop(connection: Connection): void {
    clearTimeout(queues.get(connection)?.timer);
    queues.delete(connection);
  }

  /** Books the oldest of `works` and either runs it and goes on, or waits for its turn. */
  function advance(connection: Connection, budget: DeviceBudget, works: (() => void)[]): void {
    while (works.length > 0) {
      const booking = limits.message(budget, now());
      if (booking.kind === 'flood') {
        drop(connection);
        events.floods(connection, booking.ms);
        return;
      }
      if (booking.kind === 'wait') {
        events.waits(booking.because);
        const timer = setTimeout(() => {
          works.shift()?.();
          // What it did may have ended the connection.
          if (queues.has(connection)) advance(connection, budget, works);
        }, booking.ms);
        queues.set(connection, { works, timer });
        return;
      }
      works.shift()?.();
    }
    queues.delete(connection);
  }

  return {
    drop,
    run(connection, budget, work) {
      const waiting = queues.get(connection);
      if (waiting) waiting.works.push(work);
      else advance(connection, budget, [work]);
    },
  };
}
