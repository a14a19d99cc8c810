/** What may be asked through the control socket, and what the running server does about it. */
import { z } from 'zod';
import type { Database } from '../api/db/database.ts';
import { AppError } from '../contract/kernel/errors.ts';
import type { Logger } from '../contract/ports/services.ts';
import { BACKUP_STEPS, type BackupSteps } from './backup/backup-session.ts';
import type { ControlHandler } from './control.ts';
import { retireKeys, settleKeys } from './key-operations.ts';
import { KEY_NAMES, type KeyName, type KeyStore } from './keys.ts';

const keyName = z.enum(KEY_NAMES as readonly [KeyName, ...KeyName[]]);
const controlRequest = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('keys.rotate'), name: keyName }),
  z.strictObject({ do: z.literal('keys.retire'), name: keyName, force: z.boolean() }),
  z.strictObject({ do: z.enum(BACKUP_STEPS) }),
]);
export type ControlRequest = z.infer<typeof controlRequest>;

export interface ControlDeps {
  readonly keys: KeyStore;
  readonly database: Database;
  readonly logger: Logger;
  readonly backup: BackupSteps;
}

export function createControlHandler({ keys, database, logger, backup }: ControlDeps): ControlHandler {
  return async (raw, session) => {
    const parsed = controlRequest.safeParse(raw);
    if (!parsed.success) throw new AppError('REQUEST_INVALID', 'this version of the server does not know the request');
    const request = parsed.data;
    // The backup has a copy of the keys already, and rows that it has not copied yet would move to another one.
    if (request.do.startsWith('keys.') && backup.isRunning())
      throw new AppError('KEY_IN_USE', 'a backup is being made; try again when it is done');
    switch (request.do) {
      case 'keys.rotate': {
        const { version } = keys.rotate(request.name);
        logger.info({ name: request.name, version }, 'a key was rotated');
        await settleKeys(keys, database, logger);
        return { name: request.name, version };
      }
      case 'keys.retire': {
        const report = await retireKeys(keys, database, request.name, request.force);
        logger.info({ name: request.name, retired: report.retired.join(', ') }, 'older keys were deleted');
        return report;
      }
      default:
        return backup.take(request.do, session);
    }
  };
}
