/** Every metric that docs/operations.md names under "What to watch" is there from the start, and the books balance. */
import { readFileSync, rmSync } from 'node:fs';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { composeSystem, type System } from '../../app/compose.ts';
import { loadConfig } from '../../app/config.ts';
import { silentLogger } from '../support/fake-services.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const SECRET = 'secret-of-fridge-1-0123456789';
const seed = {
  tenants: [
    {
      id: 'acme',
      name: 'Acme',
      centres: [{ id: 'main', name: 'Main', timeZone: 'UTC' }],
      users: [],
      devices: [{ id: 'fridge-1', model: 'refrigerator', secret: SECRET }],
    },
  ],
};

/** Rows of the table as [name, labels]. */
function promised(): [name: string, labels: string[]][] {
  const text = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const section = text.split('## What to watch')[1]?.split('\n## ')[0] ?? '';
  return [...section.matchAll(/`((?:presage|nodejs)_\w+)(?:\{([\w,]+)\})?`/g)].map(([, name = '', labels = '']) => [
    name,
    labels.split(',').filter(Boolean),
  ]);
}

describe('the counters of a running system', () => {
  let directory: string;
  let system: System;
  beforeAll(async () => {
    directory = temporaryDirectory('counters');
    const { config } = loadConfig({ env: {}, flags: {} });
    system = composeSystem(
      { ...config, dataDir: directory, httpPort: 0, mqttPort: 0, diskMinFreeMb: 0 },
      { logger: silentLogger, seed, onFatal: () => undefined },
    );
    await system.start();
  });
  afterAll(async () => {
    await system?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const metrics = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${system.ready().ports.http}/metrics`)).text();

  /** Sum over the label values that are wanted. */
  async function sum(name: string, labels = ''): Promise<number> {
    const lines = (await metrics())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    return lines
      .filter((line) => line.includes(labels))
      .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
  }

  it('are all exposed with their labels before anything has happened', async () => {
    const rows = promised();
    expect(rows.length).toBeGreaterThan(16);
    await waitFor('the first figures', async () => (await metrics()).includes('presage_log_oldest_seconds'), 15_000);
    const text = await metrics();
    const missing = rows.filter(([name, labels]) => {
      const line = text.split('\n').find((one) => one.startsWith(`${name}{`) || one.startsWith(`${name} `));
      return line === undefined || labels.some((label) => !line.includes(`${label}="`));
    });
    expect(missing).toEqual([]);
  });

  it('balance once nothing is in flight', async () => {
    const client = await connectAsync(`mqtt://127.0.0.1:${system.ready().ports.mqtt}`, {
      clientId: 'acme.fridge-1',
      username: 'acme.fridge-1',
      password: SECRET,
      reconnectPeriod: 0,
    });
    const send = (seq: number, signals: object, more: object[] = []): Promise<unknown> => {
      const payload = { v: 1, boot: 'boot-1', seq, t: Date.now(), s: [[0, signals], ...more] };
      return client.publishAsync('presage/v1/acme/fridge-1/telemetry', JSON.stringify(payload), { qos: 1 });
    };
    await send(1, { freezerTempC: -18 });
    await send(2, { freezerTempC: -18 }, [[1, { nobodyKnows: 1 }]]);
    await send(3, { nobodyKnows: 1 });
    const twice = { v: 1, boot: 'boot-1', seq: 4, t: Date.now(), s: [[0, { freezerTempC: -17 }]] };
    for (let copy = 0; copy < 2; copy++) {
      await client.publishAsync('presage/v1/acme/fridge-1/telemetry', JSON.stringify(twice), { qos: 1 });
    }
    await client.endAsync();
    await waitFor('three messages to be stored', async () => (await sum('presage_ingest_stored_total')) === 3);
    const received = await sum('presage_ingest_received_total', 'channel="telemetry"');
    const logged = await sum('presage_ingest_logged_total', 'kind="telemetry"');
    const duplicates = await sum('presage_ingest_duplicates_total', 'channel="telemetry"');
    const quarantined = await sum('presage_ingest_quarantined_total');
    expect([received, logged, duplicates, quarantined]).toEqual([5, 3, 1, 1]);
    expect(await sum('presage_ingest_quarantined_samples_total', 'SIGNAL_UNKNOWN')).toBe(1);
    expect(await sum('presage_ingest_dropped_total')).toBe(0);
    expect(await sum('presage_log_lost_bytes')).toBe(0);
    expect(await sum('presage_ready', 'component="all"')).toBe(1);
  });
});
