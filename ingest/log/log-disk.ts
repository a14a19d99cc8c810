/** The system calls that decide about durability, apart, so that tests can make them fail. */
import { fdatasync, write } from 'node:fs';
import { statfs } from 'node:fs/promises';

export interface LogDisk {
  /** Writes all `length` bytes at `fileOffset`. */
  write(fd: number, buffer: Uint8Array, length: number, fileOffset: number): Promise<void>;
  /** Returns when everything written is on the medium. */
  sync(fd: number): Promise<void>;
  /** Bytes that may still be written to the file system of a folder. */
  freeBytes(directory: string): Promise<number>;
}

export const nodeDisk: LogDisk = {
  write: (fd, buffer, length, fileOffset) =>
    new Promise((resolve, reject) => {
      const writeFrom = (from: number): void => {
        write(fd, buffer, from, length - from, fileOffset + from, (error, written) => {
          if (error) reject(error);
          else if (from + written < length) writeFrom(from + written);
          else resolve();
        });
      };
      writeFrom(0);
    }),
  sync: (fd) =>
    new Promise((resolve, reject) => {
      fdatasync(fd, (error) => (error ? reject(error) : resolve()));
    }),
  async freeBytes(directory) {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  },
};
