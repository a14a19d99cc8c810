/** What analytics found: alert episodes and the newest predictions. */
import { and, desc, eq, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import { speechQuery } from '../../contract/http/explanation.ts';
import { type Alert, alert, devicePrediction, page, pageQuery } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { deviceId } from '../../contract/kernel/ids.ts';
import type { Transaction } from '../db/database.ts';
import { alerts, predictions, ticketAlerts } from '../db/schema.ts';
import { explainListed, explainOne } from '../explain/explain-alerts.ts';
import { speechOf } from '../explain/speech.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const alertQuery = pageQuery
  .extend({ device: deviceId.optional(), state: z.enum(['open', 'cleared']).optional() })
  // Words cost more than the rows they explain: a list has them when they are asked for.
  .extend({ ...speechQuery.shape, explain: z.enum(['true', 'false']).default('false') })
  .strict();
const predictionQuery = pageQuery.extend({ device: deviceId.optional() }).strict();
const byId = z.object({ id: z.string().min(1).max(128) });

export function registerAlerts(app: App, { database }: RouteContext): void {
  app.get(
    '/api/v1/alerts',
    { schema: { tags: ['alerts'], querystring: alertQuery, response: answers({ 200: page(alert) }) } },
    async (request, reply) => {
      const principal = principalOf(request);
      const { limit, cursor, device, state } = request.query;
      const conditions: SQL[] = [eq(alerts.tenant, principal.tenant)];
      if (device !== undefined) conditions.push(eq(alerts.device, device));
      if (state !== undefined) conditions.push(eq(alerts.state, state));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${alerts.raisedAt}, ${alerts.id}) < (${after[0]}, ${after[1]})`);
      const rows = await database.withTenant(principal, (tx) => selectAlerts(tx, and(...conditions), limit + 1));
      const explained = request.query.explain === 'true';
      return pageOf(
        explained ? await explainListed(rows, speechOf(request, reply, request.query)) : rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.raisedAt, row.id),
      );
    },
  );

  app.get(
    '/api/v1/alerts/:id',
    {
      schema: { tags: ['alerts'], params: byId, querystring: speechQuery.strict(), response: answers({ 200: alert }) },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const condition = and(eq(alerts.tenant, principal.tenant), eq(alerts.id, request.params.id));
      const speech = speechOf(request, reply, request.query);
      return database.withTenant(principal, async (tx) => {
        const [found] = await selectAlerts(tx, condition, 1);
        if (!found) throw new AppError('NOT_FOUND', `alert ${request.params.id}`);
        return { ...found, explanation: await explainOne(tx, principal.tenant, found, speech) };
      });
    },
  );

  app.get(
    '/api/v1/predictions',
    { schema: { tags: ['alerts'], querystring: predictionQuery, response: answers({ 200: page(devicePrediction) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, device } = request.query;
      const conditions: SQL[] = [eq(predictions.tenant, principal.tenant)];
      if (device !== undefined) conditions.push(eq(predictions.device, device));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`${predictions.device} || ' ' || ${predictions.faultKey} > ${after[1]}`);
      const rows = await database.withTenant(principal, (tx) =>
        tx
          .select()
          .from(predictions)
          .where(and(...conditions))
          .orderBy(sql`${predictions.device} || ' ' || ${predictions.faultKey}`)
          .limit(limit + 1),
      );
      return pageOf(
        rows,
        limit,
        (row) => ({ ...row.prediction, device: row.device, model: row.model, at: row.at }),
        (row) => encodeCursor(0, `${row.device} ${row.faultKey}`),
      );
    },
  );
}

async function selectAlerts(tx: Transaction, condition: SQL | undefined, limit: number): Promise<Alert[]> {
  const rows = await tx
    .select({ alert: alerts, ticketKey: ticketAlerts.ticketKey })
    .from(alerts)
    .leftJoin(ticketAlerts, and(eq(ticketAlerts.tenant, alerts.tenant), eq(ticketAlerts.alertId, alerts.id)))
    .where(condition)
    .orderBy(desc(alerts.raisedAt), desc(alerts.id))
    .limit(limit);
  return rows.map(({ alert: { tenant: _, clearedAt, ...row }, ticketKey }) => ({
    ...row,
    ...(clearedAt === null ? {} : { clearedAt }),
    ...(ticketKey === null ? {} : { ticketKey }),
  }));
}
