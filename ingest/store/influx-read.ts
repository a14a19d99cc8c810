/**
 * The InfluxDB store's queries, in InfluxQL, which 1.x, 2.x and 3.x all answer. Results come back ordered by the stored
 * nanoseconds; what is ordered by identity is put in order here, one millisecond's samples at a time.
 */
import { BOOT_PATTERN, type DeviceRef, type MessageIdentity } from '../../contract/kernel/ids.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import type {
  MessageReceipt,
  RangeQuery,
  Series,
  SeriesQuery,
  StoredSample,
} from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import { BucketExtremes, bucketsFor, Changes, type Point } from './down-sample.ts';
import { type InfluxConnection, type InfluxRows, quotedName } from './influx-connection.ts';
import { fieldOf, measurementOf, signalOf } from './influx-lines.ts';
import { readSealedExtremes, rolledOf, sealedFields } from './influx-seal.ts';
import { type SlotReader, slotAt, type TakenSlot } from './influx-slots.ts';
import { compareText, LatestOfDevice } from './latest-values.ts';
import { checkRange, isStorableRef, MAX_RAW_ROWS, tooManyRows } from './queries.ts';
import { LAST_STORABLE_MS, type ValueKind } from './signal-kinds.ts';
import type { LatestValues } from './worker-protocol.ts';

type ModelRef = DeviceRef & { readonly model: string };

const KIND_OF_FIELD: Readonly<Record<string, ValueKind>> = {
  float: 'number',
  integer: 'number',
  unsigned: 'number',
  boolean: 'boolean',
  string: 'text',
};
const IDENTITY_FIELDS = ['boot', 'seq', 'idx', 'observed_at', 'received_at'].map(quotedName).join(', ');

/** Kinds of the signals that a model's measurement holds. */
export async function readKinds(
  connection: InfluxConnection,
  model: string,
): Promise<readonly (readonly [signal: string, kind: ValueKind])[]> {
  const measurement = measurementOf(model);
  const [raw, rolled] = await connection.query([
    `SHOW FIELD KEYS FROM ${quotedName(measurement)}`,
    // InfluxDB forgets the fields of a measurement whose samples have all been deleted; their roll-ups remember.
    `SHOW FIELD KEYS FROM ${quotedName(rolledOf(measurement, HOUR_MS))}`,
  ]);
  const kinds = new Map<string, ValueKind>();
  for (const field of sealedFields(rolled)) kinds.set(signalOf(field) ?? '', 'number');
  for (const [field, type] of raw?.values ?? []) {
    const signal = signalOf(String(field));
    const kind = KIND_OF_FIELD[String(type)];
    if (signal !== undefined && kind !== undefined) kinds.set(signal, kind);
  }
  return [...kinds];
}

/** Samples in order of device time, boot, seq, index. Memory: one page, or all samples of one millisecond. */
export async function* readSamples(
  connection: InfluxConnection,
  query: RangeQuery,
  pageRows: number,
): AsyncGenerator<StoredSample> {
  checkRange(query);
  if (!isStorableRef(query)) return;
  for await (const rows of pages(connection, '*::field', query, pageRows)) yield* samplesOf(query, rows);
}

/** Series of the query's signals in its order; unknown ones are empty. */
export async function readSeries(
  connection: InfluxConnection,
  query: SeriesQuery,
  pageRows: number,
): Promise<Series[]> {
  if (!isStorableRef(query)) return query.signals.map((signal) => ({ signal, points: [] }));
  const kinds = new Map(await readKinds(connection, query.model));
  const wanted = query.signals.filter((signal) => kinds.has(signal));
  const bySignal =
    query.points === undefined
      ? await readRaw(connection, query, wanted, pageRows)
      : await readShort(connection, query, wanted, kinds, query.points, pageRows);
  return query.signals.map((signal) => ({ signal, points: bySignal.get(signal) ?? [] }));
}

