/** Tennessee Eastman: 52 columns every 3 minutes; d00 is normal and learned first, the tests turn faulty at row 161. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { backtestScore } from '../../../analytics/evaluate/backtest-score.ts';
import type { JudgedRecording } from '../../../analytics/evaluate/event-scores.ts';
import { benchPath } from '../../support/bench-data.ts';
import { alertColumn, percent, readText, START_AT, sum, write } from './files.ts';
import type { Report } from './report.ts';

const ROW_MS = 180_000;
const HEALTHY_ROWS = 160;

export async function tep(work: string, report: Report): Promise<void> {
  const normal = cellsOf('d00.dat.gz');
  // The one file that lies on its side.
  const upright = (normal[0] ?? []).map((_, i) => normal.map((row) => row[i] as string));
  write(join(work, 'tep learn', 'd00.csv'), asCsv(upright));
  const tests = readdirSync(benchPath('tep')).filter((file) => /_te\.dat\.gz$/.test(file));
  for (const file of tests) write(join(work, 'tep', `${file}.csv`), asCsv(cellsOf(file)));
  const outDir = join(work, 'tep out');
  await backtestScore({ inDir: join(work, 'tep'), outDir, learnDir: join(work, 'tep learn'), profile: 'standard' });
  const recordings = tests.map((file): JudgedRecording => {
    const alert = alertColumn(join(outDir, `${file}.csv`));
    const faulty = alert.map((_, i) => i >= HEALTHY_ROWS && !file.startsWith('d00'));
    return { alert, faulty, at: alert.map((_, i) => i * ROW_MS) };
  });
  const count = (fault: boolean, alerted: boolean): number =>
    sum(recordings.map((one) => one.alert.filter((alert, i) => one.faulty[i] === fault && (alert || !alerted)).length));
  report.say(
    'TEP',
    `faulty rows found ${percent(count(true, true), count(true, false))}, healthy rows with an alert ${percent(count(false, true), count(false, false))}`,
  );
  report.events('TEP', recordings);
}

function cellsOf(file: string): string[][] {
  const lines = readText(benchPath('tep', file)).trim().split('\n');
  return lines.map((line) => line.trim().split(/\s+/));
}

function asCsv(rows: readonly (readonly string[])[]): string[] {
  const names = (rows[0] ?? []).map((_, i) => `x${i + 1}`);
  return [`timestamp,${names.join(',')}`, ...rows.map((row, i) => `${START_AT + i * ROW_MS},${row.join(',')}`)];
}
