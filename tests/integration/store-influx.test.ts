/** The InfluxDB store on a real server: the conformance suite, and what only a server can do to it. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type InfluxServer, startInfluxServer } from '../../app/demo/influx-server.ts';
import type { TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import { createInfluxStore, type InfluxStoreDeps } from '../../ingest/store/influx.ts';
import { checkTelemetryStore } from '../checks/telemetry-store.checks.ts';
import { findBinary } from '../support/binaries.ts';
import {
  BASE_TIME_MS,
  exported,
  message,
  recordingMetrics,
  sameSlotBoots,
  silentLogger,
  storedForm,
} from '../support/store-samples.ts';

const influxd = findBinary('influxd');

function targetOf(server: Pick<InfluxServer, 'url' | 'username' | 'password'>, bucket: string): InfluxStoreDeps {
  const { url, username, password } = server;
  return { url, username, password, bucket, api: 'auto', logger: silentLogger, metrics: recordingMetrics() };
}

const one = message({ device: 'd', seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: 1, doorOpen: true }]] });
const two = message({ device: 'd', seq: 2, samples: [[BASE_TIME_MS + 1, { compressorCurrentA: 2 }]] });

describe.skipIf(!influxd)('on a real server', () => {
  checkTelemetryStore('InfluxDB 1.x', async () => {
    const server = await startInfluxServer(influxd ?? '');
    const store = createInfluxStore(targetOf(server, 'conformance'));
    await store.start();
    return {
      store,
      async stop() {
        await store.stop();
        await server.stop();
      },
    };
  });

  describe('InfluxDB store', () => {
    let server: InfluxServer;
    let stores: TelemetryStore[] = [];
    beforeAll(async () => {
      server = await startInfluxServer(influxd ?? '');
    });
    afterEach(async () => {
      await Promise.all(stores.map((store) => store.stop()));
      stores = [];
    });
    afterAll(() => server.stop());

    function open(parts: Partial<InfluxStoreDeps> & Pick<InfluxStoreDeps, 'bucket'>): TelemetryStore {
      const store = createInfluxStore({ ...targetOf(server, parts.bucket), ...parts });
      stores.push(store);
      return store;
    }

    it('leaves the position to the log', async () => {
      expect(await open({ bucket: 'position' }).storedPosition()).toBeUndefined();
    });

    it('says unavailable while the server is away, and loses nothing of what it confirmed before', async () => {
      const store = open({ bucket: 'outage' });
      await store.start();
      await store.write([one], 1);
      await server.kill('SIGKILL');
      await expect(store.write([two], 2)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', retriable: true });
      await expect(store.ping()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await expect(exported(store, { device: 'd' })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await server.restart();
      await store.write([two], 2);
      expect(await exported(store, { device: 'd' })).toEqual(storedForm([one, two]));
    });

    it('starts without a server and finds it when it comes', async () => {
      await server.kill('SIGTERM');
      const store = open({ bucket: 'late' });
      await store.start();
      await expect(store.write([one], 1)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await server.restart();
      expect(await store.write([one], 1)).toEqual([]);
    });

    it('says unavailable for a wrong password: the data are good', async () => {
      const store = open({ bucket: 'password', password: 'wrong' });
      await expect(store.write([one], 1)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', facts: { status: 401 } });
    });

    it('works for a user who may not create databases', async () => {
      await server.query('CREATE DATABASE granted');
      await server.query("CREATE USER plain WITH PASSWORD 'plain-password'");
      await server.query('GRANT ALL ON granted TO plain');
      const store = open({ bucket: 'granted', username: 'plain', password: 'plain-password' });
      await store.write([one], 1);
      expect(await exported(store, { device: 'd' })).toEqual(storedForm([one]));
    });

    it('hands back the one line that the server refuses, in its words, and stores the others', async () => {
      const store = open({ bucket: 'conflict' });
      await store.write([one], 1);
      // Another writer gives the field a type behind the store's back.
      await server.write('conflict', `refrigerator,tenant=acme,device=x humidity="text" ${BASE_TIME_MS}000000`);
      const batch = Array.from({ length: 100 }, (_, i) =>
        message({
          device: 'e',
          seq: i,
          samples: [[BASE_TIME_MS + i, i === 57 ? { humidity: 5 } : { evaporatorTempC: i }]],
        }),
      );
      const rejected = await store.write(batch, 2);
      expect(rejected.map(({ sample }) => sample.seq)).toEqual([57]);
      expect(rejected[0]?.reason).toMatch(/field type conflict.*humidity.*already exists as type string/);
      const kept = batch.filter(({ identity }) => identity.seq !== 57);
      expect(await exported(store, { device: 'e' })).toEqual(storedForm(kept));
    });

    it('finds messages of colliding boots where they are after a restart of the writer', async () => {
      const sent = sameSlotBoots(4).map((boot, i) =>
        message({ device: 'd', boot, seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: i }]] }),
      );
      await open({ bucket: 'slots' }).write(sent.slice(0, 3), 1);
      const again = open({ bucket: 'slots' });
      await again.write(sent.slice(2), 2);
      await again.write([...sent].reverse(), 3);
      await open({ bucket: 'slots' }).write([...sent].reverse(), 4);
      expect(await exported(again, { device: 'd' })).toEqual(storedForm(sent));
    });

    it('creates no series, measurement or field from hostile texts', async () => {
      const store = open({ bucket: 'hostile' });
      const texts = ['x\nevil,tenant=acme v=1', 'a" ,b=1', 'tail\\', '\\"', ','];
      await store.write(
        [
          message({
            device: 'd',
            model: 'm\nn',
            seq: 1,
            samples: texts.map((text, i) => [BASE_TIME_MS + i, { text }]),
          }),
        ],
        1,
      );
      expect(JSON.stringify(await server.query('SHOW SERIES', 'hostile'))).toContain(
        '"values":[["m%0An,device=d,tenant=acme"]]',
      );
      const fields = JSON.stringify(await server.query('SHOW FIELD KEYS', 'hostile'));
      expect(fields.match(/"(float|integer|string|boolean)"/g)?.length).toBe(6);
    });
  });
});

describe('InfluxDB store against a server that misbehaves', () => {
  let server: Server;
  let requests: { method: string; url: string; authorization: string; body: string }[] = [];
  /** What the server does with a write. */
  let onWrite: { status: number; body: string } | 'never' = { status: 204, body: '' };
  let version = '1.8.10';

  beforeAll(async () => {
    server = createServer((request, reply) => {
      void bodyOf(request).then((body) => {
        const { method = '', url = '', headers } = request;
        requests.push({ method, url, authorization: headers.authorization ?? '', body });
        if (url === '/ping') reply.writeHead(204, { 'x-influxdb-version': version }).end();
        else if (url.startsWith('/query')) reply.writeHead(200, { 'content-type': 'application/json' }).end(EMPTY);
        else if (onWrite !== 'never') {
          reply.writeHead(onWrite.status, { 'content-type': 'application/json' }).end(onWrite.body);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  afterEach(() => {
    requests = [];
    onWrite = { status: 204, body: '' };
    version = '1.8.10';
  });

  const EMPTY = JSON.stringify({ results: Array.from({ length: 4 }, (_, id) => ({ statement_id: id })) });

  function open(parts: Partial<InfluxStoreDeps> = {}, timeoutMs = 5_000): TelemetryStore {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return createInfluxStore(
      { url, bucket: 'bucket 1', api: 'auto', logger: silentLogger, metrics: recordingMetrics(), ...parts },
      { timeoutMs },
    );
  }

  it.each([401, 403, 404, 408, 425, 429, 500, 502, 503, 504])(
    'a %i may pass later: the writer retries',
    async (status) => {
      onWrite = { status, body: '{"error":"not now"}' };
      const store = open();
      const failure = { code: 'STORE_UNAVAILABLE', message: expect.stringContaining('not now'), facts: { status } };
      await expect(store.write([one], 1)).rejects.toMatchObject(failure);
      expect(requests.filter(({ url }) => url.startsWith('/write')).length).toBe(1);
      onWrite = { status: 204, body: '' };
      expect(await store.write([one], 1)).toEqual([]);
      await store.stop();
    },
  );

  it.each([400, 413, 422])('a %i is for good: each sample comes back with the server’s words', async (status) => {
    onWrite = { status, body: '{"error":"points beyond retention policy"}' };
    const store = open();
    const rejected = await store.write([one, two], 1);
    expect(rejected.map(({ sample, reason }) => [sample.seq, reason])).toEqual([
      [1, 'points beyond retention policy'],
      [2, 'points beyond retention policy'],
    ]);
    await store.stop();
  });

  it('gives a silent server up at the deadline', async () => {
    onWrite = 'never';
    const store = open({}, 200);
    await expect(store.write([one], 1)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await store.stop();
  });

  it.each([
    [
      'v2.7.5',
      { token: 'secret', org: 'my org' },
      '/api/v2/write?org=my%20org&bucket=bucket%201&precision=ns',
      'Token secret',
    ],
    [
      '3.1.0',
      { token: 'secret' },
      '/api/v3/write_lp?db=bucket%201&precision=nanosecond&accept_partial=true',
      'Token secret',
    ],
    ['1.6.7', { username: 'u', password: 'p' }, '/write?db=bucket%201&precision=ns', `Basic ${btoa('u:p')}`],
  ])('speaks to a %s server in its own way', async (serverVersion, credentials, url, authorization) => {
    version = serverVersion;
    const store = open(credentials);
    await store.write([one], 1);
    const write = requests.find(({ body }) => body.startsWith('refrigerator'));
    expect(write).toMatchObject({ method: 'POST', url, authorization });
    expect(requests.every((request) => request.url === '/ping' || request.authorization === authorization)).toBe(true);
    expect(requests.some(({ body }) => body.includes('CREATE+DATABASE'))).toBe(serverVersion.startsWith('1'));
    await store.stop();
  });

  it('splits a batch into requests of bounded size', async () => {
    const store = createInfluxStore(
      {
        ...targetOf(
          { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, username: '', password: '' },
          'b',
        ),
      },
      { maxLines: 10, maxBytes: 1_000 },
    );
    const samples = Array.from({ length: 35 }, (_, i) => [BASE_TIME_MS + i, { compressorCurrentA: i }] as const);
    await store.write([message({ device: 'd', seq: 1, samples })], 1);
    const writes = requests.filter(({ url }) => url.startsWith('/write'));
    expect(writes.every(({ body }) => body.length <= 1_000)).toBe(true);
    expect(writes.flatMap(({ body }) => body.split('\n')).length).toBe(35);
    await store.stop();
  });
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  return body;
}
