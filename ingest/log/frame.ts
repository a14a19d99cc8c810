/**
 * How one log entry stands in a segment file. Every frame carries its length, a checksum that also covers its place in
 * the stream (a frame that strayed is not taken for another), and how far back its group commit began: that tells a
 * torn tail, which was never acknowledged, from damage to something that was.
 *
 *     0  magic       u32   two control bytes in it: cannot occur inside JSON, so a search for frames is not fooled
 *     4  checksum    u32   CRC-32 of bytes 8…length, started with the low 32 bits of the frame's position
 *     8  length      u32   of the whole frame
 *    12  undurable u32   bytes from what was durable when it was appended to this frame
 *    16  receivedAt  f64
 *    24  kind, lengths of tenant, device, model   u8 each
 *    28  tenant, device, model, body
 */
import { crc32 } from 'node:zlib';
import {
  ENTRY_KINDS,
  type EntryKind,
  type LogEntry,
  type LoggedEntry,
  type Position,
} from '../../contract/ports/telemetry-log.ts';

const MAGIC = Buffer.from([0x01, 0x50, 0x4c, 0x02]);
const MAGIC_U32 = MAGIC.readUInt32LE(0);
export const FRAME_HEADER_BYTES = 28;
/** Largest body: far above any payload, so that a damaged length is noticed. */
export const MAX_BODY_BYTES = 4 * 1024 * 1024;
const MAX_NAME_BYTES = 255;
const MAX_FRAME_BYTES = FRAME_HEADER_BYTES + 3 * MAX_NAME_BYTES + MAX_BODY_BYTES;

/** by kind */
const KIND_CODES: ReadonlyMap<EntryKind, number> = new Map(ENTRY_KINDS.map((kind, code) => [kind, code]));

/** Upper bound of the bytes `encodeFrame` writes. @throws RangeError when a name or the body is too long for the format */
export function frameBound(entry: LogEntry): number {
  if (entry.body.byteLength > MAX_BODY_BYTES) throw new RangeError(`log entry of ${entry.body.byteLength} bytes`);
  const names = 3 * (entry.tenant.length + entry.device.length + entry.model.length);
  return FRAME_HEADER_BYTES + names + entry.body.byteLength;
}

/**
 * Writes the frame at `at` and returns its length. `position` is where the frame starts in the stream.
 * The caller has made room for `frameBound(entry)` bytes.
 */
export function encodeFrame(
  buffer: Buffer,
  at: number,
  entry: LogEntry,
  position: Position,
  undurable: number,
): number {
  let cursor = at + FRAME_HEADER_BYTES;
  const tenantBytes = writeName(buffer, cursor, entry.tenant);
  cursor += tenantBytes;
  const deviceBytes = writeName(buffer, cursor, entry.device);
  cursor += deviceBytes;
  const modelBytes = writeName(buffer, cursor, entry.model);
  cursor += modelBytes;
  buffer.set(entry.body, cursor);
  const length = cursor + entry.body.byteLength - at;
  buffer.writeUInt32LE(MAGIC_U32, at);
  buffer.writeUInt32LE(length, at + 8);
  buffer.writeUInt32LE(undurable, at + 12);
  buffer.writeDoubleLE(entry.receivedAt, at + 16);
  buffer[at + 24] = KIND_CODES.get(entry.kind) ?? ENTRY_KINDS.length;
  buffer[at + 25] = tenantBytes;
  buffer[at + 26] = deviceBytes;
  buffer[at + 27] = modelBytes;
  buffer.writeUInt32LE(checksum(buffer, at, length, position), at + 4);
  return length;
}

/** Names are nearly always short ASCII: a loop is several times faster than a call into the encoder. */
function writeName(buffer: Buffer, at: number, name: string): number {
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit > 127) return writeLongName(buffer, at, name);
    buffer[at + i] = unit;
  }
  if (name.length > MAX_NAME_BYTES) throw new RangeError(`name of ${name.length} bytes in a log entry`);
  return name.length;
}

function writeLongName(buffer: Buffer, at: number, name: string): number {
  const bytes = buffer.write(name, at, 'utf8');
  if (bytes > MAX_NAME_BYTES) throw new RangeError(`name of ${bytes} bytes in a log entry`);
  return bytes;
}

function checksum(buffer: Buffer, at: number, length: number, position: Position): number {
  return crc32(buffer.subarray(at + 8, at + length), position >>> 0);
}

/** What stands at a place: a whole frame, the beginning of one that needs `needed` bytes, or no frame. */
export type FrameCheck =
  | { readonly kind: 'frame'; readonly length: number }
  | { readonly kind: 'partial'; readonly needed: number }
  | { readonly kind: 'damaged' };

const DAMAGED: FrameCheck = { kind: 'damaged' };
const PARTIAL_HEADER: FrameCheck = { kind: 'partial', needed: FRAME_HEADER_BYTES };

/** Looks at the bytes `at`…`end` of `buffer`, where the frame of stream position `position` should start. */
export function checkFrame(buffer: Buffer, at: number, end: number, position: Position): FrameCheck {
  if (end - at < FRAME_HEADER_BYTES) return PARTIAL_HEADER;
  if (buffer.readUInt32LE(at) !== MAGIC_U32) return DAMAGED;
  const length = buffer.readUInt32LE(at + 8);
  if (length < FRAME_HEADER_BYTES || length > MAX_FRAME_BYTES) return DAMAGED;
  if (end - at < length) return { kind: 'partial', needed: length };
  if (buffer.readUInt32LE(at + 4) !== checksum(buffer, at, length, position)) return DAMAGED;
  return { kind: 'frame', length };
}

/** Bytes from the start of its group commit to a checked frame. */
export function undurable(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at + 12);
}

/** Kind of a checked frame, without reading the rest of it. */
export function frameKind(buffer: Buffer, at: number): EntryKind {
  return ENTRY_KINDS[buffer[at + 24] as number] ?? 'other';
}

/** The entry of a checked frame that starts at stream position `position`. Its body is a view of `buffer`. */
export function readFrame(buffer: Buffer, at: number, length: number, position: Position): LoggedEntry {
  const tenantAt = at + FRAME_HEADER_BYTES;
  const deviceAt = tenantAt + (buffer[at + 25] as number);
  const modelAt = deviceAt + (buffer[at + 26] as number);
  const bodyAt = modelAt + (buffer[at + 27] as number);
  return {
    kind: frameKind(buffer, at),
    tenant: buffer.toString('utf8', tenantAt, deviceAt),
    device: buffer.toString('utf8', deviceAt, modelAt),
    model: buffer.toString('utf8', modelAt, bodyAt),
    receivedAt: buffer.readDoubleLE(at + 16),
    body: buffer.subarray(bodyAt, at + length),
    position: position + length,
  };
}

/**
 * Whether any whole frame in `buffer` belongs to a group commit that began after `damagedAt`. Then the commit before it
 * was durable, and the damage hit something that was acknowledged. `position` is the stream position of `buffer[0]`.
 */
export function laterCommitExists(buffer: Buffer, position: Position, damagedAt: Position): boolean {
  for (let at = buffer.indexOf(MAGIC); at >= 0; at = buffer.indexOf(MAGIC, at + 1)) {
    if (checkFrame(buffer, at, buffer.length, position + at).kind !== 'frame') continue;
    if (position + at - undurable(buffer, at) > damagedAt) return true;
  }
  return false;
}
