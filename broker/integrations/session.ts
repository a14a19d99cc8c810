/**
 * The session of one client of an integration (MQTT 3.1.1, 3.1.2.4): what it subscribed to, what waits for it, what it
 * has not acknowledged. Everything in it is bounded: what does not fit is dropped, oldest first, and counted, so that a
 * reader that is slow, frozen or away costs itself messages and nobody else anything.
 */
import type { Packet } from 'mqtt-packet';
import type { Levels } from './topic-filter.ts';

export type Qos = 0 | 1 | 2;

export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
}

/** The connection that a session is attached to. */
export interface Link {
  /** Whether its socket takes more now; it calls `pump` when it does again. */
  isReady(): boolean;
  send(packet: Packet): void;
}

export interface SessionLimits {
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
  /** Messages sent and not acknowledged. */
  readonly maxInFlight: number;
  /** Retained messages that still have to be sent; they are only referred to. */
  readonly maxReplays: number;
}

/** Bytes held by all sessions together. */
export interface SharedMemory {
  usedBytes: number;
  readonly maxBytes: number;
}

/** What a message costs besides its payload. */
const OVERHEAD_BYTES = 128;

const sizeOf = (message: Message): number => message.payload.length + message.topic.length + OVERHEAD_BYTES;

export interface Session {
  /** by filter */
  readonly filters: Map<string, { readonly levels: Levels; readonly qos: Qos }>;
  /** Ids of QoS 2 publishes that came and were not released. */
  readonly incoming: Set<number>;
  /** Sends the message, or keeps it until it can be sent. QoS 0 does not wait for an absent client. */
  offer(message: Message): void;
  /** The same for retained messages, which are in memory already. */
  replay(messages: readonly Message[]): void;
  /** From here on messages go there; what was not acknowledged is sent again first (4.4). */
  attach(link: Link): void;
  detach(): void;
  isAttached(): boolean;
  /** Sends what the socket takes. */
  pump(): void;
  /** PUBACK, or PUBCOMP. */
  acknowledged(id: number): void;
  /** PUBREC: the client has the message; only its release is outstanding. */
  received(id: number): void;
  /** Forgets everything and gives its memory back. */
  end(): void;
  /** Messages that wait, those not acknowledged included. */
  waiting(): number;
}

interface InFlight {
  /** `undefined` once it was received: then PUBREL is what is repeated. */
  message: Message | undefined;
}

/** @param onDropped a message was given up because there was no room for it */
export function createSession(limits: SessionLimits, memory: SharedMemory, onDropped: () => void): Session {
  const filters: Session['filters'] = new Map();
  const incoming = new Set<number>();
  const queue: Message[] = [];
  const replays: Message[] = [];
  /** by packet id, in the order of sending */
  const inFlight = new Map<number, InFlight>();
  /** Packet ids to send again. */
  let again: number[] = [];
  let usedBytes = 0;
  let lastId = 0;
  let link: Link | undefined;

  function hold(bytes: number): void {
    usedBytes += bytes;
    memory.usedBytes += bytes;
  }

  function release(message: Message | undefined): void {
    if (message) hold(-sizeOf(message));
  }

  function hasRoomFor(bytes: number): boolean {
    const fits = usedBytes + bytes <= limits.maxQueuedBytes && memory.usedBytes + bytes <= memory.maxBytes;
    return fits && queue.length < limits.maxQueuedMessages;
  }

  /** The oldest leave: who comes back wants to know how things are. */
  function makeRoomFor(bytes: number): boolean {
    while (!hasRoomFor(bytes) && queue.length > 0) {
      release(queue.shift());
      onDropped();
    }
    return hasRoomFor(bytes);
  }

  function newId(): number {
    do lastId = (lastId % 65_535) + 1;
    while (inFlight.has(lastId));
    return lastId;
  }

  function repeated(id: number): Packet | undefined {
    const flight = inFlight.get(id);
    if (!flight) return undefined;
    if (!flight.message) return { cmd: 'pubrel', messageId: id };
    // 3.3.1.1: told apart from a new one.
    return { cmd: 'publish', ...flight.message, messageId: id, dup: true };
  }

  /** Takes the next message from `list`, unless too many are not acknowledged yet. */
  function first(list: Message[]): Packet | undefined {
    const message = list[0];
    if (!message || (message.qos > 0 && inFlight.size >= limits.maxInFlight)) return undefined;
    list.shift();
    if (message.qos === 0) {
      if (list === queue) release(message);
      return { cmd: 'publish', ...message, dup: false };
    }
    if (list === replays) hold(sizeOf(message));
    const messageId = newId();
    inFlight.set(messageId, { message });
    return { cmd: 'publish', ...message, messageId, dup: false };
  }

  function next(): Packet | undefined {
    for (let id = again.shift(); id !== undefined; id = again.shift()) {
      const packet = repeated(id);
      if (packet) return packet;
    }
    // What was there before comes before what is new.
    return first(replays) ?? first(queue);
  }

  function pump(): void {
    while (link?.isReady()) {
      const packet = next();
      if (!packet) return;
      link.send(packet);
    }
  }

  return {
    filters,
    incoming,
    pump,
    offer(message) {
      if (message.qos === 0 && !link) return;
      if (!makeRoomFor(sizeOf(message))) {
        onDropped();
        return;
      }
      hold(sizeOf(message));
      queue.push(message);
      pump();
    },
    replay(messages) {
      for (const message of messages) {
        if (replays.length < limits.maxReplays) replays.push(message);
        else onDropped();
      }
      pump();
    },
    attach(to) {
      link = to;
      again = [...inFlight.keys()];
      pump();
    },
    detach() {
      link = undefined;
    },
    isAttached: () => link !== undefined,
    acknowledged(id) {
      release(inFlight.get(id)?.message);
      inFlight.delete(id);
      pump();
    },
    received(id) {
      const flight = inFlight.get(id);
      if (!flight) return;
      release(flight.message);
      flight.message = undefined;
    },
    end() {
      memory.usedBytes -= usedBytes;
      usedBytes = 0;
      queue.length = 0;
      replays.length = 0;
      inFlight.clear();
      filters.clear();
      incoming.clear();
      link = undefined;
    },
    waiting: () => queue.length + replays.length + inFlight.size,
  };
}
