/**
 * `npm run soak -- [--minutes 45] [--share 0.6] [--rate N] [--connections 50]`: a whole Presage at a constant rate of
 * messages a second, and whether its memory, descriptors and lag stand still. Without `--rate` it first measures the
 * rate that this machine holds, and takes that share of it. Prints one JSON verdict; ends with 1 when something grew,
 * when the rate was not held, or when the books do not balance to the message. A run too short for slopes says so and
 * judges the rest.
 */
import { parseArgs } from 'node:util';
import { type BenchServer, startBenchServer } from '../bench/bench-server.ts';
import { findHeldRate } from '../bench/ingest/held.ts';
import { lossOf, runOpenLoop } from '../bench/ingest/open-loop.ts';
import type { SwarmResult } from '../bench/swarm.ts';
import { tenSignals } from '../bench/ten-signals.ts';
import { balanceOf, lagBytes, metricsOf } from '../chaos/server-view.ts';
import { waitFor } from '../support/wait-for.ts';
import { judgeSoak, type SoakSample } from './judge-soak.ts';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '45' },
    rate: { type: 'string' },
    share: { type: 'string', default: '0.6' },
    connections: { type: 'string', default: '50' },
    'search-from': { type: 'string', default: '8000' },
    'search-to': { type: 'string', default: '128000' },
  },
});
const seconds = Number(options.minutes) * 60;
const connections = Number(options.connections);
/** A trial of the search. Longer than in a bench: the load must be right for the whole run. */
const TRIAL_SECONDS = 10;
/** Connecting and stopping take a moment of the run. */
const HELD_SHARE = 0.98;
const SETTLE_LIMIT_MS = 120_000;

const heldRate = options.rate === undefined ? await measureHeldRate() : undefined;
const rate = Math.round(heldRate === undefined ? Number(options.rate) : heldRate * Number(options.share));
const server = await startBenchServer({ devices: connections });
let exitCode = 1;
try {
  exitCode = await run(server);
} finally {
  await server.dispose();
}
process.exit(exitCode);

/** On a server of its own, so that the judged one begins fresh. */
async function measureHeldRate(): Promise<number> {
  const scratch = await startBenchServer({ devices: connections * 20 });
  try {
    const found = await findHeldRate(scratch, {
      connections,
      seconds: TRIAL_SECONDS,
      searchFromPerS: Number(options['search-from']),
      searchToPerS: Number(options['search-to']),
      say,
    });
    return found.ratePerS;
  } finally {
    await scratch.dispose();
  }
}

async function run({ process: presage, port, caughtUp, nextDevices }: BenchServer): Promise<number> {
  say(`${rate} messages a second for ${options.minutes} min${heldRate ? `; held rate ${heldRate}` : ''}`);
  const publishing = runOpenLoop({ port, devices: nextDevices(connections), ratePerS: rate, seconds });
  const ended = new AbortController();
  const [result, samples] = await Promise.all([
    publishing.finally(() => ended.abort()),
    watch(presage.api, ended.signal),
  ]);
  await caughtUp();
  const counted = await countedOf(presage.api, result);
  const { balance } = counted;
  const verdict = judgeSoak(samples, rate * tenSignals(0, 1).length);
  const messagesPerSecond = result.acknowledged / seconds;
  const trouble = lossOf(result);
  const held = trouble === undefined && messagesPerSecond >= HELD_SHARE * rate;
  const ok = held && counted.exact && (verdict.ok || !verdict.judged);
  const report = {
    ...verdict,
    ok,
    held,
    ...(trouble === undefined ? {} : { trouble }),
    exact: counted.exact,
    asked: rate,
    ...(heldRate === undefined ? {} : { heldRate }),
    messagesPerSecond,
    published: result.sent,
    acknowledged: result.acknowledged,
    latencyMs: result.latencyMs,
    balance,
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
  if (!ok) say(`last words of the server:\n${presage.log().slice(-3_000)}`);
  return ok ? 0 : 1;
}

/** The books once nothing moves any more: counters are handed on once a second. Every message is there, and only once. */
async function countedOf(api: string, { sent, acknowledged }: SwarmResult) {
  let balance = balanceOf(await metricsOf(api));
  const isExact = (): boolean =>
    balance.difference === 0 &&
    balance.received === sent &&
    balance.logged === acknowledged &&
    balance.stored === balance.logged;
  const settled = async (): Promise<boolean> => {
    balance = balanceOf(await metricsOf(api));
    return isExact();
  };
  await waitFor('the books to balance', settled, SETTLE_LIMIT_MS).catch(() => undefined); // `exact` says so.
  return { balance, exact: isExact() && acknowledged === sent };
}

/** A look at the server every ten seconds, or sixty in a short run, until the publishing has ended. */
async function watch(api: string, ended: AbortSignal): Promise<SoakSample[]> {
  const samples: SoakSample[] = [];
  const startedAt = performance.now();
  const stepMs = Math.min(10_000, (seconds * 1_000) / 60);
  for (let next = startedAt + stepMs; !ended.aborted; next += stepMs) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
    if (ended.aborted) break; // What is looked at then is no longer under load.
    const metrics = await metricsOf(api);
    samples.push({
      atSeconds: (performance.now() - startedAt) / 1_000,
      residentBytes: metrics.get('process_resident_memory_bytes') ?? 0,
      openFiles: metrics.get('process_open_fds') ?? 0,
      lagBytes: lagBytes(metrics),
    });
  }
  return samples;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
