/**
 * The embedded store's tables: one wide table a model, a column a signal, added on demand. Names of tables and columns
 * never come from outside: models get numbers, and a signal that would collide gets a name no signal can have (DuckDB
 * compares names without regard to case). `models` and `signals` say what is what.
 */
import { BIGINT, BOOLEAN, DOUBLE, type DuckDBConnection, type DuckDBType, INTEGER, VARCHAR } from '@duckdb/node-api';
import type { ValueKind } from './signal-kinds.ts';

export interface SignalColumn {
  readonly signal: string;
  readonly column: string;
  readonly kind: ValueKind;
}

export interface ModelTable {
  readonly id: number;
  /** Quoted and ready for SQL. */
  readonly table: string;
  /** Unquoted, for the appender. */
  readonly name: string;
  readonly columns: readonly SignalColumn[];
  /** Place of `POSITION_COLUMN` among the table's columns: behind the signals that an older version stored. */
  readonly positionAt: number;
}

/** Log position at which a sample's batch ends; NULL in what older versions stored. No signal's column is called so. */
export const POSITION_COLUMN = '~position';

/** Identity and times of a sample, in the order of the table. `observed_at` may be a fraction of a millisecond. */
export const IDENTITY_COLUMNS = [
  ['tenant', VARCHAR],
  ['device', VARCHAR],
  ['boot', VARCHAR],
  ['seq', BIGINT],
  ['idx', INTEGER],
  ['observed_at', DOUBLE],
  ['received_at', DOUBLE],
  ['backfill', BOOLEAN],
] as const satisfies readonly (readonly [string, DuckDBType])[];

const SQL_TYPE: Readonly<Record<ValueKind, DuckDBType>> = { number: DOUBLE, boolean: BOOLEAN, text: VARCHAR };

const CATALOG_SQL = `
  CREATE TABLE IF NOT EXISTS progress (position BIGINT NOT NULL);
  INSERT INTO progress SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM progress);
  CREATE TABLE IF NOT EXISTS models (id INTEGER NOT NULL, model VARCHAR NOT NULL);
  CREATE TABLE IF NOT EXISTS signals
    (model_id INTEGER NOT NULL, signal VARCHAR NOT NULL, column_name VARCHAR NOT NULL, kind VARCHAR NOT NULL);
  CREATE TABLE IF NOT EXISTS boots
    (model_id INTEGER, tenant VARCHAR, device VARCHAR, boot VARCHAR, first_seq BIGINT NOT NULL, last_seq BIGINT NOT NULL,
    first_at DOUBLE NOT NULL, last_at DOUBLE NOT NULL, PRIMARY KEY (model_id, tenant, device, boot));
  CREATE TABLE IF NOT EXISTS latest_copy (position BIGINT NOT NULL, overflow DOUBLE);
  CREATE TABLE IF NOT EXISTS latest_values
    (model_id INTEGER NOT NULL, tenant VARCHAR NOT NULL, device VARCHAR NOT NULL, signal VARCHAR NOT NULL,
    observed_at DOUBLE NOT NULL, boot VARCHAR NOT NULL, seq BIGINT NOT NULL, idx INTEGER NOT NULL,
    number DOUBLE, flag BOOLEAN, words VARCHAR);
  CREATE TABLE IF NOT EXISTS seals
    (part INTEGER NOT NULL, model_id INTEGER NOT NULL, hour DOUBLE NOT NULL, samples BIGINT NOT NULL);
  ${['rolled_1m', 'rolled_1h'].map(rolledTable).join('')}`;

/** Roll-ups of deleted samples; a bucket has a row for each part in which its samples were sealed. */
function rolledTable(name: string): string {
  return `CREATE TABLE IF NOT EXISTS ${name} (model_id INTEGER NOT NULL, signal VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL, device VARCHAR NOT NULL, part INTEGER NOT NULL, bucket DOUBLE NOT NULL,
    n BIGINT NOT NULL, total DOUBLE NOT NULL, low DOUBLE NOT NULL, low_at DOUBLE NOT NULL,
    high DOUBLE NOT NULL, high_at DOUBLE NOT NULL, newest DOUBLE NOT NULL);`;
}

/** @example quoted('a"b') // => '"a""b"' */
export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

/** Types of all columns of a model's table, in order. */
export function columnTypes(table: ModelTable): DuckDBType[] {
  const types = [...IDENTITY_COLUMNS.map(([, type]) => type), ...table.columns.map(({ kind }) => SQL_TYPE[kind])];
  return types.toSpliced(table.positionAt, 0, BIGINT);
}

