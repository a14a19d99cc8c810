/**
 * Reads recordings whose rows carry times instead of cycles: NAB's `timestamp,value`, OBD-II logs and the like. Which column is
 * what says a {@link ColumnMapping}. Times count from the first row of each device, so that all devices start together.
 */
import { createHash, type Hash } from 'node:crypto';
import { basename } from 'node:path';
import { parse } from 'csv-parse';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { SIGNAL_PATTERN } from '../../contract/kernel/ids.ts';
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../../contract/kernel/time.ts';
import { MAX_SIGNALS_PER_SAMPLE } from '../../contract/wire/payloads.ts';
import type { ColumnMapping } from './column-mapping.ts';
import {
  invalidRecording,
  MAX_RECORDING_ROWS,
  NUMBER,
  openText,
  quote,
  type RecordedRow,
  type RecordedUnit,
  type Recording,
} from './recording.ts';

interface Column {
  /** In the file, from 0. */
  readonly index: number;
  readonly name: string;
  readonly signal: string;
  readonly factor: number;
  readonly offset: number;
}

const UNIT_MS = { ms: 1, s: SECOND_MS, min: MINUTE_MS, h: HOUR_MS } as const;
const TIMESTAMP = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?))?(Z|[+-]\d{2}:?\d{2})?$/;
const EPOCH_MS = /^\d{9,16}$/;

/**
 * All files as one recording: each a device, or all of them one. Rows are in order of time; equal times are kept.
 * A last row that was cut off is left out, as loggers lose their power; so is a row in which nothing was measured.
 * @throws AppError RECORDING_INVALID naming file, line and column
 */
export async function readTimedRecordings(paths: readonly string[], mapping: ColumnMapping): Promise<Recording> {
  const hash = createHash('sha256').update(JSON.stringify(mapping));
  const units = new Map<string, RecordedRow[]>();
  let signals: readonly string[] | undefined;
  let left = MAX_RECORDING_ROWS;
  for (const path of paths) {
    const file = await readTimedFile(path, mapping, hash, left);
    left -= file.rows.length;
    signals ??= file.signals;
    if (signals.join() !== file.signals.join())
      throw invalidRecording(path, 1, 1, 'the columns differ from those of the file before it');
    const unit = mapping.device?.name ?? unitOf(path);
    const before = units.get(unit);
    if (before && !mapping.device) throw invalidRecording(path, 1, 1, `another file is called ${unit} too`);
    units.set(unit, before ? appended(before, file.rows, mapping.device?.pause ?? 0) : file.rows);
  }
  return {
    columns: signals ?? [],
    units: [...units].map(([unit, rows]): RecordedUnit => ({ unit, rows })),
    sha256: hash.digest('hex'),
    timed: true,
  };
}

/** Name of a file without folder and endings, as a device may be called. */
function unitOf(path: string): string {
  return basename(path)
    .replace(/\.gz$/i, '')
    .replace(/\.[^.]*$/, '')
    .replace(/[^A-Za-z0-9_:-]/g, '-');
}

function appended(before: readonly RecordedRow[], rows: readonly RecordedRow[], pauseMs: number): RecordedRow[] {
  const shift = (before.at(-1)?.cycle ?? 1) - 1 + pauseMs;
  return [...before, ...rows.map(({ cycle, values }) => ({ cycle: cycle + shift, values }))];
}

interface TimedFile {
  readonly signals: readonly string[];
  readonly rows: RecordedRow[];
}

async function readTimedFile(path: string, mapping: ColumnMapping, hash: Hash, maxRows: number): Promise<TimedFile> {
  if (!/\.csv(\.gz)?$/i.test(path)) throw new AppError('RECORDING_INVALID', `${path}: expected .csv, also with .gz`);
  try {
    return await readRows(path, mapping, hash, maxRows);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('RECORDING_INVALID', `${path}: ${errorText(error)}`, { cause: error });
  }
}

