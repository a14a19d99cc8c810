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
  const roll = random();
  if (roll < 0.2 || end === lastCommit) return 0;
  const start = SEGMENT_HEADER_BYTES + lastCommit - last.base;
  if (roll < 0.6) truncateSync(last.path, start);
  else overwrite(last.path, start, end - lastCommit);
  return end - lastCommit;
}

function overwrite(path: string, start: number, length: number): void {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(length), 0, length, start);
  closeSync(file);
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
