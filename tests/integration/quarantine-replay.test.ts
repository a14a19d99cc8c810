/** The whole server: refuse, correct the cause, replay; exported exactly once, whatever is killed meanwhile. */
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExportedSample, QuarantineEntry, QuarantineReplayed } from '../../contract/http/resources.ts';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { runCli } from '../support/run-cli.ts';
import { waitFor } from '../support/wait-for.ts';

const SECRET = 'secret-of-fridge-1-0123456789';
const MANAGER = 'psg_test_manager_token_0123456789abcdef';
const VIEWER = 'psg_test_viewer_token_0123456789abcdefg';
const OTHER = 'psg_test_other_tenant_token_0123456789ab';
const NORTH = 'psg_test_centre_manager_token_0123456789';

const seed: SeedFile = {
  tenants: [
    {
      id: 'acme',
      name: 'Acme',
      centres: [{ id: 'main', name: 'Main', timeZone: 'UTC' }],
      users: [
        { id: 'boss', role: 'manager', tokens: [MANAGER] },
        { id: 'vera', role: 'viewer', tokens: [VIEWER] },
        { id: 'nora', role: 'manager', centre: 'main', tokens: [NORTH] },
      ],
      devices: [{ id: 'fridge-1', model: 'refrigerator', secret: SECRET }],
    },
    {
      id: 'globex',
      name: 'Globex',
      centres: [{ id: 'main', name: 'Main', timeZone: 'UTC' }],
      users: [{ id: 'boss', role: 'manager', tokens: [OTHER] }],
      devices: [],
    },
  ],
};
const T = Date.now() - 3_600_000;
const COUNT = 120;

