/** Integrations: programs of the tenant that read along over MQTT. Add, list, block, and new passwords. */
import { and, eq, gt } from 'drizzle-orm';
import { z } from 'zod';
import {
  type Integration,
  integration,
  integrationCreate,
  integrationCreated,
  page,
  pageQuery,
} from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type IntegrationRef, integrationId, userNameOf } from '../../contract/kernel/ids.ts';
import { type Principal, requireWholeTenant } from '../accounts/principal.ts';
import { hashDeviceSecret, newSecret } from '../accounts/secrets.ts';
import type { Transaction } from '../db/database.ts';
import { integrations } from '../db/schema.ts';
import { isIntegration } from '../integrations/directory.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const byId = z.object({ id: integrationId });

export function registerIntegrations(app: App, context: RouteContext): void {
  const { database, clock } = context;

  /** Changes one integration and ends what it has open. @throws AppError NOT_FOUND */
  async function change(
    principal: Principal,
    id: string,
    set: Partial<typeof integrations.$inferInsert>,
  ): Promise<Integration> {
    const ref = { tenant: principal.tenant, integration: id };
    const changed = await database.withTenant(principal, async (tx) => {
      await tx.update(integrations).set(set).where(isIntegration(ref));
      return readOne(tx, ref);
    });
    context.cutOffIntegration(ref);
    return changed;
  }

  app.get(
    '/api/v1/integrations',
    {
      schema: {
        tags: ['integrations'],
        querystring: pageQuery.strict(),
        response: answers({ 200: page(integration) }),
      },
    },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageTokens');
      const { limit, cursor } = request.query;
      const after = decodeCursor(cursor)?.[1];
      const condition = and(
        eq(integrations.tenant, principal.tenant),
        after === undefined ? undefined : gt(integrations.id, after),
      );
      const rows = await database.withTenant(principal, (tx) => select(tx, condition, limit + 1));
      return pageOf(rows, limit, toAnswer, (row) => encodeCursor(0, row.id));
    },
  );

  app.post(
    '/api/v1/integrations',
    {
      schema: {
        tags: ['integrations'],
        description: 'A program that reads along over MQTT. Its password is shown once.',
        body: integrationCreate,
        response: answers({ 201: integrationCreated }, 409),
      },
    },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'manageTokens');
      const ref = { tenant: principal.tenant, integration: request.body.id };
      const secret = newSecret();
      const made = await database.withTenant(principal, async (tx) => {
        const added = await tx
          .insert(integrations)
          .values({
            tenant: ref.tenant,
            id: ref.integration,
            secretHash: hashDeviceSecret(secret, context.hmacKeys),
            secretChangedAt: clock.now(),
            createdAt: clock.now(),
          })
          .onConflictDoNothing()
          .returning({ id: integrations.id });
        if (added.length === 0) throw new AppError('CONFLICT', `integration ${ref.integration} exists already`);
        return readOne(tx, ref);
      });
      return reply.code(201).send({ ...made, mqtt: { username: userNameOf(ref), password: secret } });
    },
  );

  for (const [act, status] of [
    ['block', 'blocked'],
    ['unblock', 'active'],
  ] as const) {
    app.post(
      `/api/v1/integrations/:id/${act}`,
      { schema: { tags: ['integrations'], params: byId, response: answers({ 200: integration }) } },
      (request) => change(requireWholeTenant(principalOf(request), 'manageTokens'), request.params.id, { status }),
    );
  }

  app.post(
    '/api/v1/integrations/:id/rotate',
    {
      schema: {
        tags: ['integrations'],
        description: 'A new password, shown once. The old one is over at once, and its connections are closed.',
        params: byId,
        response: answers({ 201: integrationCreated }),
      },
    },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'manageTokens');
      const { id } = request.params;
      const secret = newSecret();
      const secretHash = hashDeviceSecret(secret, context.hmacKeys);
      const changed = await change(principal, id, { secretHash, secretChangedAt: clock.now() });
      const username = userNameOf({ tenant: principal.tenant, integration: id });
      return reply.code(201).send({ ...changed, mqtt: { username, password: secret } });
    },
  );
}

function select(tx: Transaction, condition: ReturnType<typeof and>, limit: number) {
  const { id, status, createdAt, lastLoginAt } = integrations;
  return tx
    .select({ id, status, createdAt, lastLoginAt })
    .from(integrations)
    .where(condition)
    .orderBy(integrations.id)
    .limit(limit);
}

async function readOne(tx: Transaction, ref: IntegrationRef): Promise<Integration> {
  const [row] = await select(tx, isIntegration(ref), 1);
  if (!row) throw new AppError('NOT_FOUND', `integration ${ref.integration}`);
  return toAnswer(row);
}

function toAnswer({ lastLoginAt, ...rest }: Awaited<ReturnType<typeof select>>[number]): Integration {
  return lastLoginAt === null ? rest : { ...rest, lastLoginAt };
}
