/** Reads a run-to-failure recording from disk: CSV with a header `unit,cycle,…` or C-MAPSS text, either gzipped. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse';
import type { FleetHistory } from '../../analytics/prognosis/fleet-history.ts';
import { createHistoryBuilder, type HistoryBuilder } from '../../analytics/prognosis/history-builder.ts';
import { CMAPSS_SIGNALS } from '../../contract/devices/turbofan.ts';
import { AppError, errorText } from '../../contract/kernel/errors.ts';

export interface PrognosisRecording {
  readonly history: FleetHistory;
  /** Columns that hold texts only. */
  readonly ignoredColumns: readonly string[];
  /** SHA-256 of the unpacked bytes. */
  readonly dataHash: string;
}

/** @throws AppError RECORDING_INVALID naming file, line and column */
export async function readPrognosisRecording(path: string): Promise<PrognosisRecording> {
  try {
    return await read(path);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError('RECORDING_INVALID', `${path}: ${errorText(cause)}`, { cause });
  }
}

async function read(path: string): Promise<PrognosisRecording> {
  const hash = createHash('sha256');
  const chunks = hashedChunks(path, (chunk) => hash.update(chunk));
  const first = await chunks.next();
  if (first.done) throw new AppError('RECORDING_INVALID', `${path}: the file is empty`);
  const bytes = Readable.from(startingWith(first.value, chunks));
  const builder = isCmapss(first.value) ? await readCmapss(path, bytes) : await readCsv(path, bytes);
  return { ...builder.finish(), dataHash: hash.digest('hex') };
}

async function* hashedChunks(path: string, onChunk: (chunk: Buffer) => void): AsyncGenerator<Buffer, void> {
  const file = createReadStream(path);
  const unpacked = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  // `pipe` does not pass errors on: without this a missing file would leave the reader waiting.
  if (unpacked !== file) file.on('error', (error) => unpacked.destroy(error));
  for await (const chunk of unpacked) {
    onChunk(chunk as Buffer);
    yield chunk as Buffer;
  }
}

async function* startingWith(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  yield first;
  yield* rest;
}

/** C-MAPSS text has no header: its first line is numbers between spaces. */
function isCmapss(start: Buffer): boolean {
  const line = start
    .subarray(0, 65_536)
    .toString('utf8')
    .split(/\r?\n/)
    .find((text) => text.trim() !== '');
  return line !== undefined && /^[\s\d.eE+-]+$/.test(line) && /\s/.test(line.trim());
}

async function readCmapss(path: string, bytes: Readable): Promise<HistoryBuilder> {
  const builder = createHistoryBuilder(path, ['unit', 'cycle', ...CMAPSS_SIGNALS]);
  let line = 0;
  for await (const text of createInterface({ input: bytes, crlfDelay: Number.POSITIVE_INFINITY })) {
    line++;
    const trimmed = text.trim();
    if (trimmed !== '') builder.addRow(trimmed.split(/\s+/), line);
  }
  return builder;
}

async function readCsv(path: string, bytes: Readable): Promise<HistoryBuilder> {
  const parser = bytes.pipe(parse({ bom: true, info: true, relax_column_count: true, skip_empty_lines: true }));
  bytes.on('error', (error) => parser.destroy(error));
  let builder: HistoryBuilder | undefined;
  for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
    if (builder) builder.addRow(record, info.lines);
    else builder = createHistoryBuilder(path, record);
  }
  if (!builder) throw new AppError('RECORDING_INVALID', `${path}: the file is empty`);
  return builder;
}
