/** The two system calls that decide about durability, apart, so that tests can make them fail. */
import { fdatasync, write } from 'node:fs';

export interface LogDisk {
  /** Writes all `length` bytes at `fileOffset`. */
  write(fd: number, buffer: Uint8Array, length: number, fileOffset: number): Promise<void>;
  /** Returns when everything written is on the medium. */
  sync(fd: number): Promise<void>;
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
};
