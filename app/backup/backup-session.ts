/**
 * The running server's side of a backup: keeps its logs whole, lets PostgreSQL's files be copied, and holds back the store
 * while its file is copied. Everything belongs to the connection that asked and ends with it, so that a command that was
 * killed leaves nothing behind; the log ends it too, before it fills up.
 */

import type { Database } from '../../api/db/database.ts';
import { beginFileBackup, type FileBackup } from '../../api/db/file-backup.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Logger } from '../../contract/ports/services.ts';
import type { TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import type { SegmentLog } from '../../ingest/log/segment-log.ts';
import type { ControlSession } from '../control.ts';

export const BACKUP_STEPS = [
  'backup.begin',
  'backup.sql.begin',
  'backup.sql.end',
  'backup.store.freeze',
  'backup.store.thaw',
  'backup.log.settle',
  'backup.end',
] as const;
export type BackupStep = (typeof BACKUP_STEPS)[number];

export interface BackupSource {
  readonly database: Database;
  readonly store: TelemetryStore;
  readonly telemetryLog: SegmentLog;
  readonly findingsLog: SegmentLog;
  /** With secrets masked. */
  readonly config: readonly unknown[];
  /** Paths of the prognosis models, by device model. */
  readonly models: Readonly<Record<string, string>>;
  readonly logger: Logger;
}

interface Running {
  readonly session: ControlSession;
  readonly release: (() => void)[];
  sql?: FileBackup;
  thaw?: () => Promise<boolean>;
}

export interface BackupSteps {
  take(step: BackupStep, session: ControlSession): Promise<unknown>;
  isRunning(): boolean;
}

/** Takes the steps of one backup at a time. */
export function createBackupSteps(source: BackupSource): BackupSteps {
  let running: Running | undefined;

  function begin(session: ControlSession): unknown {
    if (running) throw new AppError('BACKUP_INVALID', 'another backup is being made');
    const { database, store } = source;
    if (database.kind !== 'embedded' || !store.freeze)
      throw new AppError(
        'BACKUP_INVALID',
        'SQL or telemetry lie in servers of yours, and must be copied at one moment with the rest: stop Presage, copy all of them',
      );
    const giveUp = (): void => {
      source.logger.warn({}, 'a backup was given up: the log needs its space');
      session.end();
    };
    const release = [source.telemetryLog, source.findingsLog].map((log) => log.hold(giveUp));
    const mine: Running = { session, release };
    running = mine;
    session.onEnd(() => end(mine));
    return { config: source.config, models: source.models };
  }

  function end(mine: Running): void {
    if (running !== mine) return;
    running = undefined;
    for (const release of mine.release) release();
    mine.sql?.abort();
    // A store that does not answer has been given up and opened again: nothing is held back any more.
    mine.thaw?.().catch(() => undefined);
  }

  async function thaw(mine: Running): Promise<{ intact: boolean }> {
    const thawing = mine.thaw;
    delete mine.thaw;
    return { intact: thawing !== undefined && (await thawing()) };
  }

  async function endSql(mine: Running): Promise<unknown> {
    const { sql } = mine;
    delete mine.sql;
    if (!sql) throw new AppError('BACKUP_INVALID', 'the steps of a backup come in their order');
    return sql.end();
  }

  async function take(step: BackupStep, session: ControlSession): Promise<unknown> {
    if (step === 'backup.begin') return begin(session);
    const mine = running;
    if (mine?.session !== session) throw new AppError('BACKUP_INVALID', 'the server has given this backup up');
    switch (step) {
      case 'backup.sql.begin':
        mine.sql = await beginFileBackup(source.database.url());
        if (running !== mine) mine.sql.abort();
        return null;
      case 'backup.sql.end':
        return endSql(mine);
      case 'backup.store.freeze': {
        const thawing = await source.store.freeze?.();
        if (!thawing) return null;
        if (running === mine) mine.thaw = thawing;
        else await thawing();
        return null;
      }
      case 'backup.store.thaw':
        return thaw(mine);
      case 'backup.log.settle':
        await new Promise<void>((settled, failed) => {
          source.telemetryLog.log.barrier((error) => (error ? failed(error) : settled()));
        });
        return null;
      case 'backup.end':
        end(mine);
        return null;
    }
  }

  return { take, isRunning: () => running !== undefined };
}
