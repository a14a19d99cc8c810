/**
 * A disk that is full and a disk that loses what it was given, under a running server. Whatever this machine allows is
 * used, best first, and named: a file system of its own in the data folder and fault injection by strace (both usually
 * need root), else `planted/log-disk.ts` in place of the product's disk calls.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { findBinary } from '../support/binaries.ts';
import { waitFor } from '../support/wait-for.ts';

export interface DiskFaults {
  /** What is used, for the verdict. */
  readonly means: { readonly diskFull: string; readonly eioOnFdatasync: string };
  /** Whether the server must be started with `planted/log-disk.ts`. */
  readonly needsAdapter: boolean;
  /** Leaves this much free space, or none at all. */
  fillUp(leaveBytes: number): void;
  makeRoom(): void;
  /** From its return on, whatever makes this file durable fails with EIO in this process. */
  failSyncs(pid: number, file: string): Promise<void>;
  /** Ends that, and tells what failed. */
  healSyncs(): Promise<FailedSyncs>;
  /** Once nothing runs in the data folder. */
  dispose(): void;
}

export interface FailedSyncs {
  readonly calls: number;
  /** The first write that failed, when it was the writing call: nothing of it is in the file. */
  readonly write?: { readonly offset: number; readonly bytes: Buffer };
}

/** Sparse: what is used of it is what the server writes. */
const IMAGE_BYTES = 4 * 1024 ** 3;
const MAX_TRACED_BYTES = '10000000';
const CHUNK = Buffer.alloc(64 * 1024);

/** `directory`: the folder that holds, or will hold, the server's folder `data`. */
export async function openDiskFaults(directory: string, adapterOnly = false): Promise<DiskFaults> {
  const data = join(directory, 'data');
  mkdirSync(data, { mode: 0o711 });
  const volume = adapterOnly ? undefined : mountVolume(directory, data);
  const strace = adapterOnly ? undefined : await usableStrace();
  const filler = join(data, 'filler');
  const control = controlFolder(data);
  mkdirSync(control);
  let tracer: ChildProcess | undefined;
  const injections = join(directory, 'strace.txt');
  return {
    means: {
      diskFull: volume ?? 'adapter of the log files',
      eioOnFdatasync: strace ? 'strace' : 'adapter of the log files',
    },
    needsAdapter: volume === undefined || strace === undefined,
    fillUp(leaveBytes) {
      if (volume) fill(filler, leaveBytes);
      else writeFileSync(join(control, leaveBytes > 0 ? 'nearly-full' : 'full'), '');
    },
    makeRoom() {
      for (const path of [filler, join(control, 'full'), join(control, 'nearly-full')]) rmSync(path, { force: true });
    },
    async failSyncs(pid, file) {
      if (!strace) return writeFileSync(join(control, 'eio'), '');
      const call = durableCall(pid, file);
      const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:error=EIO`, '-xx', '-s', MAX_TRACED_BYTES];
      tracer = await attach(strace, pid, ['-P', file, ...inject, '-o', injections]);
    },
    async healSyncs() {
      rmSync(join(control, 'eio'), { force: true });
      if (!tracer) return { calls: 1 };
      await detach(tracer);
      tracer = undefined;
      return failedCalls(readFileSync(injections, 'utf8'));
    },
    dispose() {
      if (volume) execFileSync('umount', [data]);
    },
  };
}

/** Where the adapter looks for what it shall do. */
export function controlFolder(data: string): string {
  return join(data, 'chaos-control');
}

/** What was mounted on the folder, if anything could be. */
function mountVolume(directory: string, data: string): string | undefined {
  const image = join(directory, 'volume.img');
  try {
    closeSync(openSync(image, 'w'));
    execFileSync('truncate', ['-s', String(IMAGE_BYTES), image], { stdio: 'pipe' });
    execFileSync('mkfs.ext4', ['-q', '-m', '0', image], { stdio: 'pipe' });
    execFileSync('mount', ['-o', 'loop', image, data], { stdio: 'pipe' });
    execFileSync('chmod', ['711', data]);
    return 'ext4 on a loop device';
  } catch {
    return mountMemory(data); // Not root, or no loop devices in this container.
  }
}

function mountMemory(data: string): string | undefined {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${IMAGE_BYTES / 4},mode=711`, 'none', data], { stdio: 'pipe' });
    return 'tmpfs';
  } catch {
    return undefined; // Not root.
  }
}

function fill(path: string, leaveBytes: number): void {
  const { bavail, bsize } = statfsSync(join(path, '..'));
  const bytes = bavail * bsize - leaveBytes;
  const most = Math.max(0, leaveBytes > 0 ? bytes : bytes - 4 * 1024 ** 2);
  // Space is only reserved, nothing is written: this takes no time.
  if (most > 0) execFileSync('fallocate', ['-l', String(most), path], { stdio: 'pipe' });
  if (leaveBytes === 0) writeUntilFull(path);
}

function writeUntilFull(path: string): void {
  const file = openSync(path, 'a');
  try {
    for (let length = CHUNK.length; length >= 4_096; ) {
      try {
        writeSync(file, CHUNK, 0, length);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        length /= 2;
      }
    }
  } finally {
    closeSync(file);
  }
}

/** A file opened with O_DSYNC is made durable by each write, any other by fdatasync. */
function durableCall(pid: number, file: string): 'pwrite64' | 'fdatasync' {
  const folder = `/proc/${pid}/fd`;
  // Its readers have it open as well, for reading only.
  const writesThrough = readdirSync(folder)
    .filter((fd) => linkOf(join(folder, fd)) === file)
    .some((fd) => (flagsOf(pid, fd) & constants.O_DSYNC) !== 0);
  return writesThrough ? 'pwrite64' : 'fdatasync';
}

function flagsOf(pid: number, fd: string): number {
  const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
  return Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? '0', 8);
}

function failedCalls(trace: string): FailedSyncs {
  const calls = trace.split('INJECTED').length - 1;
  const first = /pwrite64\(\d+, "([^"]*)", \d+, (\d+)\)[^\n]*INJECTED/.exec(trace);
  if (!first) return { calls };
  return {
    calls,
    write: { offset: Number(first[2]), bytes: Buffer.from((first[1] ?? '').replaceAll('\\x', ''), 'hex') },
  };
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // Closed while we looked.
  }
}

/** Path of strace when it may look into other processes here. */
async function usableStrace(): Promise<string | undefined> {
  const strace = findStrace();
  if (!strace) return undefined;
  const other = spawn('sleep', ['30'], { stdio: 'ignore' });
  try {
    await once(other, 'spawn');
    await detach(await attach(strace, other.pid ?? 0, ['-e', 'trace=fdatasync']));
    return strace;
  } catch {
    return undefined; // Tracing is refused.
  } finally {
    other.kill();
  }
}

function findStrace(): string | undefined {
  try {
    return findBinary('strace');
  } catch {
    return undefined; // Not installed where everything must be: the adapter does it too.
  }
}

async function attach(strace: string, pid: number, options: readonly string[]): Promise<ChildProcess> {
  const child = spawn(strace, ['-f', '-p', String(pid), ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_096);
  });
  const attached = await waitFor('strace to attach', () => hasEnded(child) || said.includes('attached'), 10_000);
  if (!attached || hasEnded(child)) throw new Error(`strace: ${said}`);
  return child;
}

async function detach(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
