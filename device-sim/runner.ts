/**
 * Drives many devices through time together: frame by frame, each device sends what it measured in the frame, nobody runs
 * ahead, and a device whose outbox is full makes all of them wait. So memory is bounded and the server sees one moving "now".
 */
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { errorText } from '../contract/kernel/errors.ts';
import { clientIdOf } from '../contract/kernel/ids.ts';
import type { Clock, Logger, Service } from '../contract/ports/services.ts';
import type { DeviceClient } from './device-client.ts';
import type { OutgoingMessage } from './telemetry-batch.ts';

/** A device and where its messages come from. */
export interface Player {
  readonly client: DeviceClient;
  /** Messages of the samples after the last call, up to and including `to` (epoch ms). */
  produce(to: number): readonly OutgoingMessage[];
}

/** Simulated milliseconds per wall millisecond, or as fast as acknowledgements come. */
export type Speed = number | 'max';

export interface RunnerOptions {
  /** Time of the run, epoch ms; the first frame begins at `start`, the last ends at `end`. */
  readonly start: number;
  readonly end: number;
  readonly frameMs: number;
  readonly speed: Speed;
  /** A frame begins when no device has more messages open than this; 0 = all of the frame before is acknowledged. */
  readonly maxLagMessages: number;
  /** Connections opened at once. */
  readonly connectConcurrency: number;
  readonly onProgress?: (progress: RunProgress) => void;
  readonly progressIntervalMs: number;
}

export interface RunProgress {
  /** Everything up to here is handed to the connections, epoch ms. */
  readonly simulatedTime: number;
  /** 0..1 of the time to simulate. */
  readonly share: number;
  readonly samplesSent: number;
  readonly samplesAcked: number;
}

export interface RunSummary {
  readonly devices: number;
  readonly messagesSent: number;
  readonly messagesAcked: number;
  readonly messagesResent: number;
  readonly samplesSent: number;
  readonly samplesAcked: number;
  readonly reconnects: number;
  /** Wall time. */
  readonly seconds: number;
  /** The end was reached and everything is acknowledged. */
  readonly complete: boolean;
}

export interface Runner extends Service {
  /** Settles at the end of the run or after `stop`; rejects when a device gave up. */
  readonly done: Promise<RunSummary>;
  progress(): RunProgress;
}

/** Work done between two looks at the event loop, so that acknowledgements and pings are never kept waiting. */
const SLICE_MS = 8;

export function createRunner(
  deps: { readonly clock: Clock; readonly logger: Logger },
  players: readonly Player[],
  options: RunnerOptions,
): Runner {
  const { clock, logger } = deps;
  const stopping = new AbortController();
  let simulatedTime = options.start;
  let startedAt = clock.now();
  let stopped: Promise<void> | undefined;
  let settle: (summary: RunSummary) => void = () => undefined;
  let fail: (error: unknown) => void = () => undefined;
  const done = new Promise<RunSummary>((resolve, reject) => {
    settle = resolve;
    fail = reject;
  });
  done.catch(() => undefined); // Whoever needs the result awaits `done`; nobody must crash because nobody does.

  const progress = (): RunProgress => ({
    simulatedTime,
    share: options.end > options.start ? (simulatedTime - options.start) / (options.end - options.start) : 1,
    samplesSent: total(players, (stats) => stats.samples),
    samplesAcked: total(players, (stats) => stats.ackedSamples),
  });

  const run = async (): Promise<void> => {
    const pacer = createPacer(clock, options, stopping.signal);
    let reportedAt = clock.now();
    while (simulatedTime < options.end && !stopping.signal.aborted) {
      const to = Math.min(options.end, simulatedTime + options.frameMs);
      await pacer(to);
      await allSettled(players, options.maxLagMessages);
      await playFrame(players, to, stopping.signal);
      simulatedTime = to;
      if (options.onProgress && clock.now() - reportedAt >= options.progressIntervalMs) {
        reportedAt = clock.now();
        options.onProgress(progress());
      }
    }
    await allSettled(players, 0);
  };
  const summarize = (complete: boolean): RunSummary => summaryOf(players, (clock.now() - startedAt) / 1_000, complete);

  return {
    done,
    progress,
    async start() {
      startedAt = clock.now();
      await connectAll(players, options.connectConcurrency);
      run().then(
        () => {
          options.onProgress?.(progress());
          settle(summarize(!stopping.signal.aborted));
        },
        (error: unknown) => (stopping.signal.aborted ? settle(summarize(false)) : fail(error)),
      );
    },
    stop() {
      stopped ??= (async () => {
        stopping.abort();
        const unacked = players.reduce((sum, player) => sum + player.client.pending(), 0);
        if (unacked > 0) logger.warn({ unacked }, 'stopped with messages that are not acknowledged');
        await Promise.all(players.map((player) => player.client.stop()));
        settle(summarize(false));
      })();
      return stopped;
    },
  };
}

