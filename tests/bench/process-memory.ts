/** Resident memory of processes, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

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

function childrenOf(pid: number): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const direct = all.map(Number).filter((candidate) => parentOf(candidate) === pid);
  return [...direct, ...direct.flatMap(childrenOf)];
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined; // Ended while we looked.
  }
}
