/** What versions beside the active one would have raised: counted for comparison, never an alert, never a ticket. */
import { inArray, sql } from 'drizzle-orm';
import type { ShadowFinding } from '../../contract/ports/findings.ts';
import type { Transaction } from '../db/database.ts';
import { shadowAlerts, tenants } from '../db/schema.ts';

/** Of one tenant; the oldest go first. */
export const MAX_SHADOW_ALERTS = 20_000;
/** Looking how many there are costs a scan: done once in so many findings of a tenant. */
const CUT_EVERY = 500;

/** Stores the findings of a batch, in the order of the log. Answers how many old rows made room. */
export async function applyShadowAlerts(tx: Transaction, findings: readonly ShadowFinding[]): Promise<number> {
  if (findings.length === 0) return 0;
  const known = await tx
    .select({ tenant: tenants.tenant })
    .from(tenants)
    .where(inArray(tenants.tenant, [...new Set(findings.map((one) => one.tenant))]));
  const here = new Set(known.map((row) => row.tenant));
  /** of each episode the newest finding and the time at which it was raised, by its key */
  const rows = new Map<string, typeof shadowAlerts.$inferInsert>();
  for (const one of findings) {
    if (!here.has(one.tenant)) continue; // The tenant is gone.
    const key = [one.tenant, one.model, one.by.name, one.by.version, one.episode].join('\n');
    rows.set(key, { ...rowOf(one), raisedAt: rows.get(key)?.raisedAt ?? one.at });
  }
  for (const row of rows.values()) {
    const { severity, confirmed, score, updatedAt, clearedAt } = row;
    await tx
      .insert(shadowAlerts)
      .values(row)
      .onConflictDoUpdate({
        target: [
          shadowAlerts.tenant,
          shadowAlerts.model,
          shadowAlerts.name,
          shadowAlerts.version,
          shadowAlerts.episode,
        ],
        set: { severity, confirmed, score, updatedAt, clearedAt: clearedAt ?? null },
        // A replay of older findings changes nothing, and what is over stays over.
        setWhere: sql`${shadowAlerts.clearedAt} IS NULL AND ${shadowAlerts.updatedAt} <= ${updatedAt}`,
      });
  }
  let cut = 0;
  for (const tenant of here) cut += await cutOldest(tx, tenant, findings);
  return cut;
}

function rowOf(one: ShadowFinding): typeof shadowAlerts.$inferInsert {
  const { tenant, episode, device, model, component, faultKey, severity, confirmed, score, onset, at } = one;
  return {
    ...{ tenant, episode, device, model, component, faultKey, severity, confirmed, score, onset },
    name: one.by.name,
    version: one.by.version,
    raisedAt: at,
    updatedAt: at,
    clearedAt: one.event === 'cleared' ? at : null,
  };
}

/** Decided by what is in the findings, so that a batch is treated the same when it is applied again. */
async function cutOldest(tx: Transaction, tenant: string, findings: readonly ShadowFinding[]): Promise<number> {
  const looks = findings.some(
    (one) => one.tenant === tenant && Number.parseInt(one.id.slice(0, 6), 16) % CUT_EVERY === 0,
  );
  if (!looks) return 0;
  const gone = await tx.execute(sql`DELETE FROM shadow_alerts WHERE (tenant_id, model, name, version, episode) IN (
    SELECT tenant_id, model, name, version, episode FROM shadow_alerts WHERE tenant_id = ${tenant}
    ORDER BY raised_at DESC, episode DESC OFFSET ${MAX_SHADOW_ALERTS})`);
  return gone.rowCount ?? 0;
}
