/** How devices come in by themselves: the tenant's rules, claims, and new secrets that devices fetch. Custody is read here. */
import { and, eq, isNull, sql } from 'drizzle-orm';
import { z } from 'zod';
import {
  claimRequest,
  claimSecret,
  custodyEntry,
  deviceCredentials,
  type Provisioning,
  page,
  pageQuery,
  provisioning as provisioningAnswer,
  provisioningChange,
} from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef, deviceId, parseClientId } from '../../contract/kernel/ids.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type Principal, requireWholeTenant } from '../accounts/principal.ts';
import { hashDeviceSecret, hashToken, newSecret } from '../accounts/secrets.ts';
import { custody, devices, provisioning } from '../db/schema.ts';
import { claimDevice } from '../devices/claim.ts';
import { appendCustody, isDevice, selectCustody } from '../devices/custody.ts';
import { requireCentre } from '../devices/device-view.ts';
import { principalOf } from '../plugins/authentication.ts';
import { type App, answers, decodeCursor, encodeCursor, pageOf, type RouteContext } from './context.ts';

/** From one address: a production line stands behind one. */
const CLAIMS_PER_MINUTE = 120;
const CLAIM_PREFIX = 'psc_';
const claimSecretBody = z.strictObject({ days: z.number().int().min(1).max(3_650).default(90) });
const credentialsBody = z.strictObject({
  clientId: z.string().min(3).max(64),
  password: z.string().min(22).max(200),
});
const custodyQuery = pageQuery
  .extend({ device: deviceId.optional(), serial: z.string().min(1).max(64).optional() })
  .strict();

