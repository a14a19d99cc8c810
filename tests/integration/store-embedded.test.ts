/** The embedded store: the conformance suite, and what only a file can suffer. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import type { Position, TelemetryLog } from '../../contract/ports/telemetry-log.ts';
import { openSegmentLog, type SegmentLog } from '../../ingest/log/segment-log.ts';
import { createEmbeddedStore } from '../../ingest/store/embedded.ts';
import { checkTelemetryStore } from '../checks/telemetry-store.checks.ts';
import { findBinary } from '../support/binaries.ts';
import { manualClock } from '../support/fake-services.ts';
import { appended, logEntry, RECEIVED_AT } from '../support/log-entries.ts';
import {
  BASE_TIME_MS,
  exported,
  message,
  recordingMetrics,
  silentLogger,
  storedForm,
} from '../support/store-samples.ts';
import { batchAt, MESSAGES_PER_BATCH, WRITER_DEVICE } from '../support/store-writer-process.ts';

const WRITER = fileURLToPath(new URL('../support/store-writer-process.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

checkTelemetryStore('embedded (DuckDB)', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'presage-store-'));
  const store = createEmbeddedStore({ directory, logger: silentLogger, metrics: recordingMetrics() });
  await store.start();
  return {
    store,
    async stop() {
      await store.stop();
      rmSync(directory, { recursive: true });
    },
  };
});

describe('embedded store', () => {
  let folder: string;
  let directory: string;
  let metrics: ReturnType<typeof recordingMetrics>;
  let opened: ReturnType<typeof createEmbeddedStore>[] = [];
  let openLogs: SegmentLog[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'presage-store-'));
    directory = join(folder, 'store');
    metrics = recordingMetrics();
  });
  afterEach(async () => {
    await Promise.all(opened.map((store) => store.stop()));
    opened = [];
    await Promise.all(openLogs.map((log) => log.stop()));
    openLogs = [];
    rmSync(folder, { recursive: true });
  });

  const logDirectory = (): string => join(folder, 'log');

  async function openStore(options: Parameters<typeof createEmbeddedStore>[1] = {}) {
    const files = { directory, logDirectory: logDirectory() };
    const store = createEmbeddedStore({ ...files, logger: silentLogger, metrics }, options);
    opened.push(store);
    await store.start();
    return store;
  }

  async function openLog(): Promise<TelemetryLog> {
    const segmentLog = openSegmentLog({
      directory: logDirectory(),
      clock: manualClock(0),
      logger: silentLogger,
      metrics,
    });
    await segmentLog.start();
    openLogs.push(segmentLog);
    return segmentLog.log;
  }

  const first = message({ device: 'd', seq: 1, samples: [[BASE_TIME_MS, { compressorCurrentA: 1, doorOpen: true }]] });
  const second = message({ device: 'd', seq: 2, samples: [[BASE_TIME_MS + 1, { compressorCurrentA: 2 }]] });

  it('keeps position, samples and signal types when it is opened again', async () => {
    const before = await openStore();
    expect(await before.storedPosition()).toBe(0);
    await before.write([first], 42);
    await before.stop();
    const after = await openStore();
    expect(await after.storedPosition()).toBe(42);
    await after.write([second], 43);
    expect(await exported(after, { device: 'd' })).toEqual(storedForm([first, second]));
    const latest = await after.latest({ tenant: 'acme', device: 'd', model: 'refrigerator' });
    expect(latest.get('doorOpen')).toEqual({ observedAt: BASE_TIME_MS, value: true });
    const wrong = message({ device: 'd', seq: 3, samples: [[BASE_TIME_MS, { doorOpen: 'yes' }]] });
    expect((await after.write([wrong], 44)).length).toBe(1);
  });

  it('ignores a batch that ends at or before the stored position', async () => {
    const store = await openStore();
    await store.write([first], 10);
    await store.write([second], 10);
    await store.write([second], 9);
    expect(await exported(store, { device: 'd' })).toEqual(storedForm([first]));
    expect(await store.storedPosition()).toBe(10);
  });

  it('moves the position with an empty batch', async () => {
    const store = await openStore();
    await store.write([], 7);
    expect(await store.storedPosition()).toBe(7);
  });

  /** Appends one sample of an unknown model, so that the store learns the signal's type from the first. */
  const crumbs = (log: TelemetryLog, seq: number, value: unknown): Promise<Position> =>
    appended(
      log,
      logEntry({
        tenant: 'acme',
        device: 'd',
        model: 'toaster',
        text: JSON.stringify({ boot: 'b', seq, t: BASE_TIME_MS, s: [null, [5, { crumbs: value }]] }),
      }),
    );

  it('reads the log itself, passes over other kinds and stores nothing twice', async () => {
    const log = await openLog();
    const store = await openStore();
    await crumbs(log, 1, 1);
    const birth = await appended(log, logEntry({ kind: 'birth' }));
    expect(await store.takeFrom?.(0, birth)).toMatchObject({ next: birth, messages: 1, rejected: [] });
    const end = await crumbs(log, 2, 2);
    // Once more from the start, as after a commit that was lost.
    expect(await store.takeFrom?.(0, end)).toMatchObject({ next: end, messages: 2, newestAt: RECEIVED_AT });
    expect(await store.takeFrom?.(end, end)).toEqual({ next: end, messages: 0, newestAt: undefined, rejected: [] });
    expect(await store.storedPosition()).toBe(end);
    const found = await exported(store, { device: 'd', model: 'toaster' });
    expect(found.map(({ seq, index, observedAt }) => [seq, index, observedAt])).toEqual([
      [1, 1, BASE_TIME_MS + 5],
      [2, 1, BASE_TIME_MS + 5],
    ]);
  });

  it('never reads behind the end that it was told', async () => {
    const log = await openLog();
    const store = await openStore();
    const first = await crumbs(log, 1, 1);
    await crumbs(log, 2, 2);
    expect(await store.takeFrom?.(0, first)).toMatchObject({ next: first, messages: 1 });
    expect((await exported(store, { device: 'd', model: 'toaster' })).map(({ seq }) => seq)).toEqual([1]);
  });

  it('tells the refusals of entries that it took before again, with their entries', async () => {
    const log = await openLog();
    const store = await openStore();
    await crumbs(log, 1, 1);
    const refused = await crumbs(log, 2, 'text');
    const told = await store.takeFrom?.(0, log.end());
    expect(told?.rejected.map(({ sample, entry }) => [sample.seq, entry.position])).toEqual([[2, refused]]);
    await crumbs(log, 3, 3);
    const again = await store.takeFrom?.(0, log.end());
    expect(again?.rejected).toEqual(told?.rejected);
    expect((await exported(store, { device: 'd', model: 'toaster' })).map(({ seq }) => seq)).toEqual([1, 3]);
  });

  it('keeps its files to their owner, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      const store = await openStore();
      await store.write([first], 1);
      expect(statSync(directory).mode & 0o777).toBe(0o700);
      const modes = readdirSync(directory).map((file) => [file, statSync(join(directory, file)).mode & 0o777]);
      expect(modes.length).toBe(2);
      expect(modes.every(([, mode]) => mode === 0o600)).toBe(true);
    } finally {
      process.umask(umask);
    }
  });

  it('gives queries no way to other files', async () => {
    const store = await openStore();
    await store.write([first], 1);
    await store.stop();
    const settings = { enable_external_access: 'false', lock_configuration: 'true' };
    const instance = await DuckDBInstance.create(join(directory, 'telemetry.duckdb'), settings);
    const connection = await instance.connect();
    await expect(connection.run("SELECT * FROM read_csv('/etc/passwd')")).rejects.toThrow(/disabled/);
    await expect(connection.run('SET enable_external_access = true')).rejects.toThrow();
    const table = await connection.runAndReadAll('SELECT model, signal FROM models JOIN signals ON id = model_id');
    expect(table.getRows()).toEqual([
      ['refrigerator', 'compressorCurrentA'],
      ['refrigerator', 'doorOpen'],
    ]);
    connection.closeSync();
    instance.closeSync();
  });

  it('uses the space again that retention frees', async () => {
    const store = await openStore({ walLimitMb: 1 });
    const random = seededRandom(5);
    const fill = async (round: number): Promise<number> => {
      for (let batch = 0; batch < 4; batch++) {
        const from = BASE_TIME_MS + round * DAY_MS + batch * 5_000_000;
        const messages = Array.from({ length: 20 }, (_, m) => {
          const seq = (round * 4 + batch) * 20 + m;
          const samples = Array.from(
            { length: 500 },
            (_unused, i) => [from + (m * 500 + i) * 500, { level: random(), flow: random(), heat: random() }] as const,
          );
          return message({ device: 'd', model: 'm', seq, receivedAt: from, samples });
        });
        await store.write(messages, round * 4 + batch + 1);
      }
      const cut = { rawBefore: BASE_TIME_MS + (round + 1) * DAY_MS, minutesBefore: 0 };
      while ((await store.retain(cut)) !== undefined);
      return metrics.values.get('presage_store_bytes') ?? 0;
    };
    const first = await fill(0);
    let last = 0;
    for (let round = 1; round < 4; round++) last = await fill(round);
    expect(last).toBeLessThan(first * 2);
    expect(await exported(store, { device: 'd', model: 'm' })).toEqual([]);
    const query = { tenant: 'acme', device: 'd', model: 'm', from: BASE_TIME_MS, to: BASE_TIME_MS + 5 * DAY_MS };
    const [rolled] = await store.aggregate({ ...query, signals: ['flow'], bucketMs: HOUR_MS });
    expect(rolled?.buckets.reduce((sum, bucket) => sum + bucket.count, 0)).toBe(160_000);
  });

  it('rolls an hour up some devices at a time, and nothing that can be asked changes on the way', async () => {
    const store = await openStore({ sealSamples: 30 });
    const devices = ['a', 'A', 'b', 'b-1', 'b:1', 'c'];
    const messages = devices.flatMap((device, d) =>
      [0, 1].map((hour) => {
        const from = BASE_TIME_MS + hour * HOUR_MS;
        const samples = Array.from(
          { length: 12 + 9 * d },
          (_, i) => [from + i * 60_001, { level: (i * 37) % 11 }] as const,
        );
        return message({ device, model: 'm', seq: hour, receivedAt: BASE_TIME_MS, samples });
      }),
    );
    const rival = { tenant: 'rival', device: 'a', model: 'm', seq: 1, receivedAt: BASE_TIME_MS };
    await store.write([...messages, message({ ...rival, samples: [[BASE_TIME_MS, { level: 9 }]] })], 1);
    const range = { from: BASE_TIME_MS, to: BASE_TIME_MS + DAY_MS };
    const ask = () =>
      Promise.all([
        ...devices.map((device) =>
          store.aggregate({ tenant: 'acme', device, model: 'm', signals: ['level'], ...range, bucketMs: 60_000 }),
        ),
        store.aggregateModel({ tenant: 'acme', model: 'm', signal: 'level', ...range, bucketMs: HOUR_MS }),
      ]);
    const before = await ask();
    const cut = { rawBefore: BASE_TIME_MS + HOUR_MS, minutesBefore: 0 };
    const steps: number[] = [];
    let position = 1;
    for (let step = await store.retain(cut); step !== undefined; step = await store.retain(cut)) {
      steps.push(step);
      expect(await ask()).toEqual(before);
      // Of another hour, so that the steps are not its.
      const other = message({
        device: 'new',
        model: 'm',
        seq: position,
        samples: [[BASE_TIME_MS + DAY_MS, { level: 1 }]],
      });
      await store.write([other], ++position);
    }
    // Samples of A, a, b, b-1, b:1 and c, then of the other tenant's: no two fit into a step, and none is halved.
    expect(steps).toEqual([21, 12, 30, 39, 48, 57, 1]);
    expect((await exported(store, { device: 'new', model: 'm' })).length).toBe(steps.length);
    for (const device of devices) expect((await exported(store, { device, model: 'm' }))[0]?.seq).toBe(1);
  });

  it('goes on with the hours of another opening, and with what was written while it looked for them', async () => {
    let store = await openStore();
    const at = (device: string, seq: number, hour: number) =>
      message({
        device,
        model: 'm',
        seq,
        receivedAt: BASE_TIME_MS,
        samples: [[BASE_TIME_MS + hour * HOUR_MS, { level: 1 }]],
      });
    await store.write([at('a', 1, 0), at('a', 2, 1), at('a', 3, 2)], 1);
    const cut = { rawBefore: BASE_TIME_MS + 2 * HOUR_MS, minutesBefore: 0 };
    expect(await store.retain(cut)).toBe(1);
    await store.stop();
    store = await openStore();
    const [written, first] = await Promise.all([store.write([at('b', 1, 0), at('b', 2, 1)], 2), store.retain(cut)]);
    expect(written).toEqual([]);
    const sealed = [first];
    while (sealed.at(-1) !== undefined) sealed.push(await store.retain(cut));
    expect(sealed.reduce<number>((sum, samples) => sum + (samples ?? 0), 0)).toBe(3);
    expect((await exported(store, { device: 'a', model: 'm' })).map(({ seq }) => seq)).toEqual([3]);
    expect(await exported(store, { device: 'b', model: 'm' })).toEqual([]);
  });

  describe('latest values', () => {
    const MODELS = ['refrigerator', 'm 2'];
    const part = fc.record({
      model: fc.constantFrom(...MODELS),
      device: fc.constantFrom('a', 'b', 'C'),
      boot: fc.constantFrom('b', 'Z'),
      backfill: fc.nat(5).map((n) => n === 0),
      samples: fc.array(
        fc.tuple(fc.nat(9), fc.dictionary(fc.constantFrom('x', 'y', 'z'), fc.constantFrom(1, -0, 2.5), { minKeys: 1 })),
        { minLength: 1, maxLength: 4 },
      ),
    });
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.array(part, { minLength: 1, maxLength: 6 }) },
      fc.constantFrom('stop', 'crash', 'retain'),
    );

    /** Worked out the plain way from what an export gives. */
    async function expected(store: ReturnType<typeof createEmbeddedStore>, backfilled: ReadonlySet<string>) {
      const found: Record<string, unknown> = {};
      for (const model of MODELS) {
        for (const device of ['C', 'a', 'b']) {
          const values: Record<string, unknown> = {};
          for (const { boot, seq, observedAt, signals } of await exported(store, { device, model })) {
            if (backfilled.has(`${boot} ${seq}`)) continue;
            for (const [signal, value] of Object.entries(signals)) values[signal] = { observedAt, value };
          }
          if (Object.keys(values).length > 0) found[`${model} ${device}`] = values;
        }
      }
      return found;
    }

    async function answered(store: ReturnType<typeof createEmbeddedStore>) {
      const found: Record<string, unknown> = {};
      for (const model of MODELS) {
        let after: string | undefined;
        do {
          const query = { tenant: 'acme', model, limit: 2, ...(after !== undefined && { after }) };
          const page = await store.latestAll(query);
          for (const { device, values } of page.devices) {
            found[`${model} ${device}`] = Object.fromEntries(values);
            expect(await store.latest({ tenant: 'acme', device, model })).toEqual(values);
          }
          after = page.next;
        } while (after !== undefined);
      }
      return found;
    }

    it.each([
      ['kept in memory', { latestCopyEvery: 5, sealSamples: 2 }],
      ['too many for memory', { latestCopyEvery: 5, maxLatestValues: 32, sealSamples: 2 }],
    ])(
      'are those of the samples whatever comes in which order, through crashes and retention: %s',
      async (_, options) => {
        let run = 0;
        await fc.assert(
          fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
            directory = join(folder, `run-${run++}`);
            let [seq, position, copies] = [0, 0, 0];
            const backfilled = new Set<string>();
            /** by model, device and boot */
            const highest = new Map<string, number>();
            let store = await openStore(options);
            for (const one of steps) {
              if (one === 'retain') {
                await store.retain({ rawBefore: BASE_TIME_MS - 4 * HOUR_MS, minutesBefore: 0 });
              } else if (typeof one === 'string') {
                const image = join(folder, `run-${run}-${copies++}`);
                if (one === 'crash') cpSync(directory, image, { recursive: true });
                await store.stop();
                if (one === 'crash') directory = image;
                store = await openStore(options);
              } else {
                const messages = one.map(({ samples, ...rest }) => {
                  highest.set(`${rest.model} ${rest.device} ${rest.boot}`, seq);
                  if (rest.backfill) backfilled.add(`${rest.boot} ${seq}`);
                  const times = samples.map(([hours, signals]) => [BASE_TIME_MS - hours * HOUR_MS, signals] as const);
                  return message({ ...rest, seq: seq++, receivedAt: BASE_TIME_MS - DAY_MS, samples: times });
                });
                await store.write(messages, ++position);
              }
            }
            expect(await answered(store)).toEqual(await expected(store, backfilled));
            for (const model of MODELS) {
              for (const device of ['a', 'b', 'C']) {
                for (const boot of ['b', 'Z']) {
                  const found = await store.highestSequence({ tenant: 'acme', device, model, boot });
                  expect(found).toBe(highest.get(`${model} ${device} ${boot}`));
                }
              }
            }
            await store.stop();
          }),
          { numRuns: 5, seed: 7 },
        );
      },
      120_000,
    );

    it('are there after an upgrade from a file without them, and signals stay in their columns', async () => {
      const before = await openStore();
      await before.write([first, second], 5);
      await before.stop();
      const instance = await DuckDBInstance.create(join(directory, 'telemetry.duckdb'));
      const connection = await instance.connect();
      await connection.run('ALTER TABLE samples_1 DROP COLUMN "~position"');
      await connection.run('DROP TABLE latest_copy');
      await connection.run('DROP TABLE latest_values');
      connection.closeSync();
      instance.closeSync();
      let store = await openStore();
      const expectLatest = async (parts: Record<string, unknown>) => {
        const latest = await store.latest({ tenant: 'acme', device: 'd', model: 'refrigerator' });
        const old = { observedAt: BASE_TIME_MS + 1, value: 2 };
        const door = { observedAt: BASE_TIME_MS, value: true };
        expect(Object.fromEntries(latest)).toEqual({ compressorCurrentA: old, doorOpen: door, ...parts });
      };
      await expectLatest({});
      const third = message({ device: 'd', seq: 3, samples: [[BASE_TIME_MS + 2, { humidity: 4, doorOpen: false }]] });
      await store.write([third], 6);
      const image = join(folder, 'image');
      cpSync(directory, image, { recursive: true });
      await store.stop();
      directory = image;
      store = await openStore();
      const now = BASE_TIME_MS + 2;
      await expectLatest({ humidity: { observedAt: now, value: 4 }, doorOpen: { observedAt: now, value: false } });
      expect(await exported(store, { device: 'd' })).toEqual(storedForm([first, second, third]));
    });

    it('are copied while nobody stops, so that a restart has little to read', async () => {
      const store = await openStore({ latestCopyEvery: 100 });
      for (let batch = 1; batch <= 6; batch++) {
        const samples = Array.from({ length: 60 }, (_, i) => [BASE_TIME_MS + batch * 60 + i, { level: i }] as const);
        await store.write([message({ device: 'd', model: 'm', seq: batch, samples })], batch);
      }
      const image = join(folder, 'image');
      cpSync(directory, image, { recursive: true });
      const instance = await DuckDBInstance.create(join(image, 'telemetry.duckdb'));
      const connection = await instance.connect();
      const found = await connection.runAndReadAll(
        'SELECT position, (SELECT count(*) FROM latest_values) FROM latest_copy',
      );
      expect(found.getRows()).toEqual([[5n, 1n]]);
      connection.closeSync();
      instance.closeSync();
    });
  });

  it('refuses calls before start and after stop, and stops twice without harm', async () => {
    const store = await openStore();
    await store.stop();
    await store.stop();
    await expect(store.ping()).rejects.toThrow(/not started/);
    await store.start();
    await store.ping();
  });

  it('writes anew what a killed opening left in its write-ahead log, before anything is built on it', async () => {
    const before = await openStore();
    await before.write([first], 1);
    const killed = join(folder, 'killed');
    cpSync(directory, killed, { recursive: true });
    directory = killed;
    const log = join(killed, 'telemetry.duckdb.wal');
    expect(statSync(log).size).toBeGreaterThan(0);
    const after = await openStore();
    await after.write([first], 1);
    expect(statSync(log, { throwIfNoEntry: false })?.size ?? 0).toBe(0);
    expect(await exported(after, { device: 'd' })).toEqual(storedForm([first]));
  });

  it('goes on after it was handed nonsense', async () => {
    const store = await openStore();
    await store.write([first], 1);
    const bad = { ...second, samples: null } as unknown as typeof second;
    await expect(store.write([bad], 2)).rejects.toThrow();
    await store.write([second], 2);
    expect(await exported(store, { device: 'd' })).toEqual(storedForm([first, second]));
  });

  describe('with a writer in another process', () => {
    let writers: ChildProcess[] = [];
    afterEach(() => {
      for (const writer of writers) writer.kill('SIGKILL');
      writers = [];
    });

    function startWriter(count: number, command = process.execPath, prefix: readonly string[] = []): Writer {
      const args = [...prefix, '--import', 'tsx', WRITER, directory, String(count)];
      const process_ = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
      writers.push(process_);
      return { process: process_, lines: createInterface(process_.stdout)[Symbol.asyncIterator]() };
    }

    async function expectExactly(position: number): Promise<void> {
      const store = await openStore();
      expect(await store.storedPosition()).toBe(position);
      const expected = Array.from({ length: position }, (_, i) => batchAt(i + 1)).flat();
      const found = await exported(store, { device: WRITER_DEVICE, model: 'written' });
      expect(found.length).toBe(position * MESSAGES_PER_BATCH * 10);
      expect(found).toEqual(storedForm(expected));
    }

    it('loses and doubles nothing when the process is killed, three times over', async () => {
      let acknowledged = 0;
      for (const kills of [30, 45, 70]) {
        const writer = startWriter(100_000);
        for (let lines = 0; lines < kills; lines++)
          acknowledged = Number(/^stored (\d+)$/.exec(await lineOf(writer))?.[1]);
        writer.process.kill('SIGKILL');
        for await (const line of { [Symbol.asyncIterator]: () => writer.lines }) {
          acknowledged = Number(/^stored (\d+)$/.exec(line)?.[1] ?? acknowledged);
        }
      }
      const store = await openStore();
      const position = (await store.storedPosition()) ?? 0;
      await store.stop();
      // The last batch may have been committed without its acknowledgement being seen.
      expect(position - acknowledged).toBeGreaterThanOrEqual(0);
      expect(position - acknowledged).toBeLessThanOrEqual(1);
      await expectExactly(position);
    });

    it('tells who holds the file when a second process wants it', async () => {
      const writer = startWriter(100_000);
      await lineOf(writer);
      await expect(openStore()).rejects.toMatchObject({ code: 'DATA_DIR_LOCKED' });
    });

    const prlimit = findBinary('prlimit');
    it.skipIf(!prlimit)(
      'says that it is unavailable when the disk is full, and goes on by itself when it is not',
      async () => {
        const limited = ['-c', 'trap "" XFSZ; ulimit -S -f 4096; exec "$0" "$@"', process.execPath];
        const writer = startWriter(400, '/bin/sh', limited);
        let line = await lineOf(writer);
        while (line.startsWith('stored')) line = await lineOf(writer);
        expect(line).toBe('failed STORE_UNAVAILABLE');
        execFileSync(prlimit ?? '', ['--pid', String(writer.process.pid), '--fsize=unlimited']);
        while (line !== 'stored 400') line = await lineOf(writer);
        await new Promise((resolve) => writer.process.once('exit', resolve));
        await expectExactly(400);
      },
    );
  });
});

interface Writer {
  readonly process: ChildProcess;
  readonly lines: AsyncIterator<string>;
}

async function lineOf(writer: Writer): Promise<string> {
  const { value, done } = await writer.lines.next();
  if (done) throw new Error('the writer ended');
  return value;
}
