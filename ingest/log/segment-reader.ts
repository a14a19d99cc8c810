/**
 * Reads a log's segment files from any position, in this thread or another one. Sequential reading keeps its file open
 * and reads ahead in large chunks: a position that was the `next` of an earlier read costs no search and no second read.
 */
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { partitionOf } from '../../contract/kernel/ids.ts';
import type { LogBatch, LoggedEntry, LogReader, Position, ReadOptions } from '../../contract/ports/telemetry-log.ts';
import { checkFrame, frameKind, readFrame } from './frame.ts';
import { corrupt, listSegments, SEGMENT_HEADER_BYTES, type Segment, segmentIndexAt } from './segment-files.ts';

const CHUNK_BYTES = 256 * 1024;
/** Open places in the log; a reader that was idle for longer just opens its file again. */
const MAX_CURSORS = 16;
const NOTHING = Buffer.alloc(0);

interface Cursor {
  readonly segment: Segment;
  readonly file: FileHandle;
  position: Position;
  /** Bytes read ahead; `chunk[at]` stands at `position`. Entries are views of it, so a chunk is never written again. */
  chunk: Buffer;
  at: number;
}

export interface SegmentReader extends LogReader {
  /** Closes the files; reading again opens them again. */
  close(): Promise<void>;
}

/**
 * A reader of the log in `directory` that never passes `durableEnd()`. Give another thread a `durableEnd` that reads
 * shared memory (see durable-end.ts).
 * @throws AppError LOG_CORRUPT from `read` when a frame does not match its checksum
 */
export function openSegmentLogReader(directory: string, options: { durableEnd: () => Position }): SegmentReader {
  return new FileReader(directory, options.durableEnd);
}

class FileReader implements SegmentReader {
  readonly #directory: string;
  readonly #durableEnd: () => Position;
  /** by position; oldest use first */
  readonly #cursors = new Map<Position, Cursor>();
  #segments: readonly Segment[] = [];

  constructor(directory: string, durableEnd: () => Position) {
    this.#directory = directory;
    this.#durableEnd = durableEnd;
  }

  end(): Position {
    return this.#durableEnd();
  }

