/**
 * Which version wrote a data directory. An older program must not open it: it would read files and tables in its own way, and what
 * it wrote could be lost for the newer one. So the door is closed before anything is touched.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { knownMigrations } from '../api/db/migrate.ts';
import { AppError } from '../contract/kernel/errors.ts';
import { VERSION } from './version.ts';

/** Of the files beside SQL; raised when a version before could not read them. */
const FILES_FORMAT = 1;
const FILE_NAME = 'format.json';

const formatFile = z.object({
  files: z.number().int(),
  /** Migrations of the SQL schema, also where SQL lies elsewhere. */
  migrations: z.number().int(),
  /** Of the program that wrote it, for people. */
  version: z.string(),
});
type DataFormat = z.infer<typeof formatFile>;

/** @throws AppError DATA_DIR_NEWER; a directory without the file is of a version that did not write one yet, or new */
export function checkDataFormat(dataDir: string): void {
  const found = readFormat(dataDir);
  if (!found) return;
  const known = knownMigrations();
  if (found.files > FILES_FORMAT || found.migrations > known)
    throw new AppError(
      'DATA_DIR_NEWER',
      `${dataDir} was last used by version ${found.version} (files ${found.files}, migrations ${found.migrations}); ` +
        `this is ${VERSION} (files ${FILES_FORMAT}, migrations ${known})`,
    );
}

/** Notes that the directory is of this version, once everything in it is. */
export function noteDataFormat(dataDir: string): void {
  const format: DataFormat = { files: FILES_FORMAT, migrations: knownMigrations(), version: VERSION };
  const text = `${JSON.stringify(format)}\n`;
  const path = join(dataDir, FILE_NAME);
  if (readText(path) === text) return;
  const file = openSync(`${path}.new`, 'w', 0o600);
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.new`, path);
}

function readFormat(dataDir: string): DataFormat | undefined {
  const path = join(dataDir, FILE_NAME);
  const text = readText(path);
  if (text === undefined) return undefined;
  try {
    return formatFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError('DATA_DIR_NEWER', `${path} says nothing that this version understands`, { cause });
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
