/**
 * The files of a log: `<base>.seg`, base = stream position of the first frame, 16 decimal digits. A header repeats the
 * base and says where the segment before it ended: usually at this base, earlier when acknowledged bytes were lost with
 * a damaged disk (positions are never used twice, so the stream then jumps).
 */
import { readdirSync, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import { checkFrame, laterCommitExists, undurable } from './frame.ts';
import type { LogDisk } from './log-disk.ts';

const FILE_PATTERN = /^(\d{16})\.seg$/;
const HEADER_MAGIC = 'PRESLOG1';
export const SEGMENT_HEADER_BYTES = 32;
const SCAN_CHUNK_BYTES = 4 * 1024 * 1024;

export interface Segment {
  readonly path: string;
  /** Stream position of its first frame. */
  readonly base: Position;
}

export function segmentPath(directory: string, base: Position): string {
  return join(directory, `${String(base).padStart(16, '0')}.seg`);
}

/** Segments of the folder, oldest first. */
export function listSegments(directory: string): Segment[] {
  return readdirSync(directory)
    .map((name) => FILE_PATTERN.exec(name))
    .filter((match) => match !== null)
    .map((match) => ({ path: join(directory, match[0]), base: Number(match[1]) }))
    .sort((a, b) => a.base - b.base);
}

/** Index of the segment that holds `position`; the first one for anything before it; -1 without segments. */
export function segmentIndexAt(segments: readonly Segment[], position: Position): number {
  let index = segments.length - 1;
  while (index > 0 && (segments[index] as Segment).base > position) index--;
  return index;
}

export function encodeSegmentHeader(base: Position, previousEnd: Position): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  header.write(HEADER_MAGIC, 0, 'latin1');
  header.writeDoubleLE(base, 8);
  header.writeDoubleLE(previousEnd, 16);
  header.writeUInt32LE(crc32(header.subarray(0, 24)), 24);
  return header;
}

/** Where the segment before this one ended, or `undefined` when the header is not whole. */
async function readPreviousEnd(file: FileHandle, base: Position): Promise<Position | undefined> {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  const { bytesRead } = await file.read(header, 0, SEGMENT_HEADER_BYTES, 0);
  const whole =
    bytesRead === SEGMENT_HEADER_BYTES &&
    header.toString('latin1', 0, 8) === HEADER_MAGIC &&
    header.readUInt32LE(24) === crc32(header.subarray(0, 24)) &&
    header.readDoubleLE(8) === base;
  return whole ? header.readDoubleLE(16) : undefined;
}

export interface SegmentFacts extends Segment {
  readonly bytes: number;
  /** `undefined` = the header is not whole. */
  readonly previousEnd: Position | undefined;
}

export async function inspectSegment(segment: Segment): Promise<SegmentFacts> {
  const file = await open(segment.path, 'r');
  try {
    const stats: Stats = await file.stat();
    return { ...segment, bytes: stats.size, previousEnd: await readPreviousEnd(file, segment.base) };
  } finally {
    await file.close();
  }
}

/**
 * Each segment must end where the next one says it did. Frames of closed segments are not read here (gigabytes at every
 * start); their checksums are checked whenever they are read.
 * @throws AppError LOG_CORRUPT naming the file
 */
export function checkChain(segments: readonly SegmentFacts[]): void {
  segments.forEach((segment, index) => {
    const next = segments[index + 1];
    const end = segment.base + segment.bytes - SEGMENT_HEADER_BYTES;
    if (segment.previousEnd === undefined) throw corrupt(segment.path, segment.base, 'its header is not readable');
    if (next && next.previousEnd !== end) {
      throw corrupt(segment.path, end, `it ends at ${end}, the next segment expects ${next.previousEnd}`);
    }
  });
}

export interface SegmentEnd {
  /** Stream position at which the whole frames end. What follows is a torn tail. */
  readonly end: Position;
  /** Where the group commit of the last whole frame began; `end` without frames. */
  readonly lastCommit: Position;
}

