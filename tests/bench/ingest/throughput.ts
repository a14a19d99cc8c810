/** The durable pipeline ÷ a bare Aedes with an empty hook: the same swarm against both, closed loop. */
import { median } from 'simple-statistics';
import { type BenchServer, benchDevices, startBenchServer } from '../bench-server.ts';
import { runSwarm, type SwarmDevice, type SwarmResult, startBareAedesProcess, TEN_SIGNALS } from '../swarm.ts';
import type { BenchOptions, Figure, Part } from './figures.ts';

type ThroughputOptions = Pick<BenchOptions, 'rounds' | 'seconds' | 'connections'>;

export const throughput: Part = async (options) => {
  const server = await startBenchServer({ devices: options.connections * 8 });
  try {
    return [await measureThroughput(server, options, 1), await measureThroughput(server, options, 10)];
  } finally {
    await server.dispose();
  }
};

/** @param window publishes in flight on each connection */
export async function measureThroughput(
  server: BenchServer,
  options: ThroughputOptions,
  window: number,
): Promise<Figure> {
  const { connections, rounds } = options;
  const runs: { bare: SwarmResult; durable: SwarmResult }[] = [];
  for (let round = 0; round < rounds; round++) {
    const bare = await startBareAedesProcess();
    const baseline = await closedLoop(bare.port, benchDevices(connections), window, options.seconds);
    await bare.close();
    runs.push({ bare: baseline, durable: await durableLoop(server, options, window) });
    // So that no round pays for the work that the one before has left behind.
    await server.caughtUp();
  }
  const middle = (pick: (run: (typeof runs)[number]) => number): number => median(runs.map(pick));
  const rates = [middle(({ durable }) => durable.perSecond), middle(({ bare }) => bare.perSecond)].map(Math.round);
  const p99 = middle(({ durable }) => durable.latencyMs.p99).toFixed(1);
  return {
    name: `durable pipeline ÷ bare Aedes, ${connections} connections × ${window} in flight`,
    value: middle(({ durable, bare }) => durable.perSecond / bare.perSecond),
    better: 'higher',
    aim: 0.7,
    floor: 0.45,
    detail: `${rates.map((rate) => rate.toLocaleString('en')).join(' ÷ ')} msg/s; p99 acknowledgement ${p99} ms`,
  };
}

/** @throws Error when a message was not acknowledged */
export async function durableLoop(
  server: BenchServer,
  { connections, seconds }: Pick<BenchOptions, 'connections' | 'seconds'>,
  window: number,
): Promise<SwarmResult> {
  const result = await closedLoop(server.port, server.nextDevices(connections), window, seconds);
  if (result.acknowledged === result.sent) return result;
  const missing = result.sent - result.acknowledged;
  throw new Error(`${missing} not acknowledged, ${result.closed} connections closed:\n${server.process.log()}`);
}

function closedLoop(
  port: number,
  devices: readonly SwarmDevice[],
  window: number,
  seconds: number,
): Promise<SwarmResult> {
  const durationMs = seconds * 1_000;
  return runSwarm({ port, connections: devices.length, window, durationMs, devices, payload: TEN_SIGNALS });
}
