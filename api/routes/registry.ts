/** The registry: which version judges which devices, what else was tried, and who decided what and why. */
import { and, eq, gt, type SQL } from 'drizzle-orm';
import { z } from 'zod';
import {
  type RegistryDetail,
  registryDetail,
  registryEntry,
  registryQuery,
  registryReason,
  registryRecord,
  registryRegister,
  shadowAlert,
} from '../../contract/http/registry.ts';
import { page, pageQuery } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { ORDER_BOOK } from '../../contract/ports/versions.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import { createCheckpointStore } from '../checkpoints.ts';
import type { Transaction } from '../db/database.ts';
import { registryEntries } from '../db/schema.ts';
import { principalOf } from '../plugins/authentication.ts';
import type { RegistryMove } from '../registry/decide.ts';
import { type EntryRow, selectHistory, viewEntries, visibleTo } from '../registry/entries.ts';
import { moveVersion, registerVersion } from '../registry/moves.ts';
import { exposureFrom, recordOf, selectShadowAlerts } from '../registry/record.ts';
import { type App, answers, decodeCursor, encodeCursor, ifMatch, pageOf, type RouteContext } from './context.ts';

const byId = z.object({ id: z.uuid() });
/** Path of each move. */
const MOVES = {
  promote: 'promote',
  'roll-back': 'rollBack',
  retire: 'retire',
  shadow: 'shadow',
} as const satisfies Record<string, RegistryMove>;
const MOVE_TEXT: Readonly<Record<RegistryMove, string>> = {
  promote: 'Makes it the active version; what was active is retired and can be rolled back to.',
  rollBack: 'Of the active version: it is retired, and what was active before it is active again.',
  retire: 'A version that runs beside the active one stops.',
  shadow: 'A retired version runs beside the active one.',
};

