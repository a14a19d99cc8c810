/** Resident memory of a connection that says nothing ÷ that of a bare Aedes. */
import { setTimeout as pause } from 'node:timers/promises';
import { median } from 'simple-statistics';
import { benchDevices, startBenchServer } from '../bench-server.ts';
import { residentBytes } from '../process-memory.ts';
import { startBareAedesProcess } from '../swarm.ts';
import type { Part } from './figures.ts';
import { startSilentFleet } from './silent-fleet.ts';

/** Both have had connections before, so that what is counted is connections and not the first compilation. */
const WARM_UP_CONNECTIONS = 200;
/** The time a collector needs to take back what logging in left behind. */
const SETTLE_MS = 3_000;

export const idle: Part = async ({ rounds, idleConnections }) => {
  const runs: { bare: number; presage: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const bare = await startBareAedesProcess();
    const bareBytes = await bytesPerConnection(bare.port, bare.pid, idleConnections);
    await bare.close();
    const server = await startBenchServer({ devices: idleConnections });
    try {
      const bytes = await bytesPerConnection(server.port, server.process.pid, idleConnections);
      runs.push({ bare: bareBytes, presage: bytes });
    } finally {
      await server.dispose();
    }
  }
  const kib = (pick: (run: (typeof runs)[number]) => number): string => (median(runs.map(pick)) / 1024).toFixed(1);
  return [
    {
      name: `memory of an idle connection ÷ bare Aedes, ${idleConnections.toLocaleString('en')} connections`,
      value: median(runs.map(({ presage, bare }) => presage / bare)),
      better: 'lower',
      aim: 1.3,
      detail: `${kib((run) => run.presage)} ÷ ${kib((run) => run.bare)} KiB`,
    },
  ];
};

async function bytesPerConnection(port: number, pid: number, count: number): Promise<number> {
  await connectAll(port, pid, Math.min(WARM_UP_CONNECTIONS, count));
  const before = residentBytes(pid);
  const after = await connectAll(port, pid, count);
  return (after - before) / count;
}

/** Resident bytes of the server while all are connected. */
async function connectAll(port: number, pid: number, count: number): Promise<number> {
  const fleet = startSilentFleet({ target: { port }, devices: benchDevices(count), maxDialling: 100, retryMs: 500 });
  await fleet.allConnected(120_000);
  await pause(SETTLE_MS);
  const bytes = residentBytes(pid);
  await fleet.stop();
  await pause(SETTLE_MS / 3);
  return bytes;
}
