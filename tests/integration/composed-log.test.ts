/** What the whole system does when its log cannot take more: it never acknowledges, says so, and never hangs. */
import { rmSync } from 'node:fs';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { type ComposeDeps, composeSystem, type System } from '../../app/compose.ts';
import { type Config, loadConfig } from '../../app/config.ts';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import { nodeDisk } from '../../ingest/log/log-disk.ts';
import { silentLogger } from '../support/fake-services.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const SECRET = 'secret-of-fridge-1-0123456789';
const TOKEN = 'psg_test_manager_token_0123456789abcdef';
const seed: SeedFile = {
  tenants: [
    {
      id: 'acme',
      name: 'Acme',
      centres: [{ id: 'main', name: 'Main', timeZone: 'UTC' }],
      users: [{ id: 'boss', role: 'manager', tokens: [TOKEN] }],
      devices: [{ id: 'fridge-1', model: 'refrigerator', secret: SECRET }],
    },
  ],
};

let directory: string | undefined;
let system: System | undefined;
const clients: MqttClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.end(true);
  await system?.stop();
  if (directory) rmSync(directory, { recursive: true, force: true });
});

async function start(over: Partial<Config>, deps: Partial<ComposeDeps> = {}): Promise<System> {
  directory = temporaryDirectory('composed');
  const { config } = loadConfig({ env: {}, flags: {} });
  const settings = { dataDir: directory, httpPort: 0, mqttPort: 0, diskMinFreeMb: 0, deviceMessagesPerS: 100_000 };
  system = composeSystem(
    { ...config, ...settings, ...over },
    { logger: silentLogger, seed, onFatal: () => {}, ...deps },
  );
  await system.start();
  return system;
}

async function device(running: System, reconnectPeriod = 0): Promise<MqttClient> {
  const client = await connectAsync(`mqtt://127.0.0.1:${running.ready().ports.mqtt}`, {
    clientId: 'acme.fridge-1',
    username: 'acme.fridge-1',
    password: SECRET,
    reconnectPeriod,
  });
  client.on('error', () => {}); // Its connection is expected to be closed.
  clients.push(client);
  return client;
}

const message = (seq: number, text = ''): string =>
  JSON.stringify({ v: 1, boot: 'boot-1', seq, t: Date.now(), s: [[0, { freezerTempC: -18, mode: text }]] });

/** Resolves with whether it was acknowledged before the connection was closed. */
const publish = (client: MqttClient, seq: number): Promise<boolean> =>
  new Promise((resolve) => {
    client.once('close', () => resolve(false));
    client.publish('presage/v1/acme/fridge-1/telemetry', message(seq), { qos: 1 }, (error) => resolve(!error));
  });

async function readiness(running: System): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${running.ready().ports.http}/readyz`);
  return { status: response.status, text: await response.text() };
}

describe('the whole system', () => {
  it('ends when its log failed, and never acknowledges what may not be on the disk', async () => {
    let broken = false;
    const fatal: Error[] = [];
    const sync = (fd: number): Promise<void> =>
      broken ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' })) : nodeDisk.sync(fd);
    const running = await start({}, { onFatal: (error) => fatal.push(error), logDisk: { ...nodeDisk, sync } });
    const client = await device(running);
    expect(await publish(client, 1)).toBe(true);
    expect((await readiness(running)).status).toBe(200);
    expect(await qualityOf(running)).toMatchObject({ score: 1, messages: 1, gaps: 0, clockSkewed: false });
    broken = true;
    expect(await publish(client, 2)).toBe(false);
    expect(fatal).toMatchObject([{ code: 'LOG_FAILED' }]);
    expect((await readiness(running)).status).toBe(503);
  });

  it('acknowledges nothing below its disk watermark, and names the log in /readyz', async () => {
    const running = await start({ diskMinFreeMb: 1e9 });
    const client = await device(running);
    expect(await publish(client, 1)).toBe(false);
    const { status, text } = await readiness(running);
    expect(status).toBe(503);
    expect(text).toContain('the disk has too little free space');
  });

  it('resumes by itself when the followers of a full log have caught up', async () => {
    const running = await start({ logMaxMb: 0.0625 });
    const client = await device(running, 1_500); // More often, and the broker takes it for a storm.
    let acknowledged = 0;
    let closed = 0;
    client.on('close', () => closed++);
    const filler = 'x'.repeat(200);
    for (let seq = 1; seq <= 400; seq++) {
      client.publish('presage/v1/acme/fridge-1/telemetry', message(seq, filler), { qos: 1 }, (error) => {
        if (!error) acknowledged++;
      });
    }
    await waitFor('all messages to be acknowledged', () => acknowledged === 400, 30_000);
    expect(closed).toBeGreaterThan(0);
    const seqs = await waitFor('all messages to be stored', async () => {
      const stored = await exportedSeqs(running);
      return stored.length >= 400 ? stored : undefined;
    });
    expect(seqs).toEqual(Array.from({ length: 400 }, (_, index) => index + 1));
  });
});

async function qualityOf(running: System): Promise<unknown> {
  const url = `http://127.0.0.1:${running.ready().ports.http}/api/v1/devices/fridge-1`;
  const response = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } });
  return ((await response.json()) as { dataQuality?: unknown }).dataQuality;
}

async function exportedSeqs(running: System): Promise<number[]> {
  const day = 86_400_000;
  const range = `from=${new Date(Date.now() - day).toISOString()}&to=${new Date(Date.now() + day).toISOString()}`;
  const url = `http://127.0.0.1:${running.ready().ports.http}/api/v1/export/telemetry?device=fridge-1&${range}`;
  const response = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } });
  const lines = (await response.text()).split('\n').filter((line) => line !== '');
  return lines.map((line) => (JSON.parse(line) as { seq: number }).seq).sort((a, b) => a - b);
}
