/** Acknowledgement times while people look: what a console asks beside the stream ÷ without. Analytics runs in both. */
import { median } from 'simple-statistics';
import { HOUR_MS } from '../../../contract/kernel/time.ts';
import { type BenchServer, startBenchServer, TOKEN } from '../bench-server.ts';
import { createLatencyHistogram } from '../latency-histogram.ts';
import type { SwarmResult } from '../swarm.ts';
import type { Part } from './figures.ts';
import { publishFailure, runOpenLoop } from './open-loop.ts';

/** Consoles that are open, and how long each waits between two questions. Stays below the API's limit of a minute. */
const CONSOLES = 5;
const THINK_MS = 200;
const SIGNALS =
  'freshFoodTempC,freezerTempC,evaporatorTempC,compressorCurrentA,compressorDutyRatio,compressorVibrationMmPerS,evaporatorFanRpm,supplyVoltageV';

export const consoleQueries: Part = async ({ rounds, seconds, connections, queryRatePerS, say }) => {
  const server = await startBenchServer({ devices: connections * 8 });
  const runs: { alone: SwarmResult; beside: SwarmResult }[] = [];
  const answers = createLatencyHistogram();
  let asked = 0;
  try {
    const run = (): Promise<SwarmResult> => {
      const devices = server.nextDevices(connections);
      return runOpenLoop({ port: server.port, devices, ratePerS: queryRatePerS, seconds });
    };
    await run(); // Warm-up, and something to ask for.
    for (let round = 0; round < rounds; round++) {
      await server.caughtUp();
      const alone = await run();
      await server.caughtUp();
      const consoles = openConsoles(server, answers.record);
      const beside = await run();
      asked += await consoles.close();
      runs.push({ alone, beside });
    }
  } finally {
    await server.dispose();
  }
  const trouble = runs.flatMap(({ alone, beside }) => publishFailure(alone) ?? publishFailure(beside) ?? []);
  for (const one of trouble) say(`  ${queryRatePerS}/s was not held: ${one}`);
  const middle = (pick: (run: (typeof runs)[number]) => number): number => median(runs.map(pick));
  const [with_, without] = [middle((run) => run.beside.latencyMs.p99), middle((run) => run.alone.latencyMs.p99)];
  const perSecond = Math.round(asked / (rounds * seconds));
  return [
    {
      name: `p99 acknowledgement with console queries beside it ÷ without, ${queryRatePerS.toLocaleString('en')} msg/s`,
      value: middle((run) => run.beside.latencyMs.p99 / run.alone.latencyMs.p99),
      better: 'lower',
      aim: 2,
      floor: 3,
      detail: `${with_.toFixed(1)} ÷ ${without.toFixed(1)} ms; ${perSecond} queries/s answered, p95 ${Math.round(answers.quantile(0.95))} ms${trouble.length > 0 ? '; RATE NOT HELD' : ''}`,
    },
  ];
};

/** People who go through the console's pages. `close` gives the number of answers. */
function openConsoles({ process: { api } }: BenchServer, answered: (ms: number) => void) {
  const stopping = new AbortController();
  let count = 0;
  const ask = async (path: string): Promise<void> => {
    const startedAt = performance.now();
    const answer = await fetch(new URL(path, api), { headers: { authorization: `Bearer ${TOKEN}` } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    await answer.arrayBuffer();
    answered(performance.now() - startedAt);
    count += 1;
  };
  const running = Array.from({ length: CONSOLES }, async (_, number) => {
    for (let step = number; !stopping.signal.aborted; step++) {
      await ask(pathOf(step));
      await new Promise((resolve) => setTimeout(resolve, THINK_MS));
    }
  });
  return {
    async close(): Promise<number> {
      stopping.abort();
      await Promise.all(running);
      return count;
    },
  };
}

/** Queue, fleet, and the parts of a device's page, device after device. */
function pathOf(step: number): string {
  const now = Date.now();
  const device = `/api/v1/devices/d${step % 50}`;
  const range = `from=${new Date(now - HOUR_MS).toISOString()}&to=${new Date(now).toISOString()}`;
  const paths = [
    '/api/v1/tickets?limit=100&state=open',
    '/api/v1/devices?limit=100',
    `${device}/latest`,
    `${device}/telemetry?signals=${SIGNALS}&${range}&points=1000`,
    `/api/v1/alerts?device=d${step % 50}&limit=50`,
    `/api/v1/predictions?device=d${step % 50}`,
  ];
  return paths[step % paths.length] as string;
}
