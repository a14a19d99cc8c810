/** Brings a log's folder into order at start: torn tail off, lost bytes noticed, ready to append. */
import { truncate, unlink } from 'node:fs/promises';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import { syncFolder } from './durable-files.ts';
import {
  checkChain,
  findSegmentEnd,
  inspectSegment,
  listSegments,
  SEGMENT_HEADER_BYTES,
  type Segment,
  type SegmentFacts,
  wasBeingCreated,
} from './segment-files.ts';

export interface Recovery {
  readonly segments: Segment[];
  /** Where the last segment's whole frames end; `undefined` without segments. */
  readonly end: Position | undefined;
  /** Where the last group commit of the last segment began: whether it reached the medium nobody knows. */
  readonly lastCommit: Position | undefined;
  /** Bytes of a torn tail that were cut off: never acknowledged. */
  readonly droppedBytes: number;
}

/** @throws AppError LOG_CORRUPT when something is damaged that was durable */
export async function recoverSegments(directory: string): Promise<Recovery> {
  const segments: SegmentFacts[] = [];
  for (const segment of listSegments(directory)) segments.push(await inspectSegment(segment));
  const headless = await dropHalfCreated(directory, segments);
  checkChain(segments);
  const last = segments.at(-1);
  if (!last) return { segments: [], end: undefined, lastCommit: undefined, droppedBytes: headless };
  const { end, lastCommit } = await findSegmentEnd(last);
  const wholeBytes = SEGMENT_HEADER_BYTES + end - last.base;
  if (last.bytes > wholeBytes) await truncate(last.path, wholeBytes);
  return {
    segments: segments.map(({ path, base }) => ({ path, base })),
    end,
    lastCommit,
    droppedBytes: headless + last.bytes - wholeBytes,
  };
}

async function dropHalfCreated(directory: string, segments: SegmentFacts[]): Promise<number> {
  const last = segments.at(-1);
  if (!last || !(await wasBeingCreated(last))) return 0;
  await unlink(last.path);
  await syncFolder(directory);
  segments.pop();
  return last.bytes;
}
