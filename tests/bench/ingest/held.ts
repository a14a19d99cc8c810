/**
 * The held rate: the highest in an open loop at which acknowledgements stay quick and the followers' lag does not grow.
 * Everything runs: durable log, embedded store, analytics, SQL. The soak run takes its share of it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { linearRegression, median } from 'simple-statistics';
import { type BenchServer, startBenchServer } from '../bench-server.ts';
import { findRate } from '../find-rate.ts';
import { residentMib } from '../process-facts.ts';
import { tenSignals } from '../ten-signals.ts';
import type { BenchOptions, Part } from './figures.ts';
import { publishFailure, runOpenLoop } from './open-loop.ts';

const MAX_P99_MS = 250;
/** Of the bytes that came in: less is the rhythm of batches and commits. */
const MAX_LAG_GROWTH = 0.15;
/** What the followers may have before them at the end. */
const MAX_LAG_SECONDS = 3;
/** A frame's header and names in the log. */
const FRAME_BYTES = 50;
const LOOK_EVERY_MS = 250;
/** The first part of a trial fills the pipeline. */
const WARM_UP_SHARE = 0.3;
/** Shorter trials cannot tell growth from rhythm. */
const MIN_TRIAL_SECONDS = 10;

export interface HeldTrial {
  readonly ratePerS: number;
  readonly p99Ms: number;
  readonly residentMib: number;
  readonly childrenMib: number;
  readonly lagSeconds: number;
  /** Why the rate was not held. */
  readonly trouble?: string;
}

type HeldOptions = Pick<BenchOptions, 'connections' | 'searchFromPerS' | 'searchToPerS' | 'say'> & { seconds: number };

export const held: Part = async (options) => {
  const { rounds, connections } = options;
  const server = await startBenchServer({ devices: connections * 20 });
  const found: HeldTrial[] = [];
  try {
    const seconds = Math.max(options.seconds, MIN_TRIAL_SECONDS);
    for (let round = 0; round < rounds; round++) {
      const before = found.at(-1)?.ratePerS;
      found.push(await findHeldRate(server, { ...options, seconds }, before));
    }
  } finally {
    await server.dispose();
  }
  const rate = median(found.map((one) => one.ratePerS));
  const resident = Math.max(...found.map((one) => one.residentMib));
  const about = `p99 ${median(found.map((one) => one.p99Ms)).toFixed(1)} ms, lag ≤ ${Math.max(...found.map((one) => one.lagSeconds)).toFixed(1)} s`;
  return [
    {
      name: 'held rate, one sample of 10 signals a message',
      value: rate,
      unit: 'msg/s',
      better: 'higher',
      detail: `${about}; open loop, ${connections} connections, stored and scored as it comes`,
    },
    {
      name: 'resident memory at the held rate',
      value: resident,
      unit: 'MiB',
      better: 'lower',
      aim: 700,
      detail: `PostgreSQL beside it ${Math.max(...found.map((one) => one.childrenMib))} MiB (shared pages counted in each of its processes)`,
    },
  ];
};

/**
 * @param near where an earlier search ended: the search stays close to it
 * @throws Error when no rate held at all
 */
export async function findHeldRate(server: BenchServer, options: HeldOptions, near?: number): Promise<HeldTrial> {
  const { connections, seconds } = options;
  const start = near ?? options.searchFromPerS;
  // The first messages of a new process are compiled, not measured.
  if (near === undefined) {
    const devices = server.nextDevices(connections);
    await runOpenLoop({ port: server.port, devices, ratePerS: start / 4, seconds: seconds / 2 });
  }
  let best: HeldTrial | undefined;
  await findRate({
    start,
    ...(near === undefined ? {} : { step: 1.15 }),
    max: options.searchToPerS,
    holds: async (ratePerS) => {
      const trial = await tryRate(server, ratePerS, options);
      options.say(
        `  ${ratePerS}/s: ${trial.trouble ?? 'held'}; p99 ${trial.p99Ms.toFixed(1)} ms, lag ${trial.lagSeconds.toFixed(1)} s, ${trial.residentMib} MiB`,
      );
      if (trial.trouble === undefined) best = trial;
      return trial.trouble === undefined;
    },
  });
  if (!best) throw new Error('no rate was held');
  return best;
}

async function tryRate(server: BenchServer, ratePerS: number, options: HeldOptions): Promise<HeldTrial> {
  const { connections, seconds } = options;
  await server.caughtUp();
  const watching = watch(server);
  const result = await runOpenLoop({
    port: server.port,
    devices: server.nextDevices(connections),
    ratePerS,
    seconds,
  });
  const looks = await watching.end();
  const bytesPerS = ratePerS * (tenSignals(0, 1).length + FRAME_BYTES);
  const lagSeconds = (looks.at(-1)?.lagBytes ?? 0) / bytesPerS;
  const growth = lagGrowth(looks) / bytesPerS;
  const memory = looks.map((look) => look.memory);
  const trouble =
    publishFailure(result) ??
    (result.latencyMs.p99 > MAX_P99_MS ? 'slow acknowledgements' : undefined) ??
    (growth > MAX_LAG_GROWTH ? `lag grew by ${Math.round(growth * 100)} % of what came in` : undefined) ??
    (lagSeconds > MAX_LAG_SECONDS ? 'too much lag' : undefined);
  return {
    ratePerS,
    p99Ms: result.latencyMs.p99,
    residentMib: Math.max(...memory.map(({ own }) => own)),
    childrenMib: Math.max(...memory.map(({ children }) => children)),
    lagSeconds,
    ...(trouble === undefined ? {} : { trouble }),
  };
}

interface Look {
  readonly atSeconds: number;
  readonly lagBytes: number;
  readonly memory: { readonly own: number; readonly children: number };
}

function watch(server: BenchServer) {
  const startedAt = performance.now();
  const looks: Look[] = [];
  const stopping = new AbortController();
  const running = (async () => {
    do {
      const lagBytes = await server.slowestLagBytes();
      const memory = residentMib(server.process.pid);
      looks.push({ atSeconds: (performance.now() - startedAt) / 1_000, lagBytes, memory });
      await pause(LOOK_EVERY_MS);
    } while (!stopping.signal.aborted);
  })();
  return {
    async end(): Promise<readonly Look[]> {
      stopping.abort();
      await running;
      return looks;
    },
  };
}

/** Bytes a second by a straight line through all looks after the warm-up. */
function lagGrowth(looks: readonly Look[]): number {
  const end = looks.at(-1)?.atSeconds ?? 0;
  const measured = looks.filter((look) => look.atSeconds >= end * WARM_UP_SHARE);
  if (measured.length < 3) return 0;
  return linearRegression(measured.map((look): [number, number] => [look.atSeconds, look.lagBytes])).m;
}
