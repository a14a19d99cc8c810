/**
 * `npm run bench:detect [-- nab skab tep cars air hydraulics]`: the detectors over public recordings, through `backtest score`
 * and the scorers that lie beside the data. All sets together also write the table in docs/detectors.md.
 * Reads PRESAGE_BENCH_DIR. Nothing is set per data set; the healthy part that a set declares is learned first.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { backtestScore } from '../../analytics/evaluate/backtest-score.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { benchPath } from '../support/bench-data.ts';

const SKAB_SEEDS = [7, 11, 23, 42, 101];
const CAR_SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const HALVES = 10;
/** Rows of a trip come twice a second: five minutes. */
const SOON_ROWS = 600;
/** F1 and false-alarm rate of each re-spliced seed. */
const skabFigures: { f1: number; falseAlarms: number }[] = [];

const START_AT = Date.UTC(2020, 0, 1);
const work = mkdtempSync(join(tmpdir(), 'presage-detect-'));
const wanted = process.argv.slice(2);
/** What was said, as rows of the table in the documentation. */
const table: { what: string; text: string }[] = [];
try {
  const sets = { nab, skab: skabSets, tep, cars, air: airHandlers, hydraulics };
  for (const [name, run] of Object.entries(sets)) if (wanted.length === 0 || wanted.includes(name)) await run();
  if (wanted.length === 0) writeTable();
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** Puts the figures between the marks in docs/detectors.md. */
function writeTable(): void {
  const path = fileURLToPath(new URL('../../docs/detectors.md', import.meta.url));
  const rows = table.map(({ what, text }) => `| ${what} | ${text} |`);
  const block = ['<!-- bench:detect -->', '| set | figure |', '|---|---|', ...rows, '<!-- /bench:detect -->'].join(
    '\n',
  );
  writeFileSync(path, readText(path).replace(/<!-- bench:detect -->[\s\S]*<!-- \/bench:detect -->/, block));
}

async function skabSets(): Promise<void> {
  await skab('as published', benchPath('skab', 'data'));
  for (const seed of SKAB_SEEDS) await skab(`re-spliced, seed ${seed}`, disguise(seed));
  say('SKAB', `re-spliced, mean of ${SKAB_SEEDS.length} seeds: ${meanOfSeeds()}`);
}

async function nab(): Promise<void> {
  const out = join(work, 'nab');
  const files = await backtestScore({ inDir: benchPath('nab', 'data'), outDir: out, profile: 'standard' });
  const json = join(work, 'nab.json');
  const labels = ['--labels', benchPath('nab', 'labels.json'), '--data', benchPath('nab', 'data')];
  const text = scorer('nab_score.mjs', ['--results', out, ...labels, '--json', json]);
  say('NAB', `${files.length} streams, ${sum(files.map((file) => file.rows))} rows`);
  for (const line of text.split('\n').filter((one) => /^(standard|reward)/.test(one))) {
    const [profile, , , , , score, hit, falseRows] = line.split(/\s+/);
    say('', `${profile}: ${score} (windows hit ${hit}, false rows ${falseRows})`);
  }
  nabByHalves(out, labels);
}

/** The honest figure: thresholds from one random half of the files, scored on the other. */
function nabByHalves(out: string, labels: readonly string[]): void {
  const files = Object.keys(JSON.parse(readText(benchPath('nab', 'labels.json'))) as object).sort();
  const random = seededRandom(1);
  /** by profile */
  const scores = new Map<string, number[]>();
  const json = join(work, 'nab half.json');
  for (let i = 0; i < HALVES; i++) {
    const order = files.map((file) => ({ file, key: random() })).sort((a, b) => a.key - b.key);
    const half = order.length >> 1;
    const parts = [order.slice(0, half), order.slice(half)].map((part) => part.map(({ file }) => file).join(','));
    for (const [from, on] of [parts, [...parts].reverse()] as [string, string][]) {
      scorer('nab_score.mjs', ['--results', out, ...labels, '--files', from, '--json', json]);
      const text = scorer('nab_score.mjs', ['--results', out, ...labels, '--files', on, '--thresholds-from', json]);
      for (const line of text.split('\n').filter((one) => /^(standard|reward)/.test(one))) {
        const [profile = '', , , , , score] = line.split(/\s+/);
        scores.set(profile, [...(scores.get(profile) ?? []), Number(score)]);
      }
    }
  }
  for (const [profile, all] of scores) {
    const mean = sum(all) / all.length;
    say('', `${profile}: ${mean.toFixed(1)} with thresholds from the other half, ${HALVES} random halves both ways`);
  }
}

function meanOfSeeds(): string {
  const mean = (of: (one: (typeof skabFigures)[number]) => number): number =>
    sum(skabFigures.map(of)) / skabFigures.length;
  return `F1 ${mean((one) => one.f1).toFixed(3)}, false alarms ${mean((one) => one.falseAlarms).toFixed(1)} %`;
}

async function skab(which: string, data: string): Promise<void> {
  const input = join(work, `skab ${which}`);
  for (const file of csvFiles(data)) {
    const rows = readText(join(data, file))
      .trim()
      .split(/\r?\n/)
      .map((line) => line.split(';'));
    const kept = (rows[0] ?? []).flatMap((name, i) => (name === 'anomaly' || name === 'changepoint' ? [] : [i]));
    const lines = rows.map((row, r) => kept.map((i) => (r === 0 && i === 0 ? 'timestamp' : row[i])).join(','));
    write(join(input, plain(file)), lines);
  }
  const scored = join(work, `skab ${which} scored`);
  await backtestScore({ inDir: input, outDir: scored, profile: 'standard' });
  const predictions = join(work, `skab ${which} predictions`);
  for (const file of csvFiles(scored)) {
    const [header, ...rows] = readText(join(scored, file)).trimEnd().split('\n') as [string, ...string[]];
    write(join(predictions, file), [header.replace('timestamp', 'datetime').replace('alert', 'outlier'), ...rows]);
  }
  const text = scorer('skab_score.mjs', ['--pred', predictions, '--data', data, '--strict']);
  const [, f1, falseAlarms] = /F1 ([\d.]+) +FAR ([\d.]+)/.exec(text) ?? [];
  if (which !== 'as published') skabFigures.push({ f1: Number(f1), falseAlarms: Number(falseAlarms) });
  say(
    'SKAB',
    `${which}: ${
      text
        .split('\n')[0]
        ?.replace(/\(TP.*/, '')
        .trim() ?? ''
    }`,
  );
}

function disguise(seed: number): string {
  const list = join(work, 'skab.txt');
  const data = benchPath('skab', 'data');
  writeFileSync(list, csvFiles(data).map(plain).join('\n'));
  const out = join(work, `disguised ${seed}`);
  scorer('skab_disguise.mjs', ['--data', data, '--files', list, '--out', out, '--seed', String(seed)]);
  return out;
}

/** Tennessee Eastman: 52 columns every 3 minutes; d00 is normal, the others turn faulty at row 161. */
async function tep(): Promise<void> {
  const asCsv = (rows: readonly (readonly string[])[]): string[] => [
    `timestamp,${(rows[0] ?? []).map((_, i) => `x${i + 1}`).join(',')}`,
    ...rows.map((row, i) => `${START_AT + i * 180_000},${row.join(',')}`),
  ];
  const read = (file: string) =>
    readText(benchPath('tep', file))
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
  const normal = read('d00.dat.gz');
  write(
    join(work, 'tep learn', 'd00.csv'),
    asCsv((normal[0] ?? []).map((_, i) => normal.map((row) => row[i] as string))),
  );
  const tests = readdirSync(benchPath('tep')).filter((file) => /_te\.dat\.gz$/.test(file));
  for (const file of tests) write(join(work, 'tep', `${file}.csv`), asCsv(read(file)));
  await backtestScore({
    inDir: join(work, 'tep'),
    outDir: join(work, 'tep out'),
    learnDir: join(work, 'tep learn'),
    profile: 'standard',
  });
  let [faulty, found, healthy, wrong] = [0, 0, 0, 0];
  for (const file of tests) {
    alertColumn(join(work, 'tep out', `${file}.csv`)).forEach((alert, i) => {
      if (i >= 160 && !file.startsWith('d00')) {
        faulty++;
        found += alert;
      } else {
        healthy++;
        wrong += alert;
      }
    });
  }
  say('TEP', `faulty rows found ${percent(found, faulty)}, healthy rows with an alert ${percent(wrong, healthy)}`);
}

/**
 * carOBD: each half of the healthy trips is learned once and the other half judged, as it is and with planted faults of
 * ten seeds. A fault counts as found when an alert is raised within five minutes of its onset and none was open before.
 */
async function cars(): Promise<void> {
  const trips = readdirSync(benchPath('carobd')).map(plain).sort();
  /** by recording: where the fault begins; undefined = healthy */
  const onsets = new Map<string, { fault: string; start: number } | undefined>();
  for (const [i, trip] of trips.entries()) {
    const rows = tripRows(readText(benchPath('carobd', `${trip}.gz`)));
    write(join(work, `cars learn ${i % 2}`, trip), rows);
    write(join(work, `cars ${1 - (i % 2)}`, trip), rows);
    onsets.set(trip, undefined);
  }
  for (const seed of CAR_SEEDS) {
    const planted = join(work, `planted ${seed}`);
    scorer('obd_inject.mjs', ['--trips', benchPath('carobd'), '--out', planted, '--seed', String(seed)]);
    type Labels = Record<string, { fault: string; start: number } | null>;
    const labels = JSON.parse(readText(join(planted, 'labels.json'))) as Labels;
    for (const [i, trip] of trips.entries()) {
      const label = labels[trip];
      if (!label) continue;
      const name = `${seed} ${trip}`;
      write(join(work, `cars ${1 - (i % 2)}`, name), tripRows(readText(join(planted, trip))));
      onsets.set(name, label);
    }
  }
  /** by fault: planted, found */
  const byFault = new Map<string, { planted: number; found: number }>();
  const healthy = { trips: 0, wrong: 0 };
  for (const half of [0, 1]) {
    const inDir = join(work, `cars ${half}`);
    const outDir = join(work, `cars out ${half}`);
    await backtestScore({ inDir, outDir, learnDir: join(work, `cars learn ${half}`), profile: 'standard' });
    for (const name of csvFiles(outDir)) {
      const alerts = alertColumn(join(outDir, name));
      const label = onsets.get(name);
      if (!label) {
        healthy.trips++;
        if (alerts.includes(1)) healthy.wrong++;
        continue;
      }
      const count = byFault.get(label.fault) ?? { planted: 0, found: 0 };
      byFault.set(label.fault, count);
      count.planted++;
      const before = alerts.slice(0, label.start).includes(1);
      if (!before && alerts.slice(label.start, label.start + SOON_ROWS).includes(1)) count.found++;
    }
  }
  const planted = sum([...byFault.values()].map((one) => one.planted));
  const found = sum([...byFault.values()].map((one) => one.found));
  say(
    'carOBD',
    `${CAR_SEEDS.length} seeds: ${found} of ${planted} planted faults found within 5 minutes (${percent(found, planted)}), ` +
      `${healthy.wrong} of ${healthy.trips} healthy trips with a false alert`,
  );
  for (const [fault, one] of byFault) say('', `${fault}: ${one.found} of ${one.planted}`);
}

function tripRows(text: string): string[] {
  const [header, ...lines] = text.trim().split(/\r?\n/) as [string, ...string[]];
  const names = header.split(',').map((name) => name.replace('()', '').trim());
  return [
    `timestamp,${names.join(',')}`,
    ...lines
      .map((line) => line.split(',').map((cell) => cell.trim().replace('NaN', '')))
      // One trip ends in the middle of a row; another lacks the last columns, which are then missing values.
      .filter((cells, i) => i < lines.length - 1 || cells.length >= names.length)
      .map((cells, i) => `${START_AT + i * 500},${names.map((_, column) => cells[column] ?? '').join(',')}`),
  ];
}

/** Air-handling units at one minute: days with and without a fault, labelled by row in the last column. */
async function airHandlers(): Promise<void> {
  const truth = new Map<string, number[]>();
  for (const unit of ['MZVAV-2-2', 'SZCAV']) {
    const [header, ...rows] = readText(benchPath('ahu', `${unit}.csv.gz`))
      .trim()
      .split(/\r?\n/)
      .map((line) => line.split(','));
    const names = (header ?? []).slice(1, -1).map((name, i) => `${i} ${name.trim()}`);
    truth.set(
      unit,
      rows.map((row) => Number(row.at(-1))),
    );
    write(join(work, 'ahu', `${unit}.csv`), [
      `timestamp,${names.join(',')}`,
      ...rows.map(
        (
          row, // A spreadsheet's error stands for a missing value.
        ) => `${isoOf(row[0] as string)},${row.slice(1, -1).join(',').replaceAll('#VALUE!', '')}`,
      ),
    ]);
  }
  await backtestScore({ inDir: join(work, 'ahu'), outDir: join(work, 'ahu out'), profile: 'standard' });
  for (const [unit, labels] of truth) {
    const alerts = alertColumn(join(work, 'ahu out', `${unit}.csv`));
    const share = (label: number): string => {
      const rows = labels.flatMap((one, i) => (one === label ? [alerts[i] ?? 0] : []));
      return percent(sum(rows), rows.length);
    };
    say('AHU', `${unit}: rows of faulty days with an alert ${share(1)}, of healthy days ${share(0)}`);
  }
}

function isoOf(text: string): string {
  const [month = '', day = '', year = '', time = ''] = text.split(/[/ ]/);
  return `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')} ${time.padStart(5, '0')}:00`;
}

/** Hydraulic rig: the mean of each sensor over each 60 s cycle, in the order of the recording. */
async function hydraulics(): Promise<void> {
  const sensors = readdirSync(benchPath('hydraulic'))
    .filter((file) => file.endsWith('.gz'))
    .sort();
  const means = sensors.map((file) =>
    readText(benchPath('hydraulic', file))
      .trim()
      .split('\n')
      .map((line) => {
        const cells = line.trim().split(/\s+|,/).map(Number);
        return (sum(cells) / cells.length).toFixed(5);
      }),
  );
  write(join(work, 'hydraulic', 'rig.csv'), [
    `timestamp,${sensors.map((file) => file.replace(/\..*/, '')).join(',')}`,
    ...(means[0] ?? []).map((_, i) => `${START_AT + i * 60_000},${means.map((column) => column[i]).join(',')}`),
  ]);
  const [file] = await backtestScore({
    inDir: join(work, 'hydraulic'),
    outDir: join(work, 'hydraulic out'),
    profile: 'standard',
  });
  say(
    'Hydraulic',
    `${file?.rows} cycles of ${sensors.length} sensors, ${file?.alerts} alerts, ${percent(file?.alertRows ?? 0, file?.rows ?? 0)} of the cycles`,
  );
}

function scorer(name: string, args: readonly string[]): string {
  return execFileSync(process.execPath, [benchPath('scorers', name), ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
}

function csvFiles(dir: string): string[] {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => /\.csv(\.gz)?$/.test(file)).sort();
}

function alertColumn(file: string): number[] {
  return readText(file)
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => Number(line.split(',')[2]));
}

function readText(file: string): string {
  const bytes = readFileSync(file);
  return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

function plain(file: string): string {
  return file.replace(/\.gz$/, '');
}

function write(path: string, lines: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${lines.join('\n')}\n`);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function percent(part: number, whole: number): string {
  return whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : '–';
}

function say(what: string, text: string): void {
  table.push({ what: what || (table.at(-1)?.what ?? ''), text });
  console.log(`${what.padEnd(10)} ${text}`);
}
