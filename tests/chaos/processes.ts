/** Stopping and continuing real processes with all their children, as a suspended machine or a frozen disk would. */
import {
  appendFileSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../contract/kernel/random.ts';
import { findSegmentEnd, inspectSegment, listSegments, SEGMENT_HEADER_BYTES } from '../../ingest/log/segment-files.ts';

/** Sends a signal to a process and its children; those that are gone meanwhile are passed over. */
export function signalFamily(pid: number, signal: NodeJS.Signals): void {
  for (const member of [pid, ...childrenOf(pid)]) {
    try {
      process.kill(member, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => parentOf(candidate) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined; // Ended while we looked.
  }
}

/** Process id of the PostgreSQL server in a folder, from its lock file. */
export function postmasterPid(data: string): number | undefined {
  try {
    return Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
  } catch {
    return undefined; // It does not run.
  }
}

/** The file that a log writes to; '' without one. */
export function lastSegment(logDirectory: string): string {
  return listSegments(logDirectory).at(-1)?.path ?? '';
}

/**
 * What a failed fdatasync may leave of the last group commit: nothing, zeros, or all of it. Returns the bytes lost.
 */
export async function loseLastCommit(logDirectory: string, random: Random): Promise<number> {
  const last = listSegments(logDirectory).at(-1);
  if (!last) return 0;
  const { end, lastCommit } = await findSegmentEnd(await inspectSegment(last));
  const start = SEGMENT_HEADER_BYTES + lastCommit - last.base;
  const bytes = readFileSync(last.path).subarray(start, start + end - lastCommit);
  truncateSync(last.path, start);
  return leaveRest(last.path, start, bytes, random);
}

/** Puts into a file what a failed durable write may leave there: nothing, a part, zeros, or all. Returns the bytes lost. */
export function leaveRest(path: string, offset: number, bytes: Buffer, random: Random): number {
  const roll = random();
  const part = bytes.subarray(0, Math.floor(random() * bytes.length));
  const rest =
    roll < 0.25 ? bytes.subarray(0, 0) : roll < 0.5 ? part : roll < 0.75 ? Buffer.alloc(bytes.length) : bytes;
  const file = openSync(path, 'r+');
  writeSync(file, rest, 0, rest.length, offset);
  closeSync(file);
  return rest === bytes ? 0 : bytes.length - (rest === part ? part.length : 0);
}

/** Appends part of what stands at a log's end to its last file: what a power cut leaves of a group commit. */
export function tearTail(logDirectory: string, random: Random): number {
  const path = lastSegment(logDirectory);
  if (!path) return 0;
  const size = statSync(path).size;
  const bytes = 1 + Math.floor(random() * Math.min(2_000, size - 1));
  appendFileSync(path, readFileSync(path).subarray(size - bytes, size - Math.floor(bytes / 3)));
  return bytes - Math.floor(bytes / 3);
}
