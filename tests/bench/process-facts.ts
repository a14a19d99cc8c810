/** Memory and processor time of processes, from /proc, and a garbage collection when one is wanted. */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { WebSocket } from 'ws';

export const MIB = 1024 * 1024;

/** Resident set of a process and, summed, of its descendants (shared pages counted in each). */
export function residentMib(pid: number): { own: number; children: number } {
  const descendants = childrenOf(pid).reduce((sum, child) => sum + residentBytes(child), 0);
  return { own: Math.round(residentBytes(pid) / MIB), children: Math.round(descendants / MIB) };
}

/** 0 when the process has ended. */
export function residentBytes(pid: number): number {
  try {
    const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(match?.[1] ?? 0) * 1024;
  } catch {
    return 0; // Ended while we looked.
  }
}

/** Clock ticks of /proc a second, on every Linux that Node runs on. */
const TICKS_PER_S = 100;

/** Seconds of processor time that a process has used; 0 when it has ended. */
export function cpuSeconds(pid: number): number {
  const fields = statOf(pid);
  return fields ? (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S : 0;
}

/**
 * Collects all garbage of a Node process that was started with `--inspect`: what is resident then is what it needs.
 * @param output what it has written, with the inspector's address
 */
export async function collectGarbage(output: string): Promise<void> {
  const url = /ws:\/\/\S+/.exec(output)?.[0];
  if (!url) throw new Error('the process has no inspector');
  const socket = new WebSocket(url);
  await once(socket, 'open');
  for (let id = 1; id <= 2; id++) {
    socket.send(JSON.stringify({ id, method: 'HeapProfiler.collectGarbage' }));
    await once(socket, 'message');
  }
  socket.close();
}

function childrenOf(pid: number): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const direct = all.map(Number).filter((candidate) => parentOf(candidate) === pid);
  return [...direct, ...direct.flatMap(childrenOf)];
}

function parentOf(pid: number): number | undefined {
  const parent = statOf(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** Fields behind the name, which may hold anything: state, parent, … */
function statOf(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // Ended while we looked.
  }
}
