/** Run-to-failure fleets for tests: the small C-MAPSS excerpt, and synthetic fleets of a seed whose law is known. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { FleetHistory, UnitHistory } from '../../analytics/prognosis/fleet-history.ts';
import { createHistoryBuilder } from '../../analytics/prognosis/history-builder.ts';
import { CMAPSS_SIGNALS } from '../../contract/devices/turbofan.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';

export const CMAPSS_FIXTURE = new URL('../fixtures/cmapss/train_FD001_units_1-24.txt.gz', import.meta.url).pathname;

/** A C-MAPSS text file (gzipped or not) as a history. */
export function readCmapss(path: string): FleetHistory {
  const bytes = readFileSync(path);
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const builder = createHistoryBuilder(path, ['unit', 'cycle', ...CMAPSS_SIGNALS]);
  text.split('\n').forEach((line, index) => {
    if (line.trim() !== '') builder.addRow(line.trim().split(/\s+/), index + 1);
  });
  return builder.finish().history;
}

export interface SyntheticFleet {
  readonly units: number;
  readonly seed: number;
  /** Operating regimes that a setting column shows; each shifts the sensors. */
  readonly regimes?: number;
  readonly noise?: number;
}

/**
 * Units that live 80–240 cycles. Columns: `setting`, `heat` and `pressure` (wear rises exponentially; one up, one down),
 * `noise` (says nothing) and `constant`.
 */
export function syntheticFleet({ units, seed, regimes = 1, noise = 0.1 }: SyntheticFleet): FleetHistory {
  const random = seededRandom(seed);
  return {
    columns: ['setting', 'heat', 'pressure', 'noise', 'constant'],
    units: Array.from({ length: units }, (_, index): UnitHistory => {
      const life = Math.floor(80 + 160 * random());
      const start = 0.2 * random();
      const values: number[] = [];
      for (let cycle = 1; cycle <= life; cycle++) {
        const regime = Math.floor(regimes * random());
        const wear = start + Math.expm1((3 * cycle) / life) / Math.expm1(3);
        values.push(
          10 * regime + 0.01 * gaussian(random),
          600 + 40 * regime + wear + noise * gaussian(random),
          50 - 7 * regime - 0.5 * wear + 0.7 * noise * gaussian(random),
          gaussian(random),
          3,
        );
      }
      return {
        id: `u${index + 1}`,
        cycles: Float64Array.from({ length: life }, (_, cycle) => cycle + 1),
        values: Float64Array.from(values),
      };
    }),
  };
}

/** Some units of a history. */
export function unitsWhere(history: FleetHistory, wanted: (index: number) => boolean): FleetHistory {
  return { columns: history.columns, units: history.units.filter((_, index) => wanted(index)) };
}
