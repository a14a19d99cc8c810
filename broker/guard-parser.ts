/**
 * Guards what goes into a client's parser. The size guard: mqtt-packet has no limit of its own and would gather up to
 * 256 MiB for one packet, also for somebody who has not logged in. It wraps two methods of the client's parser, one of them private; versions are pinned, and a
 * parser without them is refused, so that an update cannot take the guard away unnoticed. The gate: see `ParserGate`.
 */
import type { Packet } from 'mqtt-packet';
import { AppError } from '../contract/kernel/errors.ts';

/** What Node reads from a socket at a time. */
const ONE_READ_BYTES = 64 * 1024;

/** The part of mqtt-packet 9's parser that is wrapped. */
export interface PacketParser {
  packet: { length: number };
  /** Reads the remaining length (MQTT 3.1.1, 2.2.3); true once it is complete. */
  _parseLength(): boolean;
  parse(bytes: Buffer): number;
  prependListener(event: 'packet', listener: (packet: Packet) => void): unknown;
  removeAllListeners(event: 'packet'): unknown;
}

export interface ParserGuard {
  /** Largest remaining length at this moment. */
  limitBytes(): number;
  onOversize(bytes: number): void;
  /** Sees each packet before Aedes does. What it throws goes to `onThrow`, and this packet and all after it nowhere. */
  onPacket(packet: Packet): void;
  /** Anything thrown while packets are read and handled; without this it would end the process. */
  onThrow(error: unknown): void;
}

/**
 * Keeps bytes back from the CONNECT until the login is decided and Aedes has worked off what came with it. Aedes reads
 * on meanwhile, handles some of what it reads as if the client were logged in, and some before what came earlier.
 */
export interface ParserGate {
  hold(): void;
  release(): void;
  /** From the next packet on, packets go there and no longer to Aedes. */
  divert(to: (packet: Packet) => void): void;
}

/** @throws AppError INTERNAL when the parser is not the one we know */
export function guardParser(parser: PacketParser, guard: ParserGuard): ParserGate {
  const parseLength = parser?._parseLength;
  const parse = parser?.parse;
  if (typeof parseLength !== 'function' || typeof parse !== 'function') {
    throw new AppError('INTERNAL', 'mqtt-packet changed: the size guard does not fit');
  }
  parser._parseLength = function guardedParseLength() {
    if (!parseLength.call(parser)) return false;
    if (parser.packet.length <= guard.limitBytes()) return true;
    guard.onOversize(parser.packet.length);
    return false;
  };
  parser.prependListener('packet', (packet) => guard.onPacket(packet));
  let held: Buffer[] | undefined;
  parser.parse = function guardedParse(bytes) {
    if (held) return keep(held, bytes, guard);
    try {
      return parse.call(parser, bytes);
    } catch (error) {
      guard.onThrow(error);
      return 0;
    }
  };
  return {
    divert(to) {
      parser.removeAllListeners('packet');
      parser.prependListener('packet', (packet) => {
        guard.onPacket(packet);
        to(packet);
      });
    },
    hold() {
      held ??= [];
    },
    release() {
      const bytes = Buffer.concat(held ?? []);
      held = undefined;
      if (bytes.length > 0) parser.parse(bytes);
    },
  };
}

function keep(held: Buffer[], bytes: Buffer, guard: ParserGuard): number {
  held.push(bytes);
  const heldBytes = held.reduce((sum, one) => sum + one.length, 0);
  // Aedes pauses reading for most of that time: honest devices stay far below.
  if (heldBytes > Math.max(ONE_READ_BYTES, 2 * guard.limitBytes())) guard.onOversize(heldBytes);
  return heldBytes;
}
