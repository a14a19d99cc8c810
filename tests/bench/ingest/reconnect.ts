/** A TLS fleet after the server was killed: how long from `kill -9` until every device has logged in again. */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from 'simple-statistics';
import { initCa, issue } from '../../../app/ca/certificate-authority.ts';
import { freePort } from '../../support/presage-process.ts';
import { benchDevices, startBenchServer } from '../bench-server.ts';
import { cpuSeconds } from '../process-facts.ts';
import type { SwarmDevice } from '../swarm.ts';
import type { BenchOptions, Figure, Part } from './figures.ts';
import { type FleetReport, startSilentFleet } from './silent-fleet.ts';

/** Impatient devices: each tries twice a second while there is no server. */
const RETRY_MS = 500;
/** Beyond that the authority's register of what it issued, rewritten each time, makes the preparation long. */
const DEVICES_PER_REGISTER = 250;

interface Comeback {
  readonly seconds: number;
  /** From the server's ready line. */
  readonly afterReadySeconds: number;
  readonly attempts: number;
  /** Of the server from its ready line until all are back. */
  readonly cpuSeconds: number;
}

export const reconnect: Part = async (options) => [
  await measure(options, 'password', benchDevices(options.tlsDevices)),
  await measure(options, 'certificate', benchDevices(options.tlsDevices)),
];

async function measure(
  { rounds, tlsDevices }: BenchOptions,
  credential: 'password' | 'certificate',
  devices: readonly SwarmDevice[],
): Promise<Figure> {
  const folder = mkdtempSync(join(tmpdir(), 'presage-bench-tls-'));
  const now = Date.now();
  await initCa(folder, 'Bench', now);
  await issue(folder, { name: 'localhost', server: ['localhost', '127.0.0.1'], days: 1, out: folder }, now);
  const fleetDevices = credential === 'certificate' ? await certified(folder, devices, now) : devices;
  const port = await freePort();
  const server = await startBenchServer({
    devices: tlsDevices,
    env: {
      PRESAGE_MQTTS_PORT: String(port),
      PRESAGE_MQTTS_CERT_FILE: join(folder, 'localhost.crt'),
      PRESAGE_MQTTS_KEY_FILE: join(folder, 'localhost.key'),
      ...(credential === 'certificate'
        ? { PRESAGE_MQTTS_CA_FILE: join(folder, 'ca.crt'), PRESAGE_MQTTS_CRL_FILE: join(folder, 'ca.crl') }
        : {}),
    },
  });
  const ca = readFileSync(join(folder, 'ca.crt'), 'utf8');
  const fleet = startSilentFleet({
    target: { port, ca },
    devices: fleetDevices,
    maxDialling: 100,
    returnAtOnce: true,
    retryMs: RETRY_MS,
  });
  const comebacks: Comeback[] = [];
  try {
    await fleet.allConnected(120_000);
    for (let round = 0; round < rounds; round++) comebacks.push(await killAndWait());
  } finally {
    await fleet.stop();
    await server.dispose();
    rmSync(folder, { recursive: true, force: true });
  }

  async function killAndWait(): Promise<Comeback> {
    const killedAt = Date.now();
    const back: Promise<FleetReport> = fleet.allConnected(120_000);
    await server.process.kill();
    await server.process.restart();
    const readyAt = Date.now();
    const cpuBefore = cpuSeconds(server.process.pid);
    const { at, attempts } = await back;
    return {
      seconds: (at - killedAt) / 1_000,
      afterReadySeconds: (at - readyAt) / 1_000,
      attempts,
      cpuSeconds: cpuSeconds(server.process.pid) - cpuBefore,
    };
  }

  const middle = (pick: (run: Comeback) => number): number => median(comebacks.map(pick));
  return {
    name: `${tlsDevices.toLocaleString('en')} TLS devices (${credential}) back after kill -9`,
    value: middle((run) => run.seconds),
    unit: 's',
    better: 'lower',
    aim: 10,
    detail: `${middle((run) => run.afterReadySeconds).toFixed(1)} s after the server was ready, of which it computed ${middle((run) => run.cpuSeconds).toFixed(1)} s; ${middle((run) => run.attempts)} logins tried, those during its start included`,
  };
}

/** The same devices, each with a certificate. */
async function certified(folder: string, devices: readonly SwarmDevice[], now: number): Promise<SwarmDevice[]> {
  const result: SwarmDevice[] = [];
  let register = folder;
  for (const [index, device] of devices.entries()) {
    if (index % DEVICES_PER_REGISTER === 0) register = registerCopy(folder, index);
    const files = await issue(register, { name: device.clientId, days: 1, out: register }, now);
    result.push({ ...device, cert: readFileSync(files.certificate, 'utf8'), key: readFileSync(files.key, 'utf8') });
  }
  return result;
}

/** The authority again, with a register of its own. */
function registerCopy(folder: string, number: number): string {
  const copy = join(folder, `register-${number}`);
  mkdirSync(copy);
  for (const name of ['ca.key', 'ca.crt']) copyFileSync(join(folder, name), join(copy, name));
  writeFileSync(join(copy, 'issued.json'), '[]');
  return copy;
}
