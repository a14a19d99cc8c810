/**
 * `npm run bench:detect [-- nab skab tep cars air hydraulics --write]`: the detectors over public recordings, through
 * `backtest score` and the scorers that lie beside the data. `--write` puts the figures of the sets that were run in
 * their place in docs/detectors.md. Reads PRESAGE_BENCH_DIR. Nothing is set per data set; the healthy part that a set
 * declares is learned first.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { airHandlers } from './detect/air.ts';
import { cars } from './detect/cars.ts';
import { hydraulics } from './detect/hydraulics.ts';
import { nab } from './detect/nab.ts';
import { createReport } from './detect/report.ts';
import { skab } from './detect/skab.ts';
import { tep } from './detect/tep.ts';

const sets = { nab, skab, tep, cars, air: airHandlers, hydraulics };
const wanted = process.argv.slice(2).filter((name) => name !== '--write');
const unknown = wanted.filter((name) => !Object.hasOwn(sets, name));
if (unknown.length > 0) {
  process.stderr.write(`There is no set ${unknown.join(', ')}; there are ${Object.keys(sets).join(', ')}.\n`);
  process.exit(2);
}
const work = mkdtempSync(join(tmpdir(), 'presage-detect-'));
const report = createReport();
try {
  for (const [name, run] of Object.entries(sets)) {
    if (wanted.length === 0 || wanted.includes(name)) await run(work, report);
  }
  if (process.argv.includes('--write')) report.writeTables();
} finally {
  rmSync(work, { recursive: true, force: true });
}
