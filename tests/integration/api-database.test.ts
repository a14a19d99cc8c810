/** The SQL side that every other part stands on: schema, walls between tenants, seed, directory, checkpoints, registry. */
import { sql } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { openFirstDoor } from '../../api/accounts/first-start.ts';
import { singleKey } from '../../api/accounts/key-ring.ts';
import { createOwnerLink } from '../../api/accounts/owner-links.ts';
import { hashToken } from '../../api/accounts/secrets.ts';
import { createCheckpointStore } from '../../api/checkpoints.ts';
import { type Database, rootCause, sqlState } from '../../api/db/database.ts';
import { migrate } from '../../api/db/migrate.ts';
import { alerts, centres, devices, faultRecords, ownerLinks, quarantine, tokens } from '../../api/db/schema.ts';
import { applySeed } from '../../api/db/seed.ts';
import { createDeviceDirectory } from '../../api/devices/directory.ts';
import { createPresence } from '../../api/devices/presence.ts';
import { createRegistrySink } from '../../api/devices/registry-sink.ts';
import { seedFile } from '../../contract/kernel/seed.ts';
import type { QuarantineRecord, RegistryRecord } from '../../contract/ports/registry.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { recordingMetrics } from '../support/ingest-harness.ts';
import { describeOnDatabases } from '../support/postgres.ts';

const clock = manualClock(1_795_392_000_000);
const keys = { hmacKeys: singleKey(Buffer.alloc(32, 7)), webhookKeys: singleKey(Buffer.alloc(32, 8)) };
const SECRET = 'secret-of-fridge-1-0123456789';

const seed = seedFile.parse({
  tenants: ['acme', 'globex'].map((id) => ({
    id,
    name: id,
    centres: [
      { id: 'north', name: 'North', webhook: { url: 'https://example.com/hook', secret: 'whsec_c2VjcmV0' } },
      { id: 'south', name: 'South' },
    ],
    users: [{ id: 'ann', role: 'admin', tokens: [`${id}-token-0123456789-0123456789-012345`] }],
    devices: [
      { id: 'fridge-1', model: 'refrigerator', secret: SECRET },
      { id: 'fridge-2', model: 'refrigerator', secret: `${SECRET}-2`, centre: 'south' },
    ],
  })),
});
const fridge = { tenant: 'acme', device: 'fridge-1' };

const quarantineRecord = (facts: Partial<QuarantineRecord> = {}): QuarantineRecord => ({
  ...fridge,
  reason: 'SIGNAL_TYPE',
  at: 's[0].compressorCurrentA',
  channel: 'telemetry',
  receivedAt: 5,
  sha256: 'ab'.repeat(32),
  excerpt: '{"v":1}',
  boot: 'b1',
  seq: 7,
  samples: 1,
  ...facts,
});

