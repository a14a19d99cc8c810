/** Time to a durable acknowledgement in an open loop ÷ that of a bare Aedes, which promises nothing with it. */
import { median } from 'simple-statistics';
import { benchDevices, startBenchServer } from '../bench-server.ts';
import { type SwarmResult, startBareAedesProcess } from '../swarm.ts';
import type { Part } from './figures.ts';
import { publishFailure, runOpenLoop } from './open-loop.ts';

export const latency: Part = async ({ rounds, seconds, connections, ratePerS, say }) => {
  const server = await startBenchServer({ devices: connections * 4 });
  const runs: { bare: SwarmResult; durable: SwarmResult }[] = [];
  try {
    // Warm-up: the first thousands of messages of a new process are compiled, not measured.
    await runOpenLoop({ port: server.port, devices: server.nextDevices(connections), ratePerS: ratePerS / 4, seconds });
    for (let round = 0; round < rounds; round++) {
      await server.caughtUp();
      const bare = await startBareAedesProcess();
      const loop = { devices: benchDevices(connections), ratePerS, seconds };
      await runOpenLoop({ ...loop, port: bare.port, ratePerS: ratePerS / 4, seconds: Math.min(1, seconds) });
      const baseline = await runOpenLoop({ ...loop, port: bare.port });
      await bare.close();
      const devices = server.nextDevices(connections);
      runs.push({ bare: baseline, durable: await runOpenLoop({ ...loop, port: server.port, devices }) });
    }
  } finally {
    await server.dispose();
  }
  for (const { bare, durable } of runs) {
    const trouble = publishFailure(durable) ?? publishFailure(bare);
    if (trouble) say(`  the rate of ${ratePerS}/s was not held: ${trouble}`);
  }
  const middle = (pick: (run: (typeof runs)[number]) => number): number => median(runs.map(pick));
  const [durableMs, bareMs] = [middle((run) => run.durable.latencyMs.p99), middle((run) => run.bare.latencyMs.p99)];
  const held = runs.every(({ bare, durable }) => !publishFailure(durable) && !publishFailure(bare));
  return [
    {
      name: `p99 durable acknowledgement at ${ratePerS.toLocaleString('en')} msg/s ÷ bare Aedes`,
      value: middle((run) => run.durable.latencyMs.p99 / run.bare.latencyMs.p99),
      better: 'lower',
      aim: 3,
      floor: 6,
      detail: `${durableMs.toFixed(1)} ÷ ${bareMs.toFixed(1)} ms${held ? '' : '; RATE NOT HELD'}`,
    },
  ];
};
