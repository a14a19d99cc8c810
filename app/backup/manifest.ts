/** What a backup says about itself: its contents with their hashes. Written last, so that half a backup has none. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { ifThere, readCoded } from './copy-tree.ts';
import type { Sealing } from './sealing.ts';

export const MANIFEST_FILE = 'manifest.json';
/** Hash of the manifest, so that a damaged manifest is not believed. */
export const MANIFEST_HASH_FILE = 'manifest.sha256';
const FORMAT = 1;

const place = z.enum(['included', 'elsewhere']);
/** Relative, with slashes, and never out of the folder: a backup may come from somewhere else. */
const relativePath = z
  .string()
  .min(1)
  .refine((path) => !path.startsWith('/') && !path.split('/').some((part) => part === '..' || part === ''), {
    message: 'leads out of the backup',
  });

const manifestSchema = z.strictObject({
  format: z.literal(FORMAT),
  /** Version of the program that made it. */
  version: z.string(),
  createdAt: z.iso.datetime(),
  /** `elsewhere`: the data live in a server of yours, which has its own backup. */
  sql: place,
  store: place,
  directories: z.array(z.strictObject({ path: relativePath, mode: z.number().int() })),
  files: z.array(
    z.strictObject({
      path: relativePath,
      mode: z.number().int(),
      bytes: z.number().int().nonnegative(),
      sha256: z.string().length(64),
    }),
  ),
});
export type Manifest = z.infer<typeof manifestSchema>;

export function newManifest(fields: Omit<Manifest, 'format'>): Manifest {
  return { format: FORMAT, ...fields };
}

/** @throws AppError BACKUP_INVALID when there is none or it is not what was written, by its hash or its encryption */
export async function readManifest(directory: string, sealing: Sealing | undefined): Promise<Manifest> {
  const text = sealing ? await readSealed(directory, sealing) : await readHashed(directory);
  const checked = manifestSchema.safeParse(parsed(text));
  if (!checked.success) throw new AppError('BACKUP_INVALID', `${directory}: a manifest that this version cannot read`);
  return checked.data;
}

async function readSealed(directory: string, sealing: Sealing): Promise<string> {
  const path = join(directory, MANIFEST_FILE);
  const bytes = await ifThere(readCoded(path, sealing.open(MANIFEST_FILE)));
  if (!bytes) throw new AppError('BACKUP_INVALID', `${directory} holds no complete backup: its manifest is missing`);
  return bytes.toString('utf8');
}

async function readHashed(directory: string): Promise<string> {
  let text: string;
  let hash: string;
  try {
    text = await readFile(join(directory, MANIFEST_FILE), 'utf8');
    hash = (await readFile(join(directory, MANIFEST_HASH_FILE), 'utf8')).trim();
  } catch (cause) {
    throw new AppError('BACKUP_INVALID', `${directory} holds no complete backup: its manifest cannot be read`, {
      cause,
    });
  }
  if (sha256Of(text) !== hash) throw new AppError('BACKUP_INVALID', `${directory}: the manifest was changed`);
  return text;
}

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The schema refuses it with the right words.
  }
}
