/** The embedded store's queries. Every value is a parameter; names come from the store's own catalogue of columns. */
import { BIGINT, DOUBLE, type DuckDBConnection, type DuckDBType, VARCHAR } from '@duckdb/node-api';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import type { RangeQuery, Series, SeriesQuery } from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import { BucketExtremes, bucketsFor, Changes, type Point } from './down-sample.ts';
import { readSealedExtremes } from './embedded-seal.ts';
import { type ModelTable, quoted, type SignalColumn } from './embedded-tables.ts';
import type { LatestEntry } from './latest-values.ts';
import { MAX_RAW_ROWS, MINUTES_BELOW_MS, tooManyRows } from './queries.ts';
import type { Page, PageCursor } from './worker-protocol.ts';

const ORDER = 'observed_at, boot, seq, idx';
const OF_DEVICE = 'tenant = $1 AND device = $2';
export const IN_RANGE = `${OF_DEVICE} AND observed_at >= $3 AND observed_at < $4`;
/** First width of a page's look; it then follows the density of the data. */
const FIRST_PAGE_WIDTH_MS = 3_600_000;

export type Values = readonly (readonly [SignalValue | bigint, DuckDBType])[];
type Column = readonly (SignalValue | bigint | null)[];

/** Range of one device as parameters $1 to $4. */
export function rangeValues({ tenant, device, from, to }: RangeQuery): Values {
  return [
    [tenant, VARCHAR],
    [device, VARCHAR],
    [from, DOUBLE],
    [to, DOUBLE],
  ];
}

export async function columnsOf(connection: DuckDBConnection, sql: string, values: Values): Promise<Column[]> {
  const [list, types] = [values.map(([value]) => value), values.map(([, type]) => type)];
  const reader = await connection.runAndReadAll(sql, list, types);
  return reader.getColumns() as Column[];
}

/** One page of an export, from `cursor` on or from the first sample of the range. */
export async function readPage(
  connection: DuckDBConnection,
  table: ModelTable,
  query: RangeQuery,
  pageRows: number,
  cursor: PageCursor | undefined,
): Promise<Page> {
  let at = cursor ?? (await firstCursor(connection, table, query));
  while (at && at.from < query.to) {
    const until = Math.min(query.to, at.from + at.widthMs);
    const columns = await readSlice(connection, table, { ...query, from: at.from, to: until }, at.after, pageRows);
    const rows = columns[0]?.length ?? 0;
    const next = nextCursor(at, until, columns, pageRows);
    if (rows > 0) return pageOf(table.columns, columns, next.from < query.to || next.after ? next : undefined);
    at = next;
  }
  return pageOf(table.columns, [], undefined);
}

/** Columns boot, seq, idx, observed_at, received_at and then the signals, in order. */
function readSlice(
  connection: DuckDBConnection,
  table: ModelTable,
  query: RangeQuery,
  after: PageCursor['after'],
  limit: number,
): Promise<Column[]> {
  const names = table.columns.map(({ column }) => quoted(column));
  const select = ['boot', 'seq', 'idx', 'observed_at', 'received_at', ...names].join(', ');
  const beyond = after ? 'AND (observed_at > $3 OR (boot, seq, idx) > ($5, $6, $7))' : '';
  const rest: Values = after
    ? [
        [after.boot, VARCHAR],
        [BigInt(after.seq), BIGINT],
        [BigInt(after.index), BIGINT],
      ]
    : [];
  const sql = `SELECT ${select} FROM ${table.table} WHERE ${IN_RANGE} ${beyond} ORDER BY ${ORDER} LIMIT ${limit}`;
  return columnsOf(connection, sql, [...rangeValues(query), ...rest]);
}

async function firstCursor(
  connection: DuckDBConnection,
  { table }: ModelTable,
  query: RangeQuery,
): Promise<PageCursor | undefined> {
  const sql = `SELECT min(observed_at) FROM ${table} WHERE ${IN_RANGE}`;
  const [[first] = []] = await columnsOf(connection, sql, rangeValues(query));
  return typeof first === 'number' ? { from: first, widthMs: FIRST_PAGE_WIDTH_MS } : undefined;
}

/** A full page goes on after its last sample; otherwise the next slice is due, wider when this one held little. */
function nextCursor(at: PageCursor, until: number, columns: readonly Column[], pageRows: number): PageCursor {
  const [boots = [], seqs = [], indexes = [], times = []] = columns;
  const last = boots.length - 1;
  if (boots.length < pageRows) {
    return { from: until, widthMs: boots.length * 4 < pageRows ? at.widthMs * 4 : at.widthMs };
  }
  const from = times[last] as number;
  const after = { boot: boots[last] as string, seq: Number(seqs[last]), index: Number(indexes[last]) };
  return { from, widthMs: Math.max(1, Math.ceil((from - at.from) * 1.25)), after };
}

