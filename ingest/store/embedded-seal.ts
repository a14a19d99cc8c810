/**
 * Retention of the embedded store: samples of one hour of a model become roll-ups and are deleted, all in one transaction.
 * What is rolled up and what is still raw never overlap, so readers add the two. Writes wait for a transaction, so a full
 * hour is worked off in several, some devices each.
 */
import { BIGINT, DOUBLE, type DuckDBConnection, INTEGER, VARCHAR } from '@duckdb/node-api';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { RangeQuery, RetentionCut } from '../../contract/ports/telemetry-store.ts';
import { bootSlots, PLACE } from './embedded-order.ts';
import { columnsOf } from './embedded-read.ts';
import { type ModelTable, type ModelTables, POSITION_COLUMN, quoted } from './embedded-tables.ts';
import type { DueHour, UnsealedHours } from './unsealed-hours.ts';

export const ROLLED_TABLES = [
  ['rolled_1m', MINUTE_MS],
  ['rolled_1h', HOUR_MS],
] as const;

/** Table of the roll-ups of one width. */
export function rolledTableOf(bucketMs: number): string {
  return bucketMs === MINUTE_MS ? 'rolled_1m' : 'rolled_1h';
}

/** What one step did. */
export interface SealedSlice {
  readonly model: string;
  readonly modelId: number;
  /** Start of the hour. */
  readonly from: number;
  readonly samples: number;
  /** The last device, in the order of tenant and id, when more of the hour are left. */
  readonly last: DeviceRef | undefined;
}

export interface SealRequest extends RetentionCut {
  /** A step takes devices until it has so many samples, but at least one device. */
  readonly maxSamples: number;
}

/**
 * Seals the oldest due hour, or as many of its devices as one step may take. Runs in the caller's transaction; `hours` is
 * the caller's to move on when that is committed. @returns `undefined` when none is due
 */
export async function sealOldestHour(
  connection: DuckDBConnection,
  tables: ModelTables,
  hours: UnsealedHours,
  request: SealRequest,
): Promise<SealedSlice | undefined> {
  for (const [model, table] of tables.models()) {
    const hour = hours.overflowed
      ? await findDueHour(connection, table, request.rawBefore)
      : hours.oldestDue(table.id, request.rawBefore);
    if (!hour) continue;
    const slice = await sliceOf(connection, table, hour.from, request.maxSamples);
    await sealSlice(connection, table, hour.from, slice);
    return { model, modelId: table.id, from: hour.from, samples: slice.samples, last: slice.last };
  }
  await connection.run('DELETE FROM rolled_1m WHERE bucket < $1', [request.minutesBefore], [DOUBLE]);
  return undefined;
}

/** All hours of what is stored up to a position: what comes later is added as it is committed. */
export async function findUnsealedHours(
  connection: DuckDBConnection,
  tables: ModelTables,
  position: number,
  hours: UnsealedHours,
): Promise<void> {
  const at = quoted(POSITION_COLUMN);
  for (const [, { id, table }] of tables.models()) {
    const sql = `SELECT floor(observed_at / ${HOUR_MS}) * ${HOUR_MS}, max(received_at), count(*) FROM ${table}
      WHERE ${at} IS NULL OR ${at} <= $1 GROUP BY 1`;
    const [from = [], receivedAt = [], samples = []] = await columnsOf(connection, sql, [[BigInt(position), BIGINT]]);
    from.forEach((hour, row) => {
      hours.add(id, hour as number, receivedAt[row] as number, Number(samples[row]));
    });
  }
}

/** Looks through all samples: only for who could not remember the hours. */
async function findDueHour(
  connection: DuckDBConnection,
  { table }: ModelTable,
  rawBefore: number,
): Promise<DueHour | undefined> {
  const sql = `SELECT floor(observed_at / ${HOUR_MS}) * ${HOUR_MS} AS hour, count(*) FROM ${table} WHERE observed_at < $1
    GROUP BY 1 HAVING max(received_at) < $1 AND hour + ${HOUR_MS} <= $1 ORDER BY 1 LIMIT 1`;
  const [[from] = [], [samples] = []] = await columnsOf(connection, sql, [[rawBefore, DOUBLE]]);
  return typeof from === 'number' ? { from, samples: Number(samples) } : undefined;
}

