/**
 * What keeps the embedded store's table of latest values across restarts: a copy in the file from time to time, with the
 * log position it belongs to, and the samples stored since, which say by themselves to which batch they belong.
 */
import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  type DuckDBConnection,
  DuckDBDataChunk,
  type DuckDBType,
  type DuckDBValue,
  INTEGER,
  VARCHAR,
} from '@duckdb/node-api';
import { columnsOf, scan } from './embedded-read.ts';
import { type ModelTable, type ModelTables, POSITION_COLUMN, quoted } from './embedded-tables.ts';
import { type FleetEntry, LatestTable } from './latest-values.ts';

/** DuckDB's vector size: the most rows a chunk can hold. */
const CHUNK_ROWS = 2_048;

const COLUMNS: readonly (readonly [DuckDBType, (entry: FleetEntry, id: number) => DuckDBValue])[] = [
  [INTEGER, (_entry, id) => id],
  [VARCHAR, ({ tenant }) => tenant],
  [VARCHAR, ({ device }) => device],
  [VARCHAR, ({ signal }) => signal],
  [DOUBLE, ({ observedAt }) => observedAt],
  [VARCHAR, ({ boot }) => boot],
  [BIGINT, ({ seq }) => BigInt(seq)],
  [INTEGER, ({ index }) => index],
  [DOUBLE, ({ value }) => (typeof value === 'number' ? value : null)],
  [BOOLEAN, ({ value }) => (typeof value === 'boolean' ? value : null)],
  [VARCHAR, ({ value }) => (typeof value === 'string' ? value : null)],
];

/**
 * The table as it is after the last committed batch, and whether the copy in the file belongs to a position.
 * @param maxValues see `LatestTable`
 */
export async function loadLatest(
  connection: DuckDBConnection,
  tables: ModelTables,
  maxValues: number,
): Promise<{ readonly latest: LatestTable; copiedAt: number | undefined; isCopied(position: number): boolean }> {
  const latest = new LatestTable(maxValues);
  const [[position] = [], [limit] = []] = await columnsOf(connection, 'SELECT position, overflow FROM latest_copy', []);
  if (typeof limit === 'number' && limit >= maxValues) latest.overflow();
  const isComplete = position !== undefined && typeof limit !== 'number';
  if (isComplete) await readCopy(connection, tables, latest);
  for (const [model, table] of tables.models()) {
    const since = isComplete ? `${quoted(POSITION_COLUMN)} > ${position}` : 'true';
    if (!latest.overflowed) await addCandidates(connection, model, table, since, latest);
  }
  const isUsed = isComplete || latest.overflowed;
  const copiedAt = position === undefined ? undefined : Number(position);
  return { latest, copiedAt, isCopied: (stored) => isUsed && copiedAt === stored };
}

/** Writes the copy anew, in the caller's transaction. */
export async function saveLatest(
  connection: DuckDBConnection,
  tables: ModelTables,
  latest: LatestTable,
  position: number,
): Promise<void> {
  await connection.run('DELETE FROM latest_values');
  await connection.run('DELETE FROM latest_copy');
  await connection.run(
    'INSERT INTO latest_copy VALUES ($1, $2)',
    [BigInt(position), latest.overflowed ? latest.maxValues : null],
    [BIGINT, DOUBLE],
  );
  const appender = await connection.createAppender('latest_values');
  try {
    for (const entries of chunksOf(latest.entries())) appender.appendDataChunk(chunkOf(entries, tables));
  } catch (error) {
    appender.clear();
    throw error;
  } finally {
    appender.closeSync();
  }
}

/** Adds what may be the latest values among the live samples of a model that meet a condition. */
export async function addCandidates(
  connection: DuckDBConnection,
  model: string,
  { table, columns }: ModelTable,
  condition: string,
  latest: LatestTable,
): Promise<void> {
  if (columns.length === 0) return;
  const names = columns.map(({ column }) => quoted(column));
  const newest = names.map((name) => `max(observed_at) FILTER (WHERE ${name} IS NOT NULL)`);
  const live = `NOT backfill AND ${condition}`;
  const sql = `WITH newest AS (SELECT tenant, device, unnest(list_distinct([${newest.join(', ')}])) AS observed_at
      FROM ${table} WHERE ${live} GROUP BY 1, 2)
    SELECT tenant, device, boot, seq, idx, observed_at, ${names.join(', ')}
    FROM ${table} JOIN newest USING (tenant, device, observed_at) WHERE ${live}`;
  await scan(
    connection,
    sql,
    [],
    ([tenants = [], devices = [], boots = [], seqs = [], indexes = [], times = [], ...values]) => {
      for (let row = 0; row < tenants.length; row++) {
        const ref = { model, tenant: tenants[row] as string, device: devices[row] as string };
        const place = { boot: boots[row] as string, seq: Number(seqs[row]), index: indexes[row] as number };
        columns.forEach(({ signal }, i) => {
          const value = values[i]?.[row];
          if (value === null || value === undefined || typeof value === 'bigint') return;
          latest.add({ ...ref, ...place, observedAt: times[row] as number, signal, value });
        });
      }
    },
  );
}

async function readCopy(connection: DuckDBConnection, tables: ModelTables, latest: LatestTable): Promise<void> {
  const models = new Map<unknown, string>();
  for (const [model, { id }] of tables.models()) models.set(id, model);
  await scan(connection, 'FROM latest_values', [], (read) => {
    const [
      ids = [],
      tenants = [],
      devices = [],
      signals = [],
      times = [],
      boots = [],
      seqs = [],
      indexes = [],
      ...typed
    ] = read;
    for (let row = 0; row < ids.length; row++) {
      const value = typed.map((column) => column[row]).find((one) => one !== null);
      const model = models.get(ids[row]);
      if (model === undefined || value === undefined || value === null || typeof value === 'bigint') continue;
      latest.add({
        model,
        tenant: tenants[row] as string,
        device: devices[row] as string,
        signal: signals[row] as string,
        observedAt: times[row] as number,
        boot: boots[row] as string,
        seq: Number(seqs[row]),
        index: indexes[row] as number,
        value,
      });
    }
  });
}

function* chunksOf(entries: Iterable<FleetEntry>): Generator<readonly FleetEntry[]> {
  let chunk: FleetEntry[] = [];
  for (const entry of entries) {
    chunk.push(entry);
    if (chunk.length < CHUNK_ROWS) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

function chunkOf(entries: readonly FleetEntry[], tables: ModelTables): DuckDBDataChunk {
  const chunk = DuckDBDataChunk.create(
    COLUMNS.map(([type]) => type),
    entries.length,
  );
  COLUMNS.forEach(([, partOf], i) => {
    const vector = chunk.getColumnVector(i);
    entries.forEach((entry, row) => {
      vector.setItem(row, partOf(entry, tables.get(entry.model)?.id ?? 0));
    });
    vector.flush();
  });
  return chunk;
}
