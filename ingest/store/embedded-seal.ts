/**
 * Retention of the embedded store: an hour of a model's samples becomes roll-ups and is deleted, all in one transaction.
 * What is rolled up and what is still raw never overlap, so readers add the two.
 */
import { DOUBLE, type DuckDBConnection, INTEGER, VARCHAR } from '@duckdb/node-api';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { RangeQuery, RetentionCut } from '../../contract/ports/telemetry-store.ts';
import { bootSlots, PLACE } from './embedded-order.ts';
import { columnsOf } from './embedded-read.ts';
import { type ModelTable, type ModelTables, quoted } from './embedded-tables.ts';

export const ROLLED_TABLES = [
  ['rolled_1m', MINUTE_MS],
  ['rolled_1h', HOUR_MS],
] as const;

/** Table of the roll-ups of one width. */
export function rolledTableOf(bucketMs: number): string {
  return bucketMs === MINUTE_MS ? 'rolled_1m' : 'rolled_1h';
}

export interface SealedHour {
  readonly model: string;
  readonly from: number;
  readonly samples: number;
}

/** Seals the oldest due hour. Runs in the caller's transaction. @returns `undefined` when none is due */
export async function sealOldestHour(
  connection: DuckDBConnection,
  tables: ModelTables,
  cut: RetentionCut,
): Promise<SealedHour | undefined> {
  await connection.run('DELETE FROM rolled_1m WHERE bucket < $1', [cut.minutesBefore], [DOUBLE]);
  for (const [model, table] of tables.models()) {
    const hour = await dueHour(connection, table, cut.rawBefore);
    if (!hour) continue;
    await sealHour(connection, table, hour.from, hour.rows);
    return { model, from: hour.from, samples: hour.rows };
  }
  return undefined;
}

async function dueHour(
  connection: DuckDBConnection,
  { table }: ModelTable,
  rawBefore: number,
): Promise<{ from: number; rows: number } | undefined> {
  const sql = `SELECT floor(observed_at / ${HOUR_MS}) * ${HOUR_MS} AS hour, count(*) FROM ${table} WHERE observed_at < $1
    GROUP BY 1 HAVING max(received_at) < $1 AND hour + ${HOUR_MS} <= $1 ORDER BY 1 LIMIT 1`;
  const [[from] = [], [rows] = []] = await columnsOf(connection, sql, [[rawBefore, DOUBLE]]);
  return typeof from === 'number' ? { from, rows: Number(rows) } : undefined;
}

async function sealHour(
  connection: DuckDBConnection,
  { id, table, columns }: ModelTable,
  from: number,
  rows: number,
): Promise<void> {
  const range = `observed_at >= ${from} AND observed_at < ${from + HOUR_MS}`;
  await connection.run('INSERT INTO seals SELECT coalesce(max(part), 0) + 1, $1, $2, $3 FROM seals', [
    id,
    from,
    BigInt(rows),
  ]);
  for (const { signal, column } of columns.filter(({ kind }) => kind === 'number')) {
    const v = quoted(column);
    for (const [rolled, widthMs] of ROLLED_TABLES) {
      const sql = `INSERT INTO ${rolled}
        WITH ${bootSlots(table, range)}, placed AS (
          SELECT tenant, device, ${PLACE} AS place, floor(observed_at) AS ms, ${v} AS v
          FROM ${table} JOIN boots USING (boot) WHERE ${range} AND ${v} IS NOT NULL ORDER BY place)
        SELECT $1, $2, tenant, device, (SELECT max(part) FROM seals), floor(ms / ${widthMs}) * ${widthMs}, count(v),
          sum(v), min(v), arg_min(ms, row(v, ms)), max(v), arg_max(ms, row(v, -ms)), arg_max(v, place)
        FROM placed GROUP BY 3, 4, 6`;
      await connection.run(sql, [id, signal], [INTEGER, VARCHAR]);
    }
  }
  await connection.run(`DELETE FROM ${table} WHERE ${range}`);
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
