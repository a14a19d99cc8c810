/** A device that denies having sent something: when it came, through which connection, and with which certificate. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { initCa, issue } from '../../app/ca/certificate-authority.ts';
import { composeSystem, type System } from '../../app/compose.ts';
import { loadConfig } from '../../app/config.ts';
import type { MessageReceipt } from '../../contract/http/resources.ts';
import { silentLogger } from '../support/fake-services.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const SECRET = 'secret-of-fridge-1-0123456789';
const VIEWER = 'psg_test_viewer_token_0123456789abcdefg';
const OTHER = 'psg_test_other_tenant_token_0123456789ab';
const centres = [{ id: 'main', name: 'Main', timeZone: 'UTC' }];
const seed = {
  tenants: [
    {
      id: 'acme',
      name: 'Acme',
      centres,
      users: [{ id: 'vera', role: 'viewer' as const, tokens: [VIEWER] }],
      devices: [{ id: 'fridge-1', model: 'refrigerator', secret: SECRET }],
    },
    {
      id: 'globex',
      name: 'Globex',
      centres,
      users: [{ id: 'vera', role: 'viewer' as const, tokens: [OTHER] }],
      devices: [],
    },
  ],
};
const T = Date.now() - 60_000;

describe('the receipt of a message', () => {
  let directory: string;
  let system: System;
  beforeAll(async () => {
    directory = temporaryDirectory('receipts');
    const ca = join(directory, 'ca');
    await initCa(ca, 'Test devices', Date.now());
    await issue(ca, { name: 'server', server: ['localhost', '127.0.0.1'], days: 1, out: directory }, Date.now());
    await issue(ca, { name: 'acme.fridge-1', days: 1, out: directory }, Date.now());
    const { config } = loadConfig({ env: {}, flags: {} });
    const ports = { httpPort: 0, mqttPort: 0, mqttsPort: 0 };
    const files = {
      mqttsCertFile: join(directory, 'server.crt'),
      mqttsKeyFile: join(directory, 'server.key'),
      mqttsCaFile: join(ca, 'ca.crt'),
      mqttsClientCert: 'optional' as const,
    };
    system = composeSystem(
      { ...config, ...ports, ...files, dataDir: join(directory, 'data'), diskMinFreeMb: 0 },
      { logger: silentLogger, seed, onFatal: () => undefined },
    );
    await system.start();
  });
  afterAll(async () => {
    await system?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function ask(seq: number, token = VIEWER): Promise<{ status: number; body: MessageReceipt }> {
    const url = `http://127.0.0.1:${system.ready().ports.http}/api/v1/devices/fridge-1/receipts?boot=boot-1&seq=${seq}`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    return { status: answer.status, body: (await answer.json()) as MessageReceipt };
  }

  async function send(client: MqttClient, seq: number, signals: object): Promise<void> {
    const payload = { v: 1, boot: 'boot-1', seq, t: T, s: [[seq, signals]] };
    await client.publishAsync('presage/v1/acme/fridge-1/telemetry', JSON.stringify(payload), { qos: 1 });
  }

  const complete = (seq: number): Promise<MessageReceipt> =>
    waitFor(`the receipt of ${seq}`, async () => {
      const { body } = await ask(seq);
      return body.connection ? body : undefined;
    });

  it('names its connection: by secret without, by certificate with the serial number', async () => {
    const { mqtt, mqtts } = system.ready().ports;
    const before = Date.now();
    const clientId = 'acme.fridge-1';
    const plain = await connectAsync(`mqtt://127.0.0.1:${mqtt}`, { clientId, username: clientId, password: SECRET });
    await send(plain, 1, { freezerTempC: -18 });
    await plain.endAsync();
    const certified = await connectAsync(`mqtts://127.0.0.1:${mqtts}`, {
      clientId,
      ca: readFileSync(join(directory, 'ca', 'ca.crt')),
      cert: readFileSync(join(directory, `${clientId}.crt`)),
      key: readFileSync(join(directory, `${clientId}.key`)),
    });
    await send(certified, 2, { freezerTempC: -17 });
    await send(certified, 3, { nobodyKnows: 1 });
    await certified.endAsync();

    const first = await complete(1);
    expect(first).toMatchObject({ outcome: 'stored', observedAt: T + 1, samples: 1, quarantine: [] });
    expect(first.receivedAt).toBeGreaterThanOrEqual(before);
    expect(first.connection?.connectedAt).toBeLessThanOrEqual(first.receivedAt);
    expect(first.connection?.remoteAddress).toContain('127.0.0.1');
    expect(first.connection).not.toHaveProperty('certificateSerial');

    const { serialNumber } = new X509Certificate(readFileSync(join(directory, `${clientId}.crt`)));
    const second = await complete(2);
    expect(second.connection?.certificateSerial).toBe(serialNumber.toLowerCase().replace(/^0+/, ''));
    expect(second.connection?.id).not.toBe(first.connection?.id);

    const refused = await complete(3);
    expect(refused).toMatchObject({ outcome: 'quarantined', samples: 0, connection: second.connection });
    expect(refused.quarantine).toHaveLength(1);
  });

  it('is absent for what never came, and for other tenants', async () => {
    expect((await ask(99)).status).toBe(404);
    expect((await ask(1, OTHER)).status).toBe(404);
  });
});
