/**
 * `npm run bench -- [--seconds 8] [--rounds 3]`: the whole process as a user runs it. Prints, from one run: durable
 * pipeline ÷ bare Aedes, resident memory at 0 and 200 devices, and start-up on an initialised data directory.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import mqtt from 'mqtt';
import { median } from 'simple-statistics';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { waitFor } from '../support/wait-for.ts';
import { runSwarm, type SwarmDevice, type SwarmResult, startBareAedes, TEN_SIGNALS } from './swarm.ts';

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '8' }, rounds: { type: 'string', default: '3' } },
});
const CONNECTIONS = 50;
const IDLE_DEVICES = 200;
const MIB = 1024 * 1024;
const durationMs = Number(options.seconds) * 1_000;

const ids = Array.from({ length: IDLE_DEVICES }, (_, index) => `d${index}`);
const secretOf = (id: string): string => `secret-of-${id}-${'x'.repeat(24)}`;
const seed: SeedFile = {
  tenants: [
    {
      id: 'bench',
      name: 'Bench',
      centres: [{ id: 'main', name: 'Main', timeZone: 'UTC' }],
      users: [],
      devices: ids.map((id) => ({ id, model: 'refrigerator', secret: secretOf(id) })),
    },
  ],
};
const swarmDevices: SwarmDevice[] = ids
  .slice(0, CONNECTIONS)
  .map((id) => ({ clientId: `bench.${id}`, secret: secretOf(id), topic: `presage/v1/bench/${id}/telemetry` }));

say(`${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`);
// The limits against floods would otherwise be what is measured.
const env = { PRESAGE_DEVICE_MESSAGES_PER_S: '1000000', PRESAGE_TENANT_MESSAGES_PER_S: '1000000' };
const server = await startPresage({ seed, env });
try {
  await reportMemory(server);
  for (const window of [1, 10]) await reportThroughput(server, window);
  await reportStart(server);
} finally {
  await server.dispose();
}

async function reportThroughput({ broker }: PresageProcess, window: number): Promise<void> {
  const run = (port: number): Promise<SwarmResult> =>
    runSwarm({ port, connections: CONNECTIONS, window, durationMs, devices: swarmDevices, payload: TEN_SIGNALS });
  const bareRates: number[] = [];
  const durableRates: number[] = [];
  const ratios: number[] = [];
  const p99: number[] = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    const bare = await startBareAedes();
    const baseline = await run(bare.port);
    await bare.close();
    const durable = await run(Number(new URL(broker).port));
    if (durable.acknowledged !== durable.sent)
      throw new Error(
        `${durable.sent - durable.acknowledged} messages were not acknowledged, ${durable.closed} connections closed:\n${server.log()}`,
      );
    bareRates.push(baseline.perSecond);
    durableRates.push(durable.perSecond);
    ratios.push(durable.perSecond / baseline.perSecond);
    p99.push(durable.latencyMs.p99);
    await followersIdle();
  }
  say(
    `${CONNECTIONS} connections × ${window} in flight, one sample of 10 signals a message: durable pipeline ${Math.round(median(durableRates))} msg/s ÷ bare Aedes ${Math.round(median(bareRates))} msg/s = ${median(ratios).toFixed(2)} (median of ${options.rounds}); p99 ack ${median(p99).toFixed(1)} ms`,
  );
}

/** So that no round pays for the work that the one before has left behind. */
async function followersIdle(): Promise<void> {
  await waitFor('the followers to catch up', async () => (await lagBytes()) === 0, 300_000);
}

async function lagBytes(): Promise<number> {
  const text = await (await fetch(new URL('/metrics', server.api))).text();
  const lags = [
    ...text.matchAll(/^presage_log_lag_bytes\{[^}]*consumer="(?:store|analytics|registry)"[^}]*\} (\S+)$/gm),
  ];
  if (lags.length === 0) throw new Error('no presage_log_lag_bytes in /metrics');
  return Math.max(...lags.map((match) => Number(match[1])));
}

async function reportMemory(process: PresageProcess): Promise<void> {
  const before = residentMib(process.pid);
  const clients = await Promise.all(
    ids.map((id) =>
      mqtt.connectAsync(process.broker, {
        clientId: `bench.${id}`,
        username: `bench.${id}`,
        password: secretOf(id),
        protocolVersion: 4,
      }),
    ),
  );
  const after = residentMib(process.pid);
  await Promise.all(clients.map((client) => client.endAsync()));
  say(
    `resident memory: ${before.own} MiB at 0 devices, ${after.own} MiB at ${IDLE_DEVICES} connected; PostgreSQL beside it ${after.children} MiB`,
  );
}

async function reportStart(process: PresageProcess): Promise<void> {
  const clean: number[] = [];
  const killed: number[] = [];
  for (let round = 0; round < Number(options.rounds); round++) {
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

/** Resident set of a process and, summed, of its descendants (shared pages counted in each). */
function residentMib(pid: number): { own: number; children: number } {
  const descendants = childrenOf(pid).reduce((sum, child) => sum + rssBytes(child), 0);
  return { own: Math.round(rssBytes(pid) / MIB), children: Math.round(descendants / MIB) };
}

function rssBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}

function childrenOf(pid: number): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const direct = all.map(Number).filter((candidate) => parentOf(candidate) === pid);
  return [...direct, ...direct.flatMap(childrenOf)];
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined; // Ended while we looked.
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
