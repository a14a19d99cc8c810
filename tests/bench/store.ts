/**
 * How fast the telemetry stores take and give samples, and the ratios between them in one run:
 * `node --import tsx tests/bench/store.ts [embedded|influx|both|long|latest] [rows]`. One day of 24 devices at one sample every two
 * seconds, 10 signals a sample, batches of 5,000 samples. `long`: 90 days of 50 devices in the embedded store. `latest`: all
 * latest values of 10,000 devices in the embedded store.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startInfluxServer } from '../../app/demo/influx-server.ts';
import { refrigerator } from '../../contract/devices/refrigerator.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import type { LogEntry, TelemetryLog } from '../../contract/ports/telemetry-log.ts';
import type { TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { openSegmentLog } from '../../ingest/log/segment-log.ts';
import { createEmbeddedStore } from '../../ingest/store/embedded.ts';
import { createInfluxStore } from '../../ingest/store/influx.ts';
import { LatestTable } from '../../ingest/store/latest-values.ts';
import { findBinary } from '../support/binaries.ts';
import { barrierOf } from '../support/log-entries.ts';
import { BASE_TIME_MS, message, recordingMetrics, silentLogger } from '../support/store-samples.ts';

const BATCH_ROWS = 5_000;
/** Tries of a query; the median counts. */
const TRIES = 3;
/** Tries of a question of milliseconds. */
const SHORT_TRIES = 15;

interface Fleet {
  readonly devices: number;
  readonly intervalMs: number;
}
const DAY_FLEET: Fleet = { devices: 24, intervalMs: 2_000 };
const services = { logger: silentLogger, metrics: recordingMetrics() };
const numberSignals = refrigerator.signals.filter(({ kind }) => kind === 'number').map(({ name }) => name);
const signals = [...numberSignals, ...'abcdefghij'].slice(0, 10);

interface Opened {
  readonly store: TelemetryStore;
  /** Where the store takes its samples from, if it reads the log by itself. */
  readonly log?: TelemetryLog;
  /** Bytes on disk once everything is folded in. */
  bytes(): Promise<number>;
  stop(): Promise<void>;
}

