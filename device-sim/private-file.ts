/** Files that must survive a kill and are nobody else's business: written aside, synced, then renamed; mode 0600. */
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError, errorText } from '../contract/kernel/errors.ts';

/** Replaces the file in one step: a reader sees the old or the new content, also after a power cut. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const aside = `${path}.${process.pid}.tmp`;
  const file = await open(aside, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(aside, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Parsed content, `undefined` when there is no such file. @throws AppError CONFIG_INVALID when it cannot be read as JSON */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new AppError('CONFIG_INVALID', `${path} cannot be read: ${errorText(error)}`, { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError('CONFIG_INVALID', `${path} is not JSON: ${errorText(error)}`, { cause: error });
  }
}
