/** Applies a seed file (`PRESAGE_SEED_FILE`). Idempotent: what is in the file wins, what is not in it stays. */
import { isNull, sql } from 'drizzle-orm';
import { AppError } from '../../contract/kernel/errors.ts';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import type { Clock } from '../../contract/ports/services.ts';
import type { KeyRing } from '../accounts/key-ring.ts';
import { hashDeviceSecret, hashToken } from '../accounts/secrets.ts';
import { parsePolicy } from '../desk/policy.ts';
import { sealWebhookSecret } from '../notify/webhook-secrets.ts';
import type { Database, Transaction } from './database.ts';
import { centres, devices, integrations, tenants, tokens, users } from './schema.ts';

type SeedTenant = SeedFile['tenants'][number];

/** Rows of one INSERT; PostgreSQL takes 65,535 parameters a statement. */
const CHUNK_ROWS = 1_000;

export interface SeedKeys {
  /** Under which device secrets are hashed; the same as the device directory's. */
  readonly hmacKeys: KeyRing;
  /** Under which webhook secrets are sealed; the same as the API's. */
  readonly webhookKeys: KeyRing;
}

/** @throws AppError CONFIG_INVALID when the seed contradicts itself (unknown centre, bad policy) */
export async function applySeed(database: Database, seed: SeedFile, keys: SeedKeys, clock: Clock): Promise<void> {
  for (const tenant of seed.tenants) checkTenant(tenant);
  await database.withSystem(async (tx) => {
    for (const tenant of seed.tenants) {
      await applyTenant(tx, tenant, keys, clock.now());
      await applyUsers(tx, tenant, clock.now());
      await applyDevices(tx, tenant, keys, clock.now());
      await applyIntegrations(tx, tenant, keys, clock.now());
    }
  });
}

function defaultCentre(tenant: SeedTenant): string {
  const first = tenant.centres[0];
  if (!first) throw new AppError('CONFIG_INVALID', `seed: tenant ${tenant.id} has no centre`);
  return first.id;
}

function checkTenant(tenant: SeedTenant): void {
  const known = new Set(tenant.centres.map((centre) => centre.id));
  for (const { id, centre } of [...tenant.users, ...tenant.devices]) {
    if (centre !== undefined && !known.has(centre)) {
      throw new AppError('CONFIG_INVALID', `seed: ${id} of tenant ${tenant.id} names the unknown centre ${centre}`);
    }
  }
  parsePolicy(tenant.policy ?? {});
}

async function applyTenant(tx: Transaction, tenant: SeedTenant, keys: SeedKeys, now: number): Promise<void> {
  const values = { name: tenant.name, defaultCentre: defaultCentre(tenant), policy: tenant.policy ?? {} };
  await tx
    .insert(tenants)
    .values({ tenant: tenant.id, createdAt: now, ...values })
    .onConflictDoUpdate({ target: tenants.tenant, set: values });
  for (const centre of tenant.centres) {
    const set = {
      name: centre.name,
      timeZone: centre.timeZone,
      webhookUrl: centre.webhook?.url ?? null,
      webhookSecret: centre.webhook
        ? sealWebhookSecret(centre.webhook.secret, { tenant: tenant.id, centre: centre.id }, keys.webhookKeys)
        : null,
    };
    await tx
      .insert(centres)
      .values({ tenant: tenant.id, id: centre.id, ...set })
      .onConflictDoUpdate({ target: [centres.tenant, centres.id], set });
  }
}

async function applyUsers(tx: Transaction, tenant: SeedTenant, now: number): Promise<void> {
  for (const user of tenant.users) {
    const set = { role: user.role, centre: user.centre ?? null };
    await tx
      .insert(users)
      .values({ tenant: tenant.id, id: user.id, createdAt: now, ...set })
      .onConflictDoUpdate({ target: [users.tenant, users.id], set });
    for (const token of user.tokens) {
      await tx
        .insert(tokens)
        .values({ hash: hashToken(token), tenant: tenant.id, user: user.id, label: 'seed', createdAt: now })
        .onConflictDoNothing();
    }
  }
}

async function applyDevices(tx: Transaction, tenant: SeedTenant, keys: SeedKeys, now: number): Promise<void> {
  const rows = tenant.devices.map((device) => ({
    tenant: tenant.id,
    id: device.id,
    model: device.model,
    serial: device.serial ?? null,
    centre: device.centre ?? defaultCentre(tenant),
    secretHash: hashDeviceSecret(device.secret, keys.hmacKeys),
    createdAt: now,
  }));
  for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
    await tx
      .insert(devices)
      .values(rows.slice(start, start + CHUNK_ROWS))
      .onConflictDoUpdate({
        target: [devices.tenant, devices.id],
        set: {
          model: sql`excluded.model`,
          serial: sql`COALESCE(excluded.serial, ${devices.serial})`,
          centre: sql`excluded.centre`,
          // A secret that was rotated or claimed since is the newer truth: the old one must not come back.
          secretHash: sql`CASE WHEN ${devices.secretChangedAt} IS NULL THEN excluded.secret_hash ELSE ${devices.secretHash} END`,
        },
      });
  }
}

async function applyIntegrations(tx: Transaction, tenant: SeedTenant, keys: SeedKeys, now: number): Promise<void> {
  for (const { id, secret } of tenant.integrations ?? []) {
    const secretHash = hashDeviceSecret(secret, keys.hmacKeys);
    await tx
      .insert(integrations)
      .values({ tenant: tenant.id, id, secretHash, createdAt: now })
      .onConflictDoUpdate({
        target: [integrations.tenant, integrations.id],
        // As with devices: a secret that was rotated since is the newer truth.
        set: { secretHash },
        setWhere: isNull(integrations.secretChangedAt),
      });
  }
}
