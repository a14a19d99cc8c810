/**
 * Backups of a whole Presage. One way that is surely consistent: the server is stopped, the data directory's lock is
 * taken, the embedded database is shut down in order, and every file is copied with its hash. So what is in the backup
 * belongs together: the log's positions, what the store has of them, and what SQL knows.
 */
import { chmod, chown, lstat, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { type Database, openDatabase } from '../../api/db/database.ts';
import { findServerUser } from '../../api/db/server-user.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Clock, Logger } from '../../contract/ports/services.ts';
import { type Config, dataPaths, describeConfig, type Origins } from '../config.ts';
import { lockDataDir } from '../data-lock.ts';
import { VERSION } from '../version.ts';
import { type CopiedFile, closeFolders, copyFile, hashFile, listTree, makeFolders, syncPath } from './copy-tree.ts';
import { MANIFEST_FILE, MANIFEST_HASH_FILE, type Manifest, newManifest, readManifest, sha256Of } from './manifest.ts';

/** Made again at every start, or of no use on another machine. */
const SKIPPED = ['presage.lock', 'run', 'postgres/runtime', 'postgres/server.log', 'postgres/pgdata/postmaster.pid'];
/** Files of the embedded database must belong to the user it runs as. */
const POSTGRES_DATA = 'postgres/pgdata';

export interface BackupTools {
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface BackupReport {
  readonly directory: string;
  readonly files: number;
  readonly bytes: number;
  readonly sql: Manifest['sql'];
  readonly store: Manifest['store'];
  /** Version of the program that made the backup. */
  readonly version: string;
  readonly createdAt: string;
}

/**
 * Copies the data directory, the prognosis models and the configuration (secrets masked) into a new folder `out`.
 * @throws AppError DATA_DIR_LOCKED while the server runs; BACKUP_INVALID when `out` is not empty or lies in the data
 */
export async function createBackup(
  config: Config,
  origins: Origins,
  out: string,
  tools: BackupTools,
): Promise<BackupReport> {
  const dataDir = resolve(config.dataDir);
  const target = resolve(out);
  if (`${target}${sep}`.startsWith(`${dataDir}${sep}`))
    throw new AppError('BACKUP_INVALID', `${target} lies in the data directory itself`);
  if (!(await exists(dataDir))) throw new AppError('BACKUP_INVALID', `there is no data directory ${dataDir}`);
  await mustBeEmpty(target);
  const release = lockDataDir(dataDir);
  try {
    await shutDatabase(config, tools);
    const manifest = await copyEverything(config, origins, dataDir, target, tools.clock);
    return reportOf(target, manifest);
  } catch (error) {
    // It was empty when we came: without its manifest it is no backup, and must not fill the disk.
    await rm(target, { recursive: true, force: true });
    throw error;
  } finally {
    release();
  }
}

/** A server that was killed may have left its PostgreSQL running; started and stopped once it is closed in order. */
async function shutDatabase(config: Config, tools: BackupTools): Promise<void> {
  if (config.databaseUrl || !(await exists(join(dataPaths(config.dataDir).postgres, 'pgdata')))) return;
  const database: Database = openDatabase({ embedded: dataPaths(config.dataDir).postgres }, tools);
  try {
    await database.start();
  } finally {
    await database.stop();
  }
}

async function copyEverything(
  config: Config,
  origins: Origins,
  dataDir: string,
  target: string,
  clock: Clock,
): Promise<Manifest> {
  const tree = await listTree(dataDir, (path) => SKIPPED.includes(path));
  const directories = [
    { path: 'data', mode: 0o700 },
    ...tree.directories.map(({ path, mode }) => ({ path: `data/${path}`, mode })),
    { path: 'models', mode: 0o700 },
  ];
  await makeFolders(target, directories);
  const files: CopiedFile[] = [];
  const copy = async (from: string, path: string, mode: number): Promise<void> => {
    files.push({ path, mode, ...(await copyFile(from, join(target, path), mode)) });
  };
  for (const { path, mode } of tree.files) await copy(join(dataDir, path), `data/${path}`, mode);
  for (const [model, path] of Object.entries(config.prognosisModels ?? {}))
    await copy(path, `models/${basename(model)}-${basename(path)}`, 0o600);
  await writeFile(join(target, 'config.json'), `${JSON.stringify(describeConfig(config, origins), null, 2)}\n`, {
    mode: 0o600,
  });
  await syncPath(join(target, 'config.json'));
  files.push({ path: 'config.json', mode: 0o600, ...(await hashFile(join(target, 'config.json'))) });
  await closeFolders(target, directories);
  const manifest = newManifest({
    version: VERSION,
    createdAt: new Date(clock.now()).toISOString(),
    sql: config.databaseUrl ? 'elsewhere' : 'included',
    store: config.store === 'influx' ? 'elsewhere' : 'included',
    directories,
    files,
  });
  await writeManifest(target, manifest);
  return manifest;
}

async function writeManifest(target: string, manifest: Manifest): Promise<void> {
  const text = `${JSON.stringify(manifest, null, 1)}\n`;
  await writeFile(join(target, MANIFEST_HASH_FILE), `${sha256Of(text)}\n`, { mode: 0o600 });
  await syncPath(join(target, MANIFEST_HASH_FILE));
  await writeFile(join(target, `${MANIFEST_FILE}.new`), text, { mode: 0o600 });
  await syncPath(join(target, `${MANIFEST_FILE}.new`));
  await rename(join(target, `${MANIFEST_FILE}.new`), join(target, MANIFEST_FILE));
  await syncPath(target);
}

/**
 * Reads every byte of a backup again.
 * @throws AppError BACKUP_INVALID naming the files that are missing, changed or too many
 */
export async function verifyBackup(directory: string): Promise<BackupReport> {
  const root = resolve(directory);
  const manifest = await readManifest(root);
  const known = new Set([...manifest.files.map((file) => file.path), MANIFEST_FILE, MANIFEST_HASH_FILE]);
  const problems = (await listTree(root)).files
    .filter((file) => !known.has(file.path))
    .map((file) => `${file.path} does not belong to it`);
  for (const file of manifest.files) {
    const problem = await problemOf(root, file);
    if (problem) problems.push(`${file.path} ${problem}`);
  }
  if (problems.length > 0) throw new AppError('BACKUP_INVALID', `${root}: ${listed(problems)}`);
  return reportOf(root, manifest);
}

async function problemOf(root: string, file: CopiedFile): Promise<string | undefined> {
  if (!(await exists(join(root, file.path)))) return 'is missing';
  const { sha256 } = await hashFile(join(root, file.path));
  return sha256 === file.sha256 ? undefined : 'was changed';
}

/**
 * Puts the data directory of a backup in place: beside it first, checked byte by byte, then renamed, so that a restore
 * that was interrupted leaves no half data directory. Models stay in the backup; the configuration names where they belong.
 * @throws AppError BACKUP_INVALID when `dataDir` is not empty or the backup is damaged
 */
export async function restoreBackup(directory: string, dataDir: string): Promise<BackupReport> {
  const source = resolve(directory);
  const target = resolve(dataDir);
  const manifest = await readManifest(source);
  await mustBeEmpty(target);
  const half = `${target}.restoring`;
  await rm(half, { recursive: true, force: true });
  await mkdir(dirname(target), { recursive: true, mode: 0o711 });
  try {
    await fill(source, half, manifest);
    await rename(half, target);
    await syncPath(dirname(target));
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    throw error;
  }
  return reportOf(target, manifest);
}

async function fill(source: string, half: string, manifest: Manifest): Promise<void> {
  const below = (path: string): string => path.slice('data/'.length);
  const directories = manifest.directories
    .filter(({ path }) => path.startsWith('data/'))
    .map(({ path, mode }) => ({ path: below(path), mode }));
  await makeFolders(half, directories);
  const files = manifest.files.filter(({ path }) => path.startsWith('data/'));
  for (const { path, mode, sha256 } of files) {
    const copied = await copyFile(join(source, path), join(half, below(path)), mode);
    if (copied.sha256 !== sha256) throw new AppError('BACKUP_INVALID', `${source}: ${path} was changed`);
  }
  await closeFolders(half, directories);
  const paths = [...directories, ...files.map(({ path }) => ({ path: below(path) }))].map(({ path }) => path);
  await giveToServerUser(half, paths);
  // As the server makes it: run by root, it must let the database's own user pass through.
  await chmod(half, process.getuid?.() === 0 ? 0o711 : 0o700);
}

async function giveToServerUser(root: string, paths: readonly string[]): Promise<void> {
  const owned = paths.filter((path) => path === POSTGRES_DATA || path.startsWith(`${POSTGRES_DATA}/`));
  const user = owned.length > 0 ? await findServerUser() : undefined;
  if (!user) return;
  for (const path of owned) await chown(join(root, path), user.uid, user.gid);
}

async function mustBeEmpty(path: string): Promise<void> {
  if (!(await exists(path))) return;
  if ((await readdir(path)).length > 0)
    throw new AppError('BACKUP_INVALID', `${path} is not empty; choose a new folder or clear it yourself`);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

function listed(problems: readonly string[]): string {
  const shown = problems.slice(0, 5).join('; ');
  return problems.length > 5 ? `${shown}; and ${problems.length - 5} more` : shown;
}

function reportOf(directory: string, manifest: Manifest): BackupReport {
  const { version, createdAt, sql, store, files } = manifest;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { directory, files: files.length, bytes, sql, store, version, createdAt };
}
