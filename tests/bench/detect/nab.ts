/**
 * NAB: single streams, scored by its own rules. The figure that counts takes the threshold from one random half of the
 * files and scores the other half; another also chooses among neighbouring settings there, and tells what choosing is
 * worth on files that were not looked at. Events are NAB's windows, alerts the rows above its threshold for all files.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { backtestScore } from '../../../analytics/evaluate/backtest-score.ts';
import type { JudgedRecording } from '../../../analytics/evaluate/event-scores.ts';
import { seededRandom } from '../../../contract/kernel/random.ts';
import { benchPath } from '../../support/bench-data.ts';
import { columns, readText, sum } from './files.ts';
import { VARIANTS, writeVariant } from './nab-variants.ts';
import type { Report } from './report.ts';

const HALVES = 10;
/** NAB does not score the first 15 % of a file, nor more than 15 % of 5,000 rows. */
const UNSCORED_SHARE = 0.15;
const UNSCORED_OF_ROWS = 5_000;

type Windows = Readonly<Record<string, readonly (readonly [string, string])[]>>;

/** What is used of the scorer that lies beside the data. */
interface Scorer {
  loadParts(results: string, labels: Windows, files: readonly string[], data: string): FilePart[];
  scoreDetector(parts: readonly FilePart[], options?: { readonly thresholds: Record<string, number> }): Scores;
}

interface FilePart {
  readonly rel: string;
}

/** by profile */
type Scores = Readonly<
  Record<
    string,
    {
      readonly normalised: number;
      readonly threshold: number;
      readonly windows: number;
      readonly windowsDetected: number;
      readonly fp: number;
    }
  >
>;

export async function nab(work: string, report: Report): Promise<void> {
  const data = benchPath('nab', 'data');
  const windows = JSON.parse(readText(benchPath('nab', 'labels.json'))) as Windows;
  const names = Object.keys(windows).sort();
  const scorer = (await import(pathToFileURL(benchPath('scorers', 'nab_score.mjs')).href)) as Scorer;
  const out = join(work, 'nab');
  const files = await backtestScore({ inDir: data, outDir: out, profile: 'standard' });
  const parts = scorer.loadParts(out, windows, names, data);
  const all = scorer.scoreDetector(parts);
  report.say('NAB', `${files.length} streams, ${sum(files.map((file) => file.rows))} rows`);
  for (const [profile, one] of Object.entries(all)) {
    report.say(
      'NAB',
      `${profile}: ${one.normalised.toFixed(1)} with the best threshold for these files (windows hit ${one.windowsDetected}/${one.windows}, false rows ${one.fp})`,
    );
  }
  const halves = randomHalves(names.length);
  const judged = judgeByHalves(scorer, parts, halves);
  const variants = [judged];
  for (const variant of VARIANTS) {
    const dir = join(work, `nab ${variant.name}`);
    for (const name of names) await writeVariant(variant, data, name, dir);
    variants.push(judgeByHalves(scorer, scorer.loadParts(dir, windows, names, data), halves));
  }
  for (const profile of Object.keys(all)) {
    const mean = (of: (half: number) => number): string =>
      (sum(halves.map((_, i) => of(i))) / halves.length).toFixed(1);
    report.say(
      'NAB',
      `${profile}: ${mean((i) => judged[i]?.[profile]?.on ?? 0)} with thresholds from the other half, ` +
        `${mean((i) => bestOn(variants, i, profile))} with one of ${variants.length} settings chosen there too, ${HALVES} random halves both ways`,
    );
  }
  report.events('NAB', asEvents(out, windows, all.standard?.threshold ?? 1));
}

/** Indices of files: first those that choose, then those that are scored. */
type Half = readonly [readonly number[], readonly number[]];

function randomHalves(count: number): Half[] {
  const random = seededRandom(1);
  return Array.from({ length: HALVES }, () => {
    const order = Array.from({ length: count }, (_, i) => ({ i, key: random() })).sort((a, b) => a.key - b.key);
    const indices = order.map(({ i }) => i);
    const middle = count >> 1;
    return [indices.slice(0, middle), indices.slice(middle)] as const;
  }).flatMap(([a, b]): Half[] => [
    [a, b],
    [b, a],
  ]);
}

/** Score on the half that gave the threshold, and on the other; by half, then by profile. */
type ByHalf = readonly Readonly<Record<string, { readonly from: number; readonly on: number }>>[];

function judgeByHalves(scorer: Scorer, parts: readonly FilePart[], halves: readonly Half[]): ByHalf {
  const pick = (indices: readonly number[]): FilePart[] => indices.map((i) => parts[i] as FilePart);
  return halves.map(([from, on]) => {
    const chosen = scorer.scoreDetector(pick(from));
    const thresholds = Object.fromEntries(Object.entries(chosen).map(([profile, one]) => [profile, one.threshold]));
    const scored = scorer.scoreDetector(pick(on), { thresholds });
    return Object.fromEntries(
      Object.entries(chosen).map(([profile, one]) => [
        profile,
        { from: one.normalised, on: scored[profile]?.normalised ?? 0 },
      ]),
    );
  });
}

/** Score on the other half of whatever was best on the half that chooses. */
function bestOn(variants: readonly ByHalf[], half: number, profile: string): number {
  const scores = variants.map((variant) => variant[half]?.[profile] ?? { from: 0, on: 0 });
  return scores.reduce((best, one) => (one.from > best.from ? one : best)).on;
}

function asEvents(out: string, windowsByFile: Windows, threshold: number): JudgedRecording[] {
  return Object.entries(windowsByFile).map(([file, windows]) => {
    const rows = columns(join(out, file));
    const at = rows.map((row) => timeOf(row[0] as string));
    const within = windows.map(([from, to]) => [timeOf(from), timeOf(to)] as const);
    return {
      at,
      alert: rows.map((row) => Number(row[2]) >= threshold),
      faulty: at.map((time) => within.some(([from, to]) => time >= from && time <= to)),
      unscoredRows: Math.floor(UNSCORED_SHARE * Math.min(rows.length, UNSCORED_OF_ROWS)),
    };
  });
}

function timeOf(text: string): number {
  return Date.parse(`${text.replace(' ', 'T').slice(0, 19)}Z`);
}
