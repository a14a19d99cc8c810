/** Opens and closes the embedded store's file: owner-only, without access to anything else, settings locked. */
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { type BootSpans, loadBoots } from './embedded-boots.ts';
import { loadLatest } from './embedded-latest.ts';
import { createCatalog, ModelTables } from './embedded-tables.ts';
import type { LatestTable } from './latest-values.ts';
import { ReaderPool } from './reader-pool.ts';
import type { UnsealedHours } from './unsealed-hours.ts';
import type { WorkerSetup } from './worker-protocol.ts';

const FILE_NAME = 'telemetry.duckdb';

export interface OpenDatabase {
  readonly path: string;
  readonly instance: DuckDBInstance;
  readonly writer: DuckDBConnection;
  readonly readers: ReaderPool;
  readonly tables: ModelTables;
  readonly latest: LatestTable;
  readonly boots: BootSpans;
  /** Hours of raw samples, from when retention asks for the first time: before that they need not be known. */
  hours: UnsealedHours | undefined;
  /** Resolves when what was stored before is in `hours` too. */
  hoursCounted: Promise<void> | undefined;
  /** Samples stored since latest values and boots were copied into the file; infinite = nobody counted. */
  samplesSinceCopy: number;
  /** Position of the last committed batch. */
  position: number;
  /**
   * Whether commits were read from a write-ahead log that another opening had left. It may have died of a failed fsync:
   * the kernel then gives up the pages, they can be read until they are evicted, and no later fsync writes them.
   */
  mayBeUnsynced: boolean;
}

/** @throws AppError DATA_DIR_LOCKED when another process has the file, STORE_UNAVAILABLE for anything else */
export async function openDatabase(setup: WorkerSetup): Promise<OpenDatabase> {
  const path = join(setup.directory, FILE_NAME);
  try {
    mkdirSync(setup.directory, { recursive: true, mode: 0o700 });
    chmodSync(setup.directory, 0o700);
    if (!existsSync(path)) await createFile(path, setup);
    return await connect(path, setup);
  } catch (error) {
    const locked = /conflicting lock|could not set lock/i.test(errorText(error));
    throw new AppError(locked ? 'DATA_DIR_LOCKED' : 'STORE_UNAVAILABLE', errorText(error), { cause: error });
  }
}

/** Queries must have ended: closing under a running one aborts the process. */
export async function closeDatabase(database: OpenDatabase): Promise<void> {
  await database.readers.drain();
  database.readers.close();
  database.writer.closeSync();
  database.instance.closeSync();
}

/** The write-ahead log comes and goes with each checkpoint, with the mode of the process's umask. */
export function restrictFiles(path: string): void {
  for (const file of [path, `${path}.wal`]) if (existsSync(file)) chmodSync(file, 0o600);
}

/** Size of the file and its write-ahead log. */
export function fileBytes(path: string): number {
  return [path, `${path}.wal`].reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
}

/** Waits for nobody: with a reader in the way it is done another time. Returns whether it was. */
export async function checkpoint(writer: DuckDBConnection): Promise<boolean> {
  try {
    await writer.run('CHECKPOINT');
    return true;
  } catch (error) {
    if (isFatal(error)) throw error;
    return false;
  }
}

/** DuckDB refuses everything after an error that it calls fatal, until the file is opened again. */
export function isFatal(error: unknown): boolean {
  return /FATAL|invalidated|must be restarted/i.test(errorText(error));
}

/** Made under another name first: a half-made file, left by a crash, could not be opened ever after. */
async function createFile(path: string, setup: WorkerSetup): Promise<void> {
  const draft = `${path}.new`;
  for (const file of [draft, `${draft}.wal`]) rmSync(file, { force: true });
  const instance = await DuckDBInstance.create(draft, settings(setup));
  const connection = await instance.connect();
  await createCatalog(connection);
  await connection.run('CHECKPOINT');
  connection.closeSync();
  instance.closeSync();
  chmodSync(draft, 0o600);
  renameSync(draft, path);
}

async function connect(path: string, setup: WorkerSetup): Promise<OpenDatabase> {
  const walBytes = statSync(`${path}.wal`, { throwIfNoEntry: false })?.size ?? 0;
  const instance = await DuckDBInstance.create(path, settings(setup));
  const writer = await instance.connect();
  await createCatalog(writer);
  const readers = await ReaderPool.open(instance, setup);
  restrictFiles(path);
  const tables = await ModelTables.load(writer);
  const progress = await writer.runAndReadAll('SELECT position FROM progress');
  const position = Number(progress.getRows()[0]?.[0] ?? 0);
  const { latest, copiedAt, isCopied } = await loadLatest(writer, tables, setup.maxLatestValues);
  const boots = await loadBoots(writer, tables, copiedAt);
  return {
    path,
    instance,
    writer,
    readers,
    tables,
    latest,
    boots,
    hours: undefined,
    hoursCounted: undefined,
    samplesSinceCopy: isCopied(position) ? 0 : Number.POSITIVE_INFINITY,
    position,
    mayBeUnsynced: walBytes > 0,
  };
}

function settings(setup: WorkerSetup): Record<string, string> {
  return {
    threads: '1',
    memory_limit: `${setup.memoryLimitMb}MB`,
    checkpoint_threshold: `${setup.walLimitMb}MB`,
    temp_directory: join(setup.directory, 'spill'),
    max_temp_directory_size: `${setup.spillLimitMb}MB`,
    enable_external_access: 'false',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    lock_configuration: 'true',
  };
}