async function readRows(path: string, mapping: ColumnMapping, hash: Hash, maxRows: number): Promise<TimedFile> {
  const source = openText(path, hash);
  const cells = source.pipe(
    parse({ bom: true, info: true, relax_column_count: true, skip_empty_lines: true, trim: true }),
  );
  source.once('error', (error) => cells.destroy(error));
  let header: { readonly width: number; readonly timeIndex: number; readonly columns: readonly Column[] } | undefined;
  const rows: RecordedRow[] = [];
  let first: number | undefined;
  let last: number | undefined;
  let rowCount = 0;
  /** A short row is a mistake unless it is the last one. */
  let short: AppError | undefined;
  for await (const { record, info } of cells as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
    if (!header) {
      header = readHeader(record, mapping, path, info.lines);
      continue;
    }
    if (short) throw short;
    if (++rowCount > maxRows) throw invalidRecording(path, info.lines, 1, `more than ${MAX_RECORDING_ROWS} rows`);
    if (record.length < header.width) {
      short = invalidRecording(
        path,
        info.lines,
        record.length + 1,
        `expected ${header.width} columns, found ${record.length}`,
      );
      continue;
    }
    const at = timeOfRow(record, mapping, header.timeIndex, rowCount - 1, path, info.lines);
    if (last !== undefined && at < last) {
      throw invalidRecording(path, info.lines, 'time', `${quote(record[header.timeIndex])} is before the row above it`);
    }
    last = at;
    first ??= at;
    const values = header.columns.map((column) =>
      readValue(record[column.index] ?? '', column, mapping, path, info.lines),
    );
    // Counted from 1, as cycles are.
    if (values.some((value) => !Number.isNaN(value))) rows.push({ cycle: at - first + 1, values });
  }
  if (!header) throw invalidRecording(path, 1, 1, 'the file is empty; the first line must name the columns');
  if (rows.length === 0) throw invalidRecording(path, 1, 1, 'the file has no rows');
  return { signals: header.columns.map((column) => column.signal), rows };
}

function readHeader(names: readonly string[], mapping: ColumnMapping, path: string, line: number) {
  const { time } = mapping;
  const timeIndex = 'column' in time ? names.indexOf(time.column) : -1;
  if ('column' in time && timeIndex < 0)
    throw invalidRecording(path, line, 1, `there is no column ${quote(time.column)}`);
  const columns = mapping.signals
    ? mappedColumns(names, mapping.signals, path, line)
    : plainColumns(names, timeIndex, path, line);
  const twice = columns.find((column, i) => columns.findIndex((other) => other.signal === column.signal) !== i);
  if (twice) throw invalidRecording(path, line, twice.index + 1, `the signal ${twice.signal} comes twice`);
  if (columns.length === 0 || columns.length > MAX_SIGNALS_PER_SAMPLE) {
    throw invalidRecording(path, line, 1, `expected 1 to ${MAX_SIGNALS_PER_SAMPLE} signals, found ${columns.length}`);
  }
  return { width: Math.max(timeIndex, ...columns.map(({ index }) => index)) + 1, timeIndex, columns };
}

function mappedColumns(
  names: readonly string[],
  signals: NonNullable<ColumnMapping['signals']>,
  path: string,
  line: number,
): Column[] {
  return Object.entries(signals).map(([name, to]) => {
    const index = names.indexOf(name);
    if (index < 0) throw invalidRecording(path, line, 1, `there is no column ${quote(name)}`);
    return typeof to === 'string' ? { index, name, signal: to, factor: 1, offset: 0 } : { index, name, ...to };
  });
}

function plainColumns(names: readonly string[], timeIndex: number, path: string, line: number): Column[] {
  return names.flatMap((name, index): Column[] => {
    if (index === timeIndex) return [];
    if (!SIGNAL_PATTERN.test(name)) {
      const rule = 'a letter, then up to 63 of A-Z a-z 0-9 _; map it with --columns';
      throw invalidRecording(path, line, index + 1, `${quote(name)} cannot name a signal: ${rule}`);
    }
    return [{ index, name, signal: name, factor: 1, offset: 0 }];
  });
}

/** Milliseconds, from whatever the file counts from. */
function timeOfRow(
  cells: readonly string[],
  { time }: ColumnMapping,
  timeIndex: number,
  row: number,
  path: string,
  line: number,
): number {
  if ('every' in time) return row * time.every;
  const text = cells[timeIndex] ?? '';
  const at = time.unit === 'timestamp' ? parseTimestamp(text) : Math.round(Number(text) * UNIT_MS[time.unit]);
  if (at === undefined || text === '' || !Number.isFinite(at)) {
    throw invalidRecording(path, line, time.column, `expected a time (${time.unit}), found ${quote(text)}`);
  }
  return at;
}

function parseTimestamp(text: string): number | undefined {
  if (EPOCH_MS.test(text)) return Number(text);
  const match = TIMESTAMP.exec(text);
  if (!match) return undefined;
  const at = Date.parse(`${match[1]}T${match[2] ?? '00:00'}${match[3] ?? 'Z'}`);
  return Number.isNaN(at) ? undefined : at;
}

function readValue(cell: string, column: Column, mapping: ColumnMapping, path: string, line: number): number {
  if (cell === '' || mapping.missing.includes(cell)) return Number.NaN;
  const value = Number(cell);
  if (!NUMBER.test(cell) || !Number.isFinite(value)) {
    throw invalidRecording(path, line, column.name, `expected a number, found ${quote(cell)}`);
  }
  return column.factor === 1 && column.offset === 0 ? value : value * column.factor + column.offset;
}
