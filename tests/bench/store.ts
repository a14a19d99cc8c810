/**
 * How fast the telemetry stores take and give samples: `node --import tsx tests/bench/store.ts [embedded|influx] [rows]`.
 * 200 devices of the catalogue's refrigerator at one sample a second, 10 signals a sample, batches of 5,000 samples.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startInfluxServer } from '../../app/demo/influx-server.ts';
import { refrigerator } from '../../contract/devices/refrigerator.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import type { LoggedEntry } from '../../contract/ports/telemetry-log.ts';
import type { TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { createEmbeddedStore } from '../../ingest/store/embedded.ts';
import { createInfluxStore } from '../../ingest/store/influx.ts';
import { findBinary } from '../support/binaries.ts';
import { BASE_TIME_MS, message, recordingMetrics, silentLogger } from '../support/store-samples.ts';

const DEVICES = 200;
const BATCH_ROWS = 5_000;
const services = { logger: silentLogger, metrics: recordingMetrics() };
const numberSignals = refrigerator.signals.filter(({ kind }) => kind === 'number').map(({ name }) => name);
const signals = [...numberSignals, ...'abcdefghij'].slice(0, 10);

interface Opened {
  readonly store: TelemetryStore;
  /** Bytes on disk once everything is folded in. */
  bytes(): Promise<number>;
  stop(): Promise<void>;
}

const engines: Record<string, () => Promise<Opened>> = {
  async embedded() {
    const directory = mkdtempSync(join(tmpdir(), 'presage-bench-'));
    const store = createEmbeddedStore({ ...services, directory });
    await store.start();
    return {
      store,
      async bytes() {
        await store.stop();
        await store.start();
        return folderBytes(directory);
      },
      async stop() {
        await store.stop();
        rmSync(directory, { recursive: true });
      },
    };
  },
  async influx() {
    const binary = findBinary('influxd');
    if (!binary) throw new Error('influxd is not installed');
    const server = await startInfluxServer(binary);
    const store = createInfluxStore({ ...services, ...server, bucket: 'bench', api: 'auto' });
    return {
      store,
      async bytes() {
        // Starting replays the log into memory; InfluxDB then writes its compressed files when it is told to stop.
        await server.kill('SIGTERM');
        await server.restart();
        return shardBytes(await server.query("SHOW STATS FOR 'shard'"));
      },
      async stop() {
        await store.stop();
        await server.stop();
      },
    };
  },
};

/** Values that move like a fridge's: slow swing, some noise, two decimals. */
function batchFrom(row: number): TelemetryMessage[] {
  const random = seededRandom(row);
  const byDevice = new Map<number, [number, Record<string, number>][]>();
  for (let i = row; i < row + BATCH_ROWS; i++) {
    const second = Math.floor(i / DEVICES);
    const values: Record<string, number> = {};
    signals.forEach((signal, s) => {
      values[signal] = Math.round((20 + 5 * Math.sin(second / 600 + s) + random()) * 100) / 100;
    });
    const list = byDevice.get(i % DEVICES) ?? [];
    list.push([BASE_TIME_MS + second * 1_000 + (i % DEVICES) * 5, values]);
    byDevice.set(i % DEVICES, list);
  }
  return [...byDevice].map(([device, samples]) => message({ device: `fridge-${device}`, seq: row, samples }));
}

/** As it stands in the telemetry log; the embedded store decodes it in its own thread. */
function entryOf({ identity, model, receivedAt, samples }: TelemetryMessage, position: number): LoggedEntry {
  const { tenant, device, boot, seq } = identity;
  const body = { boot, seq, t: BASE_TIME_MS, s: samples.map((one) => [one.observedAt - BASE_TIME_MS, one.signals]) };
  return { kind: 'telemetry', tenant, device, model, receivedAt, position, body: Buffer.from(JSON.stringify(body)) };
}

async function timed<T>(run: () => T | Promise<T>): Promise<{ result: T; ms: number }> {
  const startedAt = performance.now();
  const result = await run();
  return { result, ms: performance.now() - startedAt };
}

async function measure(engine: string, rows: number): Promise<void> {
  const opened = await (engines[engine] as () => Promise<Opened>)();
  const { store } = opened;
  let writeMs = 0;
  for (let row = 0; row < rows; row += BATCH_ROWS) {
    const batch = batchFrom(row);
    const entries = store.writeEntries && batch.map((one, i) => entryOf(one, row + i + 1));
    const end = row + batch.length;
    writeMs += (await timed(() => (entries ? store.writeEntries?.(entries, end) : store.write(batch, end)))).ms;
  }
  const bytes = await opened.bytes();
  const device = { tenant: 'acme', device: 'fridge-7', model: 'refrigerator' };
  const hour = { ...device, from: BASE_TIME_MS, to: BASE_TIME_MS + HOUR_MS };
  const signal = signals[0] as string;
  const series = await timed(() => store.series({ ...hour, signals: [signal] }));
  const short = await timed(() => store.series({ ...hour, signals: [signal], points: 500 }));
  const latest = await timed(() => store.latest(device));
  const again = await timed(() => store.latest(device));
  const has = await timed(() => store.hasMessage({ ...device, boot: 'boot1', seq: BATCH_ROWS }));
  const everything = await timed(async () => {
    let count = 0;
    for await (const _sample of store.export({ ...device, from: 0, to: BASE_TIME_MS * 2 })) count++;
    return count;
  });
  const figures = {
    engine,
    rows,
    rowsPerSecond: Math.round(rows / (writeMs / 1_000)),
    valuesPerSecond: Math.round((rows * signals.length) / (writeMs / 1_000)),
    bytesPerValue: Number((bytes / rows / signals.length).toFixed(2)),
    hourSeriesMs: Math.round(series.ms),
    hourSeriesPoints: series.result[0]?.points.length,
    hourDownSampledMs: Math.round(short.ms),
    latestMs: Math.round(latest.ms),
    latestAgainMs: Number(again.ms.toFixed(1)),
    hasMessageMs: Number(has.ms.toFixed(1)),
    exportRowsPerSecond: Math.round(everything.result / (everything.ms / 1_000)),
    residentMb: Math.round(process.memoryUsage().rss / 2 ** 20),
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  await opened.stop();
}

/** Sum of `diskBytes` over the shards in a reply to SHOW STATS. */
function shardBytes(reply: unknown): number {
  return [...JSON.stringify(reply).matchAll(/"columns":(\[[^\]]*\]),"values":\[(\[[^\]]*\])/g)]
    .map(([, columns = '[]', values = '[]']) => {
      const at = (JSON.parse(columns) as string[]).indexOf('diskBytes');
      return Number((JSON.parse(values) as unknown[])[at] ?? 0);
    })
    .reduce((sum, bytes) => sum + bytes, 0);
}

function folderBytes(folder: string): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

const [only, rows = '1000000'] = process.argv.slice(2);
for (const engine of only ? [only] : Object.keys(engines)) await measure(engine, Number(rows));