/** Last value of each signal by device time, backfill excluded. */
export async function readLatest(connection: InfluxConnection, query: ModelRef): Promise<LatestValues> {
  const latest = new LatestOfDevice();
  if (!isStorableRef(query)) return latest.values();
  const signals = (await readKinds(connection, query.model)).map(([signal]) => signal);
  // `last` without a condition on a field is answered from the index; only signals whose newest value is backfill
  // need the slow question.
  const newest = await lastTimes(connection, query, signals, '');
  await addLiveRows(connection, query, new Set(newest.values()), latest);
  const values = latest.values();
  const backfilled = [...newest.keys()].filter((signal) => {
    const found = values.get(signal);
    return !found || Math.floor(found.observedAt) !== newest.get(signal);
  });
  const live = await lastTimes(connection, query, backfilled, ' AND "backfill" = false');
  await addLiveRows(connection, query, new Set(live.values()), latest);
  return latest.values();
}

export async function readHasMessage(
  connection: InfluxConnection,
  { model, boot, seq, ...ref }: MessageIdentity & { readonly model: string },
): Promise<boolean> {
  if (!isStorableRef(ref) || !BOOT_PATTERN.test(boot) || !Number.isSafeInteger(seq)) return false;
  const of = fromDevice({ ...ref, model });
  const [rows] = await connection.query([`SELECT "seq" ${of} AND "boot" = ${text(boot)} AND "seq" = ${seq} LIMIT 1`]);
  return rows !== undefined;
}

/** What is stored of a message. Its points are few; their times are the device's. */
export async function readReceipt(
  connection: InfluxConnection,
  { model, boot, seq, ...ref }: MessageIdentity & { readonly model: string },
): Promise<MessageReceipt | undefined> {
  if (!isStorableRef(ref) || !BOOT_PATTERN.test(boot) || !Number.isSafeInteger(seq)) return undefined;
  const of = `${fromDevice({ ...ref, model })} AND "boot" = ${text(boot)} AND "seq" = ${seq}`;
  const [rows] = await connection.query([`SELECT "received_at" ${of} ORDER BY time LIMIT 500`]);
  const [first] = rows?.values ?? [];
  if (!rows || !first) return undefined;
  const receivedAt = Math.min(...rows.values.map((row) => Number(row[1])));
  return { receivedAt, observedAt: millisecondOf(first), samples: rows.values.length };
}

export async function readHighestSequence(
  connection: InfluxConnection,
  { model, boot, ...ref }: Omit<MessageIdentity, 'seq'> & { readonly model: string },
): Promise<number | undefined> {
  if (!isStorableRef(ref) || !BOOT_PATTERN.test(boot)) return undefined;
  const [rows] = await connection.query([
    `SELECT max("seq") ${fromDevice({ ...ref, model })} AND "boot" = ${text(boot)}`,
  ]);
  return rows && Number(rows.values[0]?.[1]);
}

/** What the server holds, for `SlotKeeper`. */
export function slotReader(connection: InfluxConnection, pageRows: number): SlotReader {
  return {
    async taken(series, fromMs, lastMs) {
      const taken: TakenSlot[] = [];
      for await (const rows of pages(
        connection,
        '"boot", "seq"',
        { ...series, from: fromMs, to: lastMs + 1 },
        pageRows,
      )) {
        for (const row of rows.values) {
          const identity = { boot: String(row[1]), seq: Number(row[2]) };
          taken.push({ ...identity, ms: millisecondOf(row), slot: slotAt(Number(row[0]), identity) });
        }
      }
      return taken;
    },
    async firstBehind(series, ms) {
      const sql = `SELECT first("seq") ${fromDevice(series)} AND time >= ${nanoseconds(ms + 1)}`;
      const [rows] = await connection.query([sql]);
      return rows && millisecondOf(rows.values[0]);
    },
  };
}

/** `FROM … WHERE …` of one device. The reference has been checked; quoting is the second net. */
export function fromDevice({ tenant, device, model }: ModelRef, measurement = measurementOf(model)): string {
  return `FROM ${quotedName(measurement)} WHERE "tenant" = ${text(tenant)} AND "device" = ${text(device)}`;
}

export function inRange(query: RangeQuery): string {
  return `${fromDevice(query)} AND time >= ${nanoseconds(query.from)} AND time < ${nanoseconds(query.to)}`;
}

export function text(value: string): string {
  return `'${value.replace(/[\\']/g, '\\$&')}'`;
}

export function nanoseconds(ms: number): string {
  return String(BigInt(Math.min(Math.max(ms, 0), LAST_STORABLE_MS)) * 1_000_000n);
}

