/**
 * `npm run chaos -- --seed N --minutes M [--kills K] [--store embedded|influx] [--sql embedded|server]`: a whole Presage under
 * misbehaving devices while it, its disk and what it needs are killed, frozen, filled and cut off. Prints one JSON verdict
 * on stdout and ends with 1 when a promise was broken. Faults and devices' mischief come from the seed; their timing is
 * the machine's. With `--plant BUG` the server has a bug on purpose (see plants.ts), and the verdict must say so.
 */
import { rmSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { startInfluxServer } from '../../app/demo/influx-server.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import type { SeedFile } from '../../contract/kernel/seed.ts';
import { findBinary } from '../support/binaries.ts';
import { startDebianPostgres, temporaryDirectory } from '../support/debian-postgres.ts';
import { type PresageProcess, startPresage } from '../support/presage-process.ts';
import { waitFor } from '../support/wait-for.ts';
import { type ChaosDevice, createChaosDevice, type Mischief } from './device.ts';
import { openDiskFaults } from './disk-faults.ts';
import { makeFaults } from './faults.ts';
import { startInfluxProxy } from './influx-proxy.ts';
import { balanceOf, exportOf, isReady, lagBytes, metricsOf, quarantineOf } from './server-view.ts';
import { judge, type OfTenant } from './verdict.ts';

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '10' },
    kills: { type: 'string' },
    store: { type: 'string', default: 'embedded' },
    sql: { type: 'string' },
    devices: { type: 'string', default: '8' },
    rate: { type: 'string', default: '10' },
    // Names of faults, with commas: to look closer at some of them. Kills are made in any case.
    only: { type: 'string' },
    plant: { type: 'string' },
    // No mount and no strace, though they could be had.
    'adapter-only': { type: 'boolean', default: false },
    'start-limit-ms': { type: 'string', default: '5000' },
  },
});
const seed = Number(options.seed);
const minutes = Number(options.minutes);
const kills = Number(options.kills ?? Math.max(minutes >= 5 ? 30 : 2, Math.round(minutes * 3)));
const sql = options.sql ?? (seed % 2 === 0 && findBinary('initdb') ? 'server' : 'embedded');
const startLimitMs = Number(options['start-limit-ms']);
/** The last life, in which nothing is hurt. */
const CALM_MS = 5_000;
const PLANTED_SERVER = new URL('./planted/server.js', import.meta.url).pathname;
/** The same names in both: whoever forgets the tenant mixes them up. */
const TENANTS = ['north', 'south'];
const tokenOf = (tenant: string): string => `psg_chaos_manager_of_${tenant}_0123456789abcdef`;
const devices = Array.from({ length: Number(options.devices) }, (_, index) => `fridge-${index}`);

const random = seededRandom(seed);
const cleanUps: (() => Promise<void>)[] = [];
let exitCode = 1;
try {
  exitCode = await run();
} finally {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
}
process.exit(exitCode);

async function run(): Promise<number> {
  const postgres = sql === 'server' ? await startDebianPostgres(needed('initdb')) : undefined;
  if (postgres) cleanUps.push(() => postgres.stop());
  const influx = options.store === 'influx' ? await startInfluxServer(needed('influxd')) : undefined;
  if (influx) cleanUps.push(() => influx.stop());
  const proxy = influx ? await startInfluxProxy(influx.url) : undefined;
  if (proxy) cleanUps.push(() => proxy.stop());
  const directory = temporaryDirectory('chaos');
  cleanUps.push(async () => rmSync(directory, { recursive: true, force: true }));
  const disk = await openDiskFaults(directory, options['adapter-only']);
  cleanUps.push(async () => disk.dispose());
  const planted = [...(disk.needsAdapter ? ['log-disk'] : []), ...(options.plant ? [options.plant] : [])];
  const server = await startPresage({
    directory,
    ...(planted.length > 0 ? { launcher: [PLANTED_SERVER, planted.join(',')] } : {}),
    seed: seedFile(),
    env: {
      ...(postgres ? { DATABASE_URL: postgres.url } : {}),
      ...(influx && proxy
        ? {
            PRESAGE_STORE: 'influx',
            INFLUX_URL: proxy.url,
            INFLUX_USER: influx.username,
            INFLUX_PASSWORD: influx.password,
          }
        : {}),
    },
  });
  cleanUps.push(() => server.dispose());

  const fleet = startFleet(server);
  const startedAt = performance.now();
  say(`seed ${seed}: ${fleet.length} devices, ${kills} kills in ${minutes} min, SQL ${sql}, store ${options.store}`);
  const countAcked = (): (() => number) => {
    const counts = fleet.map((device) => ackedSince(device));
    return () => counts.reduce((sum, count) => sum + count(), 0);
  };
  const around = {
    server,
    disk,
    countAcked,
    random,
    ...(postgres ? { postgres } : {}),
    ...(proxy ? { proxy } : {}),
    ...(options.only !== undefined ? { only: options.only.split(',').filter(Boolean) } : {}),
  };
  const faults = await makeFaults(around, kills, startedAt + minutes * 60_000);
  say('faults are over; waiting for the devices to be acknowledged and the followers to pass');
  const settled = await settle(server, fleet);

  const findings = await collect(server, fleet);
  const verdict = judge(findings);
  const balance = balanceOf(await metricsOf(server.api));
  const slowestStartMs = Math.round(Math.max(0, ...faults.startsMs));
  const notMade = Object.keys(faults.made).filter((name) => faults.made[name] === 0);
  const ok =
    verdict.ok &&
    settled === undefined &&
    faults.broken.length === 0 &&
    balance.difference === 0 &&
    balance.stored === balance.logged &&
    slowestStartMs <= startLimitMs;
  const report = {
    seed,
    minutes,
    store: options.store,
    sql,
    ...(options.plant ? { planted: options.plant } : {}),
    ...verdict,
    ...(faults.broken.length > 0 ? { broken: faults.broken } : {}),
    ...(settled ? { notSettled: settled } : {}),
    faults: faults.made,
    ...(notMade.length > 0 ? { notMade } : {}),
    means: disk.means,
    mischief: totalMischief(fleet),
    kills: Object.entries(faults.made).reduce((sum, [name, count]) => sum + (name.startsWith('kill') ? count : 0), 0),
    slowestStartMs,
    slowestRecoveryMs: Math.max(0, ...faults.recoveriesMs),
    loadAverage: loadavg()[0],
    startLimitMs,
    tornBytes: faults.tornBytes,
    droppedBytes: faults.droppedBytes,
    failedSyncs: faults.failedSyncs,
    lostBytesOfFailedSyncs: faults.lostBytes,
    slowestReadyAfterFullDiskMs: faults.slowestAfterFullMs,
    balanceOfCalmLife: balance,
    accounts:
      'journal against export and quarantine over all lives; /metrics, to the unit, over the calm one after them',
  };
  process.stdout.write(`${JSON.stringify({ ...report, ok })}\n`);
  if (!ok) say(`last words of the server:\n${server.log().slice(-8_000)}`);
  return ok ? 0 : 1;
}