  start(): Position {
    return listSegments(this.#directory)[0]?.base ?? 0;
  }

  async read(from: Position, options: ReadOptions): Promise<LogBatch> {
    const end = this.#durableEnd();
    if (from >= end) return { entries: [], next: from };
    let cursor = await this.#takeCursor(from);
    try {
      while (cursor.position < end) {
        const entries = parseEntries(cursor, end, options);
        if (entries) {
          this.#keepCursor(cursor);
          return { entries, next: cursor.position };
        }
        if (!(await this.#fill(cursor, end))) cursor = await this.#nextSegment(cursor);
      }
      this.#keepCursor(cursor);
      return { entries: [], next: cursor.position };
    } catch (error) {
      await cursor.file.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const cursors = [...this.#cursors.values()];
    this.#cursors.clear();
    await Promise.all(cursors.map((cursor) => cursor.file.close()));
  }

  /** A cursor in use is in nobody's reach: two reads from one position get one each. */
  async #takeCursor(position: Position): Promise<Cursor> {
    const kept = this.#cursors.get(position);
    if (!kept) return this.#openCursor(position);
    this.#cursors.delete(position);
    return kept;
  }

  #keepCursor(cursor: Cursor): void {
    const twin = this.#cursors.get(cursor.position);
    this.#cursors.delete(cursor.position);
    this.#cursors.set(cursor.position, cursor);
    const surplus = twin ?? (this.#cursors.size > MAX_CURSORS ? this.#dropOldest() : undefined);
    void surplus?.file.close().catch(() => undefined); // Read-only: nothing is lost when closing fails.
  }

  #dropOldest(): Cursor | undefined {
    const [oldest] = this.#cursors;
    if (oldest) this.#cursors.delete(oldest[0]);
    return oldest?.[1];
  }

  async #openCursor(position: Position): Promise<Cursor> {
    let segment = this.#segmentAt(position);
    if (!segment) {
      this.#segments = listSegments(this.#directory);
      segment = this.#segmentAt(position) ?? this.#segments[0];
    }
    if (!segment) throw corrupt(this.#directory, position, 'no segment is left');
    try {
      return startOf(segment, await open(segment.path, 'r'), Math.max(position, segment.base));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#segments = []; // Deleted behind all consumers since it was listed: look again.
      if (listSegments(this.#directory)[0]?.base === segment.base) throw error;
      return this.#openCursor(position);
    }
  }

  /** From the list as last read. It may be too old a segment: its end then leads on to the next ones. */
  #segmentAt(position: Position): Segment | undefined {
    const index = segmentIndexAt(this.#segments, position);
    const segment = this.#segments[index];
    if (!segment || position < segment.base) return undefined;
    return segment;
  }

  /** Reads on, at least one whole frame further. False at the end of the segment. */
  async #fill(cursor: Cursor, end: Position): Promise<boolean> {
    const rest = cursor.chunk.length - cursor.at;
    const needed = neededBytes(cursor);
    const bytes = Math.min(Math.max(CHUNK_BYTES, needed), end - cursor.position);
    if (bytes < needed) throw corrupt(cursor.segment.path, cursor.position, 'an entry passes the durable end');
    const chunk = Buffer.allocUnsafeSlow(bytes);
    cursor.chunk.copy(chunk, 0, cursor.at);
    const filled = rest + (await readFully(cursor, chunk, rest));
    cursor.chunk = chunk.subarray(0, filled);
    cursor.at = 0;
    if (filled > 0 && filled < needed) throw corrupt(cursor.segment.path, cursor.position, 'it ends within an entry');
    return filled > 0;
  }

  async #nextSegment(cursor: Cursor): Promise<Cursor> {
    this.#segments = listSegments(this.#directory);
    const next = this.#segments.find((segment) => segment.base > cursor.segment.base);
    if (!next) throw corrupt(cursor.segment.path, cursor.position, 'it ends before the durable end');
    const file = await open(next.path, 'r');
    await cursor.file.close();
    return startOf(next, file, Math.max(cursor.position, next.base));
  }
}

function startOf(segment: Segment, file: FileHandle, position: Position): Cursor {
  return { segment, file, position, chunk: NOTHING, at: 0 };
}

/** The chunk's whole entries up to the limit, or `undefined` when it must be filled first. Moves the cursor. */
function parseEntries(cursor: Cursor, end: Position, options: ReadOptions): LoggedEntry[] | undefined {
  const entries: LoggedEntry[] = [];
  let passed = 0;
  while (entries.length < options.maxEntries && cursor.position < end) {
    const check = checkFrame(cursor.chunk, cursor.at, cursor.chunk.length, cursor.position);
    if (check.kind === 'damaged') throw corrupt(cursor.segment.path, cursor.position, 'an entry is damaged');
    if (check.kind === 'partial') return passed > 0 ? entries : undefined;
    if (!options.kinds || options.kinds.has(frameKind(cursor.chunk, cursor.at))) {
      const entry = readFrame(cursor.chunk, cursor.at, check.length, cursor.position);
      if (!options.partitions || options.partitions.has(partitionOf(entry))) entries.push(entry);
    }
    cursor.at += check.length;
    cursor.position += check.length;
    passed++;
  }
  return entries;
}

/** Bytes that the frame at the cursor needs, as far as can be said. */
function neededBytes(cursor: Cursor): number {
  const check = checkFrame(cursor.chunk, cursor.at, cursor.chunk.length, cursor.position);
  return check.kind === 'partial' ? check.needed : 0;
}

async function readFully(cursor: Cursor, chunk: Buffer, from: number): Promise<number> {
  const fileOffset = SEGMENT_HEADER_BYTES + cursor.position - cursor.segment.base;
  let filled = from;
  while (filled < chunk.length) {
    const { bytesRead } = await cursor.file.read(chunk, filled, chunk.length - filled, fileOffset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled - from;
}
