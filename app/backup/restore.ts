/** Checking a backup and putting it back, encrypted or not. */
import { chmod, chown, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { findServerUser } from '../../api/db/server-user.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { readKeyFile, readKeys, writeKeyFile } from '../keys.ts';
import {
  type CopiedFile,
  closeFolders,
  copyFile,
  hashFile,
  ifThere,
  listTree,
  makeFolders,
  syncPath,
} from './copy-tree.ts';
import { MANIFEST_FILE, MANIFEST_HASH_FILE, type Manifest, readManifest } from './manifest.ts';
import { type BackupReport, reportOf } from './report.ts';
import { type BackupHeader, HEADER_FILE, readHeader, type Sealing, sealingFor } from './sealing.ts';

/** Files of the embedded database must belong to the user it runs as. */
const POSTGRES_DATA = 'postgres/pgdata';

/** Where the key of an encrypted backup may be found. */
export interface KeySources {
  /** A copy of `keys/backup.key`, kept elsewhere. */
  readonly keyFile?: string | undefined;
  /** The keys of a server on this machine. */
  readonly keyFolder: string;
}

interface OpenedBackup {
  readonly root: string;
  readonly manifest: Manifest;
  readonly sealing: Sealing | undefined;
  readonly header: BackupHeader | undefined;
  readonly key: Buffer | undefined;
}

/** @throws AppError BACKUP_INVALID when it is not whole at first sight, or its key is not there */
async function openBackup(directory: string, sources: KeySources): Promise<OpenedBackup> {
  const root = resolve(directory);
  const found = await readHeader(root);
  if (!found) {
    // Whoever could take the encryption away could put anything in its place.
    if (sources.keyFile !== undefined)
      throw new AppError('BACKUP_INVALID', `${root} is not encrypted; give no key for it`);
    return {
      root,
      manifest: await readManifest(root, undefined),
      sealing: undefined,
      header: undefined,
      key: undefined,
    };
  }
  const key = findKey(found.header, sources);
  const sealing = sealingFor(found, key);
  return { root, manifest: await readManifest(root, sealing), sealing, header: found.header, key };
}

function findKey({ key: { version, id } }: BackupHeader, { keyFile, keyFolder }: KeySources): Buffer {
  if (keyFile !== undefined) return readKeyFile(keyFile);
  const keys = readKeys(keyFolder);
  const known = keys.list().find((key) => key.name === 'backup' && key.id === id);
  const found = known && keys.ring('backup').find(known.version);
  if (found) return found.bytes;
  throw new AppError(
    'BACKUP_INVALID',
    `it is encrypted under backup key ${id} (version ${version}), which is not in ${keyFolder}; give a copy of it with --key-file`,
  );
}

/**
 * Reads every byte of a backup again.
 * @throws AppError BACKUP_INVALID naming the files that are missing, changed or too many
 */
export async function verifyBackup(directory: string, sources: KeySources): Promise<BackupReport> {
  const { root, manifest, sealing } = await openBackup(directory, sources);
  const own = sealing ? [MANIFEST_FILE, HEADER_FILE] : [MANIFEST_FILE, MANIFEST_HASH_FILE];
  const known = new Set([...manifest.files.map((file) => file.path), ...own]);
  const problems = (await listTree(root)).files
    .filter((file) => !known.has(file.path))
    .map((file) => `${file.path} does not belong to it`);
  for (const file of manifest.files) {
    const problem = await problemOf(root, file, sealing);
    if (problem) problems.push(problem);
  }
  if (problems.length > 0) throw new AppError('BACKUP_INVALID', `${root}: ${listed(problems)}`);
  return reportOf(root, manifest, sealing !== undefined);
}

async function problemOf(root: string, file: CopiedFile, sealing: Sealing | undefined): Promise<string | undefined> {
  try {
    const facts = await ifThere(hashFile(join(root, file.path), sealing?.open(file.path)));
    if (!facts) return `${file.path} is missing`;
    return facts.sha256 === file.sha256 ? undefined : `${file.path} was changed`;
  } catch (error) {
    if (error instanceof AppError) return error.message.replace(/^[^:]*: /, '');
    throw error;
  }
}

/**
 * Puts the data directory of a backup in place: beside it first, checked byte by byte, then renamed, so that a restore
 * that was interrupted leaves no half data directory. Models stay in the backup; the configuration names where they belong.
 * @throws AppError BACKUP_INVALID when `dataDir` is not empty or the backup is damaged
 */
export async function restoreBackup(directory: string, dataDir: string, sources: KeySources): Promise<BackupReport> {
  const target = resolve(dataDir);
  await mustBeEmpty(target);
  const backup = await openBackup(directory, sources);
  const half = `${target}.restoring`;
  await rm(half, { recursive: true, force: true });
  await mkdir(dirname(target), { recursive: true, mode: 0o711 });
  try {
    await fill(backup, half);
    await rename(half, target);
    await syncPath(dirname(target));
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    throw error;
  }
  return reportOf(target, backup.manifest, backup.sealing !== undefined);
}

async function fill({ root, manifest, sealing, header, key }: OpenedBackup, half: string): Promise<void> {
  const below = (path: string): string => path.slice('data/'.length);
  const directories = manifest.directories
    .filter(({ path }) => path.startsWith('data/'))
    .map(({ path, mode }) => ({ path: below(path), mode }));
  await makeFolders(half, directories);
  const files = manifest.files.filter(({ path }) => path.startsWith('data/'));
  for (const { path, mode, sha256 } of files) {
    const copied = await copyFile(join(root, path), join(half, below(path)), mode, sealing?.open(path));
    if (!copied) throw new AppError('BACKUP_INVALID', `${root}: ${path} is missing`);
    if (copied.sha256 !== sha256) throw new AppError('BACKUP_INVALID', `${root}: ${path} was changed`);
  }
  await closeFolders(half, directories);
  const paths = [...directories, ...files.map(({ path }) => ({ path: below(path) }))].map(({ path }) => path);
  await giveToServerUser(half, paths);
  // The backup does not hold it: whoever restores brings it, and the server goes on with it.
  if (header && key) writeKeyFile(join(half, 'keys'), 'backup', { version: header.key.version, bytes: key });
  // As the server makes it: run by root, it must let the database's own user pass through.
  await chmod(half, process.getuid?.() === 0 ? 0o711 : 0o700);
}

async function giveToServerUser(root: string, paths: readonly string[]): Promise<void> {
  const owned = paths.filter((path) => path === POSTGRES_DATA || path.startsWith(`${POSTGRES_DATA}/`));
  const user = owned.length > 0 ? await findServerUser() : undefined;
  if (!user) return;
  for (const path of owned) await chown(join(root, path), user.uid, user.gid);
}

/** @throws AppError BACKUP_INVALID */
export async function mustBeEmpty(path: string): Promise<void> {
  const names = await ifThere(readdir(path));
  if (names && names.length > 0)
    throw new AppError('BACKUP_INVALID', `${path} is not empty; choose a new folder or clear it yourself`);
}

function listed(problems: readonly string[]): string {
  const shown = problems.slice(0, 5).join('; ');
  return problems.length > 5 ? `${shown}; and ${problems.length - 5} more` : shown;
}
