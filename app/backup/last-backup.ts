/** Remembers beside the data when the last backup was made, so that somebody notices when none is any more. */
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

const FILE_NAME = 'last-backup.json';
const lastBackup = z.object({ createdAt: z.iso.datetime(), directory: z.string() });
export type LastBackup = z.infer<typeof lastBackup>;

export async function noteBackup(dataDir: string, { createdAt, directory }: LastBackup): Promise<void> {
  const path = join(dataDir, FILE_NAME);
  await writeFile(`${path}.new`, `${JSON.stringify({ createdAt, directory })}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** `undefined` when none was made, or nobody can read what is noted. */
export function readLastBackup(dataDir: string): LastBackup | undefined {
  try {
    return lastBackup.parse(JSON.parse(readFileSync(join(dataDir, FILE_NAME), 'utf8')));
  } catch {
    return undefined; // Nothing depends on it but a piece of advice.
  }
}
