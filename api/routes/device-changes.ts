/** What may be corrected about a registered device: its name, its batch, and the device above it. */
import { and, sql } from 'drizzle-orm';
import { z } from 'zod';
import { device, deviceChange } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { deviceId } from '../../contract/kernel/ids.ts';
import { requireAct } from '../accounts/principal.ts';
import { devices } from '../db/schema.ts';
import { isDevice } from '../devices/custody.ts';
import { requireDevice, selectDevices } from '../devices/device-view.ts';
import { requireParent } from '../devices/parents.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, type RouteContext } from './context.ts';

const byId = z.object({ id: deviceId });

export function registerDeviceChanges(app: App, context: RouteContext): void {
  app.patch(
    '/api/v1/devices/:id',
    {
      schema: {
        tags: ['devices'],
        description:
          'Name, batch, and `parent`: the hub or vehicle through which it reaches us. `null` removes one. What is absent stays.',
        params: byId,
        body: deviceChange,
        response: answers({ 200: device }, 409),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      requireAct(principal, 'manageDevices');
      if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'users of one centre do not do this');
      const { id } = request.params;
      const { name, parent, batch } = request.body;
      const set = {
        ...(name === undefined ? {} : { name }),
        ...(parent === undefined ? {} : { parent }),
        ...(batch === undefined ? {} : { batch }),
      };
      const [changed] = await context.database.withTenant(principal, async (tx) => {
        await requireDevice(tx, principal, id);
        await requireParent(tx, principal.tenant, id, parent ?? undefined);
        if (Object.keys(set).length > 0) {
          await tx
            .update(devices)
            .set(set)
            .where(and(isDevice({ tenant: principal.tenant, device: id }), sql`${devices.status} <> 'decommissioned'`));
        }
        return selectDevices(tx, principal, context.connected(), { limit: 1, only: id });
      });
      if (!changed) throw new AppError('NOT_FOUND', `device ${id}`);
      return changed;
    },
  );
}
