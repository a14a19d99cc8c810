/** Resident memory of a connection that says nothing ÷ that of a bare Aedes. */
import { setTimeout as pause } from 'node:timers/promises';
import { median } from 'simple-statistics';
import { benchDevices, startBenchServer } from '../bench-server.ts';
import { collectGarbage, residentBytes } from '../process-facts.ts';
import { startBareAedesProcess } from '../swarm.ts';
import type { Part } from './figures.ts';
import { type SilentFleet, startSilentFleet } from './silent-fleet.ts';

/** Of the connections, not counted. */
const FIRST_SHARE = 0.4;
/** For what ends a little after the login, and for pages that are given back. */
const SETTLE_MS = 1_500;
/** So that garbage can be collected before memory is read: when it was last collected is chance. */
const INSPECTED = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };

interface Inspected {
  readonly port: number;
  readonly pid: number;
  /** What it has written, the inspector's address included. */
  log(): string;
}

export const idle: Part = async ({ rounds, idleConnections }) => {
  const runs: { bare: number; presage: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const bare = await startBareAedesProcess(INSPECTED);
    const bareBytes = await bytesPerConnection(bare, idleConnections);
    await bare.close();
    const server = await startBenchServer({ devices: idleConnections, env: INSPECTED });
    try {
      const { pid, log } = server.process;
      runs.push({
        bare: bareBytes,
        presage: await bytesPerConnection({ port: server.port, pid, log }, idleConnections),
      });
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
      detail: `${kib((run) => run.presage)} ÷ ${kib((run) => run.bare)} KiB resident for each of the last ${100 - FIRST_SHARE * 100} %`,
    },
  ];
};

/**
 * What a connection adds while others are there: the first ones fill memory that the process had already, which is
 * more in a large process and says nothing about connections.
 */
async function bytesPerConnection(server: Inspected, count: number): Promise<number> {
  const first = Math.round(count * FIRST_SHARE);
  const earlier = await connectAll(server.port, 0, first);
  const before = await residentWithoutGarbage(server);
  const later = await connectAll(server.port, first, count - first);
  const after = await residentWithoutGarbage(server);
  await Promise.all([earlier.stop(), later.stop()]);
  return (after - before) / (count - first);
}

async function residentWithoutGarbage({ pid, log }: Inspected): Promise<number> {
  await collectGarbage(log());
  await pause(SETTLE_MS);
  return residentBytes(pid);
}

async function connectAll(port: number, from: number, count: number): Promise<SilentFleet> {
  const devices = benchDevices(count, from);
  const fleet = startSilentFleet({ target: { port }, devices, maxDialling: 100, retryMs: 500 });
  await fleet.allConnected(120_000);
  await pause(SETTLE_MS);
  return fleet;
}
