/** `presage sim`: a simulated fleet on real MQTT at accelerated time, with injected faults and their ground truth. */
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import { clientIdOf, fnv1a } from '../../contract/kernel/ids.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { DeviceCredential, WantedDevice } from '../../device-sim/credentials.ts';
import { disturb } from '../../device-sim/draw-recordings.ts';
import { createFleet, type Fleet, type FleetDevice } from '../../device-sim/fleet.ts';
import { findSimulatedModel } from '../../device-sim/models/catalogue.ts';
import type { NetworkFaults } from '../../device-sim/network.ts';
import type { RunProgress, RunSummary } from '../../device-sim/runner.ts';
import { assignFaults, parseFaultList } from '../../device-sim/stories.ts';
import { createLogger, runCommand } from '../cli-support.ts';
import {
  accessFor,
  brokerUrlOf,
  type DeviceAccessOptions,
  parseCount,
  parseNumber,
  parseSpeed,
  parseTime,
  playToEnd,
  seedDevices,
  showProgress,
  withDeviceAccess,
} from '../device-options.ts';

interface SimOptions extends DeviceAccessOptions {
  readonly devices: string;
  readonly models: string;
  readonly prefix: string;
  readonly days: string;
  readonly end?: string;
  readonly speed: string;
  readonly faults?: string;
  readonly confounders: string;
  readonly lies: string;
  readonly randomSeed: string;
  readonly truth?: string;
  readonly loss: string;
  readonly duplicate: string;
  readonly reorder: string;
  readonly disconnect: string;
  readonly json?: true;
}

const MAX_DEVICES = 10_000;

export function register(program: Command): void {
  withDeviceAccess(
    program
      .command('sim')
      .description('simulate a fleet on real MQTT')
      .requiredOption('--devices <n>', 'number of devices'),
  )
    .option('--models <list>', 'models in turn, with --provision', 'refrigerator,turbofan')
    .option('--prefix <text>', 'device ids start with it, with --provision', 'sim-')
    .option('--days <n>', 'simulated days before the end', '30')
    .option('--end <time>', 'time of the last sample, ISO 8601; now when absent')
    .option('--speed <n|max>', 'simulated seconds per second', 'max')
    .option(
      '--faults <list>',
      'for example refrigerantLeak,hpcDegradation:10-26@0.6 (days of onset and failure, severity)',
    )
    .option('--confounders <p>', 'share of the devices around which load, weather, place or habits change', '0')
    .option('--lies <p>', 'share of the devices with a sensor that lies', '0')
    .option('--random-seed <n>', 'the same number simulates the same fleet', '1')
    .option('--truth <file>', 'write the ground truth here (JSON)')
    .option('--loss <p>', 'chance that a message is lost before it is sent, and sent again later', '0')
    .option('--duplicate <p>', 'chance that a message is sent twice', '0')
    .option('--reorder <p>', 'chance that a message is sent after its successor', '0')
    .option('--disconnect <p>', 'chance that the connection breaks after a message', '0')
    .option('--json', 'print the summary as JSON')
    .action(runCommand(simulate));
}

async function simulate(options: SimOptions): Promise<void> {
  const randomSeed = parseCount(options.randomSeed, '--random-seed', 0, 2 ** 32 - 1);
  const end = options.end === undefined ? Date.now() : parseTime(options.end, '--end');
  const start = end - Math.round(parseNumber(options.days, '--days', 0.01, 3_650) * DAY_MS);
  const speed = parseSpeed(options.speed);
  const brokerUrl = brokerUrlOf(options);
  const network = networkOf(options);
  const healthy = (await chooseDevices(options)).map((credential) => toDevice(credential, randomSeed));
  const devices = disturb(
    withFaults(healthy, options.faults, { start, end }, randomSeed),
    { start, end },
    sharesOf(options),
  );
  const fleet = createFleet(
    {
      brokerUrl,
      devices,
      clock: { now: Date.now },
      logger: createLogger('warn'),
    },
    { start, end, speed, networkSeed: randomSeed, ...(network ? { network } : {}), onProgress: reportProgress },
  );
  if (options.truth) await writeFile(options.truth, `${JSON.stringify(describeTruth(fleet, devices), null, 2)}\n`);
  const summary = await playToEnd(fleet);
  printSummary(fleet, summary, options);
  if (!summary.complete) process.exitCode = 1;
}

