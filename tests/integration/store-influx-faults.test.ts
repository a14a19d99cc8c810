/** The InfluxDB store behind a network that breaks: nothing is lost and nothing is doubled. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InfluxServer, startInfluxServer } from '../../app/demo/influx-server.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import { openSegmentLog } from '../../ingest/log/segment-log.ts';
import { createInfluxStore, DEFAULT_INFLUX_LIMITS } from '../../ingest/store/influx.ts';
import { InfluxConnection } from '../../ingest/store/influx-connection.ts';
import { linesOf } from '../../ingest/store/influx-lines.ts';
import { createStoreWriter } from '../../ingest/store-writer.ts';
import { findBinary } from '../support/binaries.ts';
import { manualClock } from '../support/fake-services.ts';
import { type Fault, type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { appended, barrierOf } from '../support/log-entries.ts';
import { BASE_TIME_MS, exported, message, recordingMetrics, silentLogger } from '../support/store-samples.ts';
import { waitFor } from '../support/wait-for.ts';

const influxd = findBinary('influxd');
const victoria = findBinary('victoria-metrics');
const FAULTS: readonly Fault[] = [401, 408, 429, 500, 503, 'resetBefore', 'resetAfter', 'half', 'silent'];
const SEED = 11;

describe.skipIf(!influxd)('InfluxDB store behind a network that breaks', () => {
  let server: InfluxServer;
  let proxy: FaultProxy;
  beforeAll(async () => {
    server = await startInfluxServer(influxd ?? '');
    proxy = await startFaultProxy(server.url);
  });
  afterAll(async () => {
    proxy.stop();
    await server.stop();
  });

  function open(bucket: string, timeoutMs = 10_000): TelemetryStore {
    const { username, password } = server;
    const deps = { url: proxy.url, username, password, bucket, api: 'auto', logger: silentLogger } as const;
    return createInfluxStore({ ...deps, metrics: recordingMetrics() }, { timeoutMs, maxLines: 100 });
  }

  it.each(FAULTS)('loses and doubles nothing when requests meet %s', async (fault) => {
    const random = seededRandom(SEED);
    const folder = mkdtempSync(join(tmpdir(), 'presage-faults-'));
    const services = { clock: manualClock(BASE_TIME_MS), logger: silentLogger, metrics: recordingMetrics() };
    const log = openSegmentLog({ directory: folder, ...services }, { consumers: ['store'] });
    await log.start();
    const bucket = `faults ${fault}`;
    const store = open(bucket, fault === 'silent' ? 400 : 10_000);
    let left = 6;
    proxy.counts.clear();
    proxy.fault = ({ path }) => (path !== '/ping' && left > 0 && random() < 0.4 && left-- > 0 ? fault : undefined);
    const writer = createStoreWriter(
      { log: log.log, store, ...services },
      { gatherMs: 1, batchEntries: 60, random: () => 0 },
    );
    await writer.start();
    for (let seq = 0; seq < 400; seq++) {
      const s = [0, 1, 2].map((i) => [i * 100, { level: seq + i / 4 }]);
      const body = Buffer.from(JSON.stringify({ boot: 'b', seq, t: BASE_TIME_MS + seq * 1_000, s }));
      const entry = { tenant: 'acme', device: `d${seq % 7}`, model: 'refrigerator', receivedAt: BASE_TIME_MS, body };
      await appended(log.log, { kind: 'telemetry', ...entry });
    }
    await barrierOf(log.log);
    await writer.passed(log.log.end());
    await writer.stop();
    proxy.fault = () => undefined;
    const found: number[] = [];
    for (let d = 0; d < 7; d++) {
      for (const { seq, index, signals } of await exported(store, { device: `d${d}` })) {
        expect(signals.level).toBe(seq + index / 4);
        found.push(seq * 3 + index);
      }
    }
    expect(found.sort((a, b) => a - b)).toEqual(Array.from({ length: 1_200 }, (_, i) => i));
    expect(proxy.counts.get(String(fault))).toBeGreaterThanOrEqual(3);
    await store.stop();
    await log.stop();
    rmSync(folder, { recursive: true });
  });

  it('rolls up and deletes exactly once, wherever the step is interrupted', async () => {
    const old = BASE_TIME_MS - 500 * DAY_MS;
    const samples = Array.from({ length: 60 }, (_, i) => [old + i * MINUTE_MS, { level: i }] as const);
    const query = { tenant: 'acme', device: 'd', model: 'refrigerator', from: old, to: old + DAY_MS };
    const rollUps = (store: TelemetryStore) => store.aggregate({ ...query, signals: ['level'], bucketMs: HOUR_MS });
    const cut = { rawBefore: old + DAY_MS, minutesBefore: 0 };
    let interrupted = 0;
    for (const fault of ['resetBefore', 'resetAfter'] as const) {
      for (let at = 1; at < 40; at++) {
        const bucket = `seal ${fault} ${at}`;
        const store = open(bucket);
        await store.write([message({ device: 'd', seq: 1, receivedAt: old, samples })], 1);
        const before = await rollUps(store);
        let request = 0;
        proxy.fault = () => (++request === at ? fault : undefined);
        const outcome = await store.retain(cut).catch(() => 'failed');
        proxy.fault = () => undefined;
        await store.stop();
        const next = open(bucket); // As after a crash: nothing of the step is remembered but what the server holds.
        await next.write(
          [message({ device: 'd', seq: 2, receivedAt: old, samples: [[old + 1, { level: 1_000 }]] })],
          2,
        );
        while ((await next.retain(cut)) !== undefined);
        const [after] = await rollUps(next);
        expect([bucket, after?.buckets[0]?.count, after?.buckets[0]?.max]).toEqual([bucket, 61, 1_000]);
        expect(before[0]?.buckets[0]?.count).toBe(60);
        expect(await exported(next, { device: 'd' })).toEqual([]);
        await next.stop();
        if (outcome !== 'failed') break;
        interrupted++;
      }
    }
    expect(interrupted).toBeGreaterThan(20);
  });
});

describe.skipIf(!victoria)('lines on VictoriaMetrics', () => {
  it('are taken through /api/v2/write and come back with their values', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'presage-victoria-'));
    const port = await freePort();
    const args = [`-storageDataPath=${folder}`, `-httpListenAddr=127.0.0.1:${port}`, '-retentionPeriod=100y'];
    const child = spawn(victoria ?? '', args, { stdio: 'ignore' });
    try {
      const url = `http://127.0.0.1:${port}`;
      await waitFor('VictoriaMetrics', () =>
        fetch(`${url}/health`).then(
          (reply) => reply.ok,
          () => false,
        ),
      );
      const target = { url, bucket: 'b', org: 'o', token: 't', api: 'v2' } as const;
      const connection = new InfluxConnection(target, DEFAULT_INFLUX_LIMITS, silentLogger);
      const values = [1, -0.5, 1e-7, 123456.75];
      const samples = values.map((level, i) => [BASE_TIME_MS + i * 1_000, { level, note: 'a "b" \\' }] as const);
      const sent = message({ device: 'd:1', seq: 1, samples });
      expect(await connection.write(linesOf(sent, sent.samples))).toEqual({ kind: 'stored' });
      expect(await connection.write(linesOf(sent, sent.samples))).toEqual({ kind: 'stored' });
      const match = encodeURIComponent('{__name__="refrigerator_level"}');
      const found = await waitFor('the samples', async () => {
        await fetch(`${url}/internal/force_flush`);
        const text = await (await fetch(`${url}/api/v1/export?match[]=${match}&reduce_mem_usage=1`)).text();
        return text.includes('refrigerator_level') && text;
      });
      const rows = found
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { metric: object; values: number[]; timestamps: number[] });
      expect(rows[0]?.metric).toMatchObject({ device: 'd:1', tenant: 'acme' });
      const byTime = new Map(rows.flatMap((row) => row.timestamps.map((at, i) => [at, row.values[i]] as const)));
      expect([...byTime].sort(([a], [b]) => a - b)).toEqual(
        values.map((value, i) => [BASE_TIME_MS + i * 1_000, value]),
      );
      connection.close();
    } finally {
      child.kill('SIGKILL');
      await new Promise((resolve) =>
        child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve(undefined),
      );
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
