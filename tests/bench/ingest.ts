/**
 * `npm run bench:ingest -- [--only a,b] [--quick] [--rounds 3] [--seconds 3] …`: how fast, how quick to answer and how
 * large Presage is, as ratios to what it is compared with in the same run; medians of the rounds. Peers that are not
 * installed are left out and named. What each figure means: docs/performance.md. Ends with 1 when a floor is missed and
 * `--check` is given.
 */
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { consoleQueries } from './ingest/console-queries.ts';
import { type BenchOptions, type Figure, type Part, row, TABLE_HEAD, verdictOf } from './ingest/figures.ts';
import { frozen } from './ingest/frozen.ts';
import { held } from './ingest/held.ts';
import { idle } from './ingest/idle.ts';
import { latency } from './ingest/latency.ts';
import { peers } from './ingest/peers.ts';
import { reconnect } from './ingest/reconnect.ts';
import { throughput } from './ingest/throughput.ts';

const PARTS: Readonly<Record<string, Part>> = {
  throughput,
  peers,
  latency,
  queries: consoleQueries,
  frozen,
  idle,
  reconnect,
  held,
};

/** As good as nothing, but every line of every part runs. */
const QUICK = {
  rounds: '1',
  seconds: '1.5',
  rate: '1000',
  'query-rate': '500',
  'frozen-seconds': '2',
  idle: '500',
  tls: '50',
  'search-from': '500',
  'search-to': '2000',
};

const { values: given } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(PARTS).join(',') },
    quick: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    connections: { type: 'string' },
    rate: { type: 'string' },
    'query-rate': { type: 'string' },
    'frozen-seconds': { type: 'string' },
    idle: { type: 'string' },
    tls: { type: 'string' },
    'search-from': { type: 'string' },
    'search-to': { type: 'string' },
    'peers-folder': { type: 'string', default: join(tmpdir(), 'presage-bench-peers') },
  },
});
const DEFAULTS = {
  rounds: '3',
  seconds: '3',
  connections: '50',
  rate: '20000',
  'query-rate': '5000',
  'frozen-seconds': '10',
  idle: '5000',
  tls: '2000',
  'search-from': '8000',
  'search-to': '128000',
};
const numberOf = (name: keyof typeof DEFAULTS): number => {
  const preset: Partial<typeof DEFAULTS> = given.quick ? QUICK : {};
  const value = Number(given[name] ?? preset[name] ?? DEFAULTS[name]);
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0`);
  return value;
};
const options: BenchOptions = {
  rounds: numberOf('rounds'),
  seconds: numberOf('seconds'),
  connections: numberOf('connections'),
  ratePerS: numberOf('rate'),
  queryRatePerS: numberOf('query-rate'),
  frozenSeconds: numberOf('frozen-seconds'),
  idleConnections: numberOf('idle'),
  tlsDevices: numberOf('tls'),
  searchFromPerS: numberOf('search-from'),
  searchToPerS: numberOf('search-to'),
  peersFolder: given['peers-folder'],
  say: (line) => void process.stderr.write(`${line}\n`),
};

const wanted = given.only.split(',').map((name) => name.trim());
const unknown = wanted.filter((name) => !(name in PARTS));
if (unknown.length > 0) throw new Error(`no part ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`);

const figures: Figure[] = [];
const failed: string[] = [];
for (const name of wanted) {
  const startedAt = performance.now();
  options.say(`${name} (load ${loadavg()[0]?.toFixed(1)})`);
  try {
    const found = await (PARTS[name] as Part)(options);
    for (const figure of found) options.say(row(figure));
    figures.push(...found);
  } catch (error) {
    // The other parts still have something to say.
    failed.push(name);
    options.say(`  failed: ${error instanceof Error ? error.stack : String(error)}`);
  }
  options.say(`  ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);
}

const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}; medians of ${options.rounds}, ${options.seconds} s each`;
process.stdout.write(`${machine}\n\n${TABLE_HEAD}\n${figures.map(row).join('\n')}\n`);
if (failed.length > 0) process.stdout.write(`\nfailed: ${failed.join(', ')}\n`);
const missed = figures.some((figure) => verdictOf(figure) === 'MISSED');
process.exit(failed.length > 0 || (given.check && missed) ? 1 : 0);
