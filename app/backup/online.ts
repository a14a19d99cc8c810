/**
 * A backup of a running server, without a pause for its devices. No two parts are of the same moment; what makes them one is
 * the order, which is that of a crash: each follower of a log is copied before the log it follows, together with a
 * position that is not ahead of what it has done, and meanwhile the logs keep everything. Started from the copy, each
 * follower reads on from its position, does again what it did (all of that is idempotent, as after `kill -9`), and comes
 * to the end of the log, which holds every message that was acknowledged before the last step.
 */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { dataPaths } from '../config.ts';
import { type ControlClient, connectControl } from '../control.ts';
import type { BackupFacts } from './backup.ts';
import { type BackupWriter, copyModels } from './backup-writer.ts';
import { ifThere, listTree } from './copy-tree.ts';

/** Copied by steps of their own, or not at all. */
const OWN_STEP = ['presage.lock', 'run', 'log', 'store', 'sequence.json', 'postgres/pgdata'];
const NOT_COPIED = ['postgres/runtime', 'postgres/server.log'];
/** What PostgreSQL wants left out of a base backup; the folders themselves stay. */
const POSTGRES_CONTENT_LEFT_OUT =
  /^(postmaster\.(pid|opts)|backup_label.*|tablespace_map.*|(pg_wal|pg_replslot|pg_dynshmem|pg_notify|pg_serial|pg_snapshots|pg_stat_tmp|pg_subtrans)\/.+|(.*\/)?pgsql_tmp.*|(.*\/)?pg_internal\.init.*)$/;
const POSTGRES_FOLDERS_KEPT = ['pg_wal/archive_status', 'pg_wal/summaries'];
const CONTROL_FILE = 'global/pg_control';
const WAL_FILE = /^[0-9A-F]{24}$/;

const begun = z.object({
  config: z.array(z.unknown()),
  models: z.record(z.string(), z.string()),
});
const sqlEnd = z.object({ label: z.string(), firstWal: z.string(), lastWal: z.string() });
const thawed = z.object({ intact: z.boolean() });

/** @throws AppError BACKUP_INVALID when the server gave up meanwhile: nothing of the copy may be used then */
export async function copyRunning(dataDir: string, writer: BackupWriter, withKey: boolean): Promise<BackupFacts> {
  const control = await connectControl(dataPaths(dataDir).control);
  try {
    return await copyInOrder(control, dataDir, writer, withKey);
  } finally {
    control.close();
  }
}

async function copyInOrder(
  control: ControlClient,
  dataDir: string,
  writer: BackupWriter,
  withKey: boolean,
): Promise<BackupFacts> {
  const from = (path: string): string => join(dataDir, path);
  const copy = (path: string): Promise<boolean> => writer.copy(from(path), `data/${path}`, 0o600);

  const { config, models } = begun.parse(await control.ask({ do: 'backup.begin' }));
  await writer.folder('data', 0o700);
  for (const path of ['log', 'log/telemetry', 'log/findings', 'store']) await writer.folder(`data/${path}`, 0o700);
  // 1. Where each follower is for sure.
  for (const log of ['log/telemetry', 'log/findings']) await copy(`${log}/consumers.json`);
  // 2. What does not change, and SQL.
  await copyRest(dataDir, writer, withKey);
  await copySql(control, dataDir, writer);
  // 3. The store.
  await control.ask({ do: 'backup.store.freeze' });
  const store = await listTree(from('store'), (path) => path === 'spill' || path.endsWith('.new'));
  for (const { path } of store.files) await copy(`store/${path}`);
  const { intact } = thawed.parse(await control.ask({ do: 'backup.store.thaw' }));
  if (!intact) throw new AppError('BACKUP_INVALID', 'the telemetry store was opened again meanwhile; try again');
  // 4. What ingest remembers of sequence numbers.
  await copy('sequence.json');
  // 5. The logs, last of all telemetry: no finding may speak of a sample that is not there.
  await copyLog('log/findings', dataDir, writer);
  await control.ask({ do: 'backup.log.settle' });
  await copyLog('log/telemetry', dataDir, writer);
  // Whether everything was kept until now.
  await control.ask({ do: 'backup.end' });

  await copyModels(writer, models);
  await writer.write('config.json', `${JSON.stringify(config, null, 2)}\n`, 0o600);
  return { sql: 'included', store: 'included' };
}

async function copyRest(dataDir: string, writer: BackupWriter, withKey: boolean): Promise<void> {
  const skipped = [...OWN_STEP, ...NOT_COPIED];
  const tree = await listTree(
    dataDir,
    (path) => skipped.includes(path) || path.endsWith('.new') || (!withKey && path.startsWith('keys/backup')),
  );
  for (const { path, mode } of tree.directories) await writer.folder(`data/${path}`, mode);
  for (const { path, mode } of tree.files) await writer.copy(join(dataDir, path), `data/${path}`, mode);
}

async function copySql(control: ControlClient, dataDir: string, writer: BackupWriter): Promise<void> {
  const base = 'postgres/pgdata';
  const from = (path: string): string => join(dataDir, base, path);
  const to = (path: string): string => `data/${base}/${path}`;
  await control.ask({ do: 'backup.sql.begin' });
  await writer.folder(`data/${base}`, 0o700);
  const tree = await listTree(
    join(dataDir, base),
    (path) => POSTGRES_CONTENT_LEFT_OUT.test(path) && !POSTGRES_FOLDERS_KEPT.includes(path),
  );
  for (const { path } of tree.directories) await writer.folder(to(path), 0o700);
  for (const { path } of tree.files)
    if (path !== CONTROL_FILE && !POSTGRES_CONTENT_LEFT_OUT.test(path)) await writer.copy(from(path), to(path), 0o600);
  await writer.copy(from(CONTROL_FILE), to(CONTROL_FILE), 0o600);
  const { label, firstWal, lastWal } = sqlEnd.parse(await control.ask({ do: 'backup.sql.end' }));
  await writer.write(to('backup_label'), label, 0o600);
  const wal = await listTree(from('pg_wal'), (path) => path.includes('/') || !WAL_FILE.test(path));
  const needed = wal.files.map(({ path }) => path).filter((name) => name >= firstWal && name <= lastWal);
  if (needed[0] !== firstWal || needed.at(-1) !== lastWal)
    throw new AppError('BACKUP_INVALID', `PostgreSQL’s log from ${firstWal} to ${lastWal} is not complete`);
  for (const name of needed) await writer.copy(from(`pg_wal/${name}`), to(`pg_wal/${name}`), 0o600);
}

/** Oldest first: a segment that begins while we copy belongs to what came after. */
async function copyLog(path: string, dataDir: string, writer: BackupWriter): Promise<void> {
  if (!(await ifThere(lstat(join(dataDir, path))))) return;
  const { files } = await listTree(join(dataDir, path), (name) => !name.endsWith('.seg'));
  for (const { path: name } of files) {
    const copied = await writer.copy(join(dataDir, path, name), `data/${path}/${name}`, 0o600);
    if (!copied) throw new AppError('BACKUP_INVALID', `${path}/${name} was deleted meanwhile; try again`);
  }
}
