/** One-time links that sign a user in: how the owner enters a new installation, and how people reach the console. */

import { eq } from 'drizzle-orm';
import type { Role } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Clock } from '../../contract/ports/services.ts';
import type { Database } from '../db/database.ts';
import { ownerLinks, tenants, users } from '../db/schema.ts';
import { hashToken, newSecret } from './secrets.ts';

export const OWNER_LINK_LIFE_MS = DAY_MS;

/**
 * Makes the token of a link `/#link=TOKEN` that signs in once, within a day. The user is created as admin when missing.
 * @throws AppError NOT_FOUND when there is no such tenant
 */
export async function createOwnerLink(
  database: Database,
  owner: { tenant: string; user: string },
  clock: Clock,
): Promise<string> {
  const token = newSecret();
  await database.withSystem(async (tx) => {
    const found = await tx.select({ id: tenants.tenant }).from(tenants).where(eq(tenants.tenant, owner.tenant));
    if (found.length === 0) throw new AppError('NOT_FOUND', `tenant ${owner.tenant}`);
    const role: Role = 'admin';
    await tx
      .insert(users)
      .values({ tenant: owner.tenant, id: owner.user, role, createdAt: clock.now() })
      .onConflictDoNothing();
    await tx.insert(ownerLinks).values({
      hash: hashToken(token),
      tenant: owner.tenant,
      user: owner.user,
      createdAt: clock.now(),
      expiresAt: clock.now() + OWNER_LINK_LIFE_MS,
    });
  });
  return token;
}
