/** Small durable file operations: a file that is either the old or the new one, and folders that remember their names. */
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Only the owner may read what devices said. */
export const FILE_MODE = 0o600;
export const FOLDER_MODE = 0o700;

/** Makes creations, renames and deletions in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Replaces the file as a whole: after any crash it holds the old or the new text. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', FILE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** The file's text, or `undefined` when there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
