/** Threats that only the whole system can answer, on one real process that was started carelessly: with umask 000. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { integrationCreated, page, securityEvent } from '../../contract/http/resources.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import { connectPacket } from '../support/broker-harness.ts';
import { connectClient, integrationConnect } from '../support/mqtt-client.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { waitFor } from '../support/wait-for.ts';

const thief = { tenant: 'acme', device: 'fridge-1' };
const neighbour = { tenant: 'acme', device: 'fridge-2' };
const TOKEN = 'token-of-the-manager-0123456789-0123456789';
const OTHER_TOKEN = 'token-of-another-manager-0123456789-0123456789';
const secretOf = (device: string): string => `a secret of its own for ${device}`;

let server: PresageProcess;
beforeAll(async () => {
  const umask = process.umask(0);
  try {
    server = await startPresage({
      seed: {
        tenants: [
          {
            id: 'acme',
            name: 'Acme',
            centres: [{ id: 'north', name: 'North', timeZone: 'UTC' }],
            users: [{ id: 'ops', role: 'manager', tokens: [TOKEN] }],
            devices: [thief, neighbour].map(({ device }) => ({
              id: device,
              model: 'refrigerator',
              secret: secretOf(device),
            })),
            integrations: [{ id: 'erp', secret: secretOf('erp') }],
          },
          {
            id: 'globex',
            name: 'Globex',
            centres: [{ id: 'north', name: 'North', timeZone: 'UTC' }],
            users: [{ id: 'ops', role: 'manager', tokens: [OTHER_TOKEN] }],
            devices: [{ id: 'fridge-1', model: 'refrigerator', secret: secretOf('another fridge') }],
          },
        ],
      },
    });
  } finally {
    process.umask(umask);
  }
});
afterAll(() => server?.dispose());

const logIn = (ref: typeof thief, secret = secretOf(ref.device)) =>
  connectClient(Number(new URL(server.broker).port), connectPacket(ref, { password: Buffer.from(secret) }));

const post = (path: string) =>
  fetch(`${server.api}/api/v1/devices/${path}`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` } });

const telemetryOf = (seq: number): string =>
  JSON.stringify({ v: 1, boot: 'boot-1', seq, t: Date.now(), s: [[0, { freezerTempC: -18 }]] });

describe('a device that is blocked', () => {
  it('is cut off within five seconds, does not come back, and its neighbour notices nothing', async () => {
    const [stolen, honest] = [await logIn(thief), await logIn(neighbour)];
    await stolen.publish(topicOf(thief, 'telemetry'), telemetryOf(1), 1);
    const since = performance.now();
    expect((await post('fridge-1/block')).status).toBeLessThan(300);
    await stolen.closed();
    expect(performance.now() - since).toBeLessThan(5_000);
    expect((await logIn(thief)).connack).toMatchObject({ returnCode: 4 });
    await honest.publish(topicOf(neighbour, 'telemetry'), telemetryOf(1), 1);
    expect((await post('fridge-1/unblock')).status).toBeLessThan(300);
    expect((await logIn(thief)).connack).toMatchObject({ returnCode: 0 });
  });

  it('could not have come in with the secret of its neighbour either', async () => {
    expect((await logIn(thief, secretOf('fridge-2'))).connack).toMatchObject({ returnCode: 4 });
  });
});

describe('a device that publishes to another tenant', () => {
  const events = async (token: string) => {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`${server.api}/api/v1/security-events?kind=MQTT_TOPIC`, { headers });
    return page(securityEvent).parse(await answer.json()).items;
  };

  it('is closed, and its own tenant is told, and nobody else', async () => {
    const device = await logIn(neighbour);
    const foreign = topicOf({ tenant: 'globex', device: 'fridge-1' }, 'telemetry');
    await device.publish(foreign, telemetryOf(1), 0);
    await device.closed();
    await waitFor('the event', async () => (await events(TOKEN)).length > 0);
    expect(await events(TOKEN)).toMatchObject([
      { device: 'fridge-2', times: 1, remoteAddress: '127.0.0.1', detail: `publish to "${foreign}"` },
    ]);
    expect(await events(OTHER_TOKEN)).toEqual([]);
  });
});

describe('an integration', () => {
  const ask = async (method: string, path: string, body?: object) => {
    const headers = { authorization: `Bearer ${TOKEN}`, ...(body && { 'content-type': 'application/json' }) };
    const init = { method, headers, ...(body && { body: JSON.stringify(body) }) };
    const answer = await fetch(`${server.api}/api/v1/integrations${path}`, init);
    return { status: answer.status, body: (await answer.json()) as unknown };
  };
  const open = (name: string, secret: string) =>
    connectClient(
      Number(new URL(server.broker).port),
      integrationConnect({ tenant: 'acme', integration: name }, { password: Buffer.from(secret), clean: false }),
    );

  it('is registered by the API, reads along, and is cut off within five seconds of being blocked', async () => {
    const made = await ask('POST', '', { id: 'data-lake' });
    expect(made.status).toBe(201);
    const { mqtt } = integrationCreated.parse(made.body);
    expect(mqtt.username).toBe('acme/data-lake');
    const reader = await open('data-lake', mqtt.password);
    expect(await reader.subscribe(['presage/v1/acme/+/telemetry', 1], ['presage/v1/#', 1])).toEqual([1, 128]);
    const honest = await logIn(neighbour);
    await honest.publish(topicOf(neighbour, 'telemetry'), telemetryOf(10), 1);
    await waitFor('the message', () => reader.messages.length > 0);
    expect(reader.messages).toMatchObject([{ topic: topicOf(neighbour, 'telemetry') }]);
    const since = performance.now();
    expect((await ask('POST', '/data-lake/block')).body).toMatchObject({ id: 'data-lake', status: 'blocked' });
    await reader.closed();
    expect(performance.now() - since).toBeLessThan(5_000);
    expect((await open('data-lake', mqtt.password)).connack).toMatchObject({ returnCode: 4 });
    expect(honest.isClosed()).toBe(false);
  });

  it('of the seed comes in with the secret of the seed, until it is rotated', async () => {
    expect((await open('erp', secretOf('erp'))).connack).toMatchObject({ returnCode: 0, sessionPresent: false });
    const { mqtt } = integrationCreated.parse((await ask('POST', '/erp/rotate')).body);
    expect((await open('erp', secretOf('erp'))).connack).toMatchObject({ returnCode: 4 });
    expect((await open('erp', mqtt.password)).connack).toMatchObject({ returnCode: 0, sessionPresent: false });
    expect((await ask('GET', '')).body).toMatchObject({
      items: [{ id: 'data-lake' }, { id: 'erp', status: 'active' }],
    });
    expect((await ask('POST', '', { id: 'erp' })).status).toBe(409);
    expect((await ask('POST', '/nobody/block')).status).toBe(404);
  });
});

describe('the data directory', () => {
  it('shows others nothing, whatever the umask: every file 0600, every folder 0700', async () => {
    const client = await logIn(neighbour);
    await client.publish(topicOf(neighbour, 'telemetry'), telemetryOf(2), 1);
    const root = join(server.directory, 'data');
    await waitFor('the store', () => readdirSync(root).length > 3);
    const isRoot = process.getuid?.() === 0;
    // Run by root, the embedded PostgreSQL's own user must pass through the root, and has its own folder behind 0700.
    const allowedRoot = isRoot ? 0o711 : 0o700;
    expect((statSync(root).mode & 0o777).toString(8)).toBe(allowedRoot.toString(8));
    expect(openTo(root)).toEqual([]);
  });
});

/** Paths below `folder` that others than the owner may use. What PostgreSQL keeps behind its own 0700 is its own business. */
function openTo(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
    const open = (mode & 0o077) === 0 ? [] : [`${path} ${(mode & 0o777).toString(8)}`];
    return entry.isDirectory() && entry.name !== 'postgres' ? [...open, ...openTo(path)] : open;
  });
}
