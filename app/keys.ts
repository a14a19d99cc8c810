/** Server keys: made at first start, kept in files that only their owner can read. */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../contract/kernel/errors.ts';

const KEY_BYTES = 32;

/** The key of that name, made on first use. @throws AppError CONFIG_INVALID when the file does not hold 32 bytes */
export function loadKey(directory: string, name: string): Buffer {
  const path = join(directory, `${name}.key`);
  if (!existsSync(path)) writeKey(directory, path);
  const key = Buffer.from(readFileSync(path, 'utf8').trim(), 'base64url');
  if (key.length !== KEY_BYTES)
    throw new AppError('CONFIG_INVALID', `${path} does not hold a key of ${KEY_BYTES} bytes`);
  return key;
}

/** Written beside and renamed: a crash leaves the whole key or none. */
function writeKey(directory: string, path: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
  const file = openSync(`${path}.new`, 'w', 0o600);
  writeSync(file, randomBytes(KEY_BYTES).toString('base64url'));
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
}
