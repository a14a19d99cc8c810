/**
 * In place of the product's disk calls under its logs, where neither a file system of our own nor strace is to be had:
 * a disk that is full, or whose fdatasync fails, for as long as a file in the control folder says so.
 */
import { existsSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LogDisk, nodeDisk as realDisk } from '../../../ingest/log/log-disk.ts';
import { controlFolder } from '../disk-faults.ts';

export type { LogDisk };

function says(dataFolder: string, what: string): boolean {
  return existsSync(join(controlFolder(dataFolder), what));
}

/** `data/log/telemetry/….seg` → `data` */
function dataFolderOf(fd: number): string {
  return dirname(dirname(dirname(readlinkSync(`/proc/self/fd/${fd}`))));
}

function failure(code: string, syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: planted, ${syscall}`), { code, syscall });
}

export const nodeDisk: LogDisk = {
  ...realDisk,
  async write(fd, buffer, length, fileOffset) {
    if (!says(dataFolderOf(fd), 'full')) return realDisk.write(fd, buffer, length, fileOffset);
    await realDisk.write(fd, buffer, Math.floor(length / 2), fileOffset);
    throw failure('ENOSPC', 'write');
  },
  async sync(fd) {
    if (says(dataFolderOf(fd), 'eio')) throw failure('EIO', 'fdatasync');
    await realDisk.sync(fd);
  },
  async freeBytes(directory) {
    const data = dirname(dirname(directory));
    return says(data, 'full') || says(data, 'nearly-full') ? 0 : realDisk.freeBytes(directory);
  },
};
