/**
 * Neighbours of the settings of single streams, for the figure that says what choosing among them is worth: a setting
 * chosen on one half of the files and scored on the other.
 */
import { join } from 'node:path';
import { type NoveltyParams, novelty } from '../../../analytics/detectors/novelty.ts';
import { assumedRhythm } from '../../../analytics/detectors/settings.ts';
import { openRecording, type RecordingRow } from '../../../analytics/evaluate/recording.ts';
import { createRefractory } from '../../../analytics/evaluate/refractory.ts';
import { write } from './files.ts';

interface Variant extends Pick<NoveltyParams, 'maximaShare' | 'doubtRows'> {
  readonly name: string;
  readonly fadeRows?: number;
}

export const VARIANTS: readonly Variant[] = [
  { name: 'ranks only', maximaShare: 0 },
  { name: 'more of the maxima', maximaShare: 0.6 },
  { name: 'no doubt', doubtRows: 0 },
  { name: 'more doubt', doubtRows: 1_500 },
  { name: 'fades sooner', fadeRows: 50 },
  { name: 'fades later', fadeRows: 200 },
];

const WARMUP_ROWS = 100;
/** As many as show the interval in production; they are not scored. */
const INTERVAL_ROWS = 9;
/** As `backtest score` does it. */
const HALF_SURPRISE = 5;

/** Scores `name` of the folder `data` with other settings, into the folder `dir`. */
export async function writeVariant(variant: Variant, data: string, name: string, dir: string): Promise<void> {
  const recording = await openRecording(join(data, `${name}.gz`), name);
  const rows: RecordingRow[] = [];
  for await (const row of recording.rows) rows.push(row);
  const { seasonMs } = assumedRhythm(medianInterval(rows.slice(0, INTERVAL_ROWS)));
  const { name: _, fadeRows, ...settings } = variant;
  const state = novelty.init({ warmupRows: WARMUP_ROWS, ...(seasonMs ? { seasonMs } : {}), ...settings });
  const refractory = createRefractory(fadeRows);
  const lines = rows.map((row, i) => {
    const input = { at: row.at, value: row.values[0], context: [] };
    const result = i < INTERVAL_ROWS ? undefined : novelty.score(state, input);
    if (result) novelty.learn(state, input, true);
    const surprise = refractory.damp(result?.kind === 'scored' ? result.surprise : 0, 'scored');
    return `${row.timestamp},${row.cells[0]},${surprise / (surprise + HALF_SURPRISE)}`;
  });
  write(join(dir, name), ['timestamp,value,anomaly_score', ...lines]);
}

function medianInterval(rows: readonly RecordingRow[]): number {
  const intervals = rows.slice(1).map((row, i) => row.at - (rows[i] as RecordingRow).at);
  return intervals.sort((a, b) => a - b)[intervals.length >> 1] ?? 0;
}
