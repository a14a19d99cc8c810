/**
 * The size guard: mqtt-packet has no limit of its own and would gather up to 256 MiB for one packet, also for somebody
 * who has not logged in. It wraps two methods of the client's parser, one of them private; versions are pinned, and a
 * parser without them is refused, so that an update cannot take the guard away unnoticed.
 */
import { AppError } from '../contract/kernel/errors.ts';

/** The part of mqtt-packet 9's parser that is wrapped. */
export interface PacketParser {
  packet: { length: number };
  /** Reads the remaining length (MQTT 3.1.1, 2.2.3); true once it is complete. */
  _parseLength(): boolean;
  parse(bytes: Buffer): number;
}

export interface ParserGuard {
  /** Largest remaining length at this moment. */
  limitBytes(): number;
  onOversize(bytes: number): void;
  /** Anything thrown while packets are read and handled; without this it would end the process. */
  onThrow(error: unknown): void;
}

/** @throws AppError INTERNAL when the parser is not the one we know */
export function guardParser(parser: PacketParser, guard: ParserGuard): void {
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
  parser.parse = function guardedParse(bytes) {
    try {
      return parse.call(parser, bytes);
    } catch (error) {
      guard.onThrow(error);
      return 0;
    }
  };
}