describeOnDatabases('the database', clock, (database) => {
  beforeAll(async () => {
    await applySeed(database(), seed, keys, clock);
  });

  it('migrates again without doing anything', async () => {
    const [one, two] = await Promise.all([migrate(database()), migrate(database())]);
    expect(one).toEqual({ before: one.after, after: one.after });
    expect(two).toEqual(one);
  });

  it('applies a seed twice and keeps one of everything', async () => {
    await applySeed(database(), seed, keys, clock);
    const counts = await database().withSystem(async (tx) => ({
      centres: (await tx.select().from(centres)).length,
      devices: (await tx.select().from(devices)).length,
      tokens: (await tx.select().from(tokens)).length,
    }));
    expect(counts).toEqual({ centres: 4, devices: 4, tokens: 2 });
  });

  it('refuses a seed that names an unknown centre, or a broken policy', async () => {
    const broken = structuredClone(seed);
    const [tenant] = broken.tenants;
    if (tenant?.devices[0]) tenant.devices[0].centre = 'nowhere';
    await expect(applySeed(database(), broken, keys, clock)).rejects.toThrow(/unknown centre nowhere/);
    const policy = structuredClone(seed);
    if (policy.tenants[0]) policy.tenants[0].policy = { minSeverity: 'enormous' };
    await expect(applySeed(database(), policy, keys, clock)).rejects.toThrow(/policy\.minSeverity/);
  });

  describe('row-level security', () => {
    it('is enabled, forced and has a policy on every table, each with a tenant', async () => {
      const rows = await database().withOwner((client) =>
        client.query<{
          name: string;
          ok: boolean;
        }>(`SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity
            AND EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid)
            AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull) AS ok
          FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'`),
      );
      expect(rows.rows.length).toBeGreaterThan(15);
      expect(rows.rows.filter((row) => !row.ok)).toEqual([]);
    });

    it('shows a tenant its own rows only, also to a query without any condition', async () => {
      const seen = await database().withTenant({ tenant: 'acme' }, (tx) =>
        tx.select({ tenant: devices.tenant, id: devices.id }).from(devices),
      );
      expect(new Set(seen.map((row) => row.tenant))).toEqual(new Set(['acme']));
      expect(seen).toHaveLength(2);
    });

    it('refuses to write into another tenant', async () => {
      const attempt = database().withTenant({ tenant: 'acme' }, (tx) =>
        tx.execute(sql`INSERT INTO devices (tenant_id, id, model, centre, secret_hash, created_at)
          VALUES ('globex', 'smuggled', 'refrigerator', 'north', '\\x00', 1)`),
      );
      expect(sqlState(await attempt.catch((error: unknown) => error))).toBe('42501');
    });

    it('shows nothing when the tenant is empty, and no secrets to the role that serves users', async () => {
      const none = await database().withTenant({ tenant: '' }, (tx) => tx.select({ id: devices.id }).from(devices));
      expect(none).toEqual([]);
      for (const query of [
        sql`SELECT secret_hash FROM devices`,
        sql`SELECT webhook_secret FROM centres`,
        sql`SELECT * FROM tokens`,
        sql`SELECT * FROM sessions`,
        sql`DELETE FROM ticket_events`,
        sql`UPDATE ticket_events SET reason = 'x'`,
      ]) {
        const error = await database()
          .withTenant({ tenant: 'acme' }, (tx) => tx.execute(query))
          .catch((thrown: unknown) => thrown);
        expect(sqlState(error)).toBe('42501');
      }
    });

    it('never lets the history of a ticket be changed, not even by the system role', async () => {
      const error = await database()
        .withSystem((tx) => tx.execute(sql`UPDATE ticket_events SET reason = 'x'`))
        .catch((thrown: unknown) => thrown);
      expect(sqlState(error)).toBe('42501');
    });

    it('leaves nothing of the role on the connection it gives back', async () => {
      const inside = await database().withTenant({ tenant: 'acme' }, (tx) =>
        tx.execute<{ role: string }>(sql`SELECT current_user AS role`),
      );
      expect(inside.rows[0]?.role).toBe('presage_app');
      const outside = await database().withOwner((client) =>
        client.query(`SELECT current_setting('presage.tenant', true) AS tenant, current_user = session_user AS same`),
      );
      expect(outside.rows[0]).toMatchObject({ same: true });
      expect(outside.rows[0].tenant || '').toBe('');
    });
  });

  describe('the device directory', () => {
    const directory = () => createDeviceDirectory(database(), { ...keys, clock });

    it('knows a device by its secret and nobody else', async () => {
      const known = directory();
      expect(known.peek(fridge)).toBeUndefined();
      expect(await known.authenticate(fridge, SECRET)).toMatchObject({ ...fridge, model: 'refrigerator' });
      expect(known.peek(fridge)?.model).toBe('refrigerator');
      expect(await known.authenticate(fridge, `${SECRET}x`)).toBeUndefined();
      expect(await known.authenticate({ tenant: 'acme', device: 'absent' }, SECRET)).toBeUndefined();
      expect(await known.authenticate({ tenant: 'absent', device: 'fridge-1' }, SECRET)).toBeUndefined();
    });

    it('shows declared signals at once, and after a restart once they were stored', async () => {
      const known = directory();
      await known.authenticate(fridge, SECRET);
      known.declare(fridge, new Map([['oilPressure', 'number']]));
      expect(known.peek(fridge)?.declaredSignals.get('oilPressure')).toBe('number');
      await createRegistrySink(database(), noMetrics).store([
        {
          kind: 'birth',
          position: 10,
          ref: fridge,
          receivedAt: 100,
          birth: { v: 1, boot: 'b1', t: 90, firmware: '1.2', signals: [{ name: 'oilPressure', unit: 'bar' }] },
        },
      ]);
      expect((await directory().authenticate(fridge, SECRET))?.declaredSignals.get('oilPressure')).toBe('number');
    });

    it('refuses a blocked device as soon as it is told', async () => {
      const known = directory();
      expect(await known.authenticate(fridge, SECRET)).toBeDefined();
      await setStatus(database(), 'blocked');
      known.invalidate(fridge);
      expect(await known.authenticate(fridge, SECRET)).toBeUndefined();
      await setStatus(database(), 'active');
    });

    it('keeps no more devices than it may', async () => {
      const small = createDeviceDirectory(database(), { ...keys, clock }, { maxDevices: 1 });
      await small.authenticate(fridge, SECRET);
      await small.authenticate({ tenant: 'acme', device: 'fridge-2' }, `${SECRET}-2`);
      expect(small.peek(fridge)).toBeUndefined();
    });
  });

  describe('checkpoints', () => {
    it('come back as they were saved, together with their position', async () => {
      const store = createCheckpointStore(database(), 'analytics-test');
      expect(await store.position()).toBe(0);
      expect(await store.load(fridge)).toBeUndefined();
      const state = { z: 1, a: [0.1, 1e-300, -1.5e21], text: 'quote " and \\ and 冰箱', b: { y: 1, x: 2 } };
      await store.save([{ ...fridge, state }], 41);
      await store.save(
        [
          { ...fridge, state: { ...state, n: 2 } },
          { tenant: 'globex', device: 'd', state: null },
        ],
        42,
      );
      expect(JSON.stringify(await store.load(fridge))).toBe(JSON.stringify({ ...state, n: 2 }));
      expect(await store.position()).toBe(42);
      await store.save([], 43);
      expect(await store.position()).toBe(43);
      expect(await createCheckpointStore(database(), 'other').load(fridge)).toBeUndefined();
    });

    it('saves a thousand devices in one statement', async () => {
      const store = createCheckpointStore(database(), 'many');
      const changed = Array.from({ length: 1_000 }, (_, n) => ({ tenant: 'acme', device: `d${n}`, state: { n } }));
      await store.save(changed, 1);
      expect(await store.load({ tenant: 'acme', device: 'd999' })).toEqual({ n: 999 });
    });
  });

  describe('the registry', () => {
    const row = async () =>
      (
        await database().withSystem((tx) =>
          tx.select().from(devices).where(sql`tenant_id = 'acme' AND id = 'fridge-1'`),
        )
      )[0];

    it.each<[string, RegistryRecord]>([
      [
        'NUL in a text',
        {
          kind: 'birth',
          position: 50,
          ref: fridge,
          receivedAt: 1,
          birth: { v: 1, boot: 'b', t: 1, firmware: 'a\0b' },
        },
      ],
      [
        'NUL in a value',
        {
          kind: 'event',
          position: 50,
          ref: fridge,
          receivedAt: 1,
          event: { v: 1, boot: 'b', seq: 1, t: 1, events: [{ name: 'x', detail: { mode: '\0' } }] },
        },
      ],
      [
        'a count that no column holds',
        {
          kind: 'event',
          position: 50,
          ref: fridge,
          receivedAt: 1,
          event: { v: 1, boot: 'b', seq: 1, t: 1, faults: [{ code: 'F1', occurrences: 2 ** 40 }] },
        },
      ],
    ])('says of a record with %s that it will never be stored', async (_what, record) => {
      await expect(createRegistrySink(database(), noMetrics).store([record])).rejects.toMatchObject({
        code: 'STORE_WRITE_REJECTED',
      });
    });

    it('takes a birth, keeps what it leaves out, and lets an old will not end a new boot', async () => {
      const registry = createRegistrySink(database(), noMetrics);
      await registry.store([
        {
          kind: 'birth',
          position: 100,
          ref: fridge,
          receivedAt: 1_000,
          birth: { v: 1, boot: 'new', t: 1, firmware: '2.0' },
        },
        { kind: 'state', position: 101, ref: fridge, receivedAt: 1_001, state: { v: 1, boot: 'new', state: 'online' } },
        {
          kind: 'state',
          position: 102,
          ref: fridge,
          receivedAt: 1_002,
          state: { v: 1, boot: 'old', state: 'offline' },
        },
      ]);
      expect(await row()).toMatchObject({
        currentBoot: 'new',
        firmware: '2.0',
        reportedState: 'online',
        lastSeenAt: 1_001,
      });
      expect((await row())?.declaredSignals).toMatchObject({ oilPressure: { unit: 'bar' } });
      await registry.store([
        {
          kind: 'state',
          position: 103,
          ref: fridge,
          receivedAt: 1_003,
          state: { v: 1, boot: 'new', state: 'offline' },
        },
      ]);
      expect(await row()).toMatchObject({ reportedState: 'offline', stateAt: 1_003 });
    });

    it('stores each record once, however often the log is read', async () => {
      const registry = createRegistrySink(database(), noMetrics);
      const records = [
        { kind: 'quarantine' as const, position: 200, record: quarantineRecord() },
        { kind: 'quarantine' as const, position: 200, record: quarantineRecord({ at: 's[1]' }) },
        {
          kind: 'event' as const,
          position: 201,
          ref: fridge,
          receivedAt: 1_000,
          event: {
            v: 1 as const,
            boot: 'b',
            seq: 1,
            t: 900,
            faults: [{ code: 'E01' }],
            events: [{ name: 'doorOpen' }],
          },
        },
      ];
      await registry.store(records);
      await registry.store(records);
      await registry.store(records.slice(2));
      const stored = await database().withSystem(async (tx) => ({
        quarantine: await tx.select().from(quarantine),
        faults: await tx.select().from(faultRecords),
      }));
      expect(stored.quarantine.map((entry) => entry.at).sort()).toEqual(['s[0].compressorCurrentA', 's[1]']);
      expect(stored.faults).toMatchObject([{ code: 'E01', occurrences: 1, firstSeenAt: 900 }]);
    });
  });

  it('keeps the newest refused payloads of a tenant up to its bound, and the entries of all', async () => {
    const counted = recordingMetrics();
    const registry = createRegistrySink(database(), counted, { maxBytes: 100, maxEntries: 3 });
    const payload = Buffer.alloc(30).toString('base64');
    const records = (from: number, count: number, more: Partial<QuarantineRecord> = {}) =>
      Array.from({ length: count }, (_, i) => ({
        kind: 'quarantine' as const,
        position: from + i,
        record: quarantineRecord({ device: 'fridge-2', payload, ...more }),
      }));
    await registry.store(records(300, 5));
    await registry.store(records(310, 1, { tenant: 'globex' }));
    const keptOf = async (tenant: string) => {
      const rows = await database().withTenant({ tenant }, (tx) =>
        tx.select().from(quarantine).where(sql`device = 'fridge-2'`).orderBy(quarantine.id),
      );
      return rows.map((row) => row.payload?.byteLength ?? 0);
    };
    expect(await keptOf('acme')).toEqual([0, 0, 30, 30, 30]);
    expect(await keptOf('globex')).toEqual([30]);
    expect(counted.values.get('presage_quarantine_payloads_cut_total')).toBe(2);
    await registry.store(records(320, 1, { payload: Buffer.alloc(60).toString('base64') }));
    expect(await keptOf('acme')).toEqual([0, 0, 0, 0, 30, 60]);
  });

  it('writes last-seen times in batches and knows who is connected', async () => {
    const presence = createPresence(database(), { logger: silentLogger });
    await presence.start();
    presence.recordPresence({ ...fridge, connected: true, at: 9_000, remoteAddress: '127.0.0.1' });
    presence.recordMessage(fridge, 9_500);
    presence.recordMessage(fridge, 9_400);
    expect(presence.connected().get('acme.fridge-1')).toBe(9_000);
    presence.recordPresence({ ...fridge, connected: false, at: 9_300, remoteAddress: '127.0.0.1' });
    expect(presence.connected().size).toBe(0);
    await presence.stop();
    const rows = await database().withTenant({ tenant: 'acme' }, (tx) =>
      tx.select({ at: devices.lastSeenAt }).from(devices).where(sql`id = 'fridge-1'`),
    );
    expect(rows).toEqual([{ at: 9_500 }]);
  });

  it('keeps at most one open alert for a device and fault key, by index', async () => {
    const alert = (id: string) => ({
      tenant: 'acme',
      id,
      device: 'fridge-1',
      model: 'refrigerator',
      component: 'compressor',
      faultKey: 'compressorBearingWear',
      severity: 'major' as const,
      state: 'open' as const,
      confirmed: true,
      onset: 1,
      raisedAt: 1,
      updatedAt: 1,
      evidence: {
        detector: { name: 'd', version: '1' },
        score: 1,
        threshold: 1,
        because: [],
        likelyCauses: [],
        bands: {},
      },
    });
    await database().withSystem((tx) => tx.insert(alerts).values(alert('e1')));
    const second = await database()
      .withSystem((tx) => tx.insert(alerts).values(alert('e2')))
      .catch((error: unknown) => error);
    expect(sqlState(second)).toBe('23505');
    expect(String(rootCause(second))).toContain('alerts_one_open');
  });

  it('makes owner links of which only hashes are kept', async () => {
    const link = await createOwnerLink(database(), { tenant: 'acme', user: 'owner' }, clock);
    expect(link).toHaveLength(43);
    const stored = await database().withSystem((tx) => tx.select().from(ownerLinks));
    expect(stored.some((row) => row.hash.equals(hashToken(link)))).toBe(true);
    await expect(createOwnerLink(database(), { tenant: 'nope', user: 'owner' }, clock)).rejects.toThrow(/nope/);
  });

  it('opens no first door where tenants are known', async () => {
    expect(await openFirstDoor(database(), clock)).toBeUndefined();
  });
});

async function setStatus(database: Database, status: 'active' | 'blocked'): Promise<void> {
  await database.withTenant({ tenant: 'acme' }, (tx) => tx.update(devices).set({ status }).where(sql`id = 'fridge-1'`));
}
