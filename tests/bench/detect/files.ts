/** Files of the detection benches: what is read, prepared for `backtest score`, and read back. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { benchPath } from '../../support/bench-data.ts';

/** Clock of recordings that have none. */
export const START_AT = Date.UTC(2020, 0, 1);

export function readText(file: string): string {
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

export function write(path: string, lines: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${lines.join('\n')}\n`);
}

/** Recordings below a folder, sorted. */
export function csvFiles(dir: string): string[] {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => /\.csv(\.gz)?$/.test(file)).sort();
}

export function plain(file: string): string {
  return file.replace(/\.gz$/, '');
}

/** What `backtest score` said of each row of several signals. */
export function alertColumn(file: string): boolean[] {
  return columns(file).map((cells) => cells[2] === '1');
}

/** Rows of a file of `backtest score` without the header. */
export function columns(file: string): string[][] {
  const lines = readText(file).trimEnd().split('\n').slice(1);
  return lines.map((line) => line.split(','));
}

/** Runs a scorer that lies beside the data. @returns what it printed */
export function scorer(name: string, args: readonly string[]): string {
  return execFileSync(process.execPath, [benchPath('scorers', name), ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** @example percent(1, 0) // => '–' */
export function percent(part: number, whole: number): string {
  return whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : '–';
}