/** @throws AppError LOG_CORRUPT when frames that a later group commit proves durable are damaged */
export async function findSegmentEnd(segment: SegmentFacts): Promise<SegmentEnd> {
  const file = await open(segment.path, 'r');
  try {
    let position = segment.base;
    let lastCommit = position;
    let chunkBytes = SCAN_CHUNK_BYTES;
    for (;;) {
      const chunk = await readAt(file, segment, position, chunkBytes);
      const { passed, needed, damaged, last } = scanChunk(chunk, position);
      if (last !== undefined) lastCommit = position + last - undurable(chunk, last);
      position += passed;
      const atFileEnd = chunk.length < chunkBytes;
      if (damaged || (needed > 0 && atFileEnd)) {
        await refuseDamage(file, segment, position);
        return { end: position, lastCommit };
      }
      if (atFileEnd) return { end: position, lastCommit };
      chunkBytes = Math.max(SCAN_CHUNK_BYTES, needed);
    }
  } finally {
    await file.close();
  }
}

/**
 * Whether the newest segment was just being created when everything stopped: nothing in it was ever acknowledged.
 * @throws AppError LOG_CORRUPT when its header is damaged but durable frames follow
 */
export async function wasBeingCreated(segment: SegmentFacts): Promise<boolean> {
  if (segment.previousEnd !== undefined) return false;
  const file = await open(segment.path, 'r');
  try {
    await refuseDamage(file, segment, segment.base);
    return true;
  } finally {
    await file.close();
  }
}

interface Scan {
  readonly passed: number;
  /** Bytes that the frame behind them needs, when it is cut off by the end of the chunk. */
  readonly needed: number;
  readonly damaged: boolean;
  /** Where the last whole frame starts in the chunk. */
  readonly last: number | undefined;
}

function scanChunk(chunk: Buffer, position: Position): Scan {
  let at = 0;
  let last: number | undefined;
  while (at < chunk.length) {
    const check = checkFrame(chunk, at, chunk.length, position + at);
    if (check.kind === 'damaged') return { passed: at, needed: 0, damaged: true, last };
    if (check.kind === 'partial') return { passed: at, needed: check.needed, damaged: false, last };
    last = at;
    at += check.length;
  }
  return { passed: at, needed: 0, damaged: false, last };
}

/**
 * Makes the segment's end durable by writing it once more, from its last group commit on. A process that ended after a failed fdatasync, or
 * before any, leaves pages that can be read but may never have been written: the kernel marks them clean when it gives
 * them up, and a later fdatasync passes over them. Only written again they are dirty, and the next sync means something.
 */
export async function rewriteEnd(
  file: FileHandle,
  disk: LogDisk,
  segment: Segment,
  from: Position,
  end: Position,
): Promise<void> {
  const start = from > segment.base ? SEGMENT_HEADER_BYTES + from - segment.base : 0;
  const length = SEGMENT_HEADER_BYTES + end - segment.base - start;
  const bytes = Buffer.allocUnsafeSlow(length);
  const { bytesRead } = await file.read(bytes, 0, length, start);
  if (bytesRead < length) throw corrupt(segment.path, end, 'its end could not be read');
  await disk.write(file.fd, bytes, length, start);
  await disk.sync(file.fd);
}

async function refuseDamage(file: FileHandle, segment: SegmentFacts, damagedAt: Position): Promise<void> {
  const rest = await readAt(file, segment, damagedAt, segment.bytes);
  if (laterCommitExists(rest, damagedAt, damagedAt)) {
    throw corrupt(segment.path, damagedAt, 'entries behind the damage were durable');
  }
}

async function readAt(file: FileHandle, segment: Segment, position: Position, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(bytes);
  let filled = 0;
  while (filled < bytes) {
    const fileOffset = SEGMENT_HEADER_BYTES + position - segment.base + filled;
    const { bytesRead } = await file.read(buffer, filled, bytes - filled, fileOffset);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

export function corrupt(path: string, position: Position, detail: string): AppError {
  return new AppError('LOG_CORRUPT', `${path} at position ${position}: ${detail}`, { facts: { path, position } });
}
