/**
 * carOBD: trips of one car, about two rows a second. Each half of the healthy trips is learned once and the other half
 * judged, as it is and with planted faults of ten seeds. A fault counts as found when an alert is raised within five
 * minutes of its onset and none was open in that trip before.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { backtestScore } from '../../../analytics/evaluate/backtest-score.ts';
import type { JudgedRecording } from '../../../analytics/evaluate/event-scores.ts';
import { benchPath } from '../../support/bench-data.ts';
import { alertColumn, csvFiles, percent, plain, readText, START_AT, scorer, sum, write } from './files.ts';
import type { Report } from './report.ts';

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const ROW_MS = 500;
/** Five minutes. */
const SOON_ROWS = 600;

interface Fault {
  readonly fault: string;
  /** Row of the onset. */
  readonly start: number;
}

export async function cars(work: string, report: Report): Promise<void> {
  const faults = prepare(work);
  const recordings: JudgedRecording[] = [];
  /** by fault: planted, found */
  const byFault = new Map<string, { planted: number; found: number }>();
  const healthy = { trips: 0, wrong: 0 };
  for (const half of [0, 1]) {
    const inDir = join(work, `cars ${half}`);
    const outDir = join(work, `cars out ${half}`);
    await backtestScore({ inDir, outDir, learnDir: join(work, `cars learn ${half}`), profile: 'standard' });
    for (const name of csvFiles(outDir)) {
      const alert = alertColumn(join(outDir, name));
      const planted = faults.get(name);
      const faulty = alert.map((_, i) => planted !== undefined && i >= planted.start);
      recordings.push({ alert, faulty, at: alert.map((_, i) => i * ROW_MS), soonRows: SOON_ROWS });
      if (!planted) {
        healthy.trips++;
        if (alert.includes(true)) healthy.wrong++;
        continue;
      }
      const count = byFault.get(planted.fault) ?? { planted: 0, found: 0 };
      byFault.set(planted.fault, count);
      count.planted++;
      if (isFound(alert, planted.start)) count.found++;
    }
  }
  const planted = sum([...byFault.values()].map((one) => one.planted));
  const found = sum([...byFault.values()].map((one) => one.found));
  report.say(
    'carOBD',
    `${SEEDS.length} seeds: ${found} of ${planted} planted faults found within 5 minutes (${percent(found, planted)}), ` +
      `${healthy.wrong} of ${healthy.trips} healthy trips with a false alert`,
  );
  for (const [fault, one] of byFault) report.say('carOBD', `${fault}: ${one.found} of ${one.planted}`);
  report.events('carOBD', recordings);
}

function isFound(alert: readonly boolean[], start: number): boolean {
  return !alert.slice(0, start).includes(true) && alert.slice(start, start + SOON_ROWS).includes(true);
}

/** Lays healthy and planted trips of each half out. @returns the faults, by recording */
function prepare(work: string): ReadonlyMap<string, Fault> {
  const trips = readdirSync(benchPath('carobd')).map(plain).sort();
  const faults = new Map<string, Fault>();
  for (const [i, trip] of trips.entries()) {
    const rows = tripRows(readText(benchPath('carobd', `${trip}.gz`)));
    write(join(work, `cars learn ${i % 2}`, trip), rows);
    write(join(work, `cars ${1 - (i % 2)}`, trip), rows);
  }
  for (const seed of SEEDS) {
    const planted = join(work, `planted ${seed}`);
    scorer('obd_inject.mjs', ['--trips', benchPath('carobd'), '--out', planted, '--seed', String(seed)]);
    const labels = JSON.parse(readText(join(planted, 'labels.json'))) as Record<string, Fault | null>;
    for (const [i, trip] of trips.entries()) {
      const fault = labels[trip];
      if (!fault) continue;
      const name = `${seed} ${trip}`;
      write(join(work, `cars ${1 - (i % 2)}`, name), tripRows(readText(join(planted, trip))));
      faults.set(name, fault);
    }
  }
  return faults;
}

function tripRows(text: string): string[] {
  const [header, ...lines] = text.trim().split(/\r?\n/) as [string, ...string[]];
  const names = header.split(',').map((name) => name.replace('()', '').trim());
  const rows = lines
    .map((line) => line.split(',').map((cell) => cell.trim().replace('NaN', '')))
    // One trip ends in the middle of a row; another lacks the last columns, which are then missing values.
    .filter((cells, i) => i < lines.length - 1 || cells.length >= names.length);
  return [
    `timestamp,${names.join(',')}`,
    ...rows.map((cells, i) => `${START_AT + i * ROW_MS},${names.map((_, column) => cells[column] ?? '').join(',')}`),
  ];
}
