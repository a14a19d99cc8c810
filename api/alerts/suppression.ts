/**
 * Suppression by design: a device that is silent explains its own lesser alarms, and those of the devices below it. Kept on
 * the alarms themselves, and brought up to date whenever an explaining alarm comes or goes, or a new alarm is raised.
 */
import { sql } from 'drizzle-orm';
import type { Transaction } from '../db/database.ts';

/** How far up and down the tree of devices an explanation reaches. */
export const MAX_DEPTH = 4;

export interface SuppressionChange {
  readonly id: string;
  readonly before: string | null;
  readonly after: string | null;
  readonly version: number;
}

/**
 * Sets `suppressed_by` of the open alarms of these devices to the topmost alarm that explains them; answers what changed.
 * Critical and latched alarms are never hidden: they ask for somebody whatever the reason of the silence is.
 */
export async function refreshSuppression(
  tx: Transaction,
  tenant: string,
  devices: readonly string[],
  explaining: readonly string[],
): Promise<SuppressionChange[]> {
  if (devices.length === 0) return [];
  const ids = sql.param([...devices]);
  const keys = sql.param([...explaining]);
  const { rows } = await tx.execute<{ id: string; before: string | null; after: string | null; version: number }>(sql`
    WITH RECURSIVE up AS (
      SELECT d.id AS device, d.id AS above, d.parent, 0 AS depth FROM devices d
        WHERE d.tenant_id = ${tenant} AND d.id = ANY(${ids}::text[])
      UNION ALL
      SELECT up.device, d.id, d.parent, up.depth + 1 FROM up
        JOIN devices d ON d.tenant_id = ${tenant} AND d.id = up.parent WHERE up.depth < ${MAX_DEPTH}
    ), wanted AS (
      SELECT a.id, a.suppressed_by AS before, (
        SELECT i.id FROM up JOIN alerts i ON i.tenant_id = ${tenant} AND i.device = up.above AND i.state = 'open'
            AND i.fault_key = ANY(${keys}::text[])
          WHERE up.device = a.device AND i.id <> a.id AND (up.depth > 0 OR a.fault_key <> ALL(${keys}::text[]))
            AND a.severity <> 'critical' AND NOT a.latched
          ORDER BY up.depth DESC, i.id LIMIT 1) AS after
      FROM alerts a WHERE a.tenant_id = ${tenant} AND a.device = ANY(${ids}::text[]) AND a.state = 'open'
    )
    UPDATE alerts SET suppressed_by = wanted.after, version = alerts.version + 1 FROM wanted
      WHERE alerts.tenant_id = ${tenant} AND alerts.id = wanted.id AND wanted.before IS DISTINCT FROM wanted.after
      RETURNING alerts.id, wanted.before, wanted.after, alerts.version`);
  return rows.map((row) => ({ ...row, version: Number(row.version) }));
}

/** These devices and all below them. */
export async function withDescendants(tx: Transaction, tenant: string, devices: readonly string[]): Promise<string[]> {
  if (devices.length === 0) return [];
  const { rows } = await tx.execute<{ id: string }>(sql`
    WITH RECURSIVE down AS (
      SELECT id, 0 AS depth FROM unnest(${sql.param([...devices])}::text[]) AS id
      UNION
      SELECT d.id, down.depth + 1 FROM down
        JOIN devices d ON d.tenant_id = ${tenant} AND d.parent = down.id WHERE down.depth < ${MAX_DEPTH}
    ) SELECT DISTINCT id FROM down`);
  return rows.map((row) => row.id);
}