async function chooseDevices(options: SimOptions): Promise<readonly DeviceCredential[]> {
  const count = parseCount(options.devices, '--devices', 1, MAX_DEVICES);
  if (options.provision) return accessFor(wantedDevices(count, options), options);
  const usable = (await seedDevices(options)).filter((device) => findSimulatedModel(device.model));
  if (usable.length < count) {
    throw new AppError(
      'CONFIG_INVALID',
      `${options.seed} has ${usable.length} devices that can be simulated, not ${count}`,
    );
  }
  return usable.slice(0, count);
}

function wantedDevices(count: number, options: SimOptions): WantedDevice[] {
  const models = options.models.split(',').map((model) => model.trim());
  const unknown = models.find((model) => !findSimulatedModel(model));
  if (unknown !== undefined) throw new AppError('CONFIG_INVALID', `--models: "${unknown}" cannot be simulated`);
  return Array.from({ length: count }, (_, i) => ({
    id: `${options.prefix}${String(i + 1).padStart(4, '0')}`,
    model: models[i % models.length] ?? 'refrigerator',
  }));
}

/** A device's seed hangs on its name, so that a larger fleet holds the same devices as a smaller one. */
function toDevice({ ref, model, secret }: DeviceCredential, randomSeed: number): FleetDevice {
  return { ref, model, secret, seed: (fnv1a(clientIdOf(ref)) ^ Math.imul(randomSeed, 0x9e3779b1)) >>> 0 };
}

function withFaults(
  devices: readonly FleetDevice[],
  faults: string | undefined,
  period: { start: number; end: number },
  randomSeed: number,
): readonly FleetDevice[] {
  try {
    return assignFaults(devices, parseFaultList(faults ?? '', period, seededRandom(randomSeed)));
  } catch (error) {
    throw new AppError('CONFIG_INVALID', `--faults: ${errorText(error)}`, { cause: error });
  }
}

function sharesOf(options: SimOptions) {
  return {
    confounders: parseNumber(options.confounders, '--confounders', 0, 1),
    lies: parseNumber(options.lies, '--lies', 0, 1),
  };
}

/** What changes around a device without being a fault. */
function disturbanceOf({ ref, model, confounders = [], lies = [] }: FleetDevice) {
  return confounders.length + lies.length > 0 ? [{ ...ref, model, confounders, lies }] : [];
}

function networkOf(options: SimOptions): NetworkFaults | undefined {
  const chance = (text: string, flag: string): number => parseNumber(text, flag, 0, 0.9);
  const network = {
    loss: chance(options.loss, '--loss'),
    duplicate: chance(options.duplicate, '--duplicate'),
    reorder: chance(options.reorder, '--reorder'),
    disconnect: chance(options.disconnect, '--disconnect'),
  };
  const total = network.loss + network.duplicate + network.reorder + network.disconnect;
  if (total > 0.9) throw new AppError('CONFIG_INVALID', 'the chances of network faults must sum to at most 0.9');
  return total > 0 ? network : undefined;
}

function reportProgress(progress: RunProgress): void {
  const share = Math.floor(100 * progress.share);
  const time = new Date(progress.simulatedTime).toISOString().slice(0, 16);
  showProgress(`${share} %  ${time}Z  ${progress.samplesAcked} samples acknowledged`);
}

function describeTruth(fleet: Fleet, devices: readonly FleetDevice[]) {
  const { start, end } = fleet.period;
  return {
    start: new Date(start).toISOString(),
    end: new Date(end).toISOString(),
    faults: fleet.truth(),
    disturbed: devices.flatMap(disturbanceOf),
  };
}

function printSummary(fleet: Fleet, summary: RunSummary, options: SimOptions): void {
  const { start, end } = fleet.period;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ...summary, start, end, truth: fleet.truth() })}\n`);
    return;
  }
  process.stdout.write(
    `${summary.devices} devices, ${summary.samplesSent} samples sent, ${summary.samplesAcked} acknowledged, ` +
      `${summary.messagesResent} messages resent, ${summary.reconnects} reconnects, ${summary.seconds.toFixed(1)} s\n`,
  );
  for (const truth of fleet.truth()) {
    const fails = truth.failsAt === undefined ? 'after the end' : new Date(truth.failsAt).toISOString();
    process.stdout.write(
      `fault ${truth.faultKey} on ${clientIdOf(truth)}: onset ${new Date(truth.onsetAt).toISOString()}, failure ${fails}\n`,
    );
  }
}
