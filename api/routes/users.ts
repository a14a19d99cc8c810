/** People of a tenant, for its administrators: list, add, change, disable, and let in with a one-time link. */
import { and, count, eq, gt, ne, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import { page, pageQuery, signInLink, type User, user, userChange, userCreate } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { createOwnerLink, OWNER_LINK_LIFE_MS } from '../accounts/owner-links.ts';
import { type Principal, requireWholeTenant } from '../accounts/principal.ts';
import { sqlState, type Transaction } from '../db/database.ts';
import { sessions, users } from '../db/schema.ts';
import { requireCentre } from '../devices/device-view.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const byId = z.object({ id: z.string().min(1).max(64) });
const UNIQUE_VIOLATION = '23505';
const MAX_USERS_PER_TENANT = 10_000;

export function registerUsers(app: App, { database, clock, publicUrl }: RouteContext): void {
  app.get(
    '/api/v1/users',
    { schema: { tags: ['accounts'], querystring: pageQuery.strict(), response: answers({ 200: page(user) }) } },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageUsers');
      const { limit, cursor } = request.query;
      const afterId = decodeCursor(cursor)?.[1];
      const after = afterId === undefined ? undefined : gt(users.id, afterId);
      const rows = await database.withTenant(principal, (tx) => selectUsers(tx, principal, after, limit + 1));
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(0, row.id),
      );
    },
  );

  app.post(
    '/api/v1/users',
    { schema: { tags: ['accounts'], body: userCreate, response: answers({ 201: user }, 409) } },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'manageUsers');
      const { id, role, centre } = request.body;
      try {
        await database.withTenant(principal, async (tx) => {
          await requireCentre(tx, principal, centre);
          const [known] = await tx.select({ n: count() }).from(users).where(eq(users.tenant, principal.tenant));
          if (known && known.n >= MAX_USERS_PER_TENANT) throw new AppError('CONFLICT', 'the tenant has too many users');
          await tx
            .insert(users)
            .values({ tenant: principal.tenant, id, role, centre: centre ?? null, createdAt: clock.now() });
        });
      } catch (error) {
        if (sqlState(error) === UNIQUE_VIOLATION) throw new AppError('CONFLICT', `user ${id} exists already`);
        throw error;
      }
      const created = await database.withTenant(principal, (tx) => requireUser(tx, principal, id));
      return reply.code(201).send(created);
    },
  );

  app.patch(
    '/api/v1/users/:id',
    { schema: { tags: ['accounts'], params: byId, body: userChange, response: answers({ 200: user }, 409) } },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageUsers');
      const { id } = request.params;
      const { role, centre, disabled } = request.body;
      const changed = await database.withTenant(principal, async (tx) => {
        await lockAdmins(tx, principal);
        await requireUser(tx, principal, id);
        await requireCentre(tx, principal, centre ?? undefined);
        const change = {
          ...(role === undefined ? {} : { role }),
          ...(centre === undefined ? {} : { centre }),
          ...(disabled === undefined ? {} : { disabled }),
        };
        if (Object.keys(change).length > 0) await tx.update(users).set(change).where(isUser(principal, id));
        await requireAnAdmin(tx, principal);
        return requireUser(tx, principal, id);
      });
      if (changed.disabled) await closeSessions(principal.tenant, id);
      return changed;
    },
  );

  /** Enabled again later, he signs in again. */
  async function closeSessions(tenant: string, id: string): Promise<void> {
    await database.withSystem((tx) =>
      tx.delete(sessions).where(and(eq(sessions.tenant, tenant), eq(sessions.user, id))),
    );
  }

  app.post(
    '/api/v1/users/:id/sign-in-links',
    {
      schema: {
        tags: ['accounts'],
        description: 'A link to the console that signs the user in once, within a day. Whoever opens it is the user.',
        params: byId,
        response: answers({ 201: signInLink }, 409),
      },
    },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'manageUsers');
      const { id } = request.params;
      const found = await database.withTenant(principal, (tx) => requireUser(tx, principal, id));
      if (found.disabled) throw new AppError('CONFLICT', `user ${id} is disabled`);
      const expiresAt = clock.now() + OWNER_LINK_LIFE_MS;
      const link = await createOwnerLink(database, { tenant: principal.tenant, user: id }, clock);
      return reply.code(201).send({ url: `${publicUrl()}/#link=${link}`, expiresAt });
    },
  );
}

const isUser = (principal: Principal, id: string) => and(eq(users.tenant, principal.tenant), eq(users.id, id));

async function selectUsers(
  tx: Transaction,
  principal: Principal,
  condition: SQL | undefined,
  limit: number,
): Promise<User[]> {
  const rows = await tx
    .select()
    .from(users)
    .where(and(eq(users.tenant, principal.tenant), condition))
    .orderBy(users.id)
    .limit(limit);
  return rows.map(({ id, role, centre, disabled, createdAt }) => ({
    id,
    role,
    disabled,
    createdAt,
    ...(centre === null ? {} : { centre }),
  }));
}

async function requireUser(tx: Transaction, principal: Principal, id: string): Promise<User> {
  const [found] = await selectUsers(tx, principal, eq(users.id, id), 1);
  if (!found) throw new AppError('NOT_FOUND', `user ${id}`);
  return found;
}

/** Two admins who demote each other at once wait for one another here. */
async function lockAdmins(tx: Transaction, principal: Principal): Promise<void> {
  await tx
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.tenant, principal.tenant), eq(users.role, 'admin')))
    .orderBy(users.id)
    .for('update');
}

/** Nobody could undo it. @throws AppError CONFLICT */
async function requireAnAdmin(tx: Transaction, principal: Principal): Promise<void> {
  const left = await selectUsers(tx, principal, and(eq(users.role, 'admin'), ne(users.disabled, true)), 500);
  if (!left.some((one) => one.centre === undefined)) {
    throw new AppError('CONFLICT', 'the tenant would be left without an administrator');
  }
}