function pageOf(columns: readonly SignalColumn[], read: readonly Column[], next: PageCursor | undefined): Page {
  const [boots = [], seqs = [], indexes = [], observedAt = [], receivedAt = [], ...values] = read;
  return {
    boots: boots as readonly string[],
    seqs: seqs.map(Number),
    indexes: indexes as readonly number[],
    observedAt: observedAt as readonly number[],
    receivedAt: receivedAt as readonly number[],
    signals: columns.map(({ signal }, i) => ({ signal, values: (values[i] ?? []) as (SignalValue | null)[] })),
    ...(next && { next }),
  };
}

/** Series of the query's signals in its order; unknown ones are empty. */
export async function readSeries(
  connection: DuckDBConnection,
  table: ModelTable,
  query: SeriesQuery,
): Promise<Series[]> {
  const wanted = table.columns.filter(({ signal }) => query.signals.includes(signal));
  const bySignal =
    query.points === undefined
      ? await readRaw(connection, table, wanted, query)
      : await readShort(connection, table, wanted, query, query.points);
  return query.signals.map((signal) => ({ signal, points: bySignal.get(signal) ?? [] }));
}

type PointsBySignal = Map<string, Point[]>;

async function readRaw(
  connection: DuckDBConnection,
  { table }: ModelTable,
  wanted: readonly SignalColumn[],
  query: RangeQuery,
): Promise<PointsBySignal> {
  if (wanted.length === 0) return new Map();
  const names = wanted.map(({ column }) => quoted(column));
  const present = names.map((name) => `${name} IS NOT NULL`).join(' OR ');
  const sql = `SELECT observed_at, ${names.join(', ')} FROM ${table} WHERE ${IN_RANGE} AND (${present})
    ORDER BY ${ORDER} LIMIT ${MAX_RAW_ROWS + 1}`;
  const [times = [], ...values] = await columnsOf(connection, sql, rangeValues(query));
  if (times.length > MAX_RAW_ROWS) throw tooManyRows();
  return new Map(wanted.map(({ signal }, i) => [signal, pointsOf(times, values[i] ?? [])]));
}

function pointsOf(times: Column, values: Column): Point[] {
  const points: Point[] = [];
  for (let row = 0; row < times.length; row++) {
    const value = values[row];
    if (value !== null) points.push([times[row] as number, value as SignalValue]);
  }
  return points;
}

/** Numbers: all points where they are few enough, otherwise extremes. Texts and booleans: changes. */
async function readShort(
  connection: DuckDBConnection,
  table: ModelTable,
  wanted: readonly SignalColumn[],
  query: RangeQuery,
  points: number,
): Promise<PointsBySignal> {
  const numbers = wanted.filter(({ kind }) => kind === 'number');
  const counts = await countValues(connection, table, numbers, query);
  const sealed = await sealedSignals(connection, table, query);
  const isShort = ({ signal }: SignalColumn, i: number): boolean => (counts[i] ?? 0) <= points && !sealed.has(signal);
  const few = numbers.filter(isShort);
  const many = numbers.filter((column, i) => !isShort(column, i));
  const series = await readAll(connection, table, few, query);
  for (const [signal, found] of await readExtremes(connection, table, many, query, points)) series.set(signal, found);
  for (const column of wanted.filter(({ kind }) => kind !== 'number')) {
    series.set(column.signal, await readChanges(connection, table, column, query, points));
  }
  return series;
}

/** All points of signals that have few, by whole millisecond and then value: what every store can order by. */
async function readAll(
  connection: DuckDBConnection,
  { table }: ModelTable,
  columns: readonly SignalColumn[],
  query: RangeQuery,
): Promise<PointsBySignal> {
  const series: PointsBySignal = new Map();
  for (const { signal, column } of columns) {
    const sql = `SELECT floor(observed_at) AS ms, ${quoted(column)} FROM ${table}
      WHERE ${IN_RANGE} AND ${quoted(column)} IS NOT NULL ORDER BY 1, 2`;
    const [times = [], values = []] = await columnsOf(connection, sql, rangeValues(query));
    series.set(signal, pointsOf(times, values));
  }
  return series;
}

/** Signals of which a range holds roll-ups instead of samples. */
async function sealedSignals(
  connection: DuckDBConnection,
  { id }: ModelTable,
  query: RangeQuery,
): Promise<ReadonlySet<unknown>> {
  const sql = `SELECT DISTINCT signal FROM rolled_1h WHERE model_id = ${id} AND tenant = $1 AND device = $2
    AND bucket > $3 - 3600000 AND bucket < $4`;
  const [signals = []] = await columnsOf(connection, sql, rangeValues(query));
  return new Set(signals);
}