describe('replaying the quarantine of a running server', () => {
  let server: PresageProcess;
  let client: MqttClient;
  beforeAll(async () => {
    server = await startPresage({ seed });
  });
  afterAll(async () => {
    client?.end(true);
    await server?.dispose();
  });

  async function connect(): Promise<void> {
    client?.end(true);
    const credentials = { clientId: 'acme.fridge-1', username: 'acme.fridge-1', password: SECRET };
    client = await connectAsync(server.broker, { ...credentials, reconnectPeriod: 0 });
    client.on('error', () => undefined); // The server is killed below.
  }

  const send = (channel: string, payload: object): Promise<unknown> =>
    client.publishAsync(`presage/v1/acme/fridge-1/${channel}`, JSON.stringify(payload), { qos: 1 });
  const telemetry = (seq: number, ...s: object[]): Promise<unknown> =>
    send('telemetry', { v: 1, boot: 'boot-1', seq, t: T + seq * 1_000, s: s.map((signals, at) => [at * 10, signals]) });
  const declare = (...names: string[]): Promise<unknown> =>
    send('birth', { v: 1, boot: 'boot-1', t: T, signals: names.map((name) => ({ name })) });

  async function ask<T>(
    method: string,
    path: string,
    body?: object,
    token = MANAGER,
  ): Promise<{ status: number; body: T }> {
    const headers = { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) };
    const answer = await fetch(`${server.api}/api/v1/${path}`, {
      method,
      headers,
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    return { status: answer.status, body: (await answer.json()) as T };
  }

  const listed = async (filter = ''): Promise<QuarantineEntry[]> =>
    (await ask<{ items: QuarantineEntry[] }>('GET', `quarantine?limit=500${filter}`)).body.items;

  async function exported(): Promise<string[]> {
    const query = `device=fridge-1&from=2000-01-01T00:00:00Z&to=${new Date().toISOString()}`;
    const answer = await fetch(`${server.api}/api/v1/export/telemetry?${query}`, {
      headers: { authorization: `Bearer ${MANAGER}` },
    });
    const lines = (await answer.text()).trim().split('\n').filter(Boolean);
    return lines
      .map((line) => JSON.parse(line) as ExportedSample)
      .map(({ seq, index, time, signals }) => `${seq}/${index} @${time - T} ${JSON.stringify(signals)}`);
  }

  async function replayAll(): Promise<QuarantineReplayed['outcomes'] & { entered: number }> {
    const sum = { replayed: 0, partly: 0, alreadyThere: 0, refused: 0, entered: 0 };
    for (let cursor: string | undefined; ; ) {
      const { status, body } = await ask<QuarantineReplayed>('POST', 'quarantine/replay', { limit: 50, cursor });
      expect(status).toBe(200);
      for (const outcome of ['replayed', 'partly', 'alreadyThere', 'refused'] as const) {
        sum[outcome] += body.outcomes[outcome];
      }
      sum.entered += body.entered;
      cursor = body.nextCursor;
      if (!cursor) return sum;
    }
  }

  it('refuses while the cause lasts, takes it once after the correction, and changes nothing the second time', async () => {
    await connect();
    await telemetry(1, { newThing: 1 });
    await telemetry(2, { freezerTempC: -18 }, { newThing: 2 }, { otherThing: 3 });
    await waitFor('two entries', async () => (await listed()).length === 2);
    const [part, whole] = await listed();
    expect([whole, part]).toMatchObject([
      { seq: 1, reason: 'SIGNAL_UNKNOWN', state: 'refused', replayable: true },
      { seq: 2, reason: 'SIGNAL_UNKNOWN', state: 'refused', replayable: true, samples: 2 },
    ]);
    const path = `quarantine/${whole?.id}/replay`;
    expect((await ask('POST', path)).body).toMatchObject({
      state: 'refused',
      replay: { outcome: 'refused', reason: 'SIGNAL_UNKNOWN', place: 's[0].newThing', by: 'boss' },
    });
    await declare('newThing');
    expect((await ask('POST', path)).body).toMatchObject({ state: 'replayed', replayable: false });
    expect((await ask('POST', `quarantine/${part?.id}/replay`)).body).toMatchObject({
      state: 'partly',
      replay: { outcome: 'partly', entered: 1, reason: 'SIGNAL_UNKNOWN', place: 's[2].otherThing' },
    });
    await declare('newThing', 'otherThing');
    expect(await replayAll()).toMatchObject({ replayed: 1, refused: 0, entered: 1 });
    expect(await replayAll()).toMatchObject({ replayed: 0, alreadyThere: 0, entered: 0 });
    expect((await ask('POST', path)).body).toMatchObject({ state: 'replayed' });
    const expected = [
      '1/0 @1000 {"newThing":1}',
      '2/0 @2000 {"freezerTempC":-18}',
      '2/1 @2010 {"newThing":2}',
      '2/2 @2020 {"otherThing":3}',
    ];
    await waitFor('the samples', async () => (await exported()).length >= expected.length);
    expect(await exported()).toEqual(expected);
  });

  it('is for managers of the whole tenant, and shows nothing of others', async () => {
    const [entry] = await listed();
    const path = `quarantine/${entry?.id}/replay`;
    expect((await ask('POST', path, undefined, VIEWER)).status).toBe(403);
    expect((await ask('POST', path, undefined, NORTH)).status).toBe(403);
    expect((await ask('POST', path, undefined, OTHER)).status).toBe(404);
    expect((await ask('GET', `quarantine/${entry?.id}`, undefined, OTHER)).status).toBe(404);
    expect((await ask('GET', `quarantine/${entry?.id}`, undefined, VIEWER)).body).toMatchObject({ id: entry?.id });
    expect((await ask('POST', 'quarantine/replay', { limit: 1_000 })).status).toBe(400);
  });

  it('stores each sample once although the server is killed in the middle, twice', async () => {
    for (let seq = 10; seq < 10 + COUNT; seq++) await telemetry(seq, { lateThing: seq });
    await telemetry(5, { freezerTempC: 1 });
    await telemetry(5, { freezerTempC: 2 });
    await waitFor('all entries', async () => (await listed('&state=refused')).length === COUNT + 1);
    await declare('newThing', 'otherThing', 'lateThing');
    for (const questions of [2, 15]) {
      const going = ask('POST', 'quarantine/replay', { limit: 100 }).catch(() => undefined);
      // Wherever the kill falls: while it reads, before the log, between the log and the books, or behind them.
      for (let asked = 0; asked < questions; asked++) await fetch(`${server.api}/healthz`);
      await server.kill();
      await going;
      await server.restart();
    }
    const done = await replayAll();
    expect(done.refused + done.partly).toBe(0);
    const conflict = (await listed('&state=refused')).map(({ reason, replayable }) => [reason, replayable]);
    expect(conflict).toEqual([['SEQUENCE_CONFLICT', false]]);
    await connect();
    await telemetry(10, { lateThing: 10 }); // The device never learnt of it, and sends it again.
    const late = async () => (await exported()).filter((line) => line.includes('lateThing'));
    await waitFor('the samples', async () => (await late()).length >= COUNT);
    expect(await late()).toEqual(
      Array.from({ length: COUNT }, (_, i) => `${10 + i}/0 @${(10 + i) * 1_000} {"lateThing":${10 + i}}`),
    );
    const metrics = await (await fetch(`${server.api}/metrics`)).text();
    expect(metrics).toMatch(/presage_ingest_samples_total\{outcome="replayed"\} \d+/);
  });

  it('answers on the command line', async () => {
    const access = ['--api', server.api, '--token', MANAGER];
    const conflicts = await runCli(['quarantine', 'list', '--reason', 'SEQUENCE_CONFLICT', '--json', ...access]);
    const [entry] = JSON.parse(conflicts.stdout) as QuarantineEntry[];
    const one = await runCli(['quarantine', 'replay', entry?.id ?? '', ...access]);
    expect([one.code, one.stdout]).toEqual([1, expect.stringContaining('evidence')]);
    expect((await runCli(['quarantine', 'show', entry?.id ?? '', ...access])).stdout).toContain('"freezerTempC":2');
    const all = await runCli(['quarantine', 'replay', '--all', ...access]);
    expect([all.code, all.stdout]).toEqual([0, expect.stringMatching(/replayed +partly/)]);
    expect((await runCli(['quarantine', 'replay', ...access])).stderr).toContain('CONFIG_INVALID');
  });
});
