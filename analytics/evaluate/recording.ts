/**
 * A recording on disk: `.csv` or `.csv.gz`, first column a timestamp, then one column a signal. Read row by row in
 * constant memory; timestamps are handed on verbatim; every complaint names file, line and column.
 */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { type CsvError, parse } from 'csv-parse';
import { AppError, errorText } from '../../contract/kernel/errors.ts';

export interface RecordingRow {
  /** As it stands in the file. */
  readonly timestamp: string;
  /** Epoch ms; a timestamp without a zone is taken as UTC. */
  readonly at: number;
  /** One a signal, in the order of the header; `undefined` = empty cell. */
  readonly values: readonly (number | undefined)[];
  /** The same cells as they stand in the file. */
  readonly cells: readonly string[];
}

export interface Recording {
  readonly signals: readonly string[];
  readonly rows: AsyncIterable<RecordingRow>;
  /** Ends reading early. */
  close(): Promise<void>;
}

const TIME_COLUMN = /^(timestamp|time|datetime|date)$/i;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const EPOCH_MS = /^-?\d{1,16}$/;
const DATE_TIME = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?))?\s*(Z|[+-]\d{2}:?\d{2})?$/i;
/** Rows of a recording are short; a longer one is not a recording. */
const MAX_ROW_CHARS = 256 * 1024;

/**
 * Opens a recording and reads its header.
 * @throws AppError RECORDING_INVALID, also later while rows are read
 */
export async function openRecording(path: string, name: string): Promise<Recording> {
  const cells = cellsOf(path, name);
  const first = await cells.next();
  if (first.done) throw invalid(name, 1, 1, 'the file is empty; expected a header such as timestamp,value');
  const header = first.value.cells.map((cell) => cell.trim());
  checkHeader(header, name);
  return {
    signals: header.slice(1),
    rows: rowsOf(cells, header, name),
    close: async () => {
      await cells.return(undefined);
    },
  };
}

/** Epoch ms of an ISO time, `YYYY-MM-DD HH:MM:SS` or epoch ms; `undefined` when it is none of these. */
export function parseTimestamp(text: string): number | undefined {
  const trimmed = text.trim();
  if (EPOCH_MS.test(trimmed)) return Number(trimmed);
  const match = DATE_TIME.exec(trimmed);
  if (!match) return undefined;
  const [, date, time = '00:00', zone = 'Z'] = match;
  const at = Date.parse(`${date}T${time.replace(',', '.')}${zone.toUpperCase()}`);
  return Number.isNaN(at) ? undefined : at;
}

function checkHeader(header: readonly string[], name: string): void {
  if (!TIME_COLUMN.test(header[0] ?? '')) {
    throw invalid(name, 1, 1, `the first column must be named timestamp, not "${header[0] ?? ''}"`);
  }
  if (header.length < 2) throw invalid(name, 1, 2, 'there is no signal beside the timestamp');
  header.forEach((signal, i) => {
    if (signal === '') throw invalid(name, 1, i + 1, 'the column has no name');
    if (header.indexOf(signal) !== i) throw invalid(name, 1, i + 1, `the column "${signal}" stands there twice`);
  });
}

interface CellRow {
  readonly cells: readonly string[];
  readonly line: number;
}

async function* cellsOf(path: string, name: string): AsyncGenerator<CellRow> {
  const file = createReadStream(path);
  const text: Readable = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  const parser = parse({
    bom: true,
    info: true,
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: MAX_ROW_CHARS,
  });
  for (const source of [file, text]) source.on('error', (error: Error) => parser.destroy(error));
  text.pipe(parser);
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      yield { cells: record, line: info.lines };
    }
  } catch (error) {
    throw readingError(error, name);
  } finally {
    file.destroy();
  }
}

async function* rowsOf(
  cells: AsyncGenerator<CellRow>,
  header: readonly string[],
  name: string,
): AsyncGenerator<RecordingRow> {
  for await (const { cells: row, line } of cells) {
    if (row.length !== header.length) {
      const column = Math.min(row.length, header.length) + 1;
      throw invalid(name, line, column, `expected ${header.length} cells, found ${row.length}`);
    }
    const timestamp = row[0] as string;
    const at = parseTimestamp(timestamp);
    if (at === undefined) {
      throw invalid(name, line, 1, `"${timestamp}" is not a time; write ISO, YYYY-MM-DD HH:MM:SS or epoch ms`);
    }
    const values = row.slice(1).map((cell, i) => parseCell(cell, name, line, i + 2, header[i + 1] as string));
    yield { timestamp, at, values, cells: row.slice(1) };
  }
}

function parseCell(cell: string, name: string, line: number, column: number, signal: string): number | undefined {
  const text = cell.trim();
  if (text === '') return undefined;
  const value = NUMBER.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value)) {
    throw invalid(
      name,
      line,
      column,
      `"${text.slice(0, 40)}" in "${signal}" is not a number; leave a missing value empty`,
    );
  }
  return value;
}

function readingError(error: unknown, name: string): AppError {
  const { lines, code } = error as Partial<CsvError> & { lines?: number };
  const line = typeof lines === 'number' ? lines : 0;
  return line > 0 && code?.startsWith('CSV_')
    ? invalid(name, line, 1, errorText(error))
    : new AppError('RECORDING_INVALID', `${name}: ${errorText(error)}`, { cause: error, facts: { file: name } });
}

function invalid(file: string, line: number, column: number, what: string): AppError {
  return new AppError('RECORDING_INVALID', `${file}, line ${line}, column ${column}: ${what}`, {
    facts: { file, line, column },
  });
}
