/**
 * An open alert is closed as normal: analytics learns what it showed as the new usual. The desk only passes the order on;
 * the alert ends when analytics says so, at the order's place among the samples of the device.
 */
import { randomUUID } from 'node:crypto';
import { and, eq } from 'drizzle-orm';
import { z } from 'zod';
import { acceptAsNormal, ordered } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { requireAct } from '../accounts/principal.ts';
import { alerts } from '../db/schema.ts';
import { sendOrder } from '../orders/orders.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, type RouteContext } from './context.ts';

const byId = z.object({ id: z.string().min(1).max(128) });

export function registerAcceptAsNormal(app: App, { database, clock, wakeOrders }: RouteContext): void {
  app.post(
    '/api/v1/alerts/:id/accept-as-normal',
    {
      schema: {
        tags: ['alerts'],
        description:
          'Closes an open alert as normal: what it showed is learned, and raises no alert again unless it gets worse. The answer says that the order is kept; the alert is cleared, with the reason `accepted`, once analytics has taken it.',
        params: byId,
        body: acceptAsNormal,
        response: answers({ 202: ordered }, 409),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'judgeAlerts');
      const order = randomUUID();
      await database.withTenant(principal, async (tx) => {
        const [alert] = await tx
          .select({ device: alerts.device, model: alerts.model, state: alerts.state })
          .from(alerts)
          .where(and(eq(alerts.tenant, principal.tenant), eq(alerts.id, request.params.id)));
        if (!alert) throw new AppError('NOT_FOUND', `alert ${request.params.id}`);
        if (alert.state !== 'open') throw new AppError('CONFLICT', `alert ${request.params.id} is over already`);
        await sendOrder(tx, {
          kind: 'acceptAsNormal',
          id: order,
          tenant: principal.tenant,
          device: alert.device,
          model: alert.model,
          at: clock.now(),
          actor: principal.user,
          episode: request.params.id,
          why: request.body.why,
        });
      });
      wakeOrders();
      return reply.code(202).send({ order });
    },
  );
}