interface Slice {
  /** SQL of what belongs to it. */
  readonly condition: string;
  readonly samples: number;
  readonly last: DeviceRef | undefined;
}

/**
 * The first devices of an hour that are left, in the order of tenant and id. Never half a device: the last value of an
 * hour can only be told from all of its samples.
 */
async function sliceOf(
  connection: DuckDBConnection,
  { table }: ModelTable,
  from: number,
  maxSamples: number,
): Promise<Slice> {
  const range = `observed_at >= ${from} AND observed_at < ${from + HOUR_MS}`;
  const sql = `SELECT tenant, device, count(*) FROM ${table} WHERE ${range} GROUP BY ALL ORDER BY 1, 2`;
  const [tenants = [], devices = [], counts = []] = await columnsOf(connection, sql, []);
  let samples = 0;
  for (const [row, count] of counts.entries()) {
    if (row > 0 && samples + Number(count) > maxSamples) {
      const last = { tenant: String(tenants[row - 1]), device: String(devices[row - 1]) };
      return { condition: `${range} AND ${upTo(last)}`, samples, last };
    }
    samples += Number(count);
  }
  return { condition: range, samples, last: undefined };
}

/** Devices up to one, in SQL. Ids hold no quotation marks; doubled all the same, because this is where it would matter. */
function upTo(last: DeviceRef): string {
  const [tenant, device] = [last.tenant, last.device].map((id) => `'${id.replaceAll("'", "''")}'`);
  return `(tenant < ${tenant} OR (tenant = ${tenant} AND device <= ${device}))`;
}

async function sealSlice(
  connection: DuckDBConnection,
  { id, table, columns }: ModelTable,
  from: number,
  { condition, samples }: Slice,
): Promise<void> {
  await connection.run('INSERT INTO seals SELECT coalesce(max(part), 0) + 1, $1, $2, $3 FROM seals', [
    id,
    from,
    BigInt(samples),
  ]);
  for (const { signal, column } of columns.filter(({ kind }) => kind === 'number')) {
    const v = quoted(column);
    for (const [rolled, widthMs] of ROLLED_TABLES) {
      const sql = `INSERT INTO ${rolled}
        WITH ${bootSlots(table, condition)}, placed AS (
          SELECT tenant, device, ${PLACE} AS place, floor(observed_at) AS ms, ${v} AS v
          FROM ${table} JOIN boots USING (boot) WHERE ${condition} AND ${v} IS NOT NULL ORDER BY place)
        SELECT $1, $2, tenant, device, (SELECT max(part) FROM seals), floor(ms / ${widthMs}) * ${widthMs}, count(v),
          sum(v), min(v), arg_min(ms, row(v, ms)), max(v), arg_max(ms, row(v, -ms)), arg_max(v, place)
        FROM placed GROUP BY 3, 4, 6`;
      await connection.run(sql, [id, signal], [INTEGER, VARCHAR]);
    }
  }
  await connection.run(`DELETE FROM ${table} WHERE ${condition}`);
}

/** Where the extremes of sealed buckets of a range lie, for `BucketExtremes`. */
export async function readSealedExtremes(
  connection: DuckDBConnection,
  { id }: ModelTable,
  { tenant, device, from, to }: RangeQuery,
  signal: string,
  withMinutes: boolean,
): Promise<(readonly [at: number, value: number])[]> {
  const points: (readonly [number, number])[] = [];
  for (const [rolled, widthMs] of ROLLED_TABLES) {
    if (widthMs === MINUTE_MS && !withMinutes) continue;
    const [lowAt = [], low = [], highAt = [], high = []] = await columnsOf(
      connection,
      `SELECT low_at, low, high_at, high FROM ${rolled} WHERE model_id = $1 AND signal = $2 AND tenant = $3
        AND device = $4 AND bucket > $5 AND bucket < $6`,
      [
        [id, INTEGER],
        [signal, VARCHAR],
        [tenant, VARCHAR],
        [device, VARCHAR],
        [from - widthMs, DOUBLE],
        [to, DOUBLE],
      ],
    );
    lowAt.forEach((at, row) => {
      points.push([at as number, low[row] as number], [highAt[row] as number, high[row] as number]);
    });
  }
  return points.filter(([at]) => at >= from && at < to);
}
