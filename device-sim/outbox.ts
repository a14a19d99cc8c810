/**
 * What a device has not yet seen acknowledged, in order of sequence. Decides what to send next; sends nothing itself.
 * Bounded: `add` refuses when full, and the device then waits for acknowledgements before it measures on.
 */
import type { OutgoingMessage } from './telemetry-batch.ts';

/** `waiting` = to be sent; `lost` and `held` wait for a timer or a successor; `sent` = in flight. */
type EntryState = 'waiting' | 'lost' | 'held' | 'sent' | 'acked';

export interface OutboxEntry {
  readonly message: OutgoingMessage;
  state: EntryState;
  /** How often it was handed to the connection. */
  tries: number;
}

export interface Outbox {
  readonly size: number;
  readonly inFlight: number;
  hasRoom(): boolean;
  add(message: OutgoingMessage): void;
  /** The next message to send, oldest first; `undefined` when nothing waits or the window is full. */
  next(): OutboxEntry | undefined;
  /** Oldest message held back for reordering. */
  held(): OutboxEntry | undefined;
  /** True for the first acknowledgement of an entry that is still here. */
  acknowledge(entry: OutboxEntry): boolean;
  /** Highest message below which everything is acknowledged. */
  ackedThrough(): OutgoingMessage | undefined;
  /** Lost and held messages are to be sent again. */
  release(): void;
  /** After a broken connection everything unacknowledged is to be sent again, in order. */
  rewind(): void;
}

export function createOutbox(maxPending: number, maxInFlight: number): Outbox {
  const entries: OutboxEntry[] = [];
  let through: OutgoingMessage | undefined;
  const count = (state: EntryState): number => entries.reduce((total, e) => total + (e.state === state ? 1 : 0), 0);
  const retry = (states: readonly EntryState[]): void => {
    for (const entry of entries) if (states.includes(entry.state)) entry.state = 'waiting';
  };
  return {
    get size() {
      return entries.length;
    },
    get inFlight() {
      return count('sent');
    },
    hasRoom: () => entries.length < maxPending,
    add(message) {
      if (entries.length >= maxPending) throw new RangeError(`The outbox is full (${maxPending} messages)`);
      entries.push({ message, state: 'waiting', tries: 0 });
    },
    next: () => (count('sent') < maxInFlight ? entries.find((entry) => entry.state === 'waiting') : undefined),
    held: () => entries.find((entry) => entry.state === 'held'),
    acknowledge(entry) {
      if (entry.state === 'acked' || !entries.includes(entry)) return false;
      entry.state = 'acked';
      while (entries[0]?.state === 'acked') through = entries.shift()?.message;
      return true;
    },
    ackedThrough: () => through,
    release: () => retry(['lost', 'held']),
    rewind: () => retry(['lost', 'held', 'sent']),
  };
}
