/**
 * What the detection benches say, on the screen and in docs/detectors.md: a row of events a set, by the same rules for
 * all, and the figures that each set's own scorer or custom asks for. What is undefined is shown as a dash.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type EventScores, type JudgedRecording, scoreEvents } from '../../../analytics/evaluate/event-scores.ts';

export interface Report {
  /** One row of the first table. */
  events(set: string, recordings: readonly JudgedRecording[]): void;
  /** One row of the second table. */
  say(set: string, figure: string): void;
  /** Puts what was said in the place of the same sets' rows in the documentation. */
  writeTables(): void;
}

const DOCUMENT = new URL('../../../docs/detectors.md', import.meta.url);
const OPEN = '<!-- bench:detect -->';
const CLOSE = '<!-- /bench:detect -->';
const EVENTS_HEAD = [
  '| set | events found | median delay | false alarms a device-day | alerts | precision |',
  '|---|---|---|---|---|---|',
];
const FIGURES_HEAD = ['| set | figure |', '|---|---|'];
/** In the order of the tables. */
export const SETS = ['NAB', 'SKAB', 'TEP', 'carOBD', 'AHU', 'Hydraulic'] as const;

export function createReport(): Report {
  const events: string[] = [];
  const figures: string[] = [];
  const add = (rows: string[], row: string): void => {
    rows.push(row);
    console.log(row);
  };
  return {
    events: (set, recordings) => add(events, eventRow(set, scoreEvents(recordings))),
    say: (set, figure) => add(figures, `| ${set} | ${figure} |`),
    writeTables() {
      const text = readFileSync(DOCUMENT, 'utf8');
      const [before, rest] = text.split(OPEN) as [string, string];
      const [block, after] = rest.split(CLOSE) as [string, string];
      const known = block.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| set '));
      // A row of the first table has six cells.
      const old = (wide: boolean): string[] => known.filter((line) => line.split(' | ').length >= 6 === wide);
      const lines = [
        OPEN,
        ...EVENTS_HEAD,
        ...renewed(old(true), events),
        '',
        ...FIGURES_HEAD,
        ...renewed(old(false), figures),
        CLOSE,
      ];
      writeFileSync(DOCUMENT, before + lines.join('\n') + after);
      console.log(`written to ${fileURLToPath(DOCUMENT)}`);
    },
  };
}

/** Rows of the sets that were run in the place of their old ones, the others as they were. */
function renewed(old: readonly string[], fresh: readonly string[]): string[] {
  const of = (rows: readonly string[], set: string): string[] =>
    rows.filter((row) => row.startsWith(`| ${set} `) || row.startsWith(`| ${set},`));
  return SETS.flatMap((set) => (of(fresh, set).length > 0 ? of(fresh, set) : of(old, set)));
}

function eventRow(set: string, scores: EventScores): string {
  const cells = [
    set,
    scores.recall === undefined ? '–' : `${scores.found} of ${scores.events} (${(100 * scores.recall).toFixed(0)} %)`,
    scores.delayMs === undefined ? '–' : duration(scores.delayMs),
    scores.falseAlertsPerDay === undefined
      ? '–'
      : `${scores.falseAlertsPerDay.toFixed(2)} (${scores.falseAlerts} in ${scores.healthyDays.toPrecision(3)} days)`,
    String(scores.alerts),
    scores.precision === undefined ? '–' : `${(100 * scores.precision).toFixed(0)} %`,
  ];
  return `| ${cells.join(' | ')} |`;
}

function duration(ms: number): string {
  if (ms < 120_000) return `${Math.round(ms / 1_000)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}
