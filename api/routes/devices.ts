/** Devices: list, create, read, block. */
import { and, eq } from 'drizzle-orm';
import { z } from 'zod';
import {
  type Device,
  type DeviceCreated,
  device,
  deviceCreate,
  deviceCreated,
  page,
  pageQuery,
} from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { clientIdOf, deviceId } from '../../contract/kernel/ids.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import { hashDeviceSecret, newSecret } from '../accounts/secrets.ts';
import { sqlState } from '../db/database.ts';
import { centres, devices, tenants } from '../db/schema.ts';
import { requireDevice, selectDevices } from '../devices/device-view.ts';
import { principalOf } from '../plugins/authentication.ts';
import { invalidField } from '../plugins/problems.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const byId = z.object({ id: deviceId });
const UNIQUE_VIOLATION = '23505';

export function registerDevices(app: App, context: RouteContext): void {
  const { database } = context;

  async function readOne(principal: Principal, id: string): Promise<Device> {
    const [found] = await database.withTenant(principal, (tx) =>
      selectDevices(tx, principal, context.connected(), { limit: 1, only: id }),
    );
    if (!found) throw new AppError('NOT_FOUND', `device ${id}`);
    return found;
  }

  app.get(
    '/api/v1/devices',
    { schema: { tags: ['devices'], querystring: pageQuery.strict(), response: answers({ 200: page(device) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor } = request.query;
      const afterId = decodeCursor(cursor)?.[1];
      const rows = await database.withTenant(principal, (tx) =>
        selectDevices(tx, principal, context.connected(), { limit: limit + 1, afterId }),
      );
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(0, row.id),
      );
    },
  );

  app.post(
    '/api/v1/devices',
    { schema: { tags: ['devices'], body: deviceCreate, response: answers({ 201: deviceCreated }, 409) } },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'manageDevices');
      // A user of one centre sees devices through tickets; one without a ticket would vanish from him.
      if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'users of one centre do not add devices');
      const secret = newSecret();
      await create(principal, request.body, secret);
      const clientId = clientIdOf({ tenant: principal.tenant, device: request.body.id });
      const created: DeviceCreated = {
        ...(await readOne(principal, request.body.id)),
        mqtt: { clientId, username: clientId, password: secret },
      };
      return reply.code(201).header('location', `/api/v1/devices/${request.body.id}`).send(created);
    },
  );

  async function create(principal: Principal, body: z.infer<typeof deviceCreate>, secret: string): Promise<void> {
    try {
      await database.withTenant(principal, async (tx) => {
        const known = await tx.select({ id: centres.id }).from(centres).where(eq(centres.tenant, principal.tenant));
        if (body.centre !== undefined && !known.some((centre) => centre.id === body.centre)) {
          throw invalidField('body.centre', `there is no centre ${body.centre}`);
        }
        const [tenant] = await tx
          .select({ centre: tenants.defaultCentre })
          .from(tenants)
          .where(eq(tenants.tenant, principal.tenant));
        await tx.insert(devices).values({
          tenant: principal.tenant,
          id: body.id,
          model: body.model,
          serial: body.serial ?? null,
          name: body.name ?? null,
          centre: body.centre ?? tenant?.centre ?? '',
          secretHash: hashDeviceSecret(secret, context.hmacKey),
          createdAt: context.clock.now(),
        });
      });
    } catch (error) {
      if (sqlState(error) === UNIQUE_VIOLATION) throw new AppError('CONFLICT', `device ${body.id} exists already`);
      throw error;
    }
  }

  app.get(
    '/api/v1/devices/:id',
    { schema: { tags: ['devices'], params: byId, response: answers({ 200: device }) } },
    (request) => readOne(principalOf(request), request.params.id),
  );

  for (const [act, status] of [
    ['block', 'blocked'],
    ['unblock', 'active'],
  ] as const) {
    app.post(
      `/api/v1/devices/:id/${act}`,
      { schema: { tags: ['devices'], params: byId, response: answers({ 200: device }) } },
      async (request) => {
        const principal = principalOf(request);
        requireAct(principal, 'manageDevices');
        const { id } = request.params;
        await database.withTenant(principal, async (tx) => {
          await requireDevice(tx, principal, id);
          await tx
            .update(devices)
            .set({ status })
            .where(and(eq(devices.tenant, principal.tenant), eq(devices.id, id)));
        });
        context.cutOff({ tenant: principal.tenant, device: id });
        return readOne(principal, id);
      },
    );
  }
}
