/**
 * Reads recordings of machines that ran to failure: C-MAPSS text files (unit, cycle, three settings, 21 sensors) and CSV with
 * a header `unit,cycle,…`, both also gzipped. Every mistake names file, line and column, because such files are made by hand.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline, Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse';
import { CMAPSS_SIGNALS } from '../../contract/devices/turbofan.ts';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { SIGNAL_PATTERN } from '../../contract/kernel/ids.ts';
import { MAX_SIGNALS_PER_SAMPLE } from '../../contract/wire/payloads.ts';

export interface RecordedRow {
  /** In a timed recording: milliseconds since the first row of the unit, plus 1. */
  readonly cycle: number;
  /** In order of the recording's columns; NaN = an empty cell. */
  readonly values: readonly number[];
}

export interface RecordedUnit {
  /** As written in the file. */
  readonly unit: string;
  /** Cycles rise strictly; times may repeat. */
  readonly rows: readonly RecordedRow[];
}

export interface Recording {
  /** Signal names after `unit` and `cycle`. */
  readonly columns: readonly string[];
  /** In order of first appearance. */
  readonly units: readonly RecordedUnit[];
  /** Of the files' bytes, in order: the same recording has the same. */
  readonly sha256: string;
  /** Its rows carry times; absent for cycles. */
  readonly timed?: true;
}

export const MAX_RECORDING_ROWS = 2_000_000;
export const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const UNIT = /^[A-Za-z0-9_:-]{1,39}$/;

/** Whether the first column of a CSV is called `timestamp`. A file that cannot be read is none: who reads it says why. */
export async function startsWithTimestamp(path: string): Promise<boolean> {
  if (!/\.csv(\.gz)?$/i.test(path)) return false;
  const stream = openText(path, createHash('sha256'));
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      return /^\uFEFF?"?timestamp"?\s*,/.test(chunk.toString('utf8', 0, 64));
    }
    return false;
  } catch {
    return false; // Reading it in earnest will name the file and the cause.
  } finally {
    stream.destroy();
  }
}

/**
 * All files as one recording; they must have the same columns and no unit in common.
 * @throws AppError RECORDING_INVALID naming file, line and column
 */
export async function readRecordings(paths: readonly string[]): Promise<Recording> {
  const hash = createHash('sha256');
  const builder = createBuilder();
  for (const path of paths) {
    try {
      await readFile(path, hash, builder);
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw new AppError('RECORDING_INVALID', `${path}: ${errorText(error)}`, { cause: error });
    }
    builder.endFile(path);
  }
  return builder.finish(hash.digest('hex'));
}

async function readFile(path: string, hash: Hash, builder: Builder): Promise<void> {
  const plain = path.replace(/\.gz$/, '');
  if (/\.csv$/i.test(plain)) return readCsv(path, hash, builder);
  if (/\.txt$/i.test(plain)) return readCmapss(path, hash, builder);
  throw new AppError('RECORDING_INVALID', `${path}: expected .txt or .csv, also with .gz`);
}

/** The file's text as a stream that ends with the first error of any stage; the hash sees the bytes as they are on disk. */
export function openText(path: string, hash: Hash): Transform {
  const tap = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const source = createReadStream(path);
  const nothing = (): void => undefined; // The last stage carries the error to its reader.
  if (!path.endsWith('.gz')) {
    pipeline(source, tap, nothing);
    return tap;
  }
  const gunzip = createGunzip();
  pipeline(source, tap, gunzip, nothing);
  return gunzip;
}

async function readCmapss(path: string, hash: Hash, builder: Builder): Promise<void> {
  builder.setColumns(CMAPSS_SIGNALS, path, 1);
  let line = 0;
  const stream = openText(path, hash);
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  let failure: Error | undefined;
  stream.once('error', (error) => {
    failure = error;
    lines.close();
  });
  for await (const text of lines) {
    line++;
    const cells = text.trim().split(/\s+/);
    if (cells[0] === '') continue;
    builder.addRow(cells, path, line);
  }
  if (failure) throw failure;
}

async function readCsv(path: string, hash: Hash, builder: Builder): Promise<void> {
  const parser = openText(path, hash);
  const rows = parser.pipe(
    parse({ bom: true, info: true, relax_column_count: true, skip_empty_lines: true, trim: true }),
  );
  parser.once('error', (error) => rows.destroy(error));
  let header = false;
  for await (const { record, info } of rows as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
    if (header) builder.addRow(record, path, info.lines);
    else readHeader(record, path, info.lines, builder);
    header = true;
  }
  if (!header) throw invalidRecording(path, 1, 'unit', 'the file is empty; the first line must name the columns');
}

