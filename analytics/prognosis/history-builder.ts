/** Turns the cells of a recording into a fleet history, cell by cell, so that every mistake names file, line and column. */
import { AppError } from '../../contract/kernel/errors.ts';
import type { FleetHistory, UnitHistory } from './fleet-history.ts';

export interface HistoryBuilder {
  /** One row of texts in the order of the header; `line` as an editor counts it. */
  addRow(cells: readonly string[], line: number): void;
  /** @throws AppError RECORDING_INVALID when nothing usable was added */
  finish(): { readonly history: FleetHistory; readonly ignoredColumns: readonly string[] };
}

interface GrowingUnit {
  readonly cycles: number[];
  readonly lines: number[];
  readonly values: number[];
}

interface ColumnNotes {
  numbers: number;
  firstText: { readonly line: number; readonly text: string } | undefined;
}

/** Keeps a recording within about 400 MB of memory. */
export const MAX_CELLS = 50_000_000;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const MISSING = new Set(['', 'na', 'nan', 'null']);

/**
 * @param header names of all columns; `unit` and `cycle` must be among them, in any case and place
 * @throws AppError RECORDING_INVALID when they are not, or a name stands twice
 */
export function createHistoryBuilder(fileName: string, header: readonly string[]): HistoryBuilder {
  const names = header.map((name) => name.trim());
  const place = (name: string) => {
    const index = names.findIndex((candidate) => candidate.toLowerCase() === name);
    if (index < 0) throw invalid(`line 1: column ${name} is missing`);
    return index;
  };
  const invalid = (text: string) => new AppError('RECORDING_INVALID', `${fileName}: ${text}`);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw invalid(`line 1: column ${repeated} stands twice`);
  const unitAt = place('unit');
  const cycleAt = place('cycle');
  const valueColumns = names.map((_, index) => index).filter((index) => index !== unitAt && index !== cycleAt);
  const notes: ColumnNotes[] = valueColumns.map(() => ({ numbers: 0, firstText: undefined }));
  /** by unit as written, in order of first appearance */
  const units = new Map<string, GrowingUnit>();
  let cellCount = 0;

  function addRow(cells: readonly string[], line: number): void {
    if (cells.length !== names.length) throw invalid(`line ${line}: ${cells.length} columns, expected ${names.length}`);
    cellCount += cells.length;
    if (cellCount > MAX_CELLS) throw invalid(`line ${line}: more than ${MAX_CELLS} cells`);
    const id = (cells[unitAt] as string).trim();
    if (id === '') throw invalid(`line ${line}, column ${names[unitAt]}: empty`);
    const cycle = numberOf(cells[cycleAt] as string);
    if (cycle === undefined || Number.isNaN(cycle)) {
      throw invalid(`line ${line}, column ${names[cycleAt]}: "${cells[cycleAt]}" is not a number`);
    }
    const unit = units.get(id) ?? { cycles: [], lines: [], values: [] };
    units.set(id, unit);
    unit.cycles.push(cycle);
    unit.lines.push(line);
    valueColumns.forEach((column, index) => {
      unit.values.push(noteValue(notes[index] as ColumnNotes, cells[column] as string, line));
    });
  }

  function finish() {
    if (units.size === 0) throw invalid('there are no rows');
    const kept = valueColumns.map((_, index) => index).filter((index) => isNumeric(index));
    if (kept.length === 0) throw invalid('line 1: no column of numbers besides unit and cycle');
    const nameOf = (index: number) => names[valueColumns[index] as number] as string;
    return {
      history: {
        columns: kept.map(nameOf),
        units: Array.from(units, ([id, unit]) => finishUnit(id, unit, kept)),
      },
      ignoredColumns: valueColumns
        .map((_, index) => index)
        .filter((index) => !kept.includes(index))
        .map(nameOf),
    };
  }

  /** A column of texts (a site, a serial number) is left out; a text among numbers is a mistake. */
  function isNumeric(index: number): boolean {
    const { numbers, firstText } = notes[index] as ColumnNotes;
    if (numbers > 0 && firstText) {
      const column = names[valueColumns[index] as number];
      throw invalid(`line ${firstText.line}, column ${column}: "${firstText.text}" is not a number`);
    }
    return numbers > 0;
  }

  function finishUnit(id: string, unit: GrowingUnit, kept: readonly number[]): UnitHistory {
    const order = unit.cycles
      .map((_, row) => row)
      .sort((a, b) => (unit.cycles[a] as number) - (unit.cycles[b] as number));
    order.forEach((row, position) => {
      const before = order[position - 1];
      if (before === undefined || unit.cycles[before] !== unit.cycles[row]) return;
      const lines = [unit.lines[before] as number, unit.lines[row] as number].sort((a, b) => a - b);
      throw invalid(
        `line ${lines[1]}, column cycle: unit ${id} has cycle ${unit.cycles[row]} twice (also line ${lines[0]})`,
      );
    });
    const values = new Float64Array(order.length * kept.length);
    order.forEach((row, position) => {
      kept.forEach((index, column) => {
        values[position * kept.length + column] = unit.values[row * valueColumns.length + index] as number;
      });
    });
    return { id, cycles: Float64Array.from(order, (row) => unit.cycles[row] as number), values };
  }

  return { addRow, finish };
}

function noteValue(notes: ColumnNotes, cell: string, line: number): number {
  const value = numberOf(cell);
  if (value === undefined) {
    notes.firstText ??= { line, text: cell.trim().slice(0, 40) };
    return Number.NaN;
  }
  if (!Number.isNaN(value)) notes.numbers++;
  return value;
}

/** NaN for a missing cell, `undefined` for a text. */
function numberOf(cell: string): number | undefined {
  const text = cell.trim();
  if (MISSING.has(text.toLowerCase())) return Number.NaN;
  if (!NUMBER.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
