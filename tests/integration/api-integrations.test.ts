/** Who may make integrations, who may come in as one, and that tenants stay apart. */
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KeyRing } from '../../api/accounts/key-ring.ts';
import { countDevicesUnder } from '../../api/devices/secret-versions.ts';
import { createIntegrationDirectory } from '../../api/integrations/directory.ts';
import type { Integration, IntegrationCreated } from '../../contract/http/resources.ts';
import { type ApiHarness, startHarness, T0, TEST_KEYS } from '../support/api-harness.ts';
import { manualClock } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';

const clock = manualClock(T0);
const admin = { user: 'anna' };
const stranger = { tenant: 'globex', user: 'anna' };

describeOnDatabases('integrations', clock, (database) => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await startHarness(database(), clock);
  });
  afterAll(() => harness?.api.stop());

  const PATH = '/api/v1/integrations';
  const add = async (as: Parameters<ApiHarness['request']>[0], id: string) => {
    const { status, body } = await harness.request(as, 'POST', PATH, { body: { id } });
    return { status, made: body as IntegrationCreated };
  };
  const admits = (tenant: string, integration: string, secret: string, hmacKeys: KeyRing = TEST_KEYS.hmacKeys) =>
    createIntegrationDirectory(database(), { hmacKeys, clock }).admits({ tenant, integration }, secret);

  it('are made by managers of the whole tenant only', async () => {
    for (const user of ['vera', 'alan', 'nora', 'stan']) {
      expect((await add({ user }, 'mine')).status).toBe(403);
      expect((await harness.request({ user }, 'GET', PATH)).status).toBe(403);
    }
    expect((await add(undefined, 'mine')).status).toBe(401);
    expect((await add(admin, 'Not an id')).status).toBe(400);
  });

  it('come in with their own secret, while they are not blocked', async () => {
    const { made } = await add(admin, 'lake');
    expect(made).toMatchObject({ id: 'lake', status: 'active', mqtt: { username: 'acme/lake' } });
    const { password } = made.mqtt;
    expect(await admits('acme', 'lake', password)).toBe(true);
    expect(await admits('acme', 'lake', `${password}x`)).toBe(false);
    expect(await admits('acme', 'nobody', password)).toBe(false);
    await harness.request(admin, 'POST', `${PATH}/lake/block`);
    expect(await admits('acme', 'lake', password)).toBe(false);
    await harness.request(admin, 'POST', `${PATH}/lake/unblock`);
    expect(await admits('acme', 'lake', password)).toBe(true);
    const { body } = await harness.request(admin, 'GET', PATH);
    expect((body as { items: Integration[] }).items).toEqual([
      { id: 'lake', status: 'active', createdAt: T0, lastLoginAt: T0 },
    ]);
  });

  it('of one tenant are invisible to another, which may have one of the same name', async () => {
    const { made: own } = await add(admin, 'shared');
    const { made: other } = await add(stranger, 'shared');
    expect(await admits('acme', 'shared', other.mqtt.password)).toBe(false);
    expect(await admits('globex', 'shared', own.mqtt.password)).toBe(false);
    expect((await harness.request(stranger, 'POST', `${PATH}/lake/block`)).status).toBe(404);
    const { body } = await harness.request(stranger, 'GET', PATH);
    expect((body as { items: Integration[] }).items.map(({ id }) => id)).toEqual(['shared']);
  });

  it('move to the current key when they log in, and hold the older one until then', async () => {
    const { made } = await add(admin, 'rotated');
    const first = TEST_KEYS.hmacKeys.current();
    const second = { version: 2, bytes: Buffer.alloc(32, 9) };
    const ring: KeyRing = { current: () => second, find: (version) => [first, second][version - 1] };
    const before = await countDevicesUnder(database(), 1);
    expect(await admits('acme', 'rotated', made.mqtt.password, ring)).toBe(true);
    expect(await countDevicesUnder(database(), 1)).toBe(before - 1);
    expect(await admits('acme', 'rotated', made.mqtt.password, ring)).toBe(true);
    expect(await admits('acme', 'rotated', made.mqtt.password)).toBe(false);
  });

  it('keep their hashes from the role of the API', async () => {
    const read = database().withTenant({ tenant: 'acme' }, (tx) =>
      tx.execute(sql`SELECT secret_hash FROM integrations`),
    );
    await expect(read).rejects.toThrow();
  });
});
