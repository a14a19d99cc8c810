/** The device directory on SQL: who may connect, with which secret, and which signals were declared. */
import { and, eq, sql } from 'drizzle-orm';
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import { MINUTE_MS } from '../../contract/kernel/time.ts';
import type { DeviceDirectory, RegisteredDevice } from '../../contract/ports/broker.ts';
import type { Clock } from '../../contract/ports/services.ts';
import type { KeyRing } from '../accounts/key-ring.ts';
import { checkDeviceSecret, hashDeviceSecret } from '../accounts/secrets.ts';
import type { Database, Transaction } from '../db/database.ts';
import { type DeclaredSignals, devices } from '../db/schema.ts';
import { appendCustody, isDevice } from './custody.ts';

export interface CachedDeviceDirectory extends DeviceDirectory {
  /** Forgets what is known of a device, after it was blocked, moved or given a new secret. */
  invalidate(ref: DeviceRef): void;
}

export interface DirectoryOptions {
  /** Devices kept in memory, oldest connection out first; 100,000 (about 50 MB). */
  readonly maxDevices?: number;
  /** A changed row is believed after this long at most, when another process changed it; 1 min. */
  readonly freshMs?: number;
}

interface CachedDevice {
  readonly device: RegisteredDevice;
  readonly secretHash: Buffer;
  /** Of a secret that was handed out and not used yet. */
  readonly nextSecretHash: Buffer | null;
  /** From then on only the next secret is good. */
  readonly secretExpiresAt: number | null;
  /** The secret came by a claim and was not used yet. */
  readonly isFresh: boolean;
  readonly active: boolean;
  readonly readAt: number;
}

/** Compared with when the device is unknown, so that the answer takes as long. */
const NOBODY = Buffer.alloc(32);

/** After a renewal that failed none is tried for so long: a database that is away must not slow every login. */
const RENEW_PAUSE_MS = MINUTE_MS;

/**
 * Device secrets are compared as HMAC-SHA-256 under `hmacKeys`: a slow hash would make reconnect storms minutes long. A hash
 * under an older key is replaced when its device logs in, the only moment at which the secret is known.
 */
