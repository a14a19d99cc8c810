/** A device gets its own secret by a claim: with the tenant's claim secret, once, and again until it has used what it got. */
import { and, eq, ne, sql } from 'drizzle-orm';
import type { ClaimRequest } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Clock } from '../../contract/ports/services.ts';
import type { KeyRing } from '../accounts/key-ring.ts';
import { hashDeviceSecret, hashToken, newSecret, sameHash } from '../accounts/secrets.ts';
import type { Database, Transaction } from '../db/database.ts';
import { devices, provisioning, tenants } from '../db/schema.ts';
import { appendCustody, isDevice } from './custody.ts';

/** Compared with where there is no claim secret, so that the answer takes as long. */
const NOTHING = Buffer.alloc(32);

type Rules = typeof provisioning.$inferSelect;

/**
 * Answers the device's new secret.
 * @throws AppError UNAUTHENTICATED, the same for an unknown tenant, mode `off` and a wrong or old claim secret;
 * CONFLICT when the device has its secret already; REQUEST_NOT_ALLOWED when the tenant's rules refuse the device
 */
export async function claimDevice(
  database: Database,
  request: ClaimRequest,
  deps: { readonly clock: Clock; readonly hmacKeys: KeyRing },
): Promise<string> {
  const secret = newSecret();
  const now = deps.clock.now();
  const given = { secretHash: hashDeviceSecret(secret, deps.hmacKeys), secretChangedAt: now, claim: 'given' as const };
  await database.withSystem(async (tx) => {
    const rules = await requireClaim(tx, request, now);
    const ref = { tenant: request.tenant, device: request.device };
    const [known] = await tx.select().from(devices).where(isDevice(ref)).for('update');
    if (known) {
      refuseUnlessClaimable(known, request);
      const serial = known.serial ?? request.serial ?? null;
      await tx
        .update(devices)
        .set({ ...given, serial })
        .where(isDevice(ref));
    } else {
      await createClaimed(tx, rules, request, { ...given, createdAt: now });
    }
    if (known?.claim !== 'given') await appendCustody(tx, { ...ref, at: now, event: 'claimed', actor: 'claim' });
  });
  return secret;
}

/** The tenant's rules, locked, so that claims of one tenant are counted one after the other. */
async function requireClaim(tx: Transaction, request: ClaimRequest, now: number): Promise<Rules> {
  const [rules] = await tx.select().from(provisioning).where(eq(provisioning.tenant, request.tenant)).for('update');
  const matches = sameHash(hashToken(request.claim), rules?.claimHash ?? NOTHING);
  const isLive = rules !== undefined && rules.mode !== 'off' && (rules.claimExpiresAt ?? 0) > now;
  if (!matches || !isLive) throw new AppError('UNAUTHENTICATED', 'the claim secret is wrong or no longer valid');
  return rules;
}

function refuseUnlessClaimable(known: typeof devices.$inferSelect, request: ClaimRequest): void {
  if (known.status !== 'active') throw new AppError('CONFLICT', `device ${known.id} is ${known.status}`);
  if (known.claim === null) {
    throw new AppError('CONFLICT', `device ${known.id} has its secret already; a new one comes by rotation`);
  }
  if (known.model !== request.model) {
    throw new AppError('REQUEST_NOT_ALLOWED', `device ${known.id} is registered with another model`);
  }
  if (known.serial !== null && known.serial !== request.serial) {
    throw new AppError('REQUEST_NOT_ALLOWED', `device ${known.id} is registered with another serial number`);
  }
}

async function createClaimed(
  tx: Transaction,
  rules: Rules,
  { tenant, device, model, serial }: ClaimRequest,
  given: { secretHash: Buffer; secretChangedAt: number; claim: 'given'; createdAt: number },
): Promise<void> {
  if (rules.mode !== 'create_on_connect') {
    throw new AppError('REQUEST_NOT_ALLOWED', `device ${device} has not been registered`);
  }
  if (!rules.models.includes(model)) {
    throw new AppError('REQUEST_NOT_ALLOWED', `claims may not create devices of model ${model}`);
  }
  if (rules.created >= rules.maxDevices) {
    throw new AppError('REQUEST_NOT_ALLOWED', `claims have created ${rules.created} devices, as many as they may`);
  }
  await refuseKnownSerial(tx, tenant, serial);
  const [owner] = await tx.select({ centre: tenants.defaultCentre }).from(tenants).where(eq(tenants.tenant, tenant));
  const centre = rules.centre ?? owner?.centre ?? '';
  await tx.insert(devices).values({ tenant, id: device, model, serial: serial ?? null, centre, ...given });
  await tx
    .update(provisioning)
    .set({ created: rules.created + 1 })
    .where(eq(provisioning.tenant, tenant));
}

/** One machine under two ids would tear its history apart. @throws AppError CONFLICT */
export async function refuseKnownSerial(tx: Transaction, tenant: string, serial: string | undefined): Promise<void> {
  if (serial === undefined) return;
  // Two requests at once would both find nothing.
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${`${tenant} ${serial}`}, 0))`);
  const found = await tx
    .select({ id: devices.id })
    .from(devices)
    .where(and(eq(devices.tenant, tenant), eq(devices.serial, serial), ne(devices.status, 'decommissioned')))
    .limit(1);
  if (found[0]) throw new AppError('CONFLICT', `serial number ${serial} belongs to device ${found[0].id}`);
}
