/** Devices: list, create, read, block; new secrets, new owners, and the end. */
import { randomUUID } from 'node:crypto';
import { and, eq, sql } from 'drizzle-orm';
import { z } from 'zod';
import {
  type CustodyEvent,
  type Device,
  type DeviceCreated,
  device,
  deviceCreate,
  deviceCreated,
  deviceDecommission,
  deviceTransfer,
  page,
  pageQuery,
  secretRotation,
} from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef, deviceId } from '../../contract/kernel/ids.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import { type Principal, requireAct, requireWholeTenant } from '../accounts/principal.ts';
import { hashDeviceSecret, newSecret } from '../accounts/secrets.ts';
import { sqlState, type Transaction } from '../db/database.ts';
import { devices, tenants, tickets } from '../db/schema.ts';
import { refuseKnownSerial } from '../devices/claim.ts';
import { appendCustody, type CustodyNote, isDevice } from '../devices/custody.ts';
import { requireCentre, requireDevice, selectDevices } from '../devices/device-view.ts';
import { requireParent } from '../devices/parents.ts';
import { sendOrder } from '../orders/orders.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

const byId = z.object({ id: deviceId });
/** A claimable device has no secret yet. */
const createdOrClaimable = deviceCreated.partial({ mqtt: true });
const UNIQUE_VIOLATION = '23505';

export function registerDevices(app: App, context: RouteContext): void {
  const { database } = context;

  async function readOne(principal: Principal, id: string): Promise<Device> {
    const [found] = await database.withTenant(principal, (tx) =>
      selectDevices(tx, principal, context.connected(), { limit: 1, only: id }),
    );
    if (!found) throw new AppError('NOT_FOUND', `device ${id}`);
    const dataQuality = context.dataQuality({ tenant: principal.tenant, device: id });
    return dataQuality ? { ...found, dataQuality } : found;
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
    { schema: { tags: ['devices'], body: deviceCreate, response: answers({ 201: createdOrClaimable }, 409) } },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'manageDevices');
      // A user of one centre sees devices through tickets; one without a ticket would vanish from him.
      if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'users of one centre do not add devices');
      const secret = newSecret();
      await create(principal, request.body, secret);
      const ref = { tenant: principal.tenant, device: request.body.id };
      const created = {
        ...(await readOne(principal, request.body.id)),
        ...(request.body.claimable ? {} : { mqtt: credentialsOf(ref, secret) }),
      };
      return reply.code(201).header('location', `/api/v1/devices/${request.body.id}`).send(created);
    },
  );

  async function create(principal: Principal, body: z.infer<typeof deviceCreate>, secret: string): Promise<void> {
    const { tenant } = principal;
    const now = context.clock.now();
    try {
      await database.withTenant(principal, async (tx) => {
        await requireCentre(tx, principal, body.centre);
        await refuseKnownSerial(tx, tenant, body.serial);
        await requireParent(tx, tenant, body.id, body.parent);
        const [owner] = await tx
          .select({ centre: tenants.defaultCentre })
          .from(tenants)
          .where(eq(tenants.tenant, tenant));
        const centre = body.centre ?? owner?.centre ?? '';
        await tx.insert(devices).values({
          tenant,
          id: body.id,
          model: body.model,
          serial: body.serial ?? null,
          name: body.name ?? null,
          parent: body.parent ?? null,
          batch: body.batch ?? null,
          centre,
          // Of a claimable device nobody gets to know this secret.
          secretHash: hashDeviceSecret(secret, context.hmacKeys),
          claim: body.claimable ? 'open' : null,
          createdAt: now,
        });
        const note = { tenant, device: body.id, at: now, actor: principal.user };
        await appendCustody(tx, { ...note, event: 'registered', to: centre });
      });
    } catch (error) {
      if (sqlState(error) === UNIQUE_VIOLATION) throw new AppError('CONFLICT', `device ${body.id} exists already`);
      throw error;
    }
  }

  /**
   * Changes a device under its lock and notes it in the custody log.
   * @throws AppError CONFLICT for one that is decommissioned
   */
  async function change(
    principal: Principal,
    id: string,
    event: CustodyEvent,
    decide: (device: LockedDevice, tx: Transaction) => Promise<DeviceChange> | DeviceChange,
  ): Promise<void> {
    const ref = { tenant: principal.tenant, device: id };
    await database.withTenant(principal, async (tx) => {
      await requireDevice(tx, principal, id);
      const locked = await lockDevice(tx, ref);
      const { set, note } = await decide(locked, tx);
      await tx.update(devices).set(set).where(isDevice(ref));
      await appendCustody(tx, { ...ref, at: context.clock.now(), event, actor: principal.user, ...note });
    });
  }

  app.get(
    '/api/v1/devices/:id',
    { schema: { tags: ['devices'], params: byId, response: answers({ 200: device }) } },
    (request) => readOne(principalOf(request), request.params.id),
  );

  for (const [act, status, event] of [
    ['block', 'blocked', 'blocked'],
    ['unblock', 'active', 'unblocked'],
  ] as const) {
    app.post(
      `/api/v1/devices/:id/${act}`,
      { schema: { tags: ['devices'], params: byId, response: answers({ 200: device }, 409) } },
      async (request) => {
        const principal = principalOf(request);
        requireAct(principal, 'manageDevices');
        const { id } = request.params;
        await change(principal, id, event, () => ({ set: { status } }));
        context.cutOff({ tenant: principal.tenant, device: id });
        return readOne(principal, id);
      },
    );
  }

  app.post(
    '/api/v1/devices/:id/rotate',
    {
      schema: {
        tags: ['devices'],
        description:
          'A new secret, shown once. The old one stays good for the grace time, or until the new one was used. 0 cuts the device off.',
        params: byId,
        body: secretRotation,
        response: answers({ 201: deviceCreated }, 409),
      },
    },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const ref = { tenant: principal.tenant, device: request.params.id };
      const secret = newSecret();
      const hash = hashDeviceSecret(secret, context.hmacKeys);
      const now = context.clock.now();
      const graceMs = request.body.graceHours * HOUR_MS;
      await change(principal, ref.device, graceMs > 0 ? 'secretOffered' : 'secretChanged', () => ({
        set:
          graceMs > 0
            ? { nextSecretHash: hash, secretExpiresAt: now + graceMs, secretChangedAt: now, claim: null }
            : { secretHash: hash, nextSecretHash: null, secretExpiresAt: null, secretChangedAt: now, claim: null },
      }));
      if (graceMs > 0) context.directory.invalidate(ref);
      else context.cutOff(ref);
      return reply.code(201).send({ ...(await readOne(principal, ref.device)), mqtt: credentialsOf(ref, secret) });
    },
  );

  app.post(
    '/api/v1/devices/:id/transfer',
    {
      schema: {
        tags: ['devices'],
        description:
          'Hands a device to another centre. What happened before is shown to neither; users of the whole tenant keep seeing it.',
        params: byId,
        body: deviceTransfer,
        response: answers({ 200: device }, 409),
      },
    },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const { id } = request.params;
      const { centre, reason } = request.body;
      await change(principal, id, 'transferred', async (before, tx) => {
        await requireCentre(tx, principal, centre);
        if (before.centre === centre)
          throw new AppError('CONFLICT', `device ${id} belongs to centre ${centre} already`);
        await refuseOpenTickets(tx, principal.tenant, id);
        return { set: { centre }, note: { from: before.centre, to: centre, reason } };
      });
      context.hub.endWatchers({ tenant: principal.tenant, device: id });
      return readOne(principal, id);
    },
  );

  app.post(
    '/api/v1/devices/:id/decommission',
    {
      schema: {
        tags: ['devices'],
        description: 'For ever: the device never connects again, and its id is never given again. Its history stays.',
        params: byId,
        body: deviceDecommission,
        response: answers({ 200: device }, 409),
      },
    },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const { id } = request.params;
      const nobodyKnows = hashDeviceSecret(newSecret(), context.hmacKeys);
      await change(principal, id, 'decommissioned', async (before, tx) => {
        // Its alerts end, and nobody waits for its samples any more.
        await sendOrder(tx, {
          kind: 'decommission',
          id: randomUUID(),
          tenant: principal.tenant,
          device: id,
          model: before.model,
          at: context.clock.now(),
          actor: principal.user,
          why: request.body.reason,
        });
        return {
          set: {
            status: 'decommissioned',
            secretHash: nobodyKnows,
            nextSecretHash: null,
            secretExpiresAt: null,
            secretChangedAt: context.clock.now(),
            claim: null,
          },
          note: { reason: request.body.reason },
        };
      });
      context.wakeOrders();
      context.cutOff({ tenant: principal.tenant, device: id });
      return readOne(principal, id);
    },
  );
}

