/**
 * Making a backup. Of a stopped server every file is copied: its lock is taken and the embedded database shut down in order,
 * so all of it is of one moment. Of a running one see `online.ts`.
 */

import { lstat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { type Database, openDatabase } from '../../api/db/database.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Clock, Logger } from '../../contract/ports/services.ts';
import { type Config, dataPaths, describeConfig, type Origins } from '../config.ts';
import { dataDirHolder, lockDataDir } from '../data-lock.ts';
import { openKeys, readKeys } from '../keys.ts';
import { VERSION } from '../version.ts';
import { type BackupWriter, beginBackup, copyModels } from './backup-writer.ts';
import { ifThere, listTree } from './copy-tree.ts';
import { noteBackup } from './last-backup.ts';
import type { Manifest } from './manifest.ts';
import { copyRunning } from './online.ts';
import { type BackupReport, reportOf } from './report.ts';
import { mustBeEmpty } from './restore.ts';
import { newSealing } from './sealing.ts';

/** Made again at every start, or of no use on another machine. */
const SKIPPED = ['presage.lock', 'run', 'postgres/runtime', 'postgres/server.log', 'postgres/pgdata/postmaster.pid'];

export interface BackupTools {
  readonly logger: Logger;
  readonly clock: Clock;
}

export interface BackupOptions {
  /** New or empty folder. */
  readonly out: string;
  /** Not encrypted. */
  readonly plain?: boolean;
}

export type BackupFacts = Pick<Manifest, 'sql' | 'store'>;

/**
 * Copies the data directory, the prognosis models and the configuration (secrets masked), encrypted with the backup key.
 * @throws AppError BACKUP_INVALID when `out` is not empty or lies in the data, or a running server cannot be copied
 */
export async function createBackup(
  config: Config,
  origins: Origins,
  options: BackupOptions,
  tools: BackupTools,
): Promise<BackupReport> {
  const dataDir = resolve(config.dataDir);
  const target = resolve(options.out);
  if (`${target}${sep}`.startsWith(`${dataDir}${sep}`))
    throw new AppError('BACKUP_INVALID', `${target} lies in the data directory itself`);
  if (!(await ifThere(lstat(dataDir)))) throw new AppError('BACKUP_INVALID', `there is no data directory ${dataDir}`);
  await mustBeEmpty(target);
  const isRunning = dataDirHolder(dataDir) !== undefined;
  const release = isRunning ? () => {} : lockDataDir(dataDir);
  try {
    // The keys of an older version lack one for backups; a running server has them all.
    const keys = isRunning ? readKeys(dataPaths(dataDir).keys) : openKeys(dataPaths(dataDir).keys);
    const writer = await beginBackup(target, options.plain ? undefined : newSealing(keys.ring('backup').current()));
    try {
      const createdAt = new Date(tools.clock.now()).toISOString();
      const withKey = options.plain === true;
      const facts = isRunning
        ? await copyRunning(dataDir, writer, withKey)
        : await copyStopped(config, origins, writer, { ...tools, withKey });
      const report = reportOf(target, await writer.finish({ version: VERSION, createdAt, ...facts }), !options.plain);
      await noteBackup(dataDir, report);
      return report;
    } catch (error) {
      // It was empty when we came: without its manifest it is no backup, and must not fill the disk.
      await writer.discard();
      throw error;
    }
  } finally {
    release();
  }
}

async function copyStopped(
  config: Config,
  origins: Origins,
  writer: BackupWriter,
  { withKey, ...tools }: BackupTools & { withKey: boolean },
): Promise<BackupFacts> {
  const dataDir = resolve(config.dataDir);
  await shutDatabase(config, tools);
  const tree = await listTree(dataDir, (path) => SKIPPED.includes(path) || (!withKey && isBackupKey(path)));
  await writer.folder('data', 0o700);
  for (const { path, mode } of tree.directories) await writer.folder(`data/${path}`, mode);
  for (const { path, mode } of tree.files) await writer.copy(join(dataDir, path), `data/${path}`, mode);
  await copyModels(writer, config.prognosisModels ?? {});
  await writer.write('config.json', `${JSON.stringify(describeConfig(config, origins), null, 2)}\n`, 0o600);
  return {
    sql: config.databaseUrl ? 'elsewhere' : 'included',
    store: config.store === 'influx' ? 'elsewhere' : 'included',
  };
}

/** An encrypted backup that held its own key would not be one. */
export function isBackupKey(path: string): boolean {
  return path.startsWith('keys/backup');
}

/** A server that was killed may have left its PostgreSQL running; started and stopped once it is closed in order. */
async function shutDatabase(config: Config, tools: BackupTools): Promise<void> {
  const { postgres } = dataPaths(config.dataDir);
  if (config.databaseUrl || !(await ifThere(lstat(join(postgres, 'pgdata'))))) return;
  const database: Database = openDatabase({ embedded: postgres }, tools);
  try {
    await database.start();
  } finally {
    await database.stop();
  }
}
