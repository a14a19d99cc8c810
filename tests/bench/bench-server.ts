/**
 * The whole Presage as its own process, with devices to publish as. Devices are given out in turn: a device that comes
 * with a new boot id for each of dozens of swarms is no device that exists, and ingest remembers 16 boots of each.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import { lagBytes, metricsOf } from '../chaos/server-view.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { waitFor } from '../support/wait-for.ts';
import type { SwarmDevice } from './swarm.ts';

export const TENANT = 'bench';
/** Of a manager who may see everything. */
export const TOKEN = 'psg_bench_manager_0123456789abcdef0123456789abcdef';
/** Limits against floods would otherwise be what is measured. */
const UNLIMITED = {
  PRESAGE_DEVICE_MESSAGES_PER_S: '1000000',
  PRESAGE_TENANT_MESSAGES_PER_S: '1000000',
  PRESAGE_MQTT_CONNECTIONS_PER_ADDRESS: '20000',
};
const CATCH_UP_LIMIT_MS = 300_000;
/** How often counters are handed on. */
const COUNTERS_EVERY_MS = 1_000;

const idOf = (index: number): string => `d${index}`;
const secretOf = (id: string): string => `secret-of-${id}-${'x'.repeat(24)}`;

/** Device number `index`, as it is seeded. */
export function benchDevice(index: number): SwarmDevice {
  const id = idOf(index);
  return { clientId: `${TENANT}.${id}`, secret: secretOf(id), topic: `presage/v1/${TENANT}/${id}/telemetry` };
}

export const benchDevices = (count: number, from = 0): SwarmDevice[] =>
  Array.from({ length: count }, (_, index) => benchDevice(from + index));

export interface BenchServer {
  readonly process: PresageProcess;
  readonly port: number;
  /** Devices for one swarm: others than those of the swarms before. */
  nextDevices(count: number): SwarmDevice[];
  /** What all followers have still to pass. */
  lagBytes(): Promise<number>;
  /** What the slowest of them has still to pass. */
  slowestLagBytes(): Promise<number>;
  /** Waits until nothing is left to store, score or register; returns how long that took, in milliseconds. */
  caughtUp(): Promise<number>;
  /** Telemetry messages that the store holds, by the server's own count since its start. */
  stored(): Promise<number>;
  /** The same once the counter, which is handed on once a second, stands still. */
  settledStored(): Promise<number>;
  dispose(): Promise<void>;
}

export interface BenchServerOptions {
  readonly devices: number;
  readonly env?: Readonly<Record<string, string>>;
}

export async function startBenchServer({ devices, env = {} }: BenchServerOptions): Promise<BenchServer> {
  const seeded = await startPresage({ seed: seedOf(devices), env: { ...UNLIMITED, ...env } });
  // Applied once: a restart should cost what a restart costs.
  writeFileSync(seeded.seedPath, JSON.stringify({ tenants: [] } satisfies SeedFile));
  let next = 0;
  const lag = async (): Promise<number> => lagBytes(await metricsOf(seeded.api));
  const stored = async (): Promise<number> => (await metricsOf(seeded.api)).get('presage_ingest_stored_total') ?? 0;
  return {
    process: seeded,
    port: Number(new URL(seeded.broker).port),
    nextDevices(count) {
      if (next + count > devices) next = 0;
      next += count;
      return benchDevices(count, next - count);
    },
    lagBytes: lag,
    async slowestLagBytes() {
      const followers = [...(await metricsOf(seeded.api))].filter(
        ([name]) => name.startsWith('presage_log_lag_bytes') && !name.includes('consumer="sequence"'),
      );
      return Math.max(0, ...followers.map(([, bytes]) => bytes));
    },
    async caughtUp() {
      const startedAt = performance.now();
      await waitFor('the followers to catch up', async () => (await lag()) === 0, CATCH_UP_LIMIT_MS);
      return performance.now() - startedAt;
    },
    stored,
    async settledStored() {
      for (let before = await stored(); ; ) {
        await pause(COUNTERS_EVERY_MS + 100);
        const now = await stored();
        if (now === before) return now;
        before = now;
      }
    },
    dispose: () => seeded.dispose(),
  };
}

function seedOf(devices: number): SeedFile {
  return {
    tenants: [
      {
        id: TENANT,
        name: 'Bench',
        centres: [{ id: 'main', name: 'Main', timeZone: 'UTC' }],
        users: [{ id: 'manager', role: 'manager', tokens: [TOKEN] }],
        devices: benchDevices(devices).map(({ clientId, secret }) => ({
          id: clientId.slice(TENANT.length + 1),
          model: 'refrigerator',
          secret,
        })),
      },
    ],
  };
}