export async function createCatalog(connection: DuckDBConnection): Promise<void> {
  await connection.run(CATALOG_SQL);
}

/** The tables of an open database, as in its `models` and `signals`. */
export class ModelTables {
  /** by model; bounded by the registered models */
  readonly #byModel = new Map<string, ModelTable>();

  static async load(connection: DuckDBConnection): Promise<ModelTables> {
    const tables = new ModelTables();
    const models = await connection.runAndReadAll('SELECT id, model FROM models');
    for (const [id, model] of models.getRows() as [number, string][]) {
      const found = await connection.runAndReadAll(
        'SELECT signal, column_name, kind FROM signals WHERE model_id = $1 ORDER BY rowid',
        [id],
      );
      const columns = (found.getRows() as [string, string, ValueKind][]).map(([signal, column, kind]) => ({
        signal,
        column,
        kind,
      }));
      tables.#byModel.set(model, { ...modelTable(id, columns), positionAt: await positionAt(connection, id) });
    }
    return tables;
  }

  get(model: string): ModelTable | undefined {
    return this.#byModel.get(model);
  }

  models(): Iterable<[model: string, table: ModelTable]> {
    return this.#byModel;
  }

  /** The model's table with a column for each signal; creates what is missing in one transaction. */
  async ensure(
    connection: DuckDBConnection,
    model: string,
    kinds: ReadonlyMap<string, ValueKind>,
  ): Promise<ModelTable> {
    const before = this.#byModel.get(model);
    if (before && before.columns.length === kinds.size) return before;
    const after = withSignals(before ?? modelTable(this.#byModel.size + 1, []), kinds);
    await connection.run('BEGIN');
    if (!before) await createModelTable(connection, model, after);
    for (const column of after.columns.slice(before?.columns.length ?? 0)) await addColumn(connection, after, column);
    await connection.run('COMMIT');
    this.#byModel.set(model, after);
    return after;
  }
}

function modelTable(id: number, columns: readonly SignalColumn[]): ModelTable {
  const name = `samples_${id}`;
  return { id, name, table: quoted(name), columns, positionAt: IDENTITY_COLUMNS.length };
}

/** Where the table has its position column; adds it to one that an older version made. */
async function positionAt(connection: DuckDBConnection, id: number): Promise<number> {
  const { name, table } = modelTable(id, []);
  const sql = 'SELECT column_name FROM duckdb_columns() WHERE table_name = $1 ORDER BY column_index';
  const names = (await connection.runAndReadAll(sql, [name])).getRows().map(([column]) => column);
  if (names.includes(POSITION_COLUMN)) return names.indexOf(POSITION_COLUMN);
  await connection.run(`ALTER TABLE ${table} ADD COLUMN ${quoted(POSITION_COLUMN)} BIGINT`);
  return names.length;
}

async function createModelTable(connection: DuckDBConnection, model: string, { id, table }: ModelTable): Promise<void> {
  const columns = IDENTITY_COLUMNS.map(([name, type]) => `${name} ${type} NOT NULL`);
  await connection.run(`CREATE TABLE ${table} (${columns.join(', ')}, ${quoted(POSITION_COLUMN)} BIGINT)`);
  await connection.run('INSERT INTO models VALUES ($1, $2)', [id, model]);
}

async function addColumn(connection: DuckDBConnection, { id, table }: ModelTable, added: SignalColumn): Promise<void> {
  await connection.run(`ALTER TABLE ${table} ADD COLUMN ${quoted(added.column)} ${SQL_TYPE[added.kind]}`);
  await connection.run('INSERT INTO signals VALUES ($1, $2, $3, $4)', [id, added.signal, added.column, added.kind]);
}

function withSignals(table: ModelTable, kinds: ReadonlyMap<string, ValueKind>): ModelTable {
  const present = new Set(table.columns.map(({ signal }) => signal));
  const taken = new Set<string>([
    ...IDENTITY_COLUMNS.map(([name]) => name),
    ...table.columns.map(({ column }) => column.toLowerCase()),
  ]);
  const added: SignalColumn[] = [];
  for (const [signal, kind] of kinds) {
    if (present.has(signal)) continue;
    const column = freeName(signal, taken);
    taken.add(column.toLowerCase());
    added.push({ signal, column, kind });
  }
  return { ...table, columns: [...table.columns, ...added] };
}

/** The signal's own name, or with `~2`, `~3` … behind it: no signal name holds a tilde. */
function freeName(signal: string, taken: ReadonlySet<string>): string {
  let name = signal;
  for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${signal}~${n}`;
  return name;
}
