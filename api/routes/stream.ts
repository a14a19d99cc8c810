/** Live events as server-sent events; what they are: `streamEvent` in contract/http/resources.ts. */
import { z } from 'zod';
import { streamEvent } from '../../contract/http/resources.ts';
import { deviceId } from '../../contract/kernel/ids.ts';
import type { Principal } from '../accounts/principal.ts';
import { requireDevice, selectDevices } from '../devices/device-view.ts';
import { authenticate, principalOf } from '../plugins/authentication.ts';
import { type App, answers, type RouteContext } from './context.ts';

const query = z.strictObject({ device: deviceId.optional() });

export function registerStream(app: App, { database, accounts, hub }: RouteContext): void {
  /** A device may be transferred while somebody watches it. */
  async function isVisible(principal: Principal, device: string): Promise<boolean> {
    const found = await database.withTenant(principal, (tx) =>
      selectDevices(tx, principal, new Map(), { limit: 1, only: device }),
    );
    return found.length > 0;
  }

  app.get(
    '/api/v1/stream',
    {
      schema: {
        tags: ['live'],
        description: 'text/event-stream. With `device` only what concerns it, and its samples as they arrive.',
        querystring: query,
        headers: z.object({ 'last-event-id': z.string().max(64).optional() }),
        response: answers({ 200: streamEvent.describe('data of one event') }),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { device } = request.query;
      if (device !== undefined) await database.withTenant(principal, (tx) => requireDevice(tx, principal, device));
      const stream = hub.open({
        tenant: principal.tenant,
        centre: principal.centre,
        device,
        lastEventId: request.headers['last-event-id'],
        stillValid: async () => {
          const now = await authenticate(request, accounts);
          return now !== undefined && (device === undefined || (await isVisible(now, device)));
        },
      });
      return reply
        .header('content-type', 'text/event-stream; charset=utf-8')
        .header('cache-control', 'no-cache, no-transform')
        .header('x-accel-buffering', 'no')
        .send(stream as never);
    },
  );
}
