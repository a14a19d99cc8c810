/** Roll-ups and fleet-wide questions of the embedded store. Values are parameters; names come from the store's catalogue. */
import { DOUBLE, type DuckDBConnection, INTEGER, VARCHAR } from '@duckdb/node-api';
import type {
  AggregateQuery,
  LatestPageQuery,
  ModelAggregateQuery,
  ModelBucket,
  RollUpSeries,
} from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import { bootSlots, PLACE } from './embedded-order.ts';
import { columnsOf, IN_RANGE, rangeValues } from './embedded-read.ts';
import { rolledTableOf } from './embedded-seal.ts';
import { type ModelTable, quoted } from './embedded-tables.ts';
import type { LatestEntry } from './latest-values.ts';
import { joinParts, type RollUpPart } from './roll-ups.ts';

/** Roll-ups of the query's signals in its order; the range is whole buckets. */
export async function readRollUps(
  connection: DuckDBConnection,
  model: ModelTable,
  query: AggregateQuery,
): Promise<RollUpSeries[]> {
  const { table, columns } = model;
  const bySignal = await readSealed(connection, model, query);
  const wanted = columns.filter(({ signal, kind }) => kind === 'number' && query.signals.includes(signal));
  if (wanted.length > 0) {
    const names = wanted.map(({ column }) => quoted(column));
    const parts = names.map((v) => `count(${v}), sum(${v}), min(${v}), max(${v}), arg_max(${v}, place)`);
    // Sorted once, and outside the aggregates: `sum(x ORDER BY y)` holds a buffer for each bucket and signal.
    const sql = `WITH ${bootSlots(table, IN_RANGE)},
      placed AS (SELECT ${PLACE} AS place, observed_at, ${names.join(', ')} FROM ${table} JOIN boots USING (boot)
        WHERE ${IN_RANGE} ORDER BY place)
      SELECT floor(observed_at / $5) * $5 AS bucket, ${parts.join(', ')} FROM placed GROUP BY 1 ORDER BY 1`;
    const read = await columnsOf(connection, sql, [...rangeValues(query), [query.bucketMs, DOUBLE]]);
    const [starts = [], ...values] = read;
    wanted.forEach(({ signal }, i) => {
      bySignal.set(signal, [
        ...(bySignal.get(signal) ?? []),
        ...partsOf(starts as number[], values.slice(i * 5, i * 5 + 5) as PartColumns),
      ]);
    });
  }
  return query.signals.map((signal) => ({ signal, buckets: joinParts(bySignal.get(signal) ?? []) }));
}

/** Parts that retention rolled up, in the order in which it did. */
async function readSealed(
  connection: DuckDBConnection,
  { id }: ModelTable,
  { tenant, device, from, to, bucketMs }: AggregateQuery,
): Promise<Map<string, RollUpPart[]>> {
  const sql = `SELECT signal, bucket, n, total, low, high, newest FROM ${rolledTableOf(bucketMs)}
    WHERE model_id = $1 AND tenant = $2 AND device = $3 AND bucket >= $4 AND bucket < $5 ORDER BY part`;
  const [signals = [], ...columns] = await columnsOf(connection, sql, [
    [id, INTEGER],
    [tenant, VARCHAR],
    [device, VARCHAR],
    [from, DOUBLE],
    [to, DOUBLE],
  ]);
  const bySignal = new Map<string, RollUpPart[]>();
  signals.forEach((signal, row) => {
    const [start, count, sum, min, max, last] = columns.map((column) => Number(column[row]));
    const parts = bySignal.get(signal as string) ?? [];
    bySignal.set(signal as string, parts);
    parts.push({ from: start, count, sum, min, max, last } as RollUpPart);
  });
  return bySignal;
}

/** count, sum, min, max, last; a bucket without values of the signal has count 0. */
type PartColumns = readonly (readonly (number | bigint)[])[];

function partsOf(starts: readonly number[], [counts = [], ...columns]: PartColumns): RollUpPart[] {
  return starts.flatMap((from, row) => {
    const count = Number(counts[row]);
    if (count === 0) return [];
    const [sum, min, max, last] = columns.map((column) => column[row] as number) as [number, number, number, number];
    return [{ from, count, sum, min, max, last }];
  });
}

