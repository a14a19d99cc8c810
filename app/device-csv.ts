/** Devices from a CSV file, row by row: what is good, and of each bad row which field and why. And CSV out, safe to open. */
import { parse } from 'csv-parse/sync';
import type { z } from 'zod';
import { deviceCreate } from '../contract/http/resources.ts';
import { AppError, errorText } from '../contract/kernel/errors.ts';

export type DeviceRow = z.output<typeof deviceCreate>;

export interface GoodRow {
  /** In the file, from 1; the header counts. */
  readonly line: number;
  readonly device: DeviceRow;
}

export interface BadRow {
  readonly line: number;
  /** As far as it could be read. */
  readonly id: string;
  readonly field: string;
  readonly reason: string;
}

const COLUMNS = ['id', 'model', 'serial', 'name', 'centre', 'claimable', 'parent', 'batch'] as const;
type Column = (typeof COLUMNS)[number];
const REQUIRED: readonly Column[] = ['id', 'model'];
const MAX_ROWS = 100_000;

/**
 * Reads a CSV with a header of `id, model` and, where wanted, `serial, name, centre, claimable, parent, batch`. Commas or semicolons; a
 * byte order mark is fine. Every row ends in one of the two lists.
 * @throws AppError CONFIG_INVALID when the file as a whole cannot be read
 */
export function readDeviceRows(content: Uint8Array): { good: GoodRow[]; bad: BadRow[] } {
  const [header, ...rows] = readCells(content);
  const columns = readHeader(header?.cells ?? []);
  const good: GoodRow[] = [];
  const bad: BadRow[] = [];
  /** line of its first row, by device id and by serial number */
  const seen = { id: new Map<string, number>(), serial: new Map<string, number>() };
  for (const { cells, line } of rows) {
    const outcome = readRow(columns, cells);
    if (outcome.kind === 'bad') {
      bad.push({ line, id: outcome.id, field: outcome.field, reason: outcome.reason });
      continue;
    }
    const { device } = outcome;
    const field = (['id', 'serial'] as const).find((name) => seen[name].has(device[name] ?? ''));
    if (field) {
      bad.push({
        line,
        id: device.id,
        field,
        reason: `stands in line ${seen[field].get(device[field] ?? '')} already`,
      });
      continue;
    }
    seen.id.set(device.id, line);
    if (device.serial !== undefined) seen.serial.set(device.serial, line);
    good.push({ line, device });
  }
  return { good, bad };
}

/** Rows in an order in which every device comes after the one above it, where that is in the file: one wave after the other. */
export function wavesOf(rows: readonly GoodRow[]): GoodRow[][] {
  const waves: GoodRow[][] = [];
  let left = [...rows];
  while (left.length > 0) {
    const waiting = new Set(left.map((row) => row.device.id));
    const ready = left.filter((row) => row.device.parent === undefined || !waiting.has(row.device.parent));
    // A circle: the server says so, row by row.
    const wave = ready.length > 0 ? ready : left;
    waves.push(wave);
    const taken = new Set(wave);
    left = left.filter((row) => !taken.has(row));
  }
  return waves;
}

function readCells(content: Uint8Array): { cells: string[]; line: number }[] {
  const text = decode(content);
  const firstLine = text.slice(0, text.search(/[\r\n]|$/));
  const count = (delimiter: string) => firstLine.split(delimiter).length;
  let records: { record: string[]; info: { lines: number } }[];
  try {
    records = parse(text, {
      bom: true,
      delimiter: count(';') > count(',') ? ';' : ',',
      info: true,
      relax_column_count: true,
      skip_empty_lines: true,
      trim: true,
    }) as unknown as typeof records;
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `not a readable CSV file: ${errorText(cause)}`, { cause });
  }
  if (records.length > MAX_ROWS + 1) throw new AppError('CONFIG_INVALID', `more than ${MAX_ROWS} rows; split the file`);
  return records.map(({ record, info }) => ({ cells: record, line: info.lines }));
}

function decode(content: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(content);
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', 'the file is not UTF-8', { cause });
  }
}

function readHeader(cells: readonly string[]): readonly Column[] {
  const names = cells.map((cell) => cell.toLowerCase());
  const unknown = names.find((name) => !(COLUMNS as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new AppError('CONFIG_INVALID', `unknown column "${unknown}"; there are ${COLUMNS.join(', ')}`);
  const missing = REQUIRED.find((name) => !names.includes(name));
  if (missing) throw new AppError('CONFIG_INVALID', `the header has no column "${missing}"`);
  if (new Set(names).size < names.length) throw new AppError('CONFIG_INVALID', 'a column stands twice in the header');
  return names as Column[];
}

type RowOutcome =
  | { readonly kind: 'good'; readonly device: DeviceRow }
  | { readonly kind: 'bad'; readonly id: string; readonly field: string; readonly reason: string };

function readRow(columns: readonly Column[], cells: readonly string[]): RowOutcome {
  const values: Partial<Record<Column, string | boolean>> = {};
  for (const [at, column] of columns.entries()) if (cells[at]) values[column] = cells[at];
  const id = String(values.id ?? '');
  const bad = (field: string, reason: string): RowOutcome => ({ kind: 'bad', id, field, reason });
  if (cells.length !== columns.length) {
    return bad('row', `has ${cells.length} fields where the header has ${columns.length}`);
  }
  if (values.claimable !== undefined) {
    const meant = { true: true, yes: true, '1': true, false: false, no: false, '0': false }[
      String(values.claimable).toLowerCase()
    ];
    if (meant === undefined) return bad('claimable', 'expected true or false');
    values.claimable = meant;
  }
  const checked = deviceCreate.safeParse(values);
  if (checked.success) return { kind: 'good', device: checked.data };
  const issue = checked.error.issues[0];
  const field = String(issue?.path[0] ?? 'row');
  return bad(field, values[field as Column] === undefined ? 'is missing' : (issue?.message ?? 'is invalid'));
}

/**
 * One line of CSV. A cell that a spreadsheet would run as a formula gets an apostrophe in front.
 * @example csvLine(['a,b', '=1+1']) // => `"a,b",'=1+1\r\n`
 */
export function csvLine(cells: readonly string[]): string {
  return `${cells.map(cellText).join(',')}\r\n`;
}

function cellText(cell: string): string {
  const safe = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n;]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
