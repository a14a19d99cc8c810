/**
 * Copying the files of the embedded PostgreSQL while it runs, by PostgreSQL's own rules for base backups: between begin and
 * end its files may be copied in any order and while they change; its write-ahead log from begin to end makes them whole
 * at the first start of the copy. A temporary slot keeps that log from being recycled, and goes with the session.
 */
import pg from 'pg';
import { AppError, errorText } from '../../contract/kernel/errors.ts';

export interface FileBackup {
  /** Ends the copying. @throws AppError SQL_UNAVAILABLE when the server was away meanwhile: the copy is of no use then */
  end(): Promise<FileBackupEnd>;
  /** Gives up; nothing needs to be undone in the server. */
  abort(): void;
}

export interface FileBackupEnd {
  /** Content of `backup_label`, which the copy needs. */
  readonly label: string;
  /** First and last file of the write-ahead log that the copy needs, in the order of their names. */
  readonly firstWal: string;
  readonly lastWal: string;
}

export async function beginFileBackup(url: string): Promise<FileBackup> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'presage backup',
    connectionTimeoutMillis: 5_000,
  });
  client.on('error', () => undefined); // The next query fails and tells.
  const query = async <Row extends object>(text: string): Promise<Row> => {
    try {
      const { rows } = await client.query<Row>(text);
      if (rows[0]) return rows[0];
    } catch (cause) {
      throw new AppError('SQL_UNAVAILABLE', errorText(cause), { cause });
    }
    throw new AppError('SQL_UNAVAILABLE', 'PostgreSQL gave no answer');
  };
  const abort = (): void => {
    client.end().catch(() => undefined); // It was lost already.
  };
  try {
    await client.connect();
    await query(`SELECT pg_create_physical_replication_slot('presage_backup_' || pg_backend_pid(), true, true)`);
    const { wal } = await query<{ wal: string }>(`SELECT pg_walfile_name(pg_backup_start('presage', true)) AS wal`);
    return {
      async end() {
        const stop = await query<{ wal: string; label: string }>(
          'SELECT pg_walfile_name(lsn) AS wal, labelfile AS label FROM pg_backup_stop(false)',
        );
        abort();
        return { label: stop.label, firstWal: wal, lastWal: stop.wal };
      },
      abort,
    };
  } catch (error) {
    abort();
    throw error instanceof AppError ? error : new AppError('SQL_UNAVAILABLE', errorText(error), { cause: error });
  }
}
