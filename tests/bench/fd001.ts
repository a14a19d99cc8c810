/**
 * `npm run bench:fd001 -- [--kills 3] [--speed 12]`: C-MAPSS FD001 as a fleet. A model is fitted on engines 1–50; all
 * 100 engines are replayed live over MQTT, engines 51–100 are judged: one ticket each, and when. Then engines 51–100
 * again, stopped at 30 % of their life: no ticket. With --kills the server dies by SIGKILL at random moments meanwhile.
 */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { seededRandom } from '../../contract/kernel/random.ts';
import { benchPath } from '../support/bench-data.ts';
import {
  allTickets,
  compareExport,
  deviceOf,
  drained,
  exportDevice,
  fitModel,
  outcomesOf,
  readEngines,
  replay,
  startForRecording,
  writeEngines,
} from '../support/recording-run.ts';

const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '0' },
    speed: { type: 'string', default: '12' },
    seed: { type: 'string', default: '1' },
  },
});
const kills = Number(options.kills);
const engines = readEngines(benchPath('cmapss', 'train_FD001.txt.gz'));
const directory = mkdtempSync(join(tmpdir(), 'presage-fd001-'));
const recording = join(directory, 'FD001.txt');
writeEngines(recording, engines);
const judged = engines.filter((engine) => engine.unit > 50);

const fitStart = performance.now();
const model = await fitModel(
  directory,
  engines.filter((engine) => engine.unit <= 50),
);
say(`fitted on engines 1–50 in ${((performance.now() - fitStart) / 1_000).toFixed(1)} s`);

const devices = [
  ...engines.map((engine) => deviceOf(engine.unit, 'engine-')),
  ...judged.map((engine) => deviceOf(engine.unit, 'short-')),
];
const server = await startForRecording(devices, model);
try {
  const longest = Math.max(...engines.map((engine) => engine.rows.length));
  const replayStart = performance.now();
  const restarts = await replay(server, {
    recording,
    prefix: 'engine-',
    units: '1-100',
    speed: options.speed,
    kills,
    random: seededRandom(Number(options.seed)),
    expectedSeconds: longest / Number(options.speed),
  });
  say(
    `replayed in ${((performance.now() - replayStart) / 1_000).toFixed(1)} s, kill -9: ${restarts.length}, ready again after ${restarts.map((ms) => `${(ms / 1_000).toFixed(1)} s`).join(', ') || '–'}`,
  );
  await replay(server, { recording, prefix: 'short-', units: '51-100', speed: 'max', untilFraction: 0.3 });
  await drained(server);
  await reportExport();
  await reportTickets();
} finally {
  await server.dispose();
}

async function reportExport(): Promise<void> {
  const total = { rows: 0, missing: 0, doubled: 0, different: 0 };
  for (const engine of engines) {
    const verdict = compareExport(engine, await exportDevice(server, deviceOf(engine.unit, 'engine-')));
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += verdict[key];
  }
  const expected = engines.reduce((sum, engine) => sum + engine.rows.length, 0);
  say(
    `exported ${total.rows} of ${expected} rows: ${total.missing} missing, ${total.doubled} doubled, ${total.different} different`,
  );
}

async function reportTickets(): Promise<void> {
  const tickets = await allTickets(server);
  const outcomes = await outcomesOf(
    server,
    judged.map((engine) => deviceOf(engine.unit, 'engine-')),
    tickets,
  );
  const leads = outcomes.flatMap((outcome) => outcome.leadCycles ?? []).sort((a, b) => a - b);
  const good = outcomes.filter((outcome) => outcome.tickets === 1 && (outcome.leadCycles ?? 0) >= 10);
  const early = leads.filter((lead) => lead > 125);
  const short = tickets.filter((ticket) => ticket.device?.startsWith('short-'));
  const quantile = (share: number) => leads[Math.min(leads.length - 1, Math.floor(share * leads.length))];
  say(
    `engines 51–100: ${good.length} of ${judged.length} with exactly one ticket ≥ 10 cycles before failure (want ≥ 45)`,
  );
  say(`tickets with more than 125 cycles left: ${early.length} (want ≤ ${Math.floor(judged.length / 10)})`);
  say(`engines stopped at 30 % of life with a ticket: ${new Set(short.map((ticket) => ticket.device)).size} (want 0)`);
  say(
    `lead time, cycles: min ${leads[0]}, quartiles ${quantile(0.25)} / ${quantile(0.5)} / ${quantile(0.75)}, max ${leads.at(-1)}`,
  );
  const late = outcomes.filter((outcome) => outcome.tickets > 0 && (outcome.leadSeconds ?? 0) <= 0).length;
  say(`on the server's clock, at ${options.speed} cycles a second: ${late} tickets came after the failing sample`);
  const odd = outcomes
    .filter((outcome) => !good.includes(outcome))
    .map((outcome) => `${outcome.device}: ${outcome.tickets} tickets, lead ${outcome.leadCycles ?? '–'}`);
  if (odd.length > 0) say(`others: ${odd.join('; ')}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