export function createDeviceDirectory(
  database: Database,
  deps: { hmacKeys: KeyRing; clock: Clock },
  options: DirectoryOptions = {},
): CachedDeviceDirectory {
  const maxDevices = options.maxDevices ?? 100_000;
  const freshMs = options.freshMs ?? MINUTE_MS;
  /** by client id, least recently authenticated first */
  const cache = new Map<string, CachedDevice>();
  let renewAgainAt = 0;

  function remember(key: string, entry: CachedDevice): void {
    cache.delete(key);
    cache.set(key, entry);
    for (const oldest of cache.keys()) {
      if (cache.size <= maxDevices) break;
      cache.delete(oldest);
    }
  }

  async function find(ref: DeviceRef): Promise<CachedDevice | undefined> {
    const key = clientIdOf(ref);
    const cached = cache.get(key);
    if (cached && deps.clock.now() - cached.readAt < freshMs) return cached;
    const read = await readDevice(database, ref, deps.clock.now());
    if (!read) {
      cache.delete(key);
      return undefined;
    }
    // What a birth declared in this process is newer than what the registry writer has stored so far.
    const declaredSignals = cached?.device.declaredSignals ?? read.device.declaredSignals;
    const entry = { ...read, device: { ...read.device, declaredSignals } };
    remember(key, entry);
    return entry;
  }

  /** First use of a new secret: from now on it is the only one. False when it was replaced meanwhile. */
  async function settle(ref: DeviceRef, used: Buffer, secret: string, entry: CachedDevice): Promise<boolean> {
    const now = deps.clock.now();
    const renewed = hashDeviceSecret(secret, deps.hmacKeys);
    const settled = await database.withSystem((tx) => settleSecret(tx, ref, { used, renewed }, now));
    if (!settled) {
      cache.delete(clientIdOf(ref));
      return false;
    }
    const only = { secretHash: renewed, nextSecretHash: null, secretExpiresAt: null, isFresh: false };
    remember(clientIdOf(ref), { ...entry, ...only, readAt: now });
    return true;
  }

  /** Best effort: the old hash is as good, and the next login tries again. */
  async function renewHash(ref: DeviceRef, secret: string, entry: CachedDevice): Promise<void> {
    if (deps.clock.now() < renewAgainAt) return;
    const renewed = hashDeviceSecret(secret, deps.hmacKeys);
    try {
      const done = await database.withSystem((tx) =>
        tx
          .update(devices)
          .set({ secretHash: renewed })
          .where(and(isDevice(ref), eq(devices.secretHash, entry.secretHash)))
          .returning({ id: devices.id }),
      );
      const key = clientIdOf(ref);
      // Blocked or rotated meanwhile: what was learned since counts, not what we hold.
      if (done.length > 0 && cache.get(key) === entry) cache.set(key, { ...entry, secretHash: renewed });
    } catch {
      renewAgainAt = deps.clock.now() + RENEW_PAUSE_MS;
    }
  }

  return {
    async authenticate(ref, secret) {
      const entry = await find(ref);
      const current = checkDeviceSecret(secret, entry?.secretHash ?? NOBODY, deps.hmacKeys);
      const next = checkDeviceSecret(secret, entry?.nextSecretHash ?? NOBODY, deps.hmacKeys);
      if (!entry?.active) return undefined;
      if (next && entry.nextSecretHash)
        return (await settle(ref, entry.nextSecretHash, secret, entry)) ? entry.device : undefined;
      if (!current || (entry.secretExpiresAt ?? Number.POSITIVE_INFINITY) <= deps.clock.now()) return undefined;
      if (entry.isFresh) return (await settle(ref, entry.secretHash, secret, entry)) ? entry.device : undefined;
      if (current === 'older') await renewHash(ref, secret, entry);
      return entry.device;
    },
    async identify(ref) {
      const entry = await find(ref);
      return entry?.active ? entry.device : undefined;
    },
    peek: (ref) => cache.get(clientIdOf(ref))?.device,
    declare(ref, signals) {
      const key = clientIdOf(ref);
      const entry = cache.get(key);
      if (entry) cache.set(key, { ...entry, device: { ...entry.device, declaredSignals: signals } });
    },
    invalidate(ref) {
      cache.delete(clientIdOf(ref));
    },
  };
}

async function readDevice(database: Database, ref: DeviceRef, now: number): Promise<CachedDevice | undefined> {
  const [row] = await database.withSystem((tx) =>
    tx
      .select({
        model: devices.model,
        status: devices.status,
        secretHash: devices.secretHash,
        nextSecretHash: devices.nextSecretHash,
        secretExpiresAt: devices.secretExpiresAt,
        claim: devices.claim,
        declared: devices.declaredSignals,
      })
      .from(devices)
      .where(isDevice(ref)),
  );
  if (!row) return undefined;
  return {
    device: { tenant: ref.tenant, device: ref.device, model: row.model, declaredSignals: kindsOf(row.declared) },
    secretHash: row.secretHash,
    nextSecretHash: row.nextSecretHash,
    secretExpiresAt: row.secretExpiresAt,
    isFresh: row.claim === 'given',
    active: row.status === 'active',
    readAt: now,
  };
}

async function settleSecret(
  tx: Transaction,
  ref: DeviceRef,
  { used, renewed }: { readonly used: Buffer; readonly renewed: Buffer },
  now: number,
): Promise<boolean> {
  const settled = await tx
    .update(devices)
    .set({ secretHash: renewed, nextSecretHash: null, secretExpiresAt: null, secretChangedAt: now, claim: null })
    .where(
      and(
        isDevice(ref),
        eq(devices.status, 'active'),
        sql`(${devices.nextSecretHash} = ${used} OR ${devices.secretHash} = ${used})`,
      ),
    )
    .returning({ id: devices.id });
  if (settled.length === 0) return false;
  await appendCustody(tx, { ...ref, at: now, event: 'secretChanged', actor: 'device' });
  return true;
}

function kindsOf(declared: DeclaredSignals): ReadonlyMap<string, 'number' | 'boolean' | 'text'> {
  return new Map(Object.entries(declared).map(([name, signal]) => [name, signal.kind]));
}