async function allSettled(players: readonly Player[], maxPending: number): Promise<void> {
  await Promise.all(players.map((player) => player.client.settled(maxPending)));
}

/** Opens connections a few at a time: a broker accepts some thousand a second, and a storm only makes them time out. */
async function connectAll(players: readonly Player[], concurrency: number): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let player = players[next++]; player; player = players[next++]) await player.client.start();
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(concurrency, players.length) }, worker));
  const failed = results.find((result) => result.status === 'rejected');
  if (!failed) return;
  await Promise.all(players.map((player) => player.client.stop()));
  throw failed.reason;
}

/** Waits until simulated time `to` may be sent: by the speed asked for, and never before the wall clock has reached it. */
function createPacer(clock: Clock, options: RunnerOptions, signal: AbortSignal): (to: number) => Promise<void> {
  const wallStart = clock.now();
  return async (to) => {
    const byPace = options.speed === 'max' ? 0 : wallStart + (to - options.start) / options.speed;
    const dueAt = Math.max(byPace, to);
    for (let waitMs = dueAt - clock.now(); waitMs > 0 && !signal.aborted; waitMs = dueAt - clock.now()) {
      await delay(Math.min(waitMs, 60_000), undefined, { signal }).catch(() => undefined); // Only an abort rejects.
    }
  };
}

async function playFrame(players: readonly Player[], to: number, signal: AbortSignal): Promise<void> {
  let sliceStart = performance.now();
  for (const player of players) {
    if (signal.aborted) return;
    for (const message of player.produce(to)) {
      if (!player.client.hasRoom()) await roomOf(player);
      player.client.send(message);
    }
    if (performance.now() - sliceStart > SLICE_MS) {
      await nextTurn();
      sliceStart = performance.now();
    }
  }
}

async function roomOf(player: Player): Promise<void> {
  try {
    await player.client.room();
  } catch (error) {
    throw new Error(`${clientIdOf(player.client.ref)} cannot send: ${errorText(error)}`, { cause: error });
  }
}

type Stats = ReturnType<DeviceClient['stats']>;

function total(players: readonly Player[], pick: (stats: Stats) => number): number {
  return players.reduce((sum, player) => sum + pick(player.client.stats()), 0);
}

function summaryOf(players: readonly Player[], seconds: number, reachedEnd: boolean): RunSummary {
  const samplesSent = total(players, (stats) => stats.samples);
  const samplesAcked = total(players, (stats) => stats.ackedSamples);
  return {
    devices: players.length,
    messagesSent: total(players, (stats) => stats.messages),
    messagesAcked: total(players, (stats) => stats.ackedMessages),
    messagesResent: total(players, (stats) => stats.resent),
    samplesSent,
    samplesAcked,
    reconnects: total(players, (stats) => stats.reconnects),
    seconds,
    complete: reachedEnd && samplesSent === samplesAcked,
  };
}