/** A signal across all devices of a tenant; the range is whole buckets. */
export async function readModelBuckets(
  connection: DuckDBConnection,
  { id, table, columns }: ModelTable,
  { tenant, signal, from, to, bucketMs }: ModelAggregateQuery,
): Promise<ModelBucket[]> {
  const found = columns.find((column) => column.signal === signal && column.kind === 'number');
  if (!found) return [];
  const v = quoted(found.column);
  const sql = `WITH parts AS (
      SELECT device, floor(observed_at / $4) * $4 AS bucket, count(${v}) AS n, sum(${v}) AS total
      FROM ${table} WHERE tenant = $1 AND observed_at >= $2 AND observed_at < $3 AND ${v} IS NOT NULL GROUP BY 1, 2
      UNION ALL SELECT device, bucket, n, total FROM ${rolledTableOf(bucketMs)}
      WHERE model_id = ${id} AND signal = $5 AND tenant = $1 AND bucket >= $2 AND bucket < $3),
    shares AS (SELECT device, bucket, sum(n) AS n, TRY_CAST(sum(total) / sum(n) AS FLOAT) AS mean
      FROM parts GROUP BY 1, 2)
    SELECT bucket, count(*), sum(n)::DOUBLE, quantile_disc(mean, 0.50), quantile_disc(mean, 0.95),
      (sum(mean::DOUBLE) / count(*))::FLOAT
    FROM shares WHERE isfinite(mean) GROUP BY 1 ORDER BY 1`;
  const [starts = [], ...values] = await columnsOf(connection, sql, [
    [tenant, VARCHAR],
    [from, DOUBLE],
    [to, DOUBLE],
    [bucketMs, DOUBLE],
    [signal, VARCHAR],
  ]);
  return starts.map((start, row) => {
    const [devices, count, p50, p95, mean] = values.map((column) => Number(column[row]) + 0);
    return { from: start, devices, count, p50, p95, mean } as ModelBucket;
  });
}

/** Candidates for the latest values of the next `limit` devices, by device; fewer devices than `limit` = the last page. */
export async function readLatestPage(
  connection: DuckDBConnection,
  { table, columns }: ModelTable,
  { tenant, limit, after = '' }: LatestPageQuery,
): Promise<ReadonlyMap<string, readonly LatestEntry[]>> {
  if (columns.length === 0) return new Map();
  const names = columns.map(({ column }) => quoted(column));
  const present = names.map((name) => `${name} IS NOT NULL`).join(' OR ');
  const newest = names.map((name) => `max(observed_at) FILTER (WHERE ${name} IS NOT NULL)`);
  const live = `tenant = $1 AND device > $2 AND NOT backfill`;
  const sql = `WITH page AS (SELECT DISTINCT device FROM ${table} WHERE ${live} AND (${present}) ORDER BY 1 LIMIT $3),
    newest AS (SELECT device, unnest(list_distinct([${newest.join(', ')}])) AS observed_at
      FROM ${table} WHERE ${live} AND device IN (FROM page) GROUP BY 1)
    SELECT device, boot, seq, idx, observed_at, ${names.join(', ')}
    FROM ${table} JOIN newest USING (device, observed_at) WHERE ${live} ORDER BY device`;
  const [devices = [], boots = [], seqs = [], indexes = [], times = [], ...values] = await columnsOf(connection, sql, [
    [tenant, VARCHAR],
    [after, VARCHAR],
    [limit, INTEGER],
  ]);
  const byDevice = new Map<string, LatestEntry[]>();
  devices.forEach((device, row) => {
    const entries = byDevice.get(device as string) ?? [];
    byDevice.set(device as string, entries);
    const rank = { observedAt: times[row] as number, boot: boots[row] as string, seq: Number(seqs[row]) };
    columns.forEach(({ signal }, i) => {
      const value = values[i]?.[row];
      if (value === null || value === undefined) return;
      entries.push({ ...rank, index: indexes[row] as number, signal, value: value as SignalValue });
    });
  });
  return byDevice;
}