/** Whole milliseconds of a row's time, which is in microseconds. */
export function millisecondOf(row: readonly unknown[] | undefined): number {
  return Math.floor(Number(row?.[0]) / 1_000);
}

/** Pages of rows, each with all rows of its milliseconds. */
async function* pages(
  connection: InfluxConnection,
  fields: string,
  query: RangeQuery,
  pageRows: number,
): AsyncGenerator<InfluxRows> {
  let from = query.from;
  let limit = pageRows;
  while (from < query.to) {
    const [rows] = await connection.query([`SELECT ${fields} ${inRange({ ...query, from })} LIMIT ${limit}`]);
    if (!rows) return;
    const { columns, values } = rows;
    if (values.length < limit) {
      yield rows;
      return;
    }
    // The last millisecond may go on beyond this page: it is left for the next one.
    const lastMs = millisecondOf(values.at(-1));
    const complete = values.filter((row) => millisecondOf(row) < lastMs);
    if (complete.length > 0) yield { columns, values: complete };
    limit = complete.length > 0 ? pageRows : limit * 2;
    from = lastMs;
  }
}

function samplesOf({ tenant, device }: DeviceRef, { columns, values }: InfluxRows): StoredSample[] {
  const [boot, seq, idx, observed, received] = ['boot', 'seq', 'idx', 'observed_at', 'received_at'].map((field) =>
    columns.indexOf(field),
  ) as [number, number, number, number, number];
  const signals = signalColumns(columns);
  return values
    .map((row) => ({
      tenant,
      device,
      boot: row[boot] as string,
      seq: row[seq] as number,
      index: row[idx] as number,
      observedAt: (row[observed] as number | null | undefined) ?? millisecondOf(row),
      receivedAt: row[received] as number,
      signals: signalsOfRow(row, signals),
    }))
    .sort(compareSamples);
}

function signalColumns(columns: readonly string[]): (readonly [column: number, signal: string])[] {
  return columns.flatMap((field, column) => {
    const signal = signalOf(field);
    return signal === undefined ? [] : [[column, signal] as const];
  });
}

function signalsOfRow(
  row: readonly unknown[],
  columns: readonly (readonly [column: number, signal: string])[],
): Record<string, SignalValue> {
  const signals: Record<string, SignalValue> = {};
  for (const [column, signal] of columns) {
    const value = row[column];
    if (value !== null) signals[signal] = value as SignalValue;
  }
  return signals;
}

function compareSamples(a: StoredSample, b: StoredSample): number {
  return a.observedAt - b.observedAt || compareText(a.boot, b.boot) || a.seq - b.seq || a.index - b.index;
}

type PointsBySignal = Map<string, readonly Point[]>;

async function readRaw(
  connection: InfluxConnection,
  query: RangeQuery,
  wanted: readonly string[],
  pageRows: number,
): Promise<PointsBySignal> {
  if (wanted.length === 0) return new Map();
  const fields = `${IDENTITY_FIELDS}, ${wanted.map((signal) => quotedName(fieldOf(signal))).join(', ')}`;
  const bySignal = new Map<string, Point[]>(wanted.map((signal) => [signal, []]));
  let rowCount = 0;
  for await (const rows of pages(connection, fields, query, pageRows)) {
    for (const { observedAt, signals } of samplesOf(query, rows)) {
      const present = Object.entries(signals);
      if (present.length > 0 && ++rowCount > MAX_RAW_ROWS) throw tooManyRows();
      for (const [signal, value] of present) bySignal.get(signal)?.push([observedAt, value]);
    }
  }
  return bySignal;
}

/** Numbers: all points where they are few enough, otherwise extremes. Texts and booleans: changes. */
async function readShort(
  connection: InfluxConnection,
  query: RangeQuery,
  wanted: readonly string[],
  kinds: ReadonlyMap<string, ValueKind>,
  points: number,
  pageRows: number,
): Promise<PointsBySignal> {
  const numbers = wanted.filter((signal) => kinds.get(signal) === 'number');
  const counts = await countValues(connection, query, numbers);
  const series: PointsBySignal = new Map();
  for (const [i, signal] of numbers.entries()) {
    const sealed = await readSealedExtremes(
      connection,
      query,
      signal,
      bucketsFor(query.from, query.to, points, 2).widthMs,
    );
    const few = (counts[i] ?? 0) <= points && sealed.length === 0;
    series.set(
      signal,
      few
        ? await readAll(connection, query, signal, points)
        : await readExtremes(connection, query, signal, points, sealed),
    );
  }
  for (const signal of wanted.filter((name) => kinds.get(name) !== 'number')) {
    series.set(signal, await readChanges(connection, query, signal, points, pageRows));
  }
  return series;
}