type LockedDevice = { readonly status: string; readonly centre: string; readonly model: string };
interface DeviceChange {
  readonly set: Partial<typeof devices.$inferInsert>;
  readonly note?: Pick<CustodyNote, 'from' | 'to' | 'reason'>;
}

async function lockDevice(tx: Transaction, ref: DeviceRef): Promise<LockedDevice> {
  const [row] = await tx
    .select({ status: devices.status, centre: devices.centre, model: devices.model })
    .from(devices)
    .where(isDevice(ref))
    .for('update');
  if (!row) throw new AppError('NOT_FOUND', `device ${ref.device}`);
  if (row.status === 'decommissioned') throw new AppError('CONFLICT', `device ${ref.device} is decommissioned`);
  return row;
}

/** They would be hidden from everybody who could work on them. @throws AppError CONFLICT */
async function refuseOpenTickets(tx: Transaction, tenant: string, id: string): Promise<void> {
  const open = await tx
    .select({ key: tickets.key })
    .from(tickets)
    .where(
      and(eq(tickets.tenant, tenant), eq(tickets.device, id), sql`${tickets.state} NOT IN ('closed', 'cancelled')`),
    )
    .limit(5);
  if (open.length === 0) return;
  const keys = open.map((one) => one.key).join(', ');
  throw new AppError('CONFLICT', `device ${id} has open tickets: ${keys}; close or cancel them first`);
}

function credentialsOf(ref: DeviceRef, password: string): DeviceCreated['mqtt'] {
  const clientId = clientIdOf(ref);
  return { clientId, username: clientId, password };
}
