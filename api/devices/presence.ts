/** Who is connected now, in memory, and when each device was last seen, written to SQL in batches. */
import { sql } from 'drizzle-orm';
import { errorText } from '../../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import type { PresenceChange } from '../../contract/ports/broker.ts';
import type { Logger, Service } from '../../contract/ports/services.ts';
import type { Database } from '../db/database.ts';

export interface Presence extends Service {
  recordPresence(change: PresenceChange): void;
  /** A message of the device was received; moves its last-seen time. */
  recordMessage(ref: DeviceRef, receivedAt: number): void;
  /** Connected since, by client id. */
  connected(): ReadonlyMap<string, number>;
}

export interface PresenceOptions {
  /** How often last-seen times are written; 5 s. At most this much is forgotten by a kill. */
  readonly flushIntervalMs?: number;
}

export function createPresence(database: Database, deps: { logger: Logger }, options: PresenceOptions = {}): Presence {
  /** by client id; as many as connections, which the broker bounds */
  const since = new Map<string, number>();
  /** by client id; emptied at each flush */
  let seen = new Map<string, DeviceRef & { at: number }>();
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> = Promise.resolve();

  function see(ref: DeviceRef, at: number): void {
    const key = clientIdOf(ref);
    const known = seen.get(key);
    if (!known) seen.set(key, { tenant: ref.tenant, device: ref.device, at });
    else if (known.at < at) known.at = at;
  }

  async function flush(): Promise<void> {
    const batch = [...seen.values()];
    seen = new Map();
    if (batch.length === 0) return;
    try {
      await writeLastSeen(database, batch);
    } catch (error) {
      // The next message says it again; nothing else depends on it.
      deps.logger.warn({ error: errorText(error), devices: batch.length }, 'last-seen times were not written');
    }
  }

  return {
    async start() {
      timer ??= setInterval(() => {
        flushing = flushing.then(flush);
      }, options.flushIntervalMs ?? 5_000).unref();
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      flushing = flushing.then(flush);
      await flushing;
    },
    recordPresence(change) {
      see(change, change.at);
      if (change.connected) since.set(clientIdOf(change), change.at);
      else since.delete(clientIdOf(change));
    },
    recordMessage: see,
    connected: () => since,
  };
}

async function writeLastSeen(database: Database, batch: readonly (DeviceRef & { at: number })[]): Promise<void> {
  const tenants = sql.param(batch.map((one) => one.tenant));
  const ids = sql.param(batch.map((one) => one.device));
  const times = sql.param(batch.map((one) => one.at));
  await database.withSystem((tx) =>
    tx.execute(sql`UPDATE devices SET last_seen_at = GREATEST(last_seen_at, seen.at)
      FROM unnest(${tenants}::text[], ${ids}::text[], ${times}::bigint[]) AS seen (tenant_id, id, at)
      WHERE devices.tenant_id = seen.tenant_id AND devices.id = seen.id`),
  );
}
