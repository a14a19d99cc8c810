/**
 * `npm run bench:detect`: the detectors over public recordings, through `backtest score` and the scorers that lie beside
 * the data. Reads PRESAGE_BENCH_DIR. Nothing is set per data set; the healthy part that a set declares is learned first.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { backtestScore } from '../../analytics/evaluate/backtest-score.ts';
import { benchPath } from '../support/bench-data.ts';

const START_AT = Date.UTC(2020, 0, 1);
const work = mkdtempSync(join(tmpdir(), 'presage-detect-'));
try {
  await nab();
  await skab('as published', benchPath('skab', 'data'));
  await skab('re-spliced', disguise());
  await tep();
  await cars();
  await airHandlers();
  await hydraulics();
} finally {
  rmSync(work, { recursive: true, force: true });
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

function disguise(): string {
  const list = join(work, 'skab.txt');
  const data = benchPath('skab', 'data');
  writeFileSync(list, csvFiles(data).map(plain).join('\n'));
  const out = join(work, 'disguised');
  scorer('skab_disguise.mjs', ['--data', data, '--files', list, '--out', out, '--seed', '7']);
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

/** carOBD: every second healthy trip is learned, faults are planted into the others. */
async function cars(): Promise<void> {
  const planted = join(work, 'planted');
  scorer('obd_inject.mjs', ['--trips', benchPath('carobd'), '--out', planted, '--seed', '3']);
  const labels = JSON.parse(readText(join(planted, 'labels.json'))) as Record<
    string,
    { fault: string; start: number } | null
  >;
  const asCsv = (text: string): string[] => {
    const [header, ...lines] = text.trim().split(/\r?\n/) as [string, ...string[]];
    const names = header.split(',').map((name) => name.replace('()', '').trim());
    // One trip ends in the middle of a row.
    const rows = lines.filter((line) => line.split(',').length >= names.length && !line.includes('NaN'));
    return [
      `timestamp,${names.join(',')}`,
      ...rows.map(
        (row, i) =>
          `${START_AT + i * 500},${row
            .split(',')
            .slice(0, names.length)
            .map((cell) => cell.trim())
            .join(',')}`,
      ),
    ];
  };
  const trips = Object.keys(labels).sort();
  const judged = trips.filter((_, i) => i % 2 === 1);
  for (const trip of trips.filter((_, i) => i % 2 === 0)) {
    write(join(work, 'cars learn', trip), asCsv(readText(benchPath('carobd', `${trip}.gz`))));
  }
  for (const trip of judged) write(join(work, 'cars', trip), asCsv(readText(join(planted, trip))));
  await backtestScore({
    inDir: join(work, 'cars'),
    outDir: join(work, 'cars out'),
    learnDir: join(work, 'cars learn'),
    profile: 'standard',
  });
  const counts = { faulty: 0, found: 0, healthy: 0, wrong: 0 };
  for (const trip of judged) {
    const alerts = alertColumn(join(work, 'cars out', trip));
    const label = labels[trip];
    const before = label ? alerts.slice(0, label.start) : alerts;
    counts.healthy++;
    if (before.includes(1)) counts.wrong++;
    if (!label) continue;
    counts.faulty++;
    if (!before.includes(1) && alerts.slice(label.start).includes(1)) counts.found++;
  }
  say(
    'carOBD',
    `planted faults found ${counts.found} of ${counts.faulty}, trips with a false alert ${counts.wrong} of ${counts.healthy}`,
  );
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
  console.log(`${what.padEnd(10)} ${text}`);
}