async function countValues(
  connection: InfluxConnection,
  query: RangeQuery,
  signals: readonly string[],
): Promise<number[]> {
  const counts = await connection.query(
    signals.map((signal) => `SELECT count(${quotedName(fieldOf(signal))}) ${inRange(query)}`),
  );
  return counts.map((rows) => Number(rows?.values[0]?.[1] ?? 0));
}

async function readAll(
  connection: InfluxConnection,
  query: RangeQuery,
  signal: string,
  points: number,
): Promise<Point[]> {
  const sql = `SELECT ${quotedName(fieldOf(signal))} ${inRange(query)} LIMIT ${points}`;
  const [rows] = await connection.query([sql]);
  return pointsOf(rows);
}

async function readExtremes(
  connection: InfluxConnection,
  query: RangeQuery,
  signal: string,
  points: number,
  sealed: readonly (readonly [at: number, value: number])[],
): Promise<Point[]> {
  const buckets = bucketsFor(query.from, query.to, points, 2);
  const extremes = new BucketExtremes(buckets);
  for (const [at, value] of sealed) extremes.add(at, value);
  const field = quotedName(fieldOf(signal));
  const offsetMs = ((query.from % buckets.widthMs) + buckets.widthMs) % buckets.widthMs;
  const grouped = `${inRange(query)} GROUP BY time(${buckets.widthMs}ms, ${offsetMs}ms)`;
  // `min` would come with the bucket's time; of these two the server gives the time of the point itself.
  const found = await connection.query([`SELECT bottom(${field}, 1) ${grouped}`, `SELECT top(${field}, 1) ${grouped}`]);
  for (const rows of found) for (const [at, value] of pointsOf(rows)) extremes.add(at, value as number);
  return extremes.points();
}

async function readChanges(
  connection: InfluxConnection,
  query: RangeQuery,
  signal: string,
  points: number,
  pageRows: number,
): Promise<readonly Point[]> {
  const changes = new Changes(query.from, query.to, points);
  for await (const rows of pages(connection, quotedName(fieldOf(signal)), query, pageRows)) {
    for (const [at, value] of pointsOf(rows)) changes.add(at, value);
  }
  return changes.points();
}

/** Points of a single field, by whole millisecond and then value. */
function pointsOf(rows: InfluxRows | undefined): Point[] {
  return (rows?.values ?? [])
    .map((row): Point => [millisecondOf(row), row[1] as SignalValue])
    .sort(([a, v], [b, w]) => a - b || (v < w ? -1 : v > w ? 1 : 0));
}

/** Whole millisecond of the last value of each signal; signals that the device never sent are left out. */
async function lastTimes(
  connection: InfluxConnection,
  query: ModelRef,
  signals: readonly string[],
  condition: string,
): Promise<Map<string, number>> {
  const found = await connection.query(
    signals.map((signal) => `SELECT last(${quotedName(fieldOf(signal))}) ${fromDevice(query)}${condition}`),
  );
  const times = new Map<string, number>();
  found.forEach((rows, i) => {
    if (rows) times.set(signals[i] as string, millisecondOf(rows.values[0]));
  });
  return times;
}

async function addLiveRows(
  connection: InfluxConnection,
  query: ModelRef,
  times: ReadonlySet<number>,
  latest: LatestOfDevice,
): Promise<void> {
  const found = await connection.query(
    [...times].map((ms) => `SELECT *::field ${inRange({ ...query, from: ms, to: ms + 1 })} AND "backfill" = false`),
  );
  for (const rows of found) {
    for (const { signals, ...at } of rows ? samplesOf(query, rows) : []) {
      for (const [signal, value] of Object.entries(signals)) latest.add({ ...at, signal, value });
    }
  }
}
