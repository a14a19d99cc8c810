/** What speaks of an attack on the device door, for who answers for the whole tenant. */
import { and, desc, eq, gte, sql } from 'drizzle-orm';
import { z } from 'zod';
import { page, pageQuery, type SecurityEventEntry, securityEvent } from '../../contract/http/resources.ts';
import { requireWholeTenant } from '../accounts/principal.ts';
import { securityEvents } from '../db/schema.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const query = pageQuery
  .extend({
    device: z.string().min(1).max(64).optional(),
    kind: z.string().min(1).max(64).optional(),
    /** ISO 8601, inclusive; against the last of equal events. */
    since: z.iso.datetime({ offset: true }).optional(),
  })
  .strict();

export function registerSecurityEvents(app: App, { database }: RouteContext): void {
  app.get(
    '/api/v1/security-events',
    {
      schema: {
        tags: ['security'],
        description:
          'What speaks of an attack on the device door, newest first; equal events of a minute are one with a count.',
        querystring: query,
        response: answers({ 200: page(securityEvent) }),
      },
    },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const { limit, cursor, device, kind, since } = request.query;
      const { tenant, id, minute, lastAt } = securityEvents;
      const after = decodeCursor(cursor);
      const condition = and(
        eq(tenant, principal.tenant),
        device === undefined ? undefined : eq(securityEvents.device, device),
        kind === undefined ? undefined : eq(securityEvents.kind, kind),
        since === undefined ? undefined : gte(lastAt, Date.parse(since)),
        after && sql`(${minute}, ${id}) < (${after[0]}, ${after[1]})`,
      );
      const rows = await database.withTenant(principal, (tx) =>
        tx
          .select()
          .from(securityEvents)
          .where(condition)
          .orderBy(desc(minute), desc(id))
          .limit(limit + 1),
      );
      return pageOf(rows, limit, entryOf, (row) => encodeCursor(row.minute, row.id));
    },
  );
}

function entryOf(row: typeof securityEvents.$inferSelect): SecurityEventEntry {
  const { id, kind, firstAt, lastAt, times, detail, device, remoteAddress, certificateSerial } = row;
  return {
    id,
    kind,
    firstAt,
    lastAt,
    times,
    detail,
    ...(device === null ? {} : { device }),
    ...(remoteAddress === null ? {} : { remoteAddress }),
    ...(certificateSerial === null ? {} : { certificateSerial }),
  };
}