export function registerProvisioning(app: App, context: RouteContext): void {
  const { database, clock } = context;
  const isOwn = (principal: Principal) => eq(provisioning.tenant, principal.tenant);

  async function readRules(principal: Principal): Promise<Provisioning> {
    const [row] = await database.withTenant(principal, (tx) =>
      tx
        .select({
          mode: provisioning.mode,
          models: provisioning.models,
          centre: provisioning.centre,
          maxDevices: provisioning.maxDevices,
          created: provisioning.created,
          claimExpiresAt: provisioning.claimExpiresAt,
        })
        .from(provisioning)
        .where(isOwn(principal)),
    );
    if (!row) return { mode: 'off', models: [], maxDevices: 0, created: 0, hasClaimSecret: false };
    const { centre, claimExpiresAt, models, ...rest } = row;
    return {
      ...rest,
      models: [...models],
      hasClaimSecret: claimExpiresAt !== null && claimExpiresAt > clock.now(),
      ...(centre === null ? {} : { centre }),
      ...(claimExpiresAt === null ? {} : { claimExpiresAt }),
    };
  }

  app.get(
    '/api/v1/provisioning',
    { schema: { tags: ['provisioning'], response: answers({ 200: provisioningAnswer }) } },
    (request) => readRules(requireWholeTenant(principalOf(request), 'manageDevices')),
  );

  app.put(
    '/api/v1/provisioning',
    { schema: { tags: ['provisioning'], body: provisioningChange, response: answers({ 200: provisioningAnswer }) } },
    async (request) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const { mode, models, centre, maxDevices } = request.body;
      const rules = { mode, models, centre: centre ?? null, maxDevices, updatedAt: clock.now() };
      await database.withTenant(principal, async (tx) => {
        await requireCentre(tx, principal, centre);
        await tx
          .insert(provisioning)
          .values({ tenant: principal.tenant, ...rules })
          .onConflictDoUpdate({ target: provisioning.tenant, set: rules });
      });
      return readRules(principal);
    },
  );

  app.post(
    '/api/v1/provisioning/claim-secrets',
    {
      schema: {
        tags: ['provisioning'],
        description: 'A new claim secret, shown once. The one before is over at once.',
        body: claimSecretBody,
        response: answers({ 201: claimSecret }, 409),
      },
    },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const claim = CLAIM_PREFIX + newSecret();
      const expiresAt = clock.now() + request.body.days * DAY_MS;
      await database.withTenant(principal, async (tx) => {
        const changed = await tx
          .update(provisioning)
          .set({ claimHash: hashToken(claim), claimExpiresAt: expiresAt, updatedAt: clock.now() })
          .where(isOwn(principal))
          .returning({ tenant: provisioning.tenant });
        if (changed.length === 0) throw new AppError('CONFLICT', 'set the mode of provisioning first');
      });
      return reply.code(201).send({ claim, expiresAt });
    },
  );

  app.post(
    '/api/v1/claims',
    {
      config: { public: true, rateLimit: { max: CLAIMS_PER_MINUTE, timeWindow: '1 minute' } },
      schema: {
        tags: ['provisioning'],
        description:
          'A device asks for its own secret with the claim secret of its tenant. Until it has connected with the answer it may ask again.',
        body: claimRequest,
        response: answers({ 201: deviceCredentials }, 409, 422),
      },
    },
    async (request, reply) => {
      const ref = { tenant: request.body.tenant, device: request.body.device };
      const secret = await claimDevice(database, request.body, context);
      // A secret of an earlier claim that was never used is over.
      context.cutOff(ref);
      return reply.code(201).send(credentialsOf(ref, secret));
    },
  );

  app.post(
    '/api/v1/device-secrets',
    {
      config: { public: true, rateLimit: { max: CLAIMS_PER_MINUTE, timeWindow: '1 minute' } },
      schema: {
        tags: ['provisioning'],
        description: 'A device renews its secret with the one it has, which stays good until the new one was used.',
        body: credentialsBody,
        response: answers({ 201: deviceCredentials }, 409),
      },
    },
    async (request, reply) => {
      const ref = parseClientId(request.body.clientId);
      const device = ref && (await context.directory.authenticate(ref, request.body.password));
      if (!ref || !device) throw new AppError('UNAUTHENTICATED', 'the client id or its password is wrong');
      const secret = newSecret();
      await offerSecret(ref, secret);
      context.directory.invalidate(ref);
      return reply.code(201).send(credentialsOf(ref, secret));
    },
  );

  async function offerSecret(ref: DeviceRef, secret: string): Promise<void> {
    const nextSecretHash = hashDeviceSecret(secret, context.hmacKeys);
    await database.withSystem(async (tx) => {
      const [before] = await tx.select().from(devices).where(isDevice(ref)).for('update');
      // The old secret may be the stolen one: it must not undo what an operator began.
      const changed = await tx
        .update(devices)
        .set({ nextSecretHash, secretChangedAt: clock.now() })
        .where(and(isDevice(ref), eq(devices.status, 'active'), isNull(devices.secretExpiresAt)))
        .returning({ id: devices.id });
      if (changed.length === 0) throw new AppError('CONFLICT', 'an operator is changing the secret of this device');
      // A device that asks again and again leaves one line.
      if (before?.nextSecretHash) return;
      await appendCustody(tx, { ...ref, at: clock.now(), event: 'secretOffered', actor: 'device' });
    });
  }

  app.get(
    '/api/v1/custody',
    {
      schema: {
        tags: ['provisioning'],
        description: 'In whose hands devices have been, by device and number. Entries are only ever added.',
        querystring: custodyQuery,
        response: answers({ 200: page(custodyEntry) }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      if (principal.centre !== undefined) throw new AppError('FORBIDDEN', 'users of one centre do not read custody');
      const { limit, cursor, device, serial } = request.query;
      const after = decodeCursor(cursor);
      const condition = and(
        eq(custody.tenant, principal.tenant),
        device === undefined ? undefined : eq(custody.device, device),
        serial === undefined ? undefined : eq(custody.serial, serial),
        after && sql`(${custody.device}, ${custody.seq}) > (${after[1]}, ${after[0]})`,
      );
      const rows = await database.withTenant(principal, (tx) => selectCustody(tx, condition, limit + 1));
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.seq, row.device),
      );
    },
  );
}

function credentialsOf(ref: DeviceRef, password: string): z.infer<typeof deviceCredentials> {
  return { clientId: clientIdOf(ref), username: clientIdOf(ref), password };
}
