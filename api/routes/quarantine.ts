/** What was refused at the device door, readable. */
import { and, desc, eq, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import { page, pageQuery, quarantineEntry } from '../../contract/http/resources.ts';
import { quarantine } from '../db/schema.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const query = pageQuery.extend({ device: z.string().min(1).max(64).optional() }).strict();

export function registerQuarantine(app: App, { database }: RouteContext): void {
  app.get(
    '/api/v1/quarantine',
    { schema: { tags: ['telemetry'], querystring: query, response: answers({ 200: page(quarantineEntry) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, device } = request.query;
      const conditions: SQL[] = [eq(quarantine.tenant, principal.tenant)];
      if (device !== undefined) conditions.push(eq(quarantine.device, device));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${quarantine.receivedAt}, ${quarantine.id}) < (${after[0]}, ${after[1]})`);
      const rows = await database.withTenant(principal, (tx) =>
        tx
          .select()
          .from(quarantine)
          .where(and(...conditions))
          .orderBy(desc(quarantine.receivedAt), desc(quarantine.id))
          .limit(limit + 1),
      );
      return pageOf(
        rows,
        limit,
        ({ tenant: _, boot, seq, ...row }) => ({
          ...row,
          ...(boot === null ? {} : { boot }),
          ...(seq === null ? {} : { seq }),
        }),
        (row) => encodeCursor(row.receivedAt, row.id),
      );
    },
  );
}
