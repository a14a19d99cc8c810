/** Security events on their way into the database, and who may read them. */
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Database } from '../../api/db/database.ts';
import { createRegistrySink } from '../../api/devices/registry-sink.ts';
import {
  createSecurityEventWriter,
  DEFAULT_SECURITY_EVENT_LIMITS,
  type SecurityEventLimits,
} from '../../api/devices/security-events.ts';
import type { SecurityEventEntry } from '../../contract/http/resources.ts';
import type { SecurityEvent } from '../../contract/ports/broker.ts';
import type { RegistryRecord } from '../../contract/ports/registry.ts';
import { type ApiHarness, startHarness, T0 } from '../support/api-harness.ts';
import { manualClock, silentLogger } from '../support/fake-services.ts';
import { recordingMetrics } from '../support/ingest-harness.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(T0);
const admin = { user: 'anna' };
const PATH = '/api/v1/security-events';

const event = (facts: Partial<SecurityEvent> = {}): SecurityEvent => ({
  tenant: 'acme',
  device: 'fridge-1',
  kind: 'MQTT_TOPIC',
  at: T0,
  remoteAddress: '192.0.2.1',
  certificateSerial: 'abc',
  detail: 'publish to "x"',
  proved: true,
  ...facts,
});

describeOnDatabases('security events', clock, (database) => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await startHarness(database(), clock);
  });
  afterAll(() => harness?.api.stop());

  const list = async (filter = '', as: Parameters<ApiHarness['request']>[0] = admin) => {
    const { status, body } = await harness.request(as, 'GET', `${PATH}${filter}`);
    return { status, ...(body as { items: SecurityEventEntry[]; nextCursor?: string }) };
  };

  /** Writes what it is given, as one run of a server does. */
  async function write(events: readonly SecurityEvent[], limits: Partial<SecurityEventLimits> = {}, to?: Database) {
    const metrics = recordingMetrics();
    const all = { ...DEFAULT_SECURITY_EVENT_LIMITS, ...limits };
    const writer = createSecurityEventWriter(to ?? database(), { clock, logger: silentLogger, metrics }, all);
    for (const one of events) writer.record(one);
    await writer.stop();
    return metrics;
  }

  it('come back folded, also over two runs, and each tenant sees its own', async () => {
    await write([event(), event({ at: T0 + 5 }), event({ tenant: 'globex', detail: 'theirs' })]);
    const metrics = await write([event({ at: T0 + 9, detail: 'the last' })]);
    expect((await list()).items).toEqual([
      {
        id: expect.any(String),
        device: 'fridge-1',
        kind: 'MQTT_TOPIC',
        firstAt: T0,
        lastAt: T0 + 9,
        times: 3,
        remoteAddress: '192.0.2.1',
        certificateSerial: 'abc',
        detail: 'the last',
      },
    ]);
    expect((await list('', { tenant: 'globex', user: 'anna' })).items).toMatchObject([{ times: 1, detail: 'theirs' }]);
    expect(metrics.values.get('presage_security_events_total{kind=MQTT_TOPIC}')).toBe(1);
  });

  it('are for managers of the whole tenant', async () => {
    for (const user of ['vera', 'alan', 'nora', 'stan']) expect((await list('', { user })).status).toBe(403);
    expect((await harness.request(undefined, 'GET', PATH)).status).toBe(401);
  });

  it('are found by device, kind and time, page by page', async () => {
    const minutes = [1, 2, 3].map((minute) => event({ device: 'fridge-2', at: T0 + minute * 60_000 }));
    await write([...minutes, event({ device: 'fridge-2', kind: 'MQTT_MOVED', at: T0 + 240_000 })]);
    expect((await list('?device=fridge-2')).items.map(({ lastAt }) => lastAt - T0)).toEqual([
      240_000, 180_000, 120_000, 60_000,
    ]);
    expect((await list('?kind=MQTT_MOVED')).items).toHaveLength(1);
    expect((await list(`?device=fridge-2&since=${new Date(T0 + 180_000).toISOString()}`)).items).toHaveLength(2);
    const first = await list('?device=fridge-2&limit=3');
    const second = await list(`?device=fridge-2&limit=3&cursor=${first.nextCursor}`);
    expect(new Set([...first.items, ...second.items].map(({ id }) => id)).size).toBe(4);
    expect(second.nextCursor).toBeUndefined();
    for (const wrong of ['?since=yesterday', `?since=${T0}`, '?limit=501', '?tenant=globex', '?cursor=x']) {
      expect((await list(wrong)).status).toBe(400);
    }
  });

  it('about names that nobody has registered make one row without a name, or none', async () => {
    const made = Array.from({ length: 50 }, (_, i) => event({ device: `ghost-${i}`, kind: 'MQTT_CLIENT_ID' }));
    await write([...made, event({ tenant: 'nobody', kind: 'MQTT_CLIENT_ID' })]);
    const { items } = await list('?kind=MQTT_CLIENT_ID');
    expect(items).toMatchObject([{ times: 50 }]);
    expect(items[0]).not.toHaveProperty('device');
    const stored = await database().withSystem((tx) =>
      tx.execute(sql`SELECT 1 FROM security_events WHERE tenant_id = 'nobody'`),
    );
    expect(stored.rows).toEqual([]);
  });

  it('of a sequence conflict are written with its quarantine entry, once', async () => {
    const conflict = (position: number, facts = {}): RegistryRecord => ({
      kind: 'quarantine',
      position,
      record: {
        ...{ tenant: 'acme', device: 'fridge-3', reason: 'SEQUENCE_CONFLICT', at: '', channel: 'telemetry' },
        ...{ receivedAt: T0 + position, sha256: 'ab'.repeat(32), excerpt: '{}', boot: 'b1', seq: 7, samples: 1 },
        ...facts,
      },
    });
    const metrics = recordingMetrics();
    const sink = createRegistrySink(database(), metrics);
    const records = [
      conflict(1, { source: 'same' }),
      conflict(2, { source: 'same' }),
      conflict(3),
      conflict(4, { reason: 'SIGNAL_TYPE' }),
    ];
    await sink.store(records);
    await sink.store(records);
    const { items } = await list('?kind=SEQUENCE_CONFLICT');
    expect(items).toMatchObject([
      { device: 'fridge-3', times: 2, detail: 'boot b1, seq 7 came again with another content' },
    ]);
    expect(items[0]).not.toHaveProperty('remoteAddress');
    expect(metrics.values.get('presage_security_events_total{kind=SEQUENCE_CONFLICT}')).toBe(2);
  });

  it('go when their tenant has too many, oldest first, and only its own', async () => {
    const later = (minute: number) => event({ device: 'fridge-2', at: T0 + minute * 60_000 });
    const metrics = await write([later(10), later(11), later(12)], { maxRowsPerTenant: 2 });
    expect((await list()).items.map(({ lastAt }) => (lastAt - T0) / 60_000)).toEqual([12, 11]);
    expect((await list('', { tenant: 'globex', user: 'anna' })).items).toHaveLength(1);
    expect(metrics.values.get('presage_security_events_cut_total')).toBeGreaterThan(3);
  });

  it('wait within their bound while the database is away, and the rest is counted', async () => {
    let away = true;
    const flaky: Database = {
      ...database(),
      withSystem: (work) => (away ? Promise.reject(new Error('away')) : database().withSystem(work)),
    };
    const metrics = recordingMetrics();
    const limits = { ...DEFAULT_SECURITY_EVENT_LIMITS, maxEventsPerTenant: 3, flushIntervalMs: 5 };
    const warnings: string[] = [];
    const logger = { ...silentLogger, warn: (_facts: object, message: string) => void warnings.push(message) };
    const writer = createSecurityEventWriter(flaky, { clock, logger, metrics }, limits);
    await writer.start();
    for (let i = 0; i < 10; i++) writer.record(event({ kind: 'MQTT_CERTIFICATE', remoteAddress: `192.0.2.${i}` }));
    await waitFor('a failed try', () => warnings.length > 0);
    writer.record(event({ kind: 'MQTT_CERTIFICATE', remoteAddress: '192.0.2.0' }));
    away = false;
    await waitFor('the rows', async () => (await list('?kind=MQTT_CERTIFICATE')).items.length === 3);
    await writer.stop();
    expect((await list('?kind=MQTT_CERTIFICATE')).items.map(({ times }) => times).sort()).toEqual([1, 1, 2]);
    expect(warnings).toEqual(['security events were not written']);
    expect(metrics.values.get('presage_security_events_dropped_total')).toBe(7);
    expect(metrics.values.get('presage_security_events_total{kind=MQTT_CERTIFICATE}')).toBe(11);
  });
});
