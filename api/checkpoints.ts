/** Checkpoints of a log consumer in SQL: states and the position they belong to change together or not at all. */
import { and, eq, sql } from 'drizzle-orm';
import type { CheckpointStore } from '../contract/ports/analytics.ts';
import { readPosition, writePosition } from './db/consumer-positions.ts';
import type { Database } from './db/database.ts';
import { checkpoints } from './db/schema.ts';

/** `consumer` names whose states they are; a worker of some partitions takes a name of its own. */
export function createCheckpointStore(database: Database, consumer: string): CheckpointStore {
  const name = `checkpoint:${consumer}`;
  return {
    position: () => database.withSystem((tx) => readPosition(tx, name)),
    async load(ref) {
      const [row] = await database.withSystem((tx) =>
        tx
          .select({ state: checkpoints.state })
          .from(checkpoints)
          .where(
            and(
              eq(checkpoints.consumer, consumer),
              eq(checkpoints.tenant, ref.tenant),
              eq(checkpoints.device, ref.device),
            ),
          ),
      );
      return row?.state;
    },
    async save(changed, position) {
      const tenants = sql.param(changed.map((one) => one.tenant));
      const devices = sql.param(changed.map((one) => one.device));
      const states = sql.param(changed.map((one) => JSON.stringify(one.state)));
      await database.withSystem(async (tx) => {
        if (changed.length > 0) {
          await tx.execute(sql`INSERT INTO checkpoints (tenant_id, consumer, device, state)
            SELECT t, ${consumer}, d, s::json FROM unnest(${tenants}::text[], ${devices}::text[], ${states}::text[]) AS changed (t, d, s)
            ON CONFLICT (consumer, tenant_id, device) DO UPDATE SET state = excluded.state`);
        }
        await writePosition(tx, name, position);
      });
    },
  };
}
