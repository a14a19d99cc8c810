/** Which device stands above which: a hub over its sensors, a vehicle over its control units. A tree of few levels. */
import { sql } from 'drizzle-orm';
import { AppError } from '../../contract/kernel/errors.ts';
import { MAX_DEPTH } from '../alerts/suppression.ts';
import type { Transaction } from '../db/database.ts';
import { invalidField } from '../plugins/problems.ts';

/**
 * Whether `parent` may stand above `device`, which need not exist yet.
 * @throws AppError REQUEST_INVALID naming `body.parent`, CONFLICT where it would stand above itself or the tree gets too deep
 */
export async function requireParent(
  tx: Transaction,
  tenant: string,
  device: string,
  parent: string | undefined,
): Promise<void> {
  if (parent === undefined) return;
  // Two changes at once could close a circle that neither of them sees.
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${`parents of ${tenant}`}, 0))`);
  const above = await tx.execute<{ id: string; status: string }>(sql`
    WITH RECURSIVE up AS (
      SELECT id, parent, status, 1 AS depth FROM devices WHERE tenant_id = ${tenant} AND id = ${parent}
      UNION ALL
      SELECT d.id, d.parent, d.status, up.depth + 1 FROM up
        JOIN devices d ON d.tenant_id = ${tenant} AND d.id = up.parent WHERE up.depth <= ${MAX_DEPTH}
    ) SELECT id, status FROM up ORDER BY depth`);
  const [first] = above.rows;
  if (!first || first.status === 'decommissioned') throw invalidField('body.parent', `there is no device ${parent}`);
  if (device === parent || above.rows.some((one) => one.id === device)) {
    throw new AppError('CONFLICT', `device ${device} would stand above itself`);
  }
  const below = await tx.execute<{ depth: number }>(sql`
    WITH RECURSIVE down AS (
      SELECT id, 0 AS depth FROM devices WHERE tenant_id = ${tenant} AND id = ${device}
      UNION ALL
      SELECT d.id, down.depth + 1 FROM down
        JOIN devices d ON d.tenant_id = ${tenant} AND d.parent = down.id WHERE down.depth <= ${MAX_DEPTH}
    ) SELECT COALESCE(max(depth), 0)::int AS depth FROM down`);
  if (above.rows.length + Number(below.rows[0]?.depth ?? 0) > MAX_DEPTH) {
    throw new AppError('CONFLICT', `at most ${MAX_DEPTH} levels of devices may stand above one another`);
  }
}
