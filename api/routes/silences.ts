/** What keeps alarms quiet for a time: shelves (made through an alert), maintenance windows, devices out of service. */
import { and, eq, isNull, type SQL, sql } from 'drizzle-orm';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import {
  maintenanceCreate,
  outOfServiceCreate,
  type SilenceKind,
  silence,
  silenceEnd,
  silenceKind,
  silenceWithReports,
} from '../../contract/http/alarms.ts';
import { page, pageQuery } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { deviceId } from '../../contract/kernel/ids.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import { endSilence, policyOfTenant } from '../alerts/alarm-acts.ts';
import { lockAlarms } from '../alerts/alarm-events.ts';
import { isRunningNow } from '../alerts/alert-view.ts';
import { planMaintenance, planOutOfService, type SilencePlan } from '../alerts/plan-silence.ts';
import { selectReports, selectSilences, silenceOf } from '../alerts/silence-view.ts';
import { silences } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { requireCentre, requireDevice } from '../devices/device-view.ts';
import { principalOf } from '../plugins/authentication.ts';
import {
  type App,
  answers,
  decodeCursor,
  encodeCursor,
  etagOf,
  ifMatch,
  pageOf,
  parseEtag,
  type RouteContext,
} from './context.ts';

const listQuery = pageQuery
  .extend({
    kind: silenceKind.optional(),
    /** `planned`: not begun yet, or between two times of a weekly one. */
    state: z.enum(['running', 'planned', 'ended']).optional(),
    device: deviceId.optional(),
  })
  .strict();
const byId = z.object({ id: z.uuid() });
/** Of one tenant at a time: every finding is held against each of them. */
const MAX_PLANNED = 1_000;