async function countValues(
  connection: DuckDBConnection,
  { table }: ModelTable,
  columns: readonly SignalColumn[],
  query: RangeQuery,
): Promise<number[]> {
  if (columns.length === 0) return [];
  const counts = columns.map(({ column }) => `count(${quoted(column)})`).join(', ');
  const read = await columnsOf(connection, `SELECT ${counts} FROM ${table} WHERE ${IN_RANGE}`, rangeValues(query));
  return read.map(([count]) => Number(count));
}

async function readExtremes(
  connection: DuckDBConnection,
  model: ModelTable,
  columns: readonly SignalColumn[],
  query: RangeQuery,
  points: number,
): Promise<PointsBySignal> {
  if (columns.length === 0) return new Map();
  const buckets = bucketsFor(query.from, query.to, points, 2);
  const extremes = columns.map(() => new BucketExtremes(buckets));
  for (const [i, { signal }] of columns.entries()) {
    const sealed = await readSealedExtremes(connection, model, query, signal, buckets.widthMs < MINUTES_BELOW_MS);
    for (const [at, value] of sealed) extremes[i]?.add(at, value);
  }
  const names = columns.map(({ column }) => quoted(column)).join(', ');
  await scan(
    connection,
    `SELECT observed_at, ${names} FROM ${model.table} WHERE ${IN_RANGE}`,
    rangeValues(query),
    (read) => {
      const [times = [], ...values] = read;
      values.forEach((column, i) => {
        for (let row = 0; row < times.length; row++) {
          const value = column[row];
          if (value !== null) extremes[i]?.add(Math.floor(times[row] as number), value as number);
        }
      });
    },
  );
  return new Map(columns.map(({ signal }, i) => [signal, extremes[i]?.points() ?? []]));
}

async function readChanges(
  connection: DuckDBConnection,
  { table }: ModelTable,
  { column }: SignalColumn,
  query: RangeQuery,
  points: number,
): Promise<Point[]> {
  const changes = new Changes(query.from, query.to, points);
  const name = quoted(column);
  // DuckDB drops the repetitions, so that only changes cross over to JavaScript, however long the range.
  const sql = `SELECT floor(observed_at) AS ms, ${name} FROM ${table} WHERE ${IN_RANGE} AND ${name} IS NOT NULL
    QUALIFY lag(${name}) OVER (ORDER BY floor(observed_at), ${name}) IS DISTINCT FROM ${name} ORDER BY 1, 2`;
  await scan(connection, sql, rangeValues(query), ([times = [], values = []]) => {
    for (let row = 0; row < times.length; row++) changes.add(times[row] as number, values[row] as SignalValue);
  });
  return changes.points();
}

/** Runs a query and hands over its columns chunk by chunk. */
export async function scan(
  connection: DuckDBConnection,
  sql: string,
  values: Values,
  take: (columns: readonly Column[]) => void,
): Promise<void> {
  const [list, types] = [values.map(([value]) => value), values.map(([, type]) => type)];
  const result = await connection.stream(sql, list, types);
  for (let chunk = await result.fetchChunk(); chunk && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    take(chunk.getColumns() as Column[]);
  }
}

/** Last value of each signal of a device by device time, backfill excluded. */
export async function readLatest(
  connection: DuckDBConnection,
  { table, columns }: ModelTable,
  { tenant, device }: DeviceRef,
): Promise<LatestEntry[]> {
  if (columns.length === 0) return [];
  const ref: Values = [
    [tenant, VARCHAR],
    [device, VARCHAR],
  ];
  const newest = columns.map(({ column }) => `max(observed_at) FILTER (WHERE ${quoted(column)} IS NOT NULL)`);
  const live = `${OF_DEVICE} AND NOT backfill`;
  const times = await columnsOf(connection, `SELECT ${newest.join(', ')} FROM ${table} WHERE ${live}`, ref);
  const distinct = [...new Set(times.map(([time]) => time).filter((time) => typeof time === 'number'))];
  if (distinct.length === 0) return [];
  const marks = distinct.map((_time, i) => `$${i + 3}`).join(', ');
  const names = columns.map(({ column }) => quoted(column)).join(', ');
  const [boots = [], seqs = [], indexes = [], observedAt = [], ...values] = await columnsOf(
    connection,
    `SELECT boot, seq, idx, observed_at, ${names} FROM ${table} WHERE ${live} AND observed_at IN (${marks})`,
    [...ref, ...distinct.map((time) => [time, DOUBLE] as const)],
  );
  return boots.flatMap((boot, row) =>
    columns.flatMap(({ signal }, i): LatestEntry[] => {
      const value = values[i]?.[row];
      if (value === null || value === undefined) return [];
      const at = { observedAt: observedAt[row] as number, boot: boot as string };
      return [{ ...at, seq: Number(seqs[row]), index: indexes[row] as number, signal, value: value as SignalValue }];
    }),
  );
}
