/**
 * Encryption of a backup, file by file: AES-256-GCM in chunks of 1 MiB, each file under a key of its own that is derived
 * from the backup key, the header and the file's path. The nonce counts the chunks and marks the last one, so that no
 * chunk can be changed, moved, left out or cut off, and no file put in another's place.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ServerKey } from '../../api/accounts/key-ring.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { keyId } from '../keys.ts';
import type { Codec } from './copy-tree.ts';

/** Says, readable by all, how the rest is encrypted and under which key; never the key. */
export const HEADER_FILE = 'backup.json';

const CHUNK_BYTES = 1024 * 1024;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const SALT_BYTES = 32;

const headerSchema = z.strictObject({
  format: z.literal(2),
  cipher: z.literal('aes-256-gcm'),
  chunkBytes: z.literal(CHUNK_BYTES),
  /** Version in the key's own house, and what tells it from other keys of that version. */
  key: z.strictObject({ version: z.number().int().positive(), id: z.string().length(8) }),
  salt: z.string().length(44),
});
export type BackupHeader = z.infer<typeof headerSchema>;

/** The encryption of one backup. */
export interface Sealing {
  /** As it stands in the header file; every file is bound to it. */
  readonly headerText: string;
  seal(path: string): Codec;
  open(path: string): Codec;
}

export function newSealing(key: ServerKey): Sealing {
  const header: BackupHeader = {
    format: 2,
    cipher: 'aes-256-gcm',
    chunkBytes: CHUNK_BYTES,
    key: { version: key.version, id: keyId(key.bytes) },
    salt: randomBytes(SALT_BYTES).toString('base64'),
  };
  return sealingOf(`${JSON.stringify(header, null, 1)}\n`, header, key.bytes);
}

/**
 * The header of a backup, or `undefined` when it is not encrypted.
 * @throws AppError BACKUP_INVALID when this version cannot read it
 */
export async function readHeader(directory: string): Promise<{ text: string; header: BackupHeader } | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, HEADER_FILE), 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new AppError('BACKUP_INVALID', `${directory}: ${HEADER_FILE} cannot be read`, { cause });
  }
  const checked = headerSchema.safeParse(parsed(text));
  if (!checked.success)
    throw new AppError('BACKUP_INVALID', `${directory}: ${HEADER_FILE} was changed, or this version cannot read it`);
  return { text, header: checked.data };
}

/** @throws AppError BACKUP_INVALID when the key is another one than the header names */
export function sealingFor({ text, header }: { text: string; header: BackupHeader }, key: Buffer): Sealing {
  const id = keyId(key);
  if (id !== header.key.id)
    throw new AppError(
      'BACKUP_INVALID',
      `it is encrypted under backup key ${header.key.id} (version ${header.key.version}), the key given is ${id}`,
    );
  return sealingOf(text, header, key);
}

function sealingOf(headerText: string, { salt }: BackupHeader, key: Buffer): Sealing {
  const headerHash = createHash('sha256').update(headerText).digest('hex');
  const fileKey = (path: string): Buffer =>
    Buffer.from(hkdfSync('sha256', key, Buffer.from(salt, 'base64'), `presage backup\n${headerHash}\n${path}`, 32));
  return {
    headerText,
    seal(path) {
      const key = fileKey(path);
      let count = 0;
      return {
        readBytes: CHUNK_BYTES,
        plain: 'before',
        code(chunk, isLast) {
          const cipher = createCipheriv('aes-256-gcm', key, nonceOf(count++, isLast));
          return Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
        },
      };
    },
    open(path) {
      const key = fileKey(path);
      let count = 0;
      return {
        readBytes: CHUNK_BYTES + TAG_BYTES,
        plain: 'after',
        code(chunk, isLast) {
          const at = count++;
          const opened = chunk.length < TAG_BYTES ? undefined : decrypt(chunk, key, nonceOf(at, isLast));
          if (!opened)
            throw new AppError(
              'BACKUP_INVALID',
              `${path} was changed or cut short (part ${at + 1}, ${CHUNK_BYTES} bytes each)`,
            );
          return opened;
        },
      };
    },
  };
}

/** Ten bytes of counter, two that say whether the file ends here. */
function nonceOf(count: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUIntBE(count, 4, 6);
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0;
  return nonce;
}

/** `undefined` when it is not what was encrypted. */
function decrypt(sealed: Buffer, key: Buffer, nonce: Buffer): Buffer | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined; // The tag does not fit.
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The schema refuses it with the right words.
  }
}