export function registerSilences(app: App, context: RouteContext): void {
  const { database, clock } = context;

  app.get(
    '/api/v1/silences',
    { schema: { tags: ['alerts'], querystring: listQuery, response: answers({ 200: page(silence) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, kind, state, device } = request.query;
      const now = clock.now();
      const conditions: (SQL | undefined)[] = [eq(silences.tenant, principal.tenant), inState(state, now)];
      if (kind !== undefined) conditions.push(eq(silences.kind, kind));
      if (device !== undefined) conditions.push(eq(silences.device, device));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${silences.createdAt}, ${silences.id}::text) < (${after[0]}, ${after[1]})`);
      const rows = await database.withTenant(principal, (tx) => selectSilences(tx, and(...conditions), limit + 1));
      return pageOf(
        rows,
        limit,
        (row) => silenceOf(row, now),
        (row) => encodeCursor(row.createdAt, row.id),
      );
    },
  );

  async function readOne(principal: Principal, id: string) {
    const found = await database.withTenant(principal, async (tx) => ({
      row: (await selectSilences(tx, isSilence(principal.tenant, id), 1))[0],
      reports: await selectReports(tx, principal.tenant, id),
    }));
    if (!found.row) throw new AppError('NOT_FOUND', `silence ${id}`);
    return { ...silenceOf(found.row, clock.now()), reports: found.reports };
  }

  app.get(
    '/api/v1/silences/:id',
    {
      schema: {
        tags: ['alerts'],
        description: 'With what it kept quiet each time it ended.',
        params: byId,
        response: answers({ 200: silenceWithReports }),
      },
    },
    async (request, reply) => {
      const found = await readOne(principalOf(request), request.params.id);
      return reply.header('etag', etagOf(found.version)).send(found);
    },
  );

  /** Answers the id; the same as before when it has been sent before. */
  async function add(principal: Principal, kind: SilenceKind, id: string, plan: SilencePlan): Promise<void> {
    await database.withTenant(principal, async (tx) => {
      await lockAlarms(tx, [principal.tenant]);
      await requireScope(tx, principal, plan);
      await refuseTooMany(tx, principal.tenant);
      const added = await tx
        .insert(silences)
        .values({ ...plan, tenant: principal.tenant, id, kind, createdBy: principal.user, createdAt: clock.now() })
        .onConflictDoNothing()
        .returning({ id: silences.id });
      if (added.length > 0) return;
      const [known] = await tx.select().from(silences).where(isSilence(principal.tenant, id));
      if (known?.kind !== kind || known.createdBy !== principal.user || known.reason !== plan.reason) {
        throw new AppError('CONFLICT', `there is another silence ${id}`);
      }
    });
    const { reports: _, ...made } = await readOne(principal, id);
    context.hub.silenceChanged(principal.tenant, made);
  }

  app.post(
    '/api/v1/maintenance-windows',
    {
      schema: {
        tags: ['alerts'],
        description:
          'Silences notifications and the opening of tickets for a device, a model, a centre or all; everything is still recorded. Ends by itself.',
        body: maintenanceCreate,
        response: answers({ 201: silence }, 409, 422),
      },
    },
    async (request, reply) => {
      const principal = requirePlanner(principalOf(request), request.body.centre);
      const id = request.body.id ?? uuidv7();
      const policy = await database.withTenant(principal, (tx) => policyOfTenant(tx, principal.tenant));
      await add(principal, 'maintenance', id, planMaintenance(request.body, policy.alarms, clock.now()));
      const { reports: _, ...made } = await readOne(principal, id);
      return reply
        .code(201)
        .header('location', `/api/v1/silences/${id}`)
        .header('etag', etagOf(made.version))
        .send(made);
    },
  );

  app.post(
    '/api/v1/out-of-service',
    {
      schema: {
        tags: ['alerts'],
        description: 'Takes a device or a model out of service, until a time or until somebody puts it back.',
        body: outOfServiceCreate,
        response: answers({ 201: silence }, 409, 422),
      },
    },
    async (request, reply) => {
      const principal = requirePlanner(principalOf(request), undefined);
      const id = request.body.id ?? uuidv7();
      await add(principal, 'outOfService', id, planOutOfService(request.body, clock.now()));
      const { reports: _, ...made } = await readOne(principal, id);
      return reply
        .code(201)
        .header('location', `/api/v1/silences/${id}`)
        .header('etag', etagOf(made.version))
        .send(made);
    },
  );

  app.post(
    '/api/v1/silences/:id/end',
    {
      schema: {
        tags: ['alerts'],
        description: 'Ends it now, with all times to come. What is still active is acted upon.',
        params: byId,
        headers: ifMatch,
        body: silenceEnd,
        response: answers({ 200: silence }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { id } = request.params;
      const version = parseEtag(request.headers['if-match']);
      await database.withTenant(principal, async (tx) => {
        await lockAlarms(tx, [principal.tenant]);
        const [row] = await tx.select().from(silences).where(isSilence(principal.tenant, id));
        if (!row) throw new AppError('NOT_FOUND', `silence ${id}`);
        if (row.kind === 'shelve') requireAct(principal, 'workOnTickets');
        else requirePlanner(principal, row.centre ?? undefined);
        if (row.version !== version) throw new AppError('VERSION_STALE', `the silence is at version ${row.version}`);
        if (row.endedAt !== null) throw new AppError('CONFLICT', 'it has ended already');
        await endSilence(tx, principal, id, request.body.reason, clock.now());
      });
      context.wakeAlarms();
      const { reports: _, ...ended } = await readOne(principal, id);
      return reply.header('etag', etagOf(ended.version)).send(ended);
    },
  );
}

const isSilence = (tenant: string, id: string) => and(eq(silences.tenant, tenant), eq(silences.id, id));

function inState(state: 'running' | 'planned' | 'ended' | undefined, now: number): SQL | undefined {
  switch (state) {
    case 'running':
      return isRunningNow(now);
    case 'planned':
      return and(isNull(silences.endedAt), sql`${silences.from} > ${now}`);
    case 'ended':
      return sql`(${silences.endedAt} IS NOT NULL OR ${silences.until} <= ${now})`;
    default:
      return undefined;
  }
}

/** Managers of the whole tenant, and those of a centre for their own. */
function requirePlanner(principal: Principal, centre: string | undefined): Principal {
  requireAct(principal, 'manageDevices');
  if (principal.centre !== undefined && principal.centre !== centre) {
    throw new AppError('FORBIDDEN', 'users of one centre plan for that centre only');
  }
  return principal;
}

async function requireScope(tx: Transaction, principal: Principal, plan: SilencePlan): Promise<void> {
  if (plan.device !== null) await requireDevice(tx, principal, plan.device);
  if (plan.centre !== null) await requireCentre(tx, principal, plan.centre);
}

async function refuseTooMany(tx: Transaction, tenant: string): Promise<void> {
  const { rows } = await tx.execute<{ n: number }>(sql`SELECT count(*)::int AS n FROM silences
    WHERE tenant_id = ${tenant} AND ended_at IS NULL AND kind <> 'shelve'`);
  if (Number(rows[0]?.n ?? 0) >= MAX_PLANNED) {
    throw new AppError('REQUEST_NOT_ALLOWED', `at most ${MAX_PLANNED} windows may be planned at a time`);
  }
}
