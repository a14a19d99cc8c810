/** API tokens and one-time owner links, as the command line and the seed make them. */

import { and, eq } from 'drizzle-orm';
import type { Role } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Clock } from '../../contract/ports/services.ts';
import type { Database, Transaction } from '../db/database.ts';
import { ownerLinks, tenants, tokens, users } from '../db/schema.ts';
import { hashToken, newSecret, newToken } from './secrets.ts';

const OWNER_LINK_LIFE_MS = DAY_MS;

export interface TokenRequest {
  readonly tenant: string;
  readonly user: string;
  /** What it is for, for people who list tokens. */
  readonly label: string;
  /** Never expires when absent. */
  readonly lifeMs?: number;
}

/**
 * Makes an API token for a user; the answer is the only time it is shown.
 * @throws AppError NOT_FOUND when there is no such user
 */
export async function createToken(database: Database, request: TokenRequest, clock: Clock): Promise<string> {
  const token = newToken();
  await database.withSystem(async (tx) => {
    await requireUser(tx, request.tenant, request.user);
    await tx.insert(tokens).values({
      hash: hashToken(token),
      tenant: request.tenant,
      user: request.user,
      label: request.label,
      createdAt: clock.now(),
      expiresAt: request.lifeMs === undefined ? null : clock.now() + request.lifeMs,
    });
  });
  return token;
}

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

async function requireUser(tx: Transaction, tenant: string, user: string): Promise<void> {
  const found = await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.tenant, tenant), eq(users.id, user)));
  if (found.length === 0) throw new AppError('NOT_FOUND', `user ${user} of tenant ${tenant}`);
}
