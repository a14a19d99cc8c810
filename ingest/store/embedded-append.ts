/** Writes samples into a model's table: whole columns at a time, because a call per value costs ten times as much. */
import { type DuckDBConnection, DuckDBDataChunk, type DuckDBValue, type DuckDBVector } from '@duckdb/node-api';
import type { Sample, TelemetryMessage } from '../../contract/wire/sample.ts';
import { columnTypes, type ModelTable, type SignalColumn } from './embedded-tables.ts';
import type { StorableMessage, ValueKind } from './signal-kinds.ts';

/** DuckDB's vector size: the most rows a chunk can hold. */
const CHUNK_ROWS = 2_048;
const TYPE_OF: Readonly<Record<ValueKind, 'number' | 'boolean' | 'string'>> = {
  number: 'number',
  boolean: 'boolean',
  text: 'string',
};

/** Samples with their messages, row by row. */
export interface Rows {
  readonly messages: readonly TelemetryMessage[];
  readonly samples: readonly Sample[];
}

/** Rows of a batch by model, in the batch's order. */
export function rowsByModel(storable: readonly StorableMessage[]): ReadonlyMap<string, Rows> {
  const byModel = new Map<string, { messages: TelemetryMessage[]; samples: Sample[] }>();
  for (const { message, samples } of storable) {
    let rows = byModel.get(message.model);
    if (!rows) {
      rows = { messages: [], samples: [] };
      byModel.set(message.model, rows);
    }
    for (const sample of samples) {
      rows.messages.push(message);
      rows.samples.push(sample);
    }
  }
  return byModel;
}

/** Appends inside the connection's open transaction. @param position log position at which the batch ends */
export async function appendRows(
  connection: DuckDBConnection,
  table: ModelTable,
  rows: Rows,
  position: number,
): Promise<void> {
  const appender = await connection.createAppender(table.name);
  try {
    const types = columnTypes(table);
    for (let from = 0; from < rows.samples.length; from += CHUNK_ROWS) {
      const count = Math.min(CHUNK_ROWS, rows.samples.length - from);
      const chunk = DuckDBDataChunk.create(types, count);
      fillIdentity(chunk, rows, from, count);
      fillPosition(chunk.getColumnVector(table.positionAt), position, count);
      table.columns.forEach((column, i) => {
        const at = IDENTITY_WIDTH + i;
        const vector = chunk.getColumnVector(at < table.positionAt ? at : at + 1);
        fillSignal(vector, column, rows.samples, from, count);
      });
      appender.appendDataChunk(chunk);
    }
  } catch (error) {
    appender.clear(); // Otherwise closing would flush the half of the batch that was appended.
    appender.closeSync();
    throw error;
  }
  appender.closeSync();
}

const IDENTITY: readonly ((message: TelemetryMessage, sample: Sample) => DuckDBValue)[] = [
  (message) => message.identity.tenant,
  (message) => message.identity.device,
  (message) => message.identity.boot,
  (message) => BigInt(message.identity.seq),
  (_message, sample) => sample.index,
  (_message, sample) => sample.observedAt,
  (message) => message.receivedAt,
  (message) => message.backfill,
];
const IDENTITY_WIDTH = IDENTITY.length;

function fillIdentity(chunk: DuckDBDataChunk, { messages, samples }: Rows, from: number, count: number): void {
  IDENTITY.forEach((partOf, column) => {
    const vector = chunk.getColumnVector(column);
    for (let row = 0; row < count; row++) {
      vector.setItem(row, partOf(messages[from + row] as TelemetryMessage, samples[from + row] as Sample));
    }
    vector.flush();
  });
}

function fillPosition(vector: DuckDBVector, position: number, count: number): void {
  const value = BigInt(position);
  for (let row = 0; row < count; row++) vector.setItem(row, value);
  vector.flush();
}

function fillSignal(
  vector: DuckDBVector,
  { signal, kind }: SignalColumn,
  samples: readonly Sample[],
  from: number,
  count: number,
): void {
  const type = TYPE_OF[kind];
  for (let row = 0; row < count; row++) {
    const value = (samples[from + row] as Sample).signals[signal];
    // The type test also keeps out what every object inherits, for a signal named `constructor`.
    vector.setItem(row, typeof value === type ? (value as DuckDBValue) : null);
  }
  vector.flush();
}
