/** Keys are rotated while devices and webhooks go on: in SQL, and with a whole server. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eq, sql } from 'drizzle-orm';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { centres, devices } from '../../api/db/schema.ts';
import { applySeed } from '../../api/db/seed.ts';
import { createDeviceDirectory } from '../../api/devices/directory.ts';
import { openWebhookSecret } from '../../api/notify/webhook-secrets.ts';
import { retireKeys, settleKeys } from '../../app/key-operations.ts';
import { type KeyStore, openKeys } from '../../app/keys.ts';
import { T0, testSeed } from '../support/api-harness.ts';
import { manualClock, silentLogger } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { runCli, runCliOk } from '../support/run-cli.ts';

const clock = manualClock(T0);
const WEBHOOK = 'whsec_c2VjcmV0LW9mLW5vcnRo';
const secretOf = (device: string): string => `secret-of-acme-${device}-0123456789`;

describeOnDatabases('rotating keys', clock, (database) => {
  let folder: string;
  let keys: KeyStore;
  const rings = () => ({ hmacKeys: keys.ring('device-secrets'), webhookKeys: keys.ring('webhooks') });
  const login = (device: string) =>
    createDeviceDirectory(database(), { ...rings(), clock }).authenticate({ tenant: 'acme', device }, secretOf(device));
  const storedWebhook = async () => {
    const [row] = await database().withSystem((tx) =>
      tx.select().from(centres).where(sql`${centres.tenant} = 'acme' AND ${centres.id} = 'north'`),
    );
    return row?.webhookSecret ?? '';
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'presage-keys-'));
    keys = openKeys(folder);
    const seed = testSeed((file) => {
      for (const { id, centres } of file.tenants)
        if (id === 'acme' && centres[0]) centres[0].webhook = { url: 'https://example.com', secret: WEBHOOK };
    });
    await applySeed(database(), seed, rings(), clock);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('keeps old secrets good, renews each hash at its login, and lets the old key go only then', async () => {
    keys.rotate('device-secrets');
    expect(await login('fridge-1')).toBeDefined();
    const [row] = await database().withSystem((tx) =>
      tx.select().from(devices).where(sql`${devices.tenant} = 'acme' AND ${devices.id} = 'fridge-1'`),
    );
    expect(row?.secretHash.subarray(0, 3).toString()).toBe('k2:');
    // Nobody but the device changed its secret: a seed file still decides about it.
    expect(row?.secretChangedAt).toBeNull();
    const retire = () => retireKeys(keys, database(), 'device-secrets', false);
    await expect(retire()).rejects.toThrow('version 1: 5 devices');
    expect(await login('fridge-1')).toBeDefined();

    for (const device of ['fridge-2', 'fridge-3']) expect(await login(device)).toBeDefined();
    await database().withSystem((tx) => tx.update(devices).set({ claim: 'open' }).where(eq(devices.tenant, 'globex')));
    expect(await retire()).toEqual({ name: 'device-secrets', retired: [1] });
    for (const device of ['fridge-1', 'fridge-2', 'fridge-3']) expect(await login(device)).toBeDefined();
    expect(
      await createDeviceDirectory(database(), { ...rings(), clock }).authenticate(
        { tenant: 'globex', device: 'fridge-1' },
        'secret-of-globex-fridge-1-0123456789',
      ),
    ).toBeUndefined();
  });

  it('gives an old key up by force, and with it the devices that need it', async () => {
    keys.rotate('device-secrets');
    expect(await login('fridge-1')).toBeDefined();
    expect(await retireKeys(keys, database(), 'device-secrets', true)).toMatchObject({ retired: [2] });
    expect(await login('fridge-1')).toBeDefined();
    expect(await login('fridge-2')).toBeUndefined();
  });

  it('settles a secret that was handed out before a rotation under the new key', async () => {
    const ref = { tenant: 'acme', device: 'fridge-1' };
    const directory = createDeviceDirectory(database(), { ...rings(), clock });
    const [before] = await database().withSystem((tx) =>
      tx.select().from(devices).where(sql`${devices.tenant} = 'acme' AND ${devices.id} = 'fridge-1'`),
    );
    await database().withSystem((tx) =>
      tx
        .update(devices)
        .set({ nextSecretHash: before?.secretHash ?? null, secretExpiresAt: T0 + 1_000 })
        .where(sql`${devices.tenant} = 'acme' AND ${devices.id} = 'fridge-1'`),
    );
    keys.rotate('device-secrets');
    expect(await directory.authenticate(ref, secretOf('fridge-1'))).toBeDefined();
    const [after] = await database().withSystem((tx) =>
      tx.select().from(devices).where(sql`${devices.tenant} = 'acme' AND ${devices.id} = 'fridge-1'`),
    );
    expect([after?.secretHash.subarray(0, 3).toString(), after?.nextSecretHash]).toEqual(['k4:', null]);
  });

  it('seals webhook secrets again, plain ones of older versions too, and can be interrupted', async () => {
    const sealed = await storedWebhook();
    expect(sealed).toMatch(/^sealed:k1:/);
    const plain = { webhookUrl: 'https://example.com', webhookSecret: WEBHOOK };
    await database().withSystem((tx) => tx.update(centres).set(plain).where(sql`${centres.id} = 'south'`));
    keys.rotate('webhooks');
    // Between the new key and the last row everything stays readable.
    expect(openWebhookSecret(sealed, { tenant: 'acme', centre: 'north' }, keys.ring('webhooks'))).toMatchObject({
      secret: WEBHOOK,
    });
    await settleKeys(openKeys(folder), database(), silentLogger);
    const rows = await database().withSystem((tx) => tx.select().from(centres));
    const stored = rows.flatMap(({ tenant, id, webhookSecret }) =>
      webhookSecret ? [{ tenant, centre: id, webhookSecret }] : [],
    );
    expect(stored).toHaveLength(3);
    for (const { webhookSecret, ...ref } of stored) {
      expect(webhookSecret).toMatch(/^sealed:k2:/);
      expect(openWebhookSecret(webhookSecret, ref, keys.ring('webhooks'))).toMatchObject({ secret: WEBHOOK });
    }
    expect(await retireKeys(keys, database(), 'webhooks', false)).toMatchObject({ retired: [1] });
  });

  it('asks twice before a backup key goes', async () => {
    keys.rotate('backup');
    await expect(retireKeys(keys, database(), 'backup', false)).rejects.toThrow('could no longer be read');
    expect(await retireKeys(keys, database(), 'backup', true)).toMatchObject({ retired: [1] });
  });
});

describe('presage keys', () => {
  const TOKEN = 'psg_keys_manager_token_0123456789abcdef';
  const SECRET = 'secret-of-fridge-1-0123456789abcdef';
  const seed = {
    tenants: [
      {
        id: 'acme',
        name: 'Acme',
        centres: [{ id: 'north', name: 'North', timeZone: 'UTC' }],
        users: [{ id: 'ops', role: 'manager' as const, tokens: [TOKEN] }],
        devices: [{ id: 'fridge-1', model: 'refrigerator', secret: SECRET }],
      },
    ],
  };
  let server: PresageProcess;
  const data = (): string => join(server.directory, 'data');
  const keysOf = (command: string, ...args: string[]) => runCli(['keys', command, ...args, '--data-dir', data()]);
  const connects = async () => {
    const options = { clientId: 'acme.fridge-1', username: 'acme.fridge-1', reconnectPeriod: 0 };
    await (await connectAsync(server.broker, { ...options, password: SECRET })).endAsync();
  };

  beforeAll(async () => {
    const before = process.umask(0);
    try {
      server = await startPresage({ seed });
    } finally {
      process.umask(before);
    }
  });
  afterAll(() => server?.dispose());

  it('leaves nothing open to others after a start with umask 000', () => {
    const open: string[] = [];
    const look = (folder: string): void => {
      for (const name of readdirSync(folder)) {
        const path = join(folder, name);
        const facts = statSync(path);
        if ((facts.mode & 0o077) !== 0) open.push(`${path} ${(facts.mode & 0o777).toString(8)}`);
        if (facts.isDirectory()) look(path);
      }
    };
    // Run by root, PostgreSQL's user must pass through the directory itself; it shows him nothing.
    expect(statSync(data()).mode & 0o066).toBe(0);
    look(data());
    expect(open.filter((path) => !path.includes('/postgres/runtime'))).toEqual([]);
  });

  it('rotates under a running server, whose device comes in before and after', async () => {
    await connects();
    const { id } = JSON.parse((await keysOf('list', '--json')).stdout)[0] as { id: string };
    expect(await keysOf('rotate', 'device-secrets')).toMatchObject({ code: 0 });
    const refused = await keysOf('retire', 'device-secrets');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('1 devices have not logged in')]);
    await connects();
    expect(await keysOf('retire', 'device-secrets', '--json')).toMatchObject({ code: 0 });
    await connects();
    const listed = JSON.parse(await runCliOk(['keys', 'list', '--json', '--data-dir', data()])) as { id: string }[];
    expect(listed[0]).toMatchObject({ name: 'device-secrets', version: 2, isCurrent: true });
    expect(listed[0]?.id).not.toBe(id);
  });

  it('works on a stopped server too, and the device comes in after the next start', async () => {
    await server.stop();
    expect((await keysOf('rotate', 'device-secrets')).code).toBe(0);
    expect((await keysOf('retire', 'device-secrets')).stderr).toContain('KEY_IN_USE');
    await server.restart();
    await connects();
    // The seed renewed the hash at the start already.
    expect((await keysOf('retire', 'device-secrets')).code).toBe(0);
    expect((await keysOf('rotate', 'nothing')).code).not.toBe(0);
  });
});
