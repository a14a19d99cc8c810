/** API tokens: make one (shown once), list and revoke them. For managers, within their tenant and never above themselves. */
import { and, count, desc, eq, gt, isNull, or, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import {
  type ApiToken,
  apiToken,
  apiTokenCreate,
  apiTokenCreated,
  page,
  pageQuery,
  ROLES,
  type Role,
} from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import { hashToken, newToken } from '../accounts/secrets.ts';
import type { Transaction } from '../db/database.ts';
import { tokens, users } from '../db/schema.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const byId = z.object({ id: z.uuid() });
const listQuery = pageQuery.extend({ user: z.string().max(64).optional() }).strict();
const DEFAULT_LIFE_DAYS = 365;
const MAX_LIVE_TOKENS_PER_USER = 100;

const COLUMNS = {
  id: tokens.id,
  user: tokens.user,
  label: tokens.label,
  scope: tokens.scope,
  createdBy: tokens.createdBy,
  createdAt: tokens.createdAt,
  expiresAt: tokens.expiresAt,
  lastUsedAt: tokens.lastUsedAt,
  revokedAt: tokens.revokedAt,
};

export function registerTokens(app: App, { database, clock }: RouteContext): void {
  app.get(
    '/api/v1/tokens',
    { schema: { tags: ['accounts'], querystring: listQuery, response: answers({ 200: page(apiToken) }) } },
    async (request) => {
      const principal = principalOf(request);
      requireAct(principal, 'manageTokens');
      const { limit, cursor, user } = request.query;
      const conditions = [eq(tokens.tenant, principal.tenant)];
      if (user !== undefined) conditions.push(eq(tokens.user, user));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${tokens.createdAt}, ${tokens.id}::text) < (${after[0]}, ${after[1]})`);
      const rows = await database.withTenant(principal, (tx) =>
        selectTokens(tx, principal, and(...conditions), limit + 1),
      );
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.createdAt, row.id),
      );
    },
  );

  app.post(
    '/api/v1/tokens',
    { schema: { tags: ['accounts'], body: apiTokenCreate, response: answers({ 201: apiTokenCreated }, 409) } },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'manageTokens');
      const { user = principal.user, label, scope, days = DEFAULT_LIFE_DAYS } = request.body;
      const token = newToken();
      const now = clock.now();
      const created = await database.withTenant(principal, async (tx) => {
        await requireAuthorityOver(tx, principal, user);
        await refuseTooMany(tx, principal.tenant, user, now);
        const row = { tenant: principal.tenant, user, label, scope: scope ?? null, createdBy: principal.user };
        const [added] = await tx
          .insert(tokens)
          .values({ ...row, hash: hashToken(token), createdAt: now, expiresAt: now + days * DAY_MS })
          .returning(COLUMNS);
        if (!added) throw new AppError('INTERNAL', 'the token was not stored');
        return tokenOf(added);
      });
      return reply.code(201).send({ ...created, token });
    },
  );

  app.delete(
    '/api/v1/tokens/:id',
    { schema: { tags: ['accounts'], params: byId, response: answers({ 204: z.void() }) } },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'manageTokens');
      const isToken = and(eq(tokens.tenant, principal.tenant), eq(tokens.id, request.params.id));
      await database.withTenant(principal, async (tx) => {
        const [found] = await selectTokens(tx, principal, isToken, 1);
        if (!found) throw new AppError('NOT_FOUND', `token ${request.params.id}`);
        await requireAuthorityOver(tx, principal, found.user);
        await tx
          .update(tokens)
          .set({ revokedAt: clock.now() })
          .where(and(isToken, isNull(tokens.revokedAt)));
      });
      return reply.code(204).send();
    },
  );
}

/** Newest first. A manager of a centre sees those of the users of his centre. */
async function selectTokens(
  tx: Transaction,
  principal: Principal,
  condition: SQL | undefined,
  limit: number,
): Promise<ApiToken[]> {
  const isVisible = principal.centre === undefined ? undefined : eq(users.centre, principal.centre);
  const rows = await tx
    .select(COLUMNS)
    .from(tokens)
    .innerJoin(users, and(eq(users.tenant, tokens.tenant), eq(users.id, tokens.user)))
    .where(and(condition, isVisible))
    .orderBy(desc(tokens.createdAt), desc(sql`${tokens.id}::text`))
    .limit(limit);
  return rows.map(tokenOf);
}

type TokenRow = { [Name in keyof typeof COLUMNS]: (typeof tokens.$inferSelect)[Name] };

function tokenOf({ id, user, label, createdAt, ...rest }: TokenRow): ApiToken {
  return {
    id,
    user,
    label,
    createdAt,
    ...(rest.scope === null ? {} : { scope: rest.scope }),
    ...(rest.createdBy === null ? {} : { createdBy: rest.createdBy }),
    ...(rest.expiresAt === null ? {} : { expiresAt: rest.expiresAt }),
    ...(rest.lastUsedAt === null ? {} : { lastUsedAt: rest.lastUsedAt }),
    ...(rest.revokedAt === null ? {} : { revokedAt: rest.revokedAt }),
  };
}

/**
 * A token is as good as its user: a manager makes them for himself and those below him, the tenant's admin for everybody.
 * @throws AppError NOT_FOUND for a user who is absent, disabled or of another centre; FORBIDDEN for one not below
 */
async function requireAuthorityOver(tx: Transaction, principal: Principal, id: string): Promise<void> {
  const [user] = await tx
    .select({ role: users.role, centre: users.centre })
    .from(users)
    .where(and(eq(users.tenant, principal.tenant), eq(users.id, id), eq(users.disabled, false)));
  if (!user || (principal.centre !== undefined && user.centre !== principal.centre)) {
    throw new AppError('NOT_FOUND', `user ${id}`);
  }
  const rank = (role: Role) => ROLES.indexOf(role);
  const isTenantAdmin = principal.role === 'admin' && principal.centre === undefined;
  if (id === principal.user || isTenantAdmin || rank(user.role) < rank(principal.role)) return;
  throw new AppError('FORBIDDEN', `a ${principal.role} has no say over the tokens of a ${user.role}`);
}

async function refuseTooMany(tx: Transaction, tenant: string, user: string, now: number): Promise<void> {
  const isLive = and(isNull(tokens.revokedAt), or(isNull(tokens.expiresAt), gt(tokens.expiresAt, now)));
  const [live] = await tx
    .select({ n: count(tokens.id) })
    .from(tokens)
    .where(and(eq(tokens.tenant, tenant), eq(tokens.user, user), isLive));
  if (live && live.n >= MAX_LIVE_TOKENS_PER_USER) {
    throw new AppError('CONFLICT', `user ${user} has ${live.n} live tokens; revoke some first`);
  }
}
