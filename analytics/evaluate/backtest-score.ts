/** `presage backtest score`: every recording of a folder through the streaming code, one scored row for each row. */
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError } from '../../contract/kernel/errors.ts';
import type { DeviceState } from '../device-state.ts';
import { openRecording, type Recording, type RecordingRow } from './recording.ts';
import { createRowScorer, initLearned, learnRecording, type Profile } from './row-scorer.ts';

export interface BacktestOptions {
  readonly inDir: string;
  readonly outDir: string;
  /** Healthy recordings to learn first. */
  readonly learnDir?: string;
  readonly profile: Profile;
}

export interface FileSummary {
  /** Relative path in the output folder. */
  readonly file: string;
  readonly rows: number;
  readonly signals: number;
  /** Rows with an open alert. */
  readonly alertRows: number;
  readonly alerts: number;
}

const RECORDING = /\.csv(\.gz)?$/i;

/**
 * Scores all recordings; the same relative paths, as `.csv`, appear in `outDir`.
 * @throws AppError RECORDING_INVALID when a folder is missing or empty or a file cannot be read
 */
export async function backtestScore(options: BacktestOptions): Promise<readonly FileSummary[]> {
  const files = await listRecordings(options.inDir);
  const healthy = options.learnDir === undefined ? [] : await listRecordings(options.learnDir);
  /** learned states as JSON, by the signals they were learned for */
  const learned = new Map<string, string>();
  const summaries: FileSummary[] = [];
  for (const file of files) {
    const recording = await openRecording(join(options.inDir, file), file);
    const state = await learnedState(recording.signals, healthy, options.learnDir ?? '', learned);
    summaries.push(await scoreFile(file, recording, options, state));
  }
  return summaries;
}

async function scoreFile(
  file: string,
  recording: Recording,
  options: BacktestOptions,
  state: DeviceState | undefined,
): Promise<FileSummary> {
  const target = join(options.outDir, file.replace(/\.gz$/i, ''));
  await mkdir(dirname(target), { recursive: true });
  const counts = { rows: 0, alertRows: 0, alerts: 0 };
  const unfinished = `${target}.part`;
  try {
    await pipeline(
      Readable.from(scoredLines(recording, options.profile, state, counts)),
      createWriteStream(unfinished),
    );
    await rename(unfinished, target);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  return { file: file.replace(/\.gz$/i, ''), signals: recording.signals.length, ...counts };
}

async function* scoredLines(
  { signals, rows }: Recording,
  profile: Profile,
  state: DeviceState | undefined,
  counts: { rows: number; alertRows: number; alerts: number },
): AsyncGenerator<string> {
  const single = signals.length === 1;
  const scorer = state ? createRowScorer(signals, profile, state) : createRowScorer(signals, profile);
  let before = false;
  yield single ? 'timestamp,value,anomaly_score\n' : 'timestamp,anomaly_score,alert\n';
  for await (const row of rows) {
    const { score, alert } = scorer.take(row);
    counts.rows++;
    if (alert) counts.alertRows++;
    if (alert && !before) counts.alerts++;
    before = alert;
    yield single ? singleLine(row, score) : `${quoted(row.timestamp)},${format(score)},${alert ? 1 : 0}\n`;
  }
}

function singleLine(row: RecordingRow, score: number): string {
  return `${quoted(row.timestamp)},${quoted(row.cells[0] ?? '')},${format(score)}\n`;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function format(score: number): string {
  return String(Number(score.toFixed(9)));
}

/** A copy of what the healthy recordings with the same signals taught; `undefined` when there are none. */
async function learnedState(
  signals: readonly string[],
  healthy: readonly string[],
  learnDir: string,
  learned: Map<string, string>,
): Promise<DeviceState | undefined> {
  if (healthy.length === 0) return undefined;
  const key = JSON.stringify(signals);
  let json = learned.get(key);
  if (json === undefined) {
    json = JSON.stringify(await learnAll(signals, key, healthy, learnDir));
    learned.set(key, json);
  }
  return JSON.parse(json) as DeviceState;
}

async function learnAll(
  signals: readonly string[],
  key: string,
  healthy: readonly string[],
  learnDir: string,
): Promise<DeviceState> {
  const state = initLearned();
  let used = 0;
  for (const file of healthy) {
    const recording = await openRecording(join(learnDir, file), file);
    if (JSON.stringify(recording.signals) === key) {
      await learnRecording(state, signals, recording.rows);
      used++;
    }
    await recording.close();
  }
  if (used > 0) return state;
  throw new AppError('RECORDING_INVALID', `no recording in ${learnDir} has the signals ${signals.join(', ')}`);
}

/** Relative paths of all recordings below a folder, sorted. */
async function listRecordings(dir: string): Promise<readonly string[]> {
  const isFolder = await stat(dir).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new AppError('RECORDING_INVALID', `${dir} is not a folder`, { facts: { file: dir } });
  const entries = await readdir(dir, { recursive: true });
  const files = entries.filter((file) => RECORDING.test(file)).map((file) => file.split(sep).join('/'));
  if (files.length === 0) throw new AppError('RECORDING_INVALID', `there is no .csv or .csv.gz in ${dir}`);
  return files.sort();
}