export function registerRegistry(app: App, context: RouteContext): void {
  const { database, clock } = context;
  const checkpoints = createCheckpointStore(database, 'analytics');

  app.get(
    '/api/v1/registry',
    { schema: { tags: ['registry'], querystring: registryQuery, response: answers({ 200: page(registryEntry) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, kind, model, state } = request.query;
      const after = decodeCursor(cursor)?.[1];
      const conditions: (SQL | undefined)[] = [visibleTo(principal.tenant)];
      if (kind !== undefined) conditions.push(eq(registryEntries.kind, kind));
      if (model !== undefined) conditions.push(eq(registryEntries.model, model));
      if (state !== undefined) conditions.push(eq(registryEntries.state, state));
      if (after !== undefined) conditions.push(gt(registryEntries.id, z.uuid().catch(NO_ID).parse(after)));
      return database.withTenant(principal, async (tx) => {
        const rows = await tx
          .select()
          .from(registryEntries)
          .where(and(...conditions))
          .orderBy(registryEntries.id)
          .limit(limit + 1);
        const views = await viewEntries(tx, rows);
        return pageOf(
          views,
          limit,
          (view) => view,
          (view) => encodeCursor(0, view.id),
        );
      });
    },
  );

  app.get(
    '/api/v1/registry/:id',
    { schema: { tags: ['registry'], params: byId, response: answers({ 200: registryDetail }) } },
    async (request, reply) => {
      const found = await readOne(principalOf(request), request.params.id);
      return reply.header('etag', etagOf(found)).send(found);
    },
  );

  app.get(
    '/api/v1/registry/:id/record',
    {
      schema: {
        tags: ['registry'],
        description:
          'How much the version has judged, what it raised, and how far it agreed with the active one beside it.',
        params: byId,
        response: answers({ 200: registryRecord }),
      },
    },
    async (request) => {
      const principal = ofWholeTenant(principalOf(request));
      const exposure = exposureFrom(await checkpoints.load(ORDER_BOOK));
      return database.withTenant(principal, async (tx) =>
        recordOf(tx, principal.tenant, await requireEntry(tx, principal, request.params.id), exposure),
      );
    },
  );

  app.get(
    '/api/v1/registry/:id/shadow-alerts',
    {
      schema: {
        tags: ['registry'],
        description: 'What the version would have raised while it ran beside the active one. These are no alerts.',
        params: byId,
        querystring: pageQuery.strict(),
        response: answers({ 200: page(shadowAlert) }),
      },
    },
    async (request) => {
      const principal = ofWholeTenant(principalOf(request));
      const { limit, cursor } = request.query;
      const rows = await database.withTenant(principal, async (tx) => {
        const entry = await requireEntry(tx, principal, request.params.id);
        return selectShadowAlerts(tx, principal.tenant, entry, limit + 1, decodeCursor(cursor));
      });
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.raisedAt, row.episode),
      );
    },
  );

  app.post(
    '/api/v1/registry',
    {
      schema: {
        tags: ['registry'],
        description:
          'Registers a version of an ensemble. It runs beside the active one until it is promoted or retired.',
        body: registryRegister,
        response: answers({ 201: registryDetail }, 409, 422),
      },
    },
    async (request, reply) => {
      const principal = requireManager(principalOf(request));
      const id = await database.withTenant(principal, (tx) =>
        registerVersion(tx, principal, request.body, clock.now()),
      );
      return reply.code(201).send(await announce(principal, id));
    },
  );

  for (const [path, move] of Object.entries(MOVES)) {
    app.post(
      `/api/v1/registry/:id/${path}`,
      {
        schema: {
          tags: ['registry'],
          description: MOVE_TEXT[move],
          params: byId,
          headers: ifMatch,
          body: registryReason,
          response: answers({ 200: registryDetail }, 409, 412, 428),
        },
      },
      async (request, reply) => {
        const principal = requireManager(principalOf(request));
        const revision = parseEtag(request.headers['if-match']);
        const decision = { actor: principal.user, at: clock.now(), reason: request.body.reason };
        const id = await database.withTenant(principal, (tx) =>
          moveVersion(tx, principal, { id: request.params.id, move, revision }, decision),
        );
        const changed = await announce(principal, id);
        return reply.header('etag', etagOf(changed)).send(changed);
      },
    );
  }

  async function announce(principal: Principal, id: string): Promise<RegistryDetail> {
    context.wakeOrders();
    const changed = await readOne(principal, id);
    const { kind, model, name, version, state } = changed;
    context.hub.registryChanged(principal.tenant, { id, kind, model, name, version, state });
    return changed;
  }

  async function readOne(principal: Principal, id: string): Promise<RegistryDetail> {
    return database.withTenant(principal, async (tx) => {
      const row = await requireEntry(tx, principal, id);
      const [view] = await viewEntries(tx, [row]);
      const history = await selectHistory(tx, [row]);
      return {
        ...(view as RegistryDetail),
        history: history.map(({ at, actor, act, from, to, reason, orderId }) => ({
          ...{ at, actor, act, to, reason },
          ...(from === null ? {} : { from }),
          ...(orderId === null ? {} : { order: orderId }),
        })),
      };
    });
  }
}

const NO_ID = 'ffffffff-ffff-4fff-bfff-ffffffffffff';

async function requireEntry(tx: Transaction, principal: Principal, id: string): Promise<EntryRow> {
  const [row] = await tx
    .select()
    .from(registryEntries)
    .where(and(visibleTo(principal.tenant), eq(registryEntries.id, id)));
  if (!row) throw new AppError('NOT_FOUND', `version ${id}`);
  return row;
}

function requireManager(principal: Principal): Principal {
  requireAct(principal, 'manageDetectors');
  return ofWholeTenant(principal);
}

/** A version judges the devices of all centres. */
function ofWholeTenant(principal: Principal): Principal {
  if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'this is for users of the whole tenant');
  return principal;
}

const etagOf = ({ revision }: { revision: number }): string => `"${revision}"`;

function parseEtag(header: string | undefined): number {
  if (header === undefined) throw new AppError('VERSION_REQUIRED');
  const revision = /^"(\d{1,9})"$/.exec(header)?.[1];
  // Another spelling cannot be what we sent, so it cannot be current.
  if (revision === undefined) throw new AppError('VERSION_STALE', 'If-Match is not an ETag of this version');
  return Number(revision);
}
