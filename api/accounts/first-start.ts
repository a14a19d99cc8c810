/**
 * The way into a new installation: without a seed there is neither tenant nor user, and nobody could make one. The first
 * start makes both; every start offers the owner a link for as long as no administrator can come in by himself.
 */
import { and, count, eq, gt, isNull, or } from 'drizzle-orm';
import type { Clock } from '../../contract/ports/services.ts';
import type { Database, Transaction } from '../db/database.ts';
import { centres, ownerLinks, sessions, tenants, tokens, users } from '../db/schema.ts';
import { createOwnerLink } from './owner-links.ts';
import { SESSION_IDLE_MS } from './principal.ts';

/** What a database without a seed begins with. */
export const FIRST_TENANT = 'default';
export const FIRST_CENTRE = 'main';
export const FIRST_USER = 'owner';

export interface FirstDoor {
  readonly tenant: string;
  readonly user: string;
  /** For `/#link=…`: signs in once, within a day. */
  readonly link: string;
}

/**
 * Makes tenant `default` with centre `main` and its owner in an empty database, and a one-time link while no administrator
 * of that tenant has a live token or session. A new link ends the older ones. `undefined` when there is no need.
 */
export async function openFirstDoor(database: Database, clock: Clock): Promise<FirstDoor | undefined> {
  const needed = await database.withSystem(async (tx) => {
    await makeFirstTenant(tx, clock.now());
    if (!(await isFirstOwner(tx)) || (await canAdministratorsEnter(tx, clock.now()))) return false;
    await tx.delete(ownerLinks).where(and(eq(ownerLinks.tenant, FIRST_TENANT), isNull(ownerLinks.usedAt)));
    return true;
  });
  if (!needed) return undefined;
  const owner = { tenant: FIRST_TENANT, user: FIRST_USER };
  return { ...owner, link: await createOwnerLink(database, owner, clock) };
}

async function makeFirstTenant(tx: Transaction, now: number): Promise<void> {
  const [known] = await tx.select({ n: count() }).from(tenants);
  if (known && known.n > 0) return;
  await tx
    .insert(tenants)
    .values({ tenant: FIRST_TENANT, name: 'Default', defaultCentre: FIRST_CENTRE, createdAt: now })
    .onConflictDoNothing();
  await tx
    .insert(centres)
    .values({ tenant: FIRST_TENANT, id: FIRST_CENTRE, name: 'Main', timeZone: 'UTC' })
    .onConflictDoNothing();
  await tx
    .insert(users)
    .values({ tenant: FIRST_TENANT, id: FIRST_USER, role: 'admin', createdAt: now })
    .onConflictDoNothing();
}

/** A tenant of the same name that a seed made has no such owner and needs no door. */
async function isFirstOwner(tx: Transaction): Promise<boolean> {
  const found = await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.tenant, FIRST_TENANT), eq(users.id, FIRST_USER), eq(users.disabled, false)));
  return found.length > 0;
}

async function canAdministratorsEnter(tx: Transaction, now: number): Promise<boolean> {
  const isAdmin = and(eq(users.tenant, FIRST_TENANT), eq(users.role, 'admin'), eq(users.disabled, false));
  const withToken = await tx
    .select({ id: users.id })
    .from(tokens)
    .innerJoin(users, and(eq(users.tenant, tokens.tenant), eq(users.id, tokens.user)))
    .where(and(isAdmin, isNull(tokens.revokedAt), or(isNull(tokens.expiresAt), gt(tokens.expiresAt, now))))
    .limit(1);
  if (withToken.length > 0) return true;
  const withSession = await tx
    .select({ id: users.id })
    .from(sessions)
    .innerJoin(users, and(eq(users.tenant, sessions.tenant), eq(users.id, sessions.user)))
    .where(and(isAdmin, gt(sessions.expiresAt, now), gt(sessions.lastSeenAt, now - SESSION_IDLE_MS)))
    .limit(1);
  return withSession.length > 0;
}