const engines: Record<string, () => Promise<Opened>> = {
  async embedded() {
    const directory = mkdtempSync(join(tmpdir(), 'presage-bench-'));
    const logDirectory = mkdtempSync(join(tmpdir(), 'presage-bench-log-'));
    const clock = { now: () => Date.now() };
    const segmentLog = openSegmentLog(
      { directory: logDirectory, clock, ...services },
      { consumers: ['store'], maxBytes: 64 * 1024 ** 3 },
    );
    await segmentLog.start();
    const store = createEmbeddedStore({ ...services, directory, logDirectory });
    await store.start();
    return {
      store,
      log: segmentLog.log,
      async bytes() {
        await store.stop();
        await store.start();
        return folderBytes(directory);
      },
      async stop() {
        await store.stop();
        await segmentLog.stop();
        rmSync(directory, { recursive: true });
        rmSync(logDirectory, { recursive: true });
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
function batchFrom(row: number, { devices, intervalMs }: Fleet): TelemetryMessage[] {
  const random = seededRandom(row);
  const byDevice = new Map<number, [number, Record<string, number>][]>();
  for (let i = row; i < row + BATCH_ROWS; i++) {
    const at = Math.floor(i / devices) * intervalMs;
    const values: Record<string, number> = {};
    signals.forEach((signal, s) => {
      values[signal] = Math.round((20 + 5 * Math.sin(at / 600_000 + s) + random()) * 100) / 100;
    });
    const list = byDevice.get(i % devices) ?? [];
    list.push([BASE_TIME_MS + at + (i % devices) * 5, values]);
    byDevice.set(i % devices, list);
  }
  return [...byDevice].map(([device, samples]) => message({ device: `fridge-${device}`, seq: row, samples }));
}

/** As it stands in the telemetry log; the embedded store decodes it in its own thread. */
function entryOf({ identity, model, receivedAt, samples }: TelemetryMessage): LogEntry {
  const { tenant, device, boot, seq } = identity;
  const body = { boot, seq, t: BASE_TIME_MS, s: samples.map((one) => [one.observedAt - BASE_TIME_MS, one.signals]) };
  return { kind: 'telemetry', tenant, device, model, receivedAt, body: Buffer.from(JSON.stringify(body)) };
}

async function timed<T>(run: () => T | Promise<T>): Promise<{ result: T; ms: number }> {
  const startedAt = performance.now();
  const result = await run();
  return { result, ms: performance.now() - startedAt };
}

/** Median time of a question, and its answer. */
async function asked<T>(question: () => Promise<T>, count = TRIES): Promise<{ result: T; ms: number }> {
  const tries: { result: T; ms: number }[] = [];
  for (let i = 0; i < count; i++) tries.push(await timed(question));
  tries.sort((a, b) => a.ms - b.ms);
  return tries[Math.floor(count / 2)] as { result: T; ms: number };
}

interface Filled {
  readonly writeMs: number;
  /** Processor time of the whole process while it wrote. */
  readonly cpuMs: number;
}

async function fill({ store, log }: Opened, rows: number, fleet: Fleet): Promise<Filled> {
  let [writeMs, cpuMs] = [0, 0];
  for (let row = 0; row < rows; row += BATCH_ROWS) {
    const batch = batchFrom(row, fleet);
    if (log) for (const one of batch) log.append(entryOf(one), () => undefined);
    if (log) await barrierOf(log);
    const before = process.cpuUsage();
    writeMs += (await timed<unknown>(() => (log ? takeAll(store, log) : store.write(batch, row + batch.length)))).ms;
    const { user, system } = process.cpuUsage(before);
    cpuMs += (user + system) / 1_000;
  }
  return { writeMs, cpuMs };
}

/** What the store has not taken of the log: with reading, checking and decoding, as in the running system. */
async function takeAll(store: TelemetryStore, log: TelemetryLog): Promise<void> {
  let from = (await store.storedPosition()) ?? 0;
  while (from < log.end()) from = (await store.takeFrom?.(from, log.end()))?.next ?? log.end();
}

const REF = { tenant: 'acme', device: 'fridge-7', model: 'refrigerator' };
const rounded = (value: number, digits = 1): number => Number(value.toFixed(digits));

async function measure(engine: string, rows: number) {
  const opened = await (engines[engine] as () => Promise<Opened>)();
  const { store } = opened;
  const { writeMs, cpuMs } = await fill(opened, rows, DAY_FLEET);
  const bytes = await opened.bytes();
  const hour = { ...REF, from: BASE_TIME_MS, to: BASE_TIME_MS + HOUR_MS };
  const day = { from: BASE_TIME_MS, to: BASE_TIME_MS + DAY_MS };
  const signal = signals[0] as string;
  const series = await asked(() => store.series({ ...hour, signals: [signal] }));
  const short = await asked(() => store.series({ ...hour, signals: [signal], points: 500 }));
  const fleetP95 = await asked(() =>
    store.aggregateModel({ tenant: 'acme', model: 'refrigerator', signal, ...day, bucketMs: HOUR_MS }),
  );
  const minutes = await asked(() => store.aggregate({ ...REF, ...day, signals: [signal], bucketMs: 60_000 }));
  const latest = await timed(() => store.latest(REF));
  const again = await timed(() => store.latest(REF));
  const fleetLatest = await timed(() => store.latestAll({ tenant: 'acme', model: 'refrigerator', limit: 1_000 }));
  const has = await asked(() => store.hasMessage({ ...REF, boot: 'boot1', seq: BATCH_ROWS }));
  const highest = await asked(() => store.highestSequence({ ...REF, boot: 'boot1' }));
  const everything = await timed(async () => {
    let count = 0;
    for await (const _sample of store.export({ ...REF, from: 0, to: BASE_TIME_MS * 2 })) count++;
    return count;
  });
  const figures = {
    engine,
    rows,
    rowsPerSecond: Math.round(rows / (writeMs / 1_000)),
    cpuSecondsPerMillionRows: rounded(cpuMs / 1_000 / (rows / 1e6), 2),
    bytesPerValue: rounded(bytes / rows / signals.length, 2),
    hourSeriesMs: rounded(series.ms),
    hourSeriesPoints: series.result[0]?.points.length,
    hourDownSampledMs: rounded(short.ms),
    fleetDayP95Ms: rounded(fleetP95.ms),
    fleetDayBuckets: fleetP95.result.length,
    dayByMinuteMs: rounded(minutes.ms),
    dayByMinuteBuckets: minutes.result[0]?.buckets.length,
    latestMs: rounded(latest.ms),
    latestAgainMs: rounded(again.ms),
    latestAllMs: rounded(fleetLatest.ms),
    hasMessageMs: rounded(has.ms),
    highestSequenceMs: rounded(highest.ms),
    exportRowsPerSecond: Math.round(everything.result / (everything.ms / 1_000)),
    residentMb: Math.round(process.memoryUsage().rss / 2 ** 20),
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  await opened.stop();
  return figures;
}

/** Embedded ÷ InfluxDB, from one run. */
async function compare(rows: number): Promise<void> {
  const [embedded, influx] = [await measure('embedded', rows), await measure('influx', rows)];
  const ratio = (name: 'rowsPerSecond' | 'bytesPerValue' | 'hourSeriesMs' | 'fleetDayP95Ms'): number =>
    rounded(embedded[name] / influx[name], 2);
  const ratios = {
    writeRate: ratio('rowsPerSecond'),
    bytesPerValue: ratio('bytesPerValue'),
    hourSeries: ratio('hourSeriesMs'),
    fleetDayP95: ratio('fleetDayP95Ms'),
  };
  process.stdout.write(`embedded ÷ InfluxDB ${JSON.stringify(ratios)}\n`);
}

/** Ninety days of 8 signals of one device out of 50, down-sampled. */
async function measureLong(rows: number): Promise<void> {
  const fleet: Fleet = { devices: 50, intervalMs: Math.floor((90 * DAY_MS * 50) / rows) };
  const opened = await (engines.embedded as () => Promise<Opened>)();
  const { store } = opened;
  await fill(opened, rows, fleet);
  const range = { ...REF, from: BASE_TIME_MS, to: BASE_TIME_MS + 90 * DAY_MS };
  const short = await asked(() => store.series({ ...range, signals: signals.slice(0, 8), points: 2_000 }));
  const hours = await asked(() => store.aggregate({ ...range, signals: signals.slice(0, 8), bucketMs: HOUR_MS }));
  const has = await asked(() => store.hasMessage({ ...REF, boot: 'boot1', seq: BATCH_ROWS }));
  const hasNot = await asked(() => store.hasMessage({ ...REF, boot: 'boot1', seq: rows + 1 }));
  const highest = await asked(() => store.highestSequence({ ...REF, boot: 'boot1' }));
  const fleetLatest = await asked(() => store.latestAll({ tenant: 'acme', model: 'refrigerator', limit: 50 }));
  const sealed = await timed(() => store.retain({ rawBefore: BASE_TIME_MS + 2 * HOUR_MS, minutesBefore: 0 }));
  const figures = {
    sealedHourSamples: sealed.result,
    sealedHourMs: rounded(sealed.ms),
    values: rows * signals.length,
    bytesPerValue: rounded((await opened.bytes()) / rows / signals.length, 2),
    ninetyDaysMs: rounded(short.ms),
    points: short.result.map(({ points }) => points.length),
    ninetyDaysByHourMs: rounded(hours.ms),
    hasMessageMs: rounded(has.ms),
    hasNoMessageMs: rounded(hasNot.ms),
    highestSequenceMs: rounded(highest.ms),
    latestAllMs: rounded(fleetLatest.ms),
  };
  process.stdout.write(`long ${JSON.stringify(figures)}\n`);
  await opened.stop();
}

/** Latest values of 10,000 devices: page by page through the store, and what its thread alone takes for the same pages. */
async function measureLatest(rows: number): Promise<void> {
  const devices = 10_000;
  const opened = await (engines.embedded as () => Promise<Opened>)();
  const { store } = opened;
  const { writeMs, cpuMs } = await fill(opened, rows, { devices, intervalMs: 10_000 });
  const query = { tenant: 'acme', model: 'refrigerator', limit: 1_000 };
  const pageMs: number[] = [];
  const all = async (): Promise<number> => {
    let [after, values]: [string | undefined, number] = [undefined, 0];
    do {
      const { result, ms } = await timed(() => store.latestAll({ ...query, ...(after !== undefined && { after }) }));
      for (const device of result.devices) values += device.values.size;
      pageMs.push(ms);
      after = result.next;
    } while (after !== undefined);
    return values;
  };
  const whole = await asked(all, SHORT_TRIES);
  const one = await asked(() => store.latest(REF), SHORT_TRIES);
  const table = new LatestTable(Number.POSITIVE_INFINITY);
  const batches = Array.from({ length: devices / BATCH_ROWS }, (_, i) =>
    batchFrom(i * BATCH_ROWS, { devices, intervalMs: 1 }),
  );
  table.note(batches.flat().map((sent) => ({ message: sent, samples: sent.samples })));
  const inside = await asked(async () => {
    let after: string | undefined;
    do after = table.page({ ...query, ...(after !== undefined && { after }) }).next;
    while (after !== undefined);
  }, SHORT_TRIES);
  const restart = await timed(async () => {
    await store.stop();
    await store.start();
    return all();
  });
  pageMs.sort((a, b) => a - b);
  const figures = {
    devices,
    values: whole.result,
    rows,
    rowsPerSecond: Math.round(rows / (writeMs / 1_000)),
    cpuSecondsPerMillionRows: rounded(cpuMs / 1_000 / (rows / 1e6), 2),
    insideTheThreadMs: rounded(inside.ms, 2),
    throughTheStoreMs: rounded(whole.ms, 2),
    pageOf1000Ms: rounded(pageMs[Math.floor(pageMs.length / 2)] ?? 0, 2),
    oneDeviceMs: rounded(one.ms, 2),
    restartAndAllMs: rounded(restart.ms),
    valuesAfterRestart: restart.result,
  };
  process.stdout.write(`latest ${JSON.stringify(figures)}\n`);
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

const [what = 'both', given] = process.argv.slice(2);
const rows = Number(given ?? { long: 10_000_000, latest: 1_000_000 }[what] ?? 1_036_800);
if (what === 'both') await compare(rows);
else if (what === 'long') await measureLong(rows);
else if (what === 'latest') await measureLatest(rows);
else await measure(what, rows);
