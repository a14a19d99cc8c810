/** Looks at a log's files without changing them, for a log that nobody has open. */
import { existsSync } from 'node:fs';
import {
  checkChain,
  findSegmentEnd,
  inspectSegment,
  listSegments,
  SEGMENT_HEADER_BYTES,
  wasBeingCreated,
} from './segment-files.ts';

export interface LogCondition {
  readonly segments: number;
  readonly bytes: number;
  /** Bytes of an unfinished write at the end; the next start drops them, they were never acknowledged. */
  readonly tornBytes: number;
}

/** @throws AppError LOG_CORRUPT when something is damaged that was durable */
export async function inspectLog(directory: string): Promise<LogCondition> {
  if (!existsSync(directory)) return { segments: 0, bytes: 0, tornBytes: 0 };
  const facts = [];
  for (const segment of listSegments(directory)) facts.push(await inspectSegment(segment));
  const bytes = facts.reduce((sum, segment) => sum + segment.bytes, 0);
  const last = facts.at(-1);
  // The last one may have been cut off while it was being made: that is a torn tail too.
  const headless = last !== undefined && (await wasBeingCreated(last));
  checkChain(headless ? facts.slice(0, -1) : facts);
  if (!last || headless) return { segments: facts.length, bytes, tornBytes: last?.bytes ?? 0 };
  const whole = SEGMENT_HEADER_BYTES + (await findSegmentEnd(last)).end - last.base;
  return { segments: facts.length, bytes, tornBytes: last.bytes - whole };
}