function startFleet(server: PresageProcess): ChaosDevice[] {
  const port = Number(new URL(server.broker).port);
  const fleet = TENANTS.flatMap((tenant) =>
    devices.map((device) =>
      createChaosDevice(
        { port, tenant, device, secret: secretOf(tenant, device), intervalMs: 1_000 / Number(options.rate) },
        seededRandom(Math.floor(random() * 2 ** 31)),
      ),
    ),
  );
  for (const device of fleet) device.start();
  return fleet;
}

/**
 * Waits until nothing is on its way; then one more kill, at rest, and a calm life whose books must be right to the unit.
 * Returns what did not come to rest.
 */
async function settle(server: PresageProcess, fleet: readonly ChaosDevice[]): Promise<string | undefined> {
  try {
    await rest(server, fleet);
    await server.kill();
    await server.restart();
    for (const device of fleet) device.resume();
    await new Promise((resolve) => setTimeout(resolve, CALM_MS));
    await rest(server, fleet);
    await balanceBooks(server, fleet);
    return undefined;
  } catch (error) {
    return `${(error as Error).message}; pending: ${fleet.map((device) => device.pending()).join(',')}`;
  } finally {
    for (const device of fleet) device.stop();
  }
}

async function rest(server: PresageProcess, fleet: readonly ChaosDevice[]): Promise<void> {
  for (const device of fleet) device.quiet();
  await waitFor('every message to be acknowledged', () => fleet.every((device) => device.pending() === 0), 120_000);
  await waitFor('the server to be ready', () => isReady(server.api), 60_000);
  await waitFor('the followers to pass', async () => lagBytes(await metricsOf(server.api)) === 0, 120_000);
}

/**
 * Counters are handed on once a second. One more message is sent: when it or a later state of the books shows,
 * everything before it is in them.
 */
async function balanceBooks(server: PresageProcess, fleet: readonly ChaosDevice[]): Promise<void> {
  const before = balanceOf(await metricsOf(server.api)).received;
  fleet[0]?.sendOne();
  await rest(server, fleet);
  const show = async (): Promise<boolean> => {
    const { received, logged, stored, difference } = balanceOf(await metricsOf(server.api));
    return received > before && difference === 0 && stored === logged;
  };
  await waitFor('the books to balance', show, 10_000);
}

function totalMischief(fleet: readonly ChaosDevice[]): Mischief {
  const total: Mischief = { ...(fleet[0] as ChaosDevice).mischief };
  for (const { mischief } of fleet.slice(1)) {
    for (const name of Object.keys(total) as (keyof Mischief)[]) total[name] += mischief[name];
  }
  return total;
}

function ackedSince({ journal }: ChaosDevice): () => number {
  const from = journal.length;
  return () => journal.slice(from).filter((message) => message.acks > 0).length;
}

async function collect(server: PresageProcess, fleet: readonly ChaosDevice[]) {
  const exported: OfTenant<Awaited<ReturnType<typeof exportOf>>[number]>[] = [];
  const quarantined: OfTenant<Awaited<ReturnType<typeof quarantineOf>>[number]>[] = [];
  for (const tenant of TENANTS) {
    const token = tokenOf(tenant);
    for (const device of devices) {
      for (const sample of await exportOf(server.api, token, device)) exported.push({ ...sample, tenant });
    }
    for (const entry of await quarantineOf(server.api, token)) quarantined.push({ ...entry, tenant });
  }
  return { journal: fleet.flatMap((device) => device.journal), exported, quarantined };
}

function seedFile(): SeedFile {
  return {
    tenants: TENANTS.map((tenant) => ({
      id: tenant,
      name: tenant,
      centres: [{ id: 'centre', name: 'Centre', timeZone: 'UTC' }],
      users: [{ id: 'manager', role: 'manager' as const, tokens: [tokenOf(tenant)] }],
      devices: devices.map((id) => ({ id, model: 'refrigerator', secret: secretOf(tenant, id) })),
    })),
  };
}

function secretOf(tenant: string, device: string): string {
  return `secret-of-${tenant}-${device}-0123456789abcdef`;
}

function needed(program: string): string {
  const path = findBinary(program);
  if (!path) throw new Error(`${program} is not installed`);
  return path;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
