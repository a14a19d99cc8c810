/**
 * `npm run soak -- [--minutes 45] [--rate 300] [--devices 20]`: a whole Presage at a constant rate of messages a second, and
 * whether its memory, descriptors and lag stand still. Prints one JSON verdict; ends with 1 when something grew, when the
 * rate was not held, or when a message was not acknowledged. A run too short for slopes says so and judges the rest.
 */
import { parseArgs } from 'node:util';
import { seededRandom } from '../../contract/kernel/random.ts';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import { createChaosDevice } from '../chaos/device.ts';
import { balanceOf, lagBytes, metricsOf } from '../chaos/server-view.ts';
import { startPresage } from '../support/presage-process.ts';
import { waitFor } from '../support/wait-for.ts';
import { judgeSoak, type SoakSample } from './judge-soak.ts';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '45' },
    rate: { type: 'string', default: '300' },
    devices: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
});
const seconds = Number(options.minutes) * 60;
const rate = Number(options.rate);
/** Timers are never early: a little below the asked rate is the machine, much below is the server. */
const HELD_SHARE = 0.9;
const secretOf = (device: string): string => `secret-of-${device}-0123456789abcdef`;
const names = Array.from({ length: Number(options.devices) }, (_, index) => `fridge-${index}`);
const random = seededRandom(Number(options.seed));

const seed: SeedFile = {
  tenants: [
    {
      id: 'soak',
      name: 'Soak',
      centres: [{ id: 'centre', name: 'Centre', timeZone: 'UTC' }],
      users: [],
      devices: names.map((id) => ({ id, model: 'refrigerator', secret: secretOf(id) })),
    },
  ],
};

const server = await startPresage({ seed });
let exitCode = 1;
try {
  exitCode = await run();
} finally {
  await server.dispose();
}
process.exit(exitCode);

async function run(): Promise<number> {
  const port = Number(new URL(server.broker).port);
  const fleet = names.map((device) =>
    createChaosDevice(
      {
        port,
        tenant: 'soak',
        device,
        secret: secretOf(device),
        intervalMs: (1_000 * names.length) / rate,
        steady: true,
      },
      seededRandom(Math.floor(random() * 2 ** 31)),
    ),
  );
  for (const device of fleet) device.start();
  const samples = await watch();
  for (const device of fleet) device.quiet();
  await waitFor('every message to be acknowledged', () => fleet.every((device) => device.pending() === 0), 60_000);
  for (const device of fleet) device.stop();
  await waitFor('the followers to pass', async () => lagBytes(await metricsOf(server.api)) === 0, 60_000);
  // Counters are handed on once a second.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  const balance = balanceOf(await metricsOf(server.api));
  const verdict = judgeSoak(samples);
  const messagesPerSecond = balance.received / seconds;
  const held = messagesPerSecond >= HELD_SHARE * rate;
  const exact = balance.difference === 0 && balance.stored === balance.logged;
  const ok = held && exact && (verdict.ok || !verdict.judged);
  process.stdout.write(`${JSON.stringify({ ...verdict, ok, held, exact, messagesPerSecond, asked: rate, balance })}\n`);
  if (!ok) process.stderr.write(`last words of the server:\n${server.log().slice(-3_000)}\n`);
  return ok ? 0 : 1;
}

/** A look at the server every ten seconds, or sixty in a short run. */
async function watch(): Promise<SoakSample[]> {
  const samples: SoakSample[] = [];
  const startedAt = performance.now();
  const stepMs = Math.min(10_000, (seconds * 1_000) / 60);
  for (let next = startedAt + stepMs; next <= startedAt + seconds * 1_000; next += stepMs) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
    const metrics = await metricsOf(server.api);
    samples.push({
      atSeconds: (performance.now() - startedAt) / 1_000,
      residentBytes: metrics.get('process_resident_memory_bytes') ?? 0,
      openFiles: metrics.get('process_open_fds') ?? 0,
      lagBytes: lagBytes(metrics),
    });
  }
  return samples;
}
