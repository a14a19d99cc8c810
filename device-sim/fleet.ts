/** A simulated fleet over real MQTT at accelerated time. */
import { clientIdOf, fnv1a } from '../contract/kernel/ids.ts';
import { seededRandom } from '../contract/kernel/random.ts';
import { DAY_MS, SECOND_MS } from '../contract/kernel/time.ts';
import type { Clock, Logger, Service } from '../contract/ports/services.ts';
import { birthOf, newBootId } from './birth.ts';
import { createDeviceClient, type DeviceClientOptions } from './device-client.ts';
import { createNetwork, type NetworkFaults } from './network.ts';
import { createRunner, type Player, type RunProgress, type RunSummary } from './runner.ts';
import {
  createSampleStream,
  type GroundTruth,
  groundTruthOf,
  modelOf,
  type SimulatedDevice,
} from './simulated-device.ts';
import { telemetryMessages } from './telemetry-batch.ts';

export interface FleetDevice extends SimulatedDevice {
  readonly secret: string;
}

export interface FleetDeps {
  readonly brokerUrl: string;
  readonly devices: readonly FleetDevice[];
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface FleetOptions {
  /** Epoch ms; default 30 days before `end`. */
  readonly start?: number;
  /** Epoch ms; default now. A later end is reached in real time: nothing is ever sent from the server's future. */
  readonly end?: number;
  /** Simulated seconds per wall second. */
  readonly speed: number | 'max';
  /** Simulated time whose samples travel in one message; default by speed and size of the fleet. */
  readonly frameMs?: number;
  /** Mishaps of the network, decided by `networkSeed` and the device's name. */
  readonly network?: NetworkFaults;
  readonly networkSeed?: number;
  readonly client?: Partial<DeviceClientOptions>;
  readonly connectConcurrency?: number;
  readonly onProgress?: (progress: RunProgress) => void;
  readonly progressIntervalMs?: number;
}

export interface Fleet extends Service {
  /** The time that is simulated, epoch ms. */
  readonly period: { readonly start: number; readonly end: number };
  /** Settles when everything is acknowledged, or after `stop`; rejects when a device gave up. */
  readonly done: Promise<RunSummary>;
  /** The truth about each faulty device, in order of the devices. Computed at the first call. */
  truth(): readonly GroundTruth[];
  progress(): RunProgress;
}

/** Wall time whose samples travel together: short enough to look live, long enough for batches to pay. */
const FRAME_WALL_MS = 500;
const MAX_SAMPLES_PER_FRAME = 250;
/** At speed max; smaller for large fleets, because every device may hold a few frames in memory. */
const MAX_SPEED_SAMPLES_PER_FRAME = 48;
const SAMPLES_PER_FRAME_OF_ALL = 50_000;

/** Lets the next frame be computed while the last one is on its way. */
const MAX_LAG_MESSAGES = 1;

/** Building opens nothing. `start` resolves once all devices are connected; `done` when the time is played. */
export function createFleet(deps: FleetDeps, options: FleetOptions): Fleet {
  const end = options.end ?? deps.clock.now();
  const start = options.start ?? end - 30 * DAY_MS;
  const players = deps.devices.map((device) => createPlayer(deps, device, start, options));
  const runner = createRunner(deps, players, {
    start,
    end,
    frameMs: options.frameMs ?? defaultFrameMs(deps.devices, options.speed),
    speed: options.speed,
    maxLagMessages: MAX_LAG_MESSAGES,
    connectConcurrency: options.connectConcurrency ?? 50,
    progressIntervalMs: options.progressIntervalMs ?? 250,
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
  });
  let truth: readonly GroundTruth[] | undefined;
  return {
    period: { start, end },
    done: runner.done,
    truth() {
      truth ??= deps.devices.flatMap((device) => groundTruthOf(device, start, end) ?? []);
      return truth;
    },
    progress: () => runner.progress(),
    start: () => runner.start(),
    stop: () => runner.stop(),
  };
}

function createPlayer(deps: FleetDeps, device: FleetDevice, start: number, options: FleetOptions): Player {
  const boot = newBootId();
  const clientId = clientIdOf(device.ref);
  const seed = fnv1a(clientId) ^ (options.networkSeed ?? 0);
  const stream = createSampleStream(device, start);
  let nextSeq = 1;
  const client = createDeviceClient(
    {
      clock: deps.clock,
      logger: deps.logger,
      random: seededRandom(seed ^ 0x5bd1e995),
      ...(options.network ? { network: createNetwork(options.network, seededRandom(seed)) } : {}),
    },
    {
      brokerUrl: deps.brokerUrl,
      ref: device.ref,
      secret: device.secret,
      boot,
      birth: birthOf(device.model, modelOf(device).intervalMs, device.ref.device),
    },
    options.client,
  );
  return {
    client,
    produce(to) {
      const messages = telemetryMessages(boot, nextSeq, stream.take(to));
      nextSeq += messages.length;
      return messages;
    },
  };
}

function defaultFrameMs(devices: readonly FleetDevice[], speed: number | 'max'): number {
  const intervalMs = Math.min(...devices.map((device) => modelOf(device).intervalMs), DAY_MS);
  const fair = Math.max(4, Math.floor(SAMPLES_PER_FRAME_OF_ALL / Math.max(1, devices.length)));
  const wanted =
    speed === 'max'
      ? MAX_SPEED_SAMPLES_PER_FRAME
      : Math.round((speed * FRAME_WALL_MS) / SECOND_MS / (intervalMs / SECOND_MS));
  return intervalMs * Math.max(1, Math.min(wanted, fair, MAX_SAMPLES_PER_FRAME));
}
