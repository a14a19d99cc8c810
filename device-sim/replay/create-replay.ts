/** Replays a recording over real MQTT: one device a unit, all advancing together cycle by cycle, resumable. */

import { clientIdOf, type DeviceRef, fnv1a } from '../../contract/kernel/ids.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import type { Clock, Logger, Service } from '../../contract/ports/services.ts';
import { birthOf, newBootId } from '../birth.ts';
import { createDeviceClient, type DeviceClientOptions } from '../device-client.ts';
import { createRunner, type Player, type RunProgress, type RunSummary, type Speed } from '../runner.ts';
import { telemetryMessages } from '../telemetry-batch.ts';
import { type PlannedMessage, plannedMessages, type ReplayDevice, type ReplayPlan, samplesOf } from './plan.ts';

/** Where a device stands: its boot, and the sequence number up to which everything is acknowledged. */
export interface ReplayPlace {
  readonly boot: string;
  readonly acked: number;
}

export interface ReplayDeps {
  readonly brokerUrl: string;
  readonly plan: ReplayPlan;
  readonly model: string;
  /** Tenant and secret of a device by its id. */
  readonly credentialOf: (device: string) => { readonly ref: DeviceRef; readonly secret: string };
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ReplayOptions {
  /** Simulated milliseconds per wall millisecond. */
  readonly speed: Speed;
  /** Places of an earlier run, by device id. */
  readonly resume?: Readonly<Record<string, ReplayPlace>>;
  /** Keeps the places; awaited before the first message leaves, then every `saveIntervalMs` and at the end. */
  readonly save?: (places: Readonly<Record<string, ReplayPlace>>) => Promise<void>;
  readonly saveIntervalMs?: number;
  readonly client?: Partial<DeviceClientOptions>;
  readonly onProgress?: (progress: RunProgress) => void;
}

export interface ReplaySummary extends RunSummary {
  /** Samples that an earlier run had seen acknowledged. */
  readonly samplesResumed: number;
}

export interface Replay extends Service {
  readonly done: Promise<ReplaySummary>;
}

interface ReplayPlayer extends Player {
  readonly device: string;
  readonly boot: string;
  readonly resumedSamples: number;
  /** First message that is not known to be acknowledged. */
  readonly firstOpen: PlannedMessage | undefined;
  acked(): number;
}

/** Building opens nothing. `start` saves the boot ids, then connects; `done` settles when all is acknowledged. */
export function createReplay(deps: ReplayDeps, options: ReplayOptions): Replay {
  const { plan } = deps;
  const players = plan.devices.map((device) => createPlayer(deps, device, options));
  const runner = createRunner(deps, players, {
    start: firstFrameStart(plan, players),
    end: plan.end,
    frameMs: plan.frameMs,
    speed: options.speed,
    maxLagMessages: 0, // Strict order between devices: a recording is replayed as it happened.
    connectConcurrency: 50,
    progressIntervalMs: 500,
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
  });
  const saver = createSaver(players, options);
  const samplesResumed = players.reduce((sum, player) => sum + player.resumedSamples, 0);
  const finish = async (): Promise<void> => {
    await saver.stop();
    await runner.stop();
  };
  const done = runner.done.then(
    async (summary) => {
      await finish();
      return { ...summary, samplesResumed };
    },
    async (error: unknown) => {
      await finish();
      throw error;
    },
  );
  done.catch(() => undefined); // Whoever needs the result awaits `done`.
  return {
    done,
    async start() {
      await saver.start();
      await runner.start();
    },
    async stop() {
      await runner.stop();
      await saver.stop();
    },
  };
}

function createPlayer(deps: ReplayDeps, device: ReplayDevice, options: ReplayOptions): ReplayPlayer {
  const place = options.resume?.[device.device];
  const boot = place?.boot ?? newBootId();
  const doneBefore = place?.acked ?? 0;
  const messages = plannedMessages(deps.plan, device);
  const { ref, secret } = deps.credentialOf(device.device);
  const client = createDeviceClient(
    { clock: deps.clock, logger: deps.logger, random: seededRandom(fnv1a(clientIdOf(ref))) },
    {
      brokerUrl: deps.brokerUrl,
      ref,
      secret,
      boot,
      birth: birthOf(deps.model, deps.plan.intervalMs, device.device, deps.plan.columns),
    },
    options.client,
  );
  let next = messages.findIndex((message) => message.seq > doneBefore);
  if (next < 0) next = messages.length;
  const firstOpen = messages[next];
  return {
    client,
    device: device.device,
    boot,
    firstOpen,
    resumedSamples: firstOpen ? firstOpen.from : device.rows.length,
    acked: () => client.ackedThrough()?.seq ?? doneBefore,
    produce(to) {
      const due = [];
      for (let message = messages[next]; message && message.frameEnd <= to; message = messages[++next]) {
        const rows = device.rows.slice(message.from, message.to);
        due.push(...telemetryMessages(boot, message.seq, samplesOf(deps.plan, rows)));
      }
      return due;
    },
  };
}

/** Frames that an earlier run finished for every device are not played again, nor waited for. */
function firstFrameStart(plan: ReplayPlan, players: readonly ReplayPlayer[]): number {
  const open = players.flatMap((player) => (player.firstOpen ? [player.firstOpen.frameEnd] : []));
  if (open.length === 0) return plan.end;
  const frames = Math.ceil((Math.min(...open) - plan.start) / plan.frameMs);
  return plan.start + (frames - 1) * plan.frameMs;
}

/** Saves places one at a time; nothing is lost when a save is skipped because the one before it still runs. */
function createSaver(players: readonly ReplayPlayer[], options: ReplayOptions) {
  let timer: NodeJS.Timeout | undefined;
  let saving: Promise<void> = Promise.resolve();
  const save = (): Promise<void> => {
    const places = Object.fromEntries(
      players.map((player) => [player.device, { boot: player.boot, acked: player.acked() }]),
    );
    return options.save?.(places) ?? Promise.resolve();
  };
  return {
    async start(): Promise<void> {
      await save();
      timer = setInterval(() => {
        saving = saving.then(save).catch(() => undefined); // The last save, which is awaited, reports a broken disk.
      }, options.saveIntervalMs ?? 1_000);
    },
    async stop(): Promise<void> {
      if (!timer) return;
      clearInterval(timer);
      timer = undefined;
      await saving;
      await save();
    },
  };
}
