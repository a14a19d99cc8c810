/** Rotating and retiring keys together with what was made under them, for the running server and for a stopped one. */

import type { Database } from '../api/db/database.ts';
import { countDevicesUnder } from '../api/devices/secret-versions.ts';
import { countWebhookSecrets, resealWebhookSecrets } from '../api/notify/webhook-secrets.ts';
import { AppError } from '../contract/kernel/errors.ts';
import type { Logger } from '../contract/ports/services.ts';
import type { KeyName, KeyStore } from './keys.ts';

export interface RetireReport {
  readonly name: KeyName;
  /** Versions that are gone. */
  readonly retired: readonly number[];
}

/** Seals under the current webhook key what is not; at each start, since a rotation may have been cut short. */
export async function settleKeys(keys: KeyStore, database: Database, logger: Logger): Promise<void> {
  const { resealed, unreadable } = await resealWebhookSecrets(database, keys.ring('webhooks'));
  if (resealed > 0) logger.info({ resealed }, 'webhook secrets were sealed under the current key');
  if (unreadable > 0)
    logger.error({ unreadable }, 'webhook secrets cannot be read: their key is missing, or the rows were changed');
}

/**
 * Deletes the older versions of a key.
 * @throws AppError KEY_IN_USE, before anything was deleted, when something needs one of them and `force` is not set
 */
export async function retireKeys(
  keys: KeyStore,
  database: Database,
  name: KeyName,
  force: boolean,
): Promise<RetireReport> {
  const older = keys.list().filter((key) => key.name === name && !key.isCurrent);
  if (name === 'webhooks') await resealWebhookSecrets(database, keys.ring('webhooks'));
  const needs: string[] = [];
  for (const { version } of older) {
    const need = await needOf(database, name, version);
    if (need) needs.push(`version ${version}: ${need}`);
  }
  if (needs.length > 0 && !force) throw new AppError('KEY_IN_USE', `${name} ${needs.join('; ')}`);
  for (const { version } of older) keys.discard(name, version);
  return { name, retired: older.map(({ version }) => version) };
}

/** Who needs that older version, in words; `undefined` when nobody does. */
async function needOf(database: Database, name: KeyName, version: number): Promise<string | undefined> {
  switch (name) {
    case 'device-secrets': {
      const devices = await countDevicesUnder(database, version);
      const words = `${devices} devices have not logged in with their secret since the rotation`;
      return devices > 0 ? `${words}; without it they need a new secret each` : undefined;
    }
    case 'webhooks': {
      const secrets = await countWebhookSecrets(database, version);
      return secrets > 0 ? `${secrets} webhook secrets lie under it and cannot be read` : undefined;
    }
    case 'backup':
      return 'backups that were made under it could no longer be read, unless you keep a copy of the key file';
    case 'signing':
      return undefined; // Nothing that was signed is kept and verified again.
  }
}