function readHeader(names: readonly string[], path: string, line: number, builder: Builder): void {
  if (names[0] !== 'unit')
    throw invalidRecording(path, line, 1, `expected the column "unit", found ${quote(names[0])}`);
  if (names[1] !== 'cycle')
    throw invalidRecording(path, line, 2, `expected the column "cycle", found ${quote(names[1])}`);
  const columns = names.slice(2);
  columns.forEach((name, i) => {
    if (!SIGNAL_PATTERN.test(name) || name === 'cycle') {
      throw invalidRecording(
        path,
        line,
        i + 3,
        `${quote(name)} cannot name a signal: a letter, then up to 63 of A-Z a-z 0-9 _`,
      );
    }
    if (columns.indexOf(name) !== i) throw invalidRecording(path, line, i + 3, `the column ${quote(name)} comes twice`);
  });
  if (columns.length === 0 || columns.length >= MAX_SIGNALS_PER_SAMPLE) {
    throw invalidRecording(
      path,
      line,
      3,
      `expected 1 to ${MAX_SIGNALS_PER_SAMPLE - 1} columns after unit and cycle, found ${columns.length}`,
    );
  }
  builder.setColumns(columns, path, line);
}

interface Builder {
  setColumns(columns: readonly string[], path: string, line: number): void;
  addRow(cells: readonly string[], path: string, line: number): void;
  /** After it, a unit of this file must not come again in another. */
  endFile(path: string): void;
  finish(sha256: string): Recording;
}

function createBuilder(): Builder {
  let columns: readonly string[] = [];
  /** by unit */
  const units = new Map<string, { readonly file: string; readonly rows: RecordedRow[] }>();
  let rowCount = 0;
  return {
    setColumns(names, path, line) {
      if (columns.length > 0 && columns.join() !== names.join()) {
        throw invalidRecording(path, line, 3, 'the columns differ from those of the file before it');
      }
      columns = names;
    },
    addRow(cells, path, line) {
      if (cells.length !== columns.length + 2) {
        throw invalidRecording(
          path,
          line,
          cells.length + 1,
          `expected ${columns.length + 2} columns, found ${cells.length}`,
        );
      }
      if (++rowCount > MAX_RECORDING_ROWS)
        throw invalidRecording(path, line, 1, `more than ${MAX_RECORDING_ROWS} rows`);
      const name = cells[0] ?? '';
      if (!UNIT.test(name)) throw invalidRecording(path, line, 'unit', `${quote(name)} cannot name a device`);
      const unit = units.get(name) ?? { file: path, rows: [] };
      if (unit.file !== path) throw invalidRecording(path, line, 'unit', `unit ${name} was already in ${unit.file}`);
      units.set(name, unit);
      unit.rows.push(readRow(cells, columns, unit.rows.at(-1)?.cycle, path, line));
    },
    endFile(path) {
      if (![...units.values()].some((unit) => unit.file === path))
        throw invalidRecording(path, 1, 'unit', 'the file has no rows');
    },
    finish: (sha256) => ({ columns, sha256, units: [...units].map(([unit, { rows }]) => ({ unit, rows })) }),
  };
}

function readRow(
  cells: readonly string[],
  columns: readonly string[],
  cycleBefore: number | undefined,
  path: string,
  line: number,
): RecordedRow {
  const cycle = Number(cells[1]);
  if (!/^\d+(?:\.0*)?$/.test(cells[1] ?? '') || !Number.isSafeInteger(cycle)) {
    throw invalidRecording(path, line, 'cycle', `expected a whole number, found ${quote(cells[1])}`);
  }
  if (cycleBefore !== undefined && cycle <= cycleBefore) {
    throw invalidRecording(path, line, 'cycle', `cycle ${cycle} follows ${cycleBefore}; cycles of a unit must rise`);
  }
  const values = columns.map((name, i) => readCell(cells[i + 2] ?? '', path, line, name));
  return { cycle, values };
}

function readCell(cell: string, path: string, line: number, column: string): number {
  if (cell === '') return Number.NaN;
  const value = Number(cell);
  if (!NUMBER.test(cell) || !Number.isFinite(value)) {
    throw invalidRecording(path, line, column, `expected a number, found ${quote(cell)}`);
  }
  return value;
}

/** A mistake in a recording, with its place. */
export function invalidRecording(path: string, line: number, column: number | string, what: string): AppError {
  return new AppError('RECORDING_INVALID', `${path}, line ${line}, column ${column}: ${what}`, {
    facts: { file: path, line, column },
  });
}

export function quote(text: string | undefined): string {
  return text === undefined ? 'nothing' : JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
