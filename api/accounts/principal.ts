/** Who is asking: the user behind a token or a session, and what his role may do. */
import { and, eq, gt, isNull, or, sql } from 'drizzle-orm';
import type { Role, TokenScope } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Clock } from '../../contract/ports/services.ts';
import type { Database, TenantScope, Transaction } from '../db/database.ts';
import { ownerLinks, sessions, tokens, users } from '../db/schema.ts';
import { hashToken, newSecret } from './secrets.ts';

export interface Principal extends TenantScope {
  readonly tenant: string;
  readonly user: string;
  readonly role: Role;
  /** Set: sees only this centre's tickets and their devices. */
  readonly centre: string | undefined;
  readonly via: 'token' | 'session';
  /** Set: a token that may do only a part of what its user may. */
  readonly scope?: TokenScope | undefined;
}

/** What each act asks for. Reading asks for any role. */
const PERMITTED = {
  read: ['viewer', 'agent', 'engineer', 'manager', 'admin'],
  workOnTickets: ['agent', 'engineer', 'manager', 'admin'],
  tryRules: ['agent', 'engineer', 'manager', 'admin'],
  manageRules: ['engineer', 'manager', 'admin'],
  /** Tells analytics what is normal. */
  judgeAlerts: ['engineer', 'manager', 'admin'],
  manageDevices: ['manager', 'admin'],
  manageDetectors: ['manager', 'admin'],
  manageTokens: ['manager', 'admin'],
  manageUsers: ['admin'],
} as const satisfies Record<string, readonly Role[]>;
export type Act = keyof typeof PERMITTED;

/** What each scope of a token leaves of that. Access itself is never among it: a narrow token cannot make a wide one. */
const IN_SCOPE = {
  read: ['read'],
  devices: ['read', 'manageDevices'],
  tickets: ['read', 'workOnTickets', 'judgeAlerts'],
} as const satisfies Record<TokenScope, readonly Act[]>;

/** @throws AppError FORBIDDEN */
export function requireAct(principal: Principal, act: Act): void {
  const permitted: readonly Role[] = PERMITTED[act];
  if (!permitted.includes(principal.role)) {
    throw new AppError('FORBIDDEN', `a ${principal.role} may not do this; it takes one of ${permitted.join(', ')}`);
  }
  const inScope: readonly Act[] | undefined = principal.scope && IN_SCOPE[principal.scope];
  if (inScope && !inScope.includes(act)) {
    throw new AppError('FORBIDDEN', `this token has the scope ${principal.scope} only`);
  }
}

/**
 * For what concerns all centres of a tenant: a user of one of them neither sees nor does it.
 * @throws AppError FORBIDDEN
 */
export function requireWholeTenant(principal: Principal, act: Act): Principal {
  requireAct(principal, act);
  if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'this is for users of the whole tenant');
  return principal;
}

/** A session ends after this, however busy it is … */
export const SESSION_LIFE_MS = 7 * DAY_MS;
/** … and after this without a request. */
export const SESSION_IDLE_MS = DAY_MS;
/** Last-use times are written at most this often. */
const TOUCH_MS = MINUTE_MS;

export interface Accounts {
  byToken(token: string): Promise<Principal | undefined>;
  bySession(secret: string): Promise<Principal | undefined>;
  /** Uses up an owner link. `undefined` when it is unknown, used or too old. */
  openSession(link: string): Promise<{ secret: string; principal: Principal } | undefined>;
  closeSession(secret: string): Promise<void>;
}

export function createAccounts(database: Database, clock: Clock): Accounts {
  return {
    byToken: (token) =>
      database.withSystem(async (tx) => {
        const hash = hashToken(token);
        const now = clock.now();
        const [row] = await tx
          .select({ user: users, lastUsedAt: tokens.lastUsedAt, scope: tokens.scope })
          .from(tokens)
          .innerJoin(users, and(eq(users.tenant, tokens.tenant), eq(users.id, tokens.user)))
          .where(
            and(
              eq(tokens.hash, hash),
              isNull(tokens.revokedAt),
              or(isNull(tokens.expiresAt), gt(tokens.expiresAt, now)),
              eq(users.disabled, false),
            ),
          );
        if (!row) return undefined;
        if (now - (row.lastUsedAt ?? 0) > TOUCH_MS) {
          await tx.update(tokens).set({ lastUsedAt: now }).where(eq(tokens.hash, hash));
        }
        return { ...principalOf(row.user, 'token'), scope: row.scope ?? undefined };
      }),
    bySession: (secret) =>
      database.withSystem(async (tx) => {
        const hash = hashToken(secret);
        const now = clock.now();
        const [row] = await tx
          .select({ user: users, lastSeenAt: sessions.lastSeenAt })
          .from(sessions)
          .innerJoin(users, and(eq(users.tenant, sessions.tenant), eq(users.id, sessions.user)))
          .where(
            and(
              eq(sessions.hash, hash),
              gt(sessions.expiresAt, now),
              gt(sessions.lastSeenAt, now - SESSION_IDLE_MS),
              eq(users.disabled, false),
            ),
          );
        if (!row) return undefined;
        if (now - row.lastSeenAt > TOUCH_MS) {
          await tx.update(sessions).set({ lastSeenAt: now }).where(eq(sessions.hash, hash));
        }
        return principalOf(row.user, 'session');
      }),
    openSession: (link) =>
      database.withSystem(async (tx) => {
        const user = await useLink(tx, link, clock.now());
        if (!user) return undefined;
        const secret = newSecret();
        await tx.insert(sessions).values({
          hash: hashToken(secret),
          tenant: user.tenant,
          user: user.id,
          createdAt: clock.now(),
          expiresAt: clock.now() + SESSION_LIFE_MS,
          lastSeenAt: clock.now(),
        });
        return { secret, principal: principalOf(user, 'session') };
      }),
    closeSession: (secret) =>
      database.withSystem(async (tx) => {
        await tx.delete(sessions).where(eq(sessions.hash, hashToken(secret)));
      }),
  };
}

type UserRow = typeof users.$inferSelect;

/** One statement marks it used, so that of two visitors at once only one gets in. */
async function useLink(tx: Transaction, link: string, now: number): Promise<UserRow | undefined> {
  const [used] = await tx
    .update(ownerLinks)
    .set({ usedAt: now })
    .where(and(eq(ownerLinks.hash, hashToken(link)), isNull(ownerLinks.usedAt), gt(ownerLinks.expiresAt, now)))
    .returning({ tenant: ownerLinks.tenant, user: ownerLinks.user });
  if (!used) return undefined;
  const [user] = await tx
    .select()
    .from(users)
    .where(and(eq(users.tenant, used.tenant), eq(users.id, used.user), sql`NOT ${users.disabled}`));
  return user;
}

function principalOf(user: UserRow, via: Principal['via']): Principal {
  return { tenant: user.tenant, user: user.id, role: user.role, centre: user.centre ?? undefined, via };
}
