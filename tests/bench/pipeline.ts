/**
 * `npm run bench -- [--seconds 8] [--rounds 3]`: the whole process as a user runs it. Prints, from one run: durable
 * pipeline ÷ bare Aedes, resident memory at 0 and 200 devices, and start-up on an initialised data directory.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { median } from 'simple-statistics';
import type { PresageProcess } from '../support/presage-process.ts';
import { type BenchServer, benchDevices, startBenchServer } from './bench-server.ts';
import { row } from './ingest/figures.ts';
import { startSilentFleet } from './ingest/silent-fleet.ts';
import { measureThroughput } from './ingest/throughput.ts';
import { residentMib } from './process-facts.ts';

const { values: given } = parseArgs({
  options: { seconds: { type: 'string', default: '8' }, rounds: { type: 'string', default: '3' } },
});
const options = { seconds: Number(given.seconds), rounds: Number(given.rounds), connections: 50 };
const IDLE_DEVICES = 200;

say(`${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`);
const server = await startBenchServer({ devices: IDLE_DEVICES * 2 });
try {
  await reportMemory(server);
  for (const window of [1, 10]) say(row(await measureThroughput(server, options, window)));
  await reportStart(server.process);
} finally {
  await server.dispose();
}

async function reportMemory({ process: { pid }, port }: BenchServer): Promise<void> {
  const before = residentMib(pid);
  const fleet = startSilentFleet({
    target: { port },
    devices: benchDevices(IDLE_DEVICES),
    maxDialling: IDLE_DEVICES,
    retryMs: 500,
  });
  await fleet.allConnected();
  const after = residentMib(pid);
  await fleet.stop();
  say(
    `resident memory: ${before.own} MiB at 0 devices, ${after.own} MiB at ${IDLE_DEVICES} connected; PostgreSQL beside it ${after.children} MiB`,
  );
}

async function reportStart(process: PresageProcess): Promise<void> {
  const clean: number[] = [];
  const killed: number[] = [];
  for (let round = 0; round < options.rounds; round++) {
    await process.stop();
    await process.restart();
    clean.push(process.startMs);
    await process.kill();
    await process.restart();
    killed.push(process.startMs);
  }
  say(
    `start-up on an initialised data directory: ${(median(clean) / 1_000).toFixed(2)} s after a clean stop, ${(median(killed) / 1_000).toFixed(2)} s after kill -9 (spawn to ready line)`,
  );
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
