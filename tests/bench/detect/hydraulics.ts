/**
 * Hydraulic rig: the mean of each sensor over each 60 s cycle, in the order of the recording. The experimenter changed the
 * condition of four parts all the time and hardly ever left all of them healthy, so there is nothing to learn first and no
 * false alarm to count: how much is alerted is all that can be said.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { backtestScore } from '../../../analytics/evaluate/backtest-score.ts';
import { benchPath } from '../../support/bench-data.ts';
import { percent, readText, START_AT, sum, write } from './files.ts';
import type { Report } from './report.ts';

const ROW_MS = 60_000;

export async function hydraulics(work: string, report: Report): Promise<void> {
  const sensors = readdirSync(benchPath('hydraulic'))
    .filter((file) => file.endsWith('.gz'))
    .sort();
  const means = sensors.map(meansOf);
  write(join(work, 'hydraulic', 'rig.csv'), [
    `timestamp,${sensors.map((file) => file.replace(/\..*/, '')).join(',')}`,
    ...(means[0] ?? []).map((_, i) => `${START_AT + i * ROW_MS},${means.map((column) => column[i]).join(',')}`),
  ]);
  const [file] = await backtestScore({
    inDir: join(work, 'hydraulic'),
    outDir: join(work, 'hydraulic out'),
    profile: 'standard',
  });
  const share = percent(file?.alertRows ?? 0, file?.rows ?? 0);
  report.say(
    'Hydraulic',
    `${file?.rows} cycles of ${sensors.length} sensors, ${file?.alerts} alerts, ${share} of the cycles`,
  );
}

function meansOf(sensor: string): string[] {
  const lines = readText(benchPath('hydraulic', sensor)).trim().split('\n');
  return lines.map((line) => {
    const cells = line.trim().split(/\s+|,/).map(Number);
    return (sum(cells) / cells.length).toFixed(5);
  });
}
