/**
 * One Presage per data directory. The lock file names its holder's pid and start time, so that a lock left behind by a
 * killed process is recognised and taken over, and a live holder is never robbed (a pid may have been given to another).
 */
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { AppError } from '../contract/kernel/errors.ts';
import { checkDataFormat } from './data-format.ts';

const holder = z.object({ pid: z.number().int(), startedAt: z.string() });
type Holder = z.infer<typeof holder>;

/**
 * Makes the data directory, closed to others, and takes its lock. Returns how to give it back. From now on whatever this
 * process makes is closed to others, also where a library makes it, and whatever umask we were started with.
 * @throws AppError DATA_DIR_LOCKED naming the holder; DATA_DIR_NEWER, with nothing touched, when a newer version used it
 */
export function lockDataDir(dataDir: string): () => void {
  checkDataFormat(dataDir);
  process.umask(0o077);
  if (mkdirSync(dataDir, { recursive: true, mode: 0o700 }) !== undefined) {
    // Run by root it must let the embedded PostgreSQL's own user pass through to its sub-folder.
    chmodSync(dataDir, process.getuid?.() === 0 ? 0o711 : 0o700);
  }
  return takeDataLock(join(dataDir, 'presage.lock'));
}

/** Process id of whoever has the data directory now, without taking anything. */
export function dataDirHolder(dataDir: string): number | undefined {
  const other = readHolder(join(dataDir, 'presage.lock'));
  return other && isAlive(other) ? other.pid : undefined;
}

/** Takes the lock. Returns how to give it back. @throws AppError DATA_DIR_LOCKED naming the holder */
export function takeDataLock(path: string): () => void {
  mkdirSync(dirname(path), { recursive: true });
  const mine: Holder = { pid: process.pid, startedAt: startTimeOf(process.pid) ?? 'unknown' };
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(path, JSON.stringify(mine), { flag: 'wx', mode: 0o600 });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const other = readHolder(path);
      if (other && isAlive(other)) throw new AppError('DATA_DIR_LOCKED', `process ${other.pid} holds ${path}`);
      rmSync(path, { force: true });
    }
  }
  throw new AppError('DATA_DIR_LOCKED', `another process took ${path} at the same moment`);
}

function readHolder(path: string): Holder | undefined {
  try {
    return holder.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return undefined; // Gone meanwhile, or cut short by a crash while it was written: nobody holds it.
  }
}

function isAlive(other: Holder): boolean {
  const startedAt = startTimeOf(other.pid);
  if (startedAt !== undefined) return startedAt === other.startedAt;
  try {
    process.kill(other.pid, 0);
    return true; // No /proc here: the pid alone must do.
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Start time in clock ticks since boot with the boot's id (field 22 of proc(5) stat), where there is a /proc. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${ticks}`;
  } catch {
    return undefined; // No such process, or no /proc on this system.
  }
}
