/** The system calls that decide about durability, apart, so that tests can make them fail. */
import { constants, fdatasync, write } from 'node:fs';
import { statfs } from 'node:fs/promises';

export interface LogDisk {
  /** Flags with which a file that is written to is opened, beyond reading and writing. */
  readonly openFlags: number;
  /** Writes all `length` bytes at `fileOffset`. */
  write(fd: number, buffer: Uint8Array, length: number, fileOffset: number): Promise<void>;
  /** Returns when everything written is on the medium. */
  sync(fd: number): Promise<void>;
  /** Bytes that may still be written to the file system of a folder. */
  freeBytes(directory: string): Promise<number>;
}

/**
 * On Linux a file opened with O_DSYNC is on the medium when `write` returns (open(2)): the same promise as write and
 * fdatasync, in one call of the thread pool instead of two. Elsewhere the flag is missing or weaker than fdatasync.
 */
const WRITES_ARE_DURABLE = process.platform === 'linux';

export const nodeDisk: LogDisk = {
  openFlags: WRITES_ARE_DURABLE ? constants.O_DSYNC : 0,
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
  sync: WRITES_ARE_DURABLE
    ? () => Promise.resolve()
    : (fd) =>
        new Promise((resolve, reject) => {
          fdatasync(fd, (error) => (error ? reject(error) : resolve()));
        }),
  async freeBytes(directory) {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  },
};
