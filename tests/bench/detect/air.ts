/**
 * Air-handling units at one minute, days with and without a fault of a damper or valve. Each half of a unit's healthy days
 * is learned once; the other half and the faulty days are judged, each day for itself. Where there is only one healthy day
 * nothing can be said about false alarms.
 */
import { join } from 'node:path';
import { backtestScore } from '../../../analytics/evaluate/backtest-score.ts';
import type { JudgedRecording } from '../../../analytics/evaluate/event-scores.ts';
import { benchPath } from '../../support/bench-data.ts';
import { alertColumn, percent, readText, sum, write } from './files.ts';
import type { Report } from './report.ts';

const UNITS = ['MZVAV-2-2', 'SZCAV'];
const ROW_MS = 60_000;

interface Day {
  readonly date: string;
  /** `none` = healthy. */
  readonly component: string;
  readonly lines: readonly string[];
}

export async function airHandlers(work: string, report: Report): Promise<void> {
  const recordings: JudgedRecording[] = [];
  for (const unit of UNITS) {
    const { header, days } = readUnit(unit);
    const healthy = days.filter((day) => day.component === 'none');
    /** by component: days judged, days with an alert */
    const judged = new Map<string, { days: number; alerted: number }>();
    for (const half of healthy.length > 1 ? [0, 1] : [0]) {
      const learned = healthy.filter((_, i) => i % 2 === half);
      const tested = days.filter((day) => !learned.includes(day));
      const alerts = await score(join(work, `air ${unit} ${half}`), header, learned, tested);
      for (const [i, { component }] of tested.entries()) {
        const alert = alerts[i] as boolean[];
        const count = judged.get(component) ?? { days: 0, alerted: 0 };
        judged.set(component, count);
        count.days++;
        if (alert.includes(true)) count.alerted++;
        recordings.push({ alert, faulty: alert.map(() => component !== 'none'), at: alert.map((_, r) => r * ROW_MS) });
      }
    }
    for (const [component, { days: all, alerted }] of judged) {
      const what = component === 'none' ? 'healthy days with an alert' : `${component}, days with an alert`;
      report.say('AHU', `${unit}, ${what}: ${alerted} of ${all} (${percent(alerted, all)})`);
    }
    report.say('AHU', `${unit}: ${days.length} days, ${sum(days.map((day) => day.lines.length))} rows`);
  }
  report.events('AHU', recordings);
}

async function score(
  dir: string,
  header: string,
  learned: readonly Day[],
  tested: readonly Day[],
): Promise<boolean[][]> {
  const put = (folder: string, days: readonly Day[]): void => {
    for (const day of days) write(join(dir, folder, `${day.date}.csv`), [header, ...day.lines]);
  };
  put('learn', learned);
  put('in', tested);
  const outDir = join(dir, 'out');
  await backtestScore({ inDir: join(dir, 'in'), outDir, learnDir: join(dir, 'learn'), profile: 'standard' });
  return tested.map((day) => alertColumn(join(outDir, `${day.date}.csv`)));
}

function readUnit(unit: string): { readonly header: string; readonly days: readonly Day[] } {
  const components = new Map(
    readText(benchPath('ahu', 'faults.csv'))
      .trim()
      .split(/\r?\n/)
      .map((line) => line.split(','))
      .flatMap(([name, date, component]) => (name === unit && date && component ? [[date, component]] : [])),
  );
  const [header, ...rows] = readText(benchPath('ahu', `${unit}.csv.gz`))
    .trim()
    .split(/\r?\n/)
    .map((line) => line.split(','));
  const names = (header ?? []).slice(1, -1).map((name, i) => `${i} ${name.trim()}`);
  /** by date */
  const days = new Map<string, string[]>();
  for (const row of rows) {
    const stamp = isoOf(row[0] as string);
    const lines = days.get(stamp.slice(0, 10)) ?? [];
    days.set(stamp.slice(0, 10), lines);
    // A spreadsheet's error stands for a missing value; the last column is the label.
    lines.push(`${stamp},${row.slice(1, -1).join(',').replaceAll('#VALUE!', '')}`);
  }
  return {
    header: `timestamp,${names.join(',')}`,
    days: [...days].map(([date, lines]) => ({ date, component: components.get(date) ?? 'unknown', lines })),
  };
}

/** @example isoOf('8/28/2007 9:05') // => '2007-08-28 09:05:00' */
function isoOf(text: string): string {
  const [month = '', day = '', year = '', time = ''] = text.split(/[/ ]/);
  return `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')} ${time.padStart(5, '0')}:00`;
}
