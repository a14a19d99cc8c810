/** Groups of alarms: candidates for a campaign, their members, and what somebody decides about them. */
import { and, eq, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import { alarmGroup, groupDecide } from '../../contract/http/alarms.ts';
import { page, pageQuery } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type Principal, requireAct, requireWholeTenant } from '../accounts/principal.ts';
import { lockAlarms } from '../alerts/alarm-events.ts';
import { selectGroups } from '../alerts/groups.ts';
import { alarmGroups } from '../db/alarm-schema.ts';
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

const listQuery = pageQuery.extend({ state: z.enum(['open', 'closed']).optional() }).strict();
const byId = z.object({ id: z.uuid() });

export function registerAlertGroups(app: App, context: RouteContext): void {
  const { database, clock } = context;

  async function readOne(principal: Principal, id: string) {
    const [found] = await database.withTenant(principal, (tx) => selectGroups(tx, isGroup(principal.tenant, id), 1));
    if (!found) throw new AppError('NOT_FOUND', `alert group ${id}`);
    return found;
  }

  app.get(
    '/api/v1/alert-groups',
    {
      schema: {
        tags: ['alerts'],
        description:
          'Many units of one model, batch and firmware with the same fault. Members: `/api/v1/alerts?group=`. For users of the whole tenant.',
        querystring: listQuery,
        response: answers({ 200: page(alarmGroup) }),
      },
    },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'read');
      const { limit, cursor, state } = request.query;
      const conditions: SQL[] = [eq(alarmGroups.tenant, principal.tenant)];
      if (state !== undefined) conditions.push(eq(alarmGroups.state, state));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${alarmGroups.openedAt}, ${alarmGroups.id}::text) < (${after[0]}, ${after[1]})`);
      const rows = await database.withTenant(principal, (tx) => selectGroups(tx, and(...conditions), limit + 1));
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.openedAt, row.id),
      );
    },
  );

  app.get(
    '/api/v1/alert-groups/:id',
    { schema: { tags: ['alerts'], params: byId, response: answers({ 200: alarmGroup }) } },
    async (request, reply) => {
      const found = await readOne(requireWholeTenant(principalOf(request), 'read'), request.params.id);
      return reply.header('etag', etagOf(found.version)).send(found);
    },
  );

  app.post(
    '/api/v1/alert-groups/:id/decide',
    {
      schema: {
        tags: ['alerts'],
        description: '`tickets`: each member gets its own. `campaign`: the group is worked on as one.',
        params: byId,
        headers: ifMatch,
        body: groupDecide,
        response: answers({ 200: alarmGroup }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'read');
      requireAct(principal, 'manageDevices');
      const { id } = request.params;
      const version = parseEtag(request.headers['if-match']);
      const { decision, reason } = request.body;
      const now = clock.now();
      await database.withTenant(principal, async (tx) => {
        await lockAlarms(tx, [principal.tenant]);
        const [group] = await tx.select().from(alarmGroups).where(isGroup(principal.tenant, id));
        if (!group) throw new AppError('NOT_FOUND', `alert group ${id}`);
        if (group.version !== version) throw new AppError('VERSION_STALE', `the group is at version ${group.version}`);
        if (group.state === 'closed')
          throw new AppError('CONFLICT', 'the group is closed: none of its alarms is active');
        await tx
          .update(alarmGroups)
          .set({ decision, reason, decidedBy: principal.user, decidedAt: now, settleAt: now, version: version + 1 })
          .where(isGroup(principal.tenant, id));
      });
      context.wakeAlarms();
      const changed = await readOne(principal, id);
      context.hub.groupChanged(principal.tenant, changed);
      return reply.header('etag', etagOf(changed.version)).send(changed);
    },
  );
}

const isGroup = (tenant: string, id: string) => and(eq(alarmGroups.tenant, tenant), eq(alarmGroups.id, id));
