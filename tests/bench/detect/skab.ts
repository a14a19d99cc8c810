/**
 * SKAB: a pump loop at 1 Hz. The anomaly stands at nearly the same rows in every published file, so the figures that count
 * are those of copies whose rows were spliced anew. The first 400 rows of each file are normal and not scored.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { backtestScore } from '../../../analytics/evaluate/backtest-score.ts';
import type { JudgedRecording } from '../../../analytics/evaluate/event-scores.ts';
import { benchPath } from '../../support/bench-data.ts';
import { alertColumn, csvFiles, plain, readText, scorer, sum, write } from './files.ts';
import type { Report } from './report.ts';

const SEEDS = [7, 11, 23, 42, 101];
const NORMAL_ROWS = 400;
const ROW_MS = 1_000;

export async function skab(work: string, report: Report): Promise<void> {
  await scoreCopy(work, report, 'as published', benchPath('skab', 'data'));
  const copies: Copy[] = [];
  for (const seed of SEEDS) copies.push(await scoreCopy(work, report, `re-spliced, seed ${seed}`, splice(work, seed)));
  const mean = (of: (one: Copy) => number): number => sum(copies.map(of)) / copies.length;
  report.say(
    'SKAB',
    `re-spliced, mean of ${SEEDS.length} seeds: F1 ${mean((one) => one.f1).toFixed(3)}, false alarms ${mean((one) => one.falseAlarms).toFixed(1)} %`,
  );
  report.events(
    'SKAB, re-spliced',
    copies.flatMap((one) => one.recordings),
  );
}

interface Copy {
  readonly f1: number;
  /** Per cent. */
  readonly falseAlarms: number;
  readonly recordings: readonly JudgedRecording[];
}

async function scoreCopy(work: string, report: Report, which: string, data: string): Promise<Copy> {
  const input = join(work, `skab ${which}`);
  const recordings: JudgedRecording[] = [];
  const truth = csvFiles(data).map((file) => prepare(data, file, input));
  const scored = join(work, `skab ${which} scored`);
  await backtestScore({ inDir: input, outDir: scored, profile: 'standard' });
  const predictions = join(work, `skab ${which} predictions`);
  for (const { file, faulty } of truth) {
    const [header, ...rows] = readText(join(scored, file)).trimEnd().split('\n') as [string, ...string[]];
    write(join(predictions, file), [header.replace('timestamp', 'datetime').replace('alert', 'outlier'), ...rows]);
    recordings.push({
      faulty,
      alert: alertColumn(join(scored, file)),
      at: faulty.map((_, i) => i * ROW_MS),
      unscoredRows: NORMAL_ROWS,
    });
  }
  const text = scorer('skab_score.mjs', ['--pred', predictions, '--data', data, '--strict']);
  const [, f1, falseAlarms] = /F1 ([\d.]+) +FAR ([\d.]+)/.exec(text) ?? [];
  const said = text.split('\n')[0] ?? '';
  report.say('SKAB', `${which}: ${said.replace(/\(TP.*/, '').trim()}`);
  return { f1: Number(f1), falseAlarms: Number(falseAlarms), recordings };
}

/** The recording without its labels. */
function prepare(data: string, file: string, input: string): { readonly file: string; readonly faulty: boolean[] } {
  const lines = readText(join(data, file))
    .trim()
    .split(/\r?\n/)
    .map((line) => line.split(';'));
  const names = lines[0] ?? [];
  const kept = names.flatMap((name, i) => (name === 'anomaly' || name === 'changepoint' ? [] : [i]));
  const rows = lines.map((row, r) => kept.map((i) => (r === 0 && i === 0 ? 'timestamp' : row[i])).join(','));
  write(join(input, plain(file)), rows);
  const label = names.indexOf('anomaly');
  return { file: plain(file), faulty: lines.slice(1).map((row) => Number(row[label]) === 1) };
}

function splice(work: string, seed: number): string {
  const list = join(work, 'skab.txt');
  const data = benchPath('skab', 'data');
  writeFileSync(list, csvFiles(data).map(plain).join('\n'));
  const out = join(work, `spliced ${seed}`);
  scorer('skab_disguise.mjs', ['--data', data, '--files', list, '--out', out, '--seed', String(seed)]);
  return out;
}
