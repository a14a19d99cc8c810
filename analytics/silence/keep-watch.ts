/**
 * Joins what silence is made of: when we listened, whom we wait for, and the condition of each device. Everything in it
 * follows from the entries of the log and is saved with the position they lead to, so restarts and replays give the same.
 */
import { clientIdOf, type DeviceRef, partitionOf } from '../../contract/kernel/ids.ts';
import { MINUTE_MS } from '../../contract/kernel/time.ts';
import type { CheckpointStore, DeviceCheckpoint } from '../../contract/ports/analytics.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { LogEntry, LoggedEntry } from '../../contract/ports/telemetry-log.ts';
import { statePayload } from '../../contract/wire/payloads.ts';
import type { AlertPolicy } from '../alerts/policy.ts';
import type { DeviceState } from '../device-state.ts';
import type { OrderedSample } from '../event-order.ts';
import { initListening, isRecent, type Listening, passEntry, silentFrom } from './listening.ts';
import { fallAsleep, fallSilent, hearMessage, type SilenceState, type SilenceSubject } from './no-data.ts';
import { createSilenceWatch, SHARDS, type WatchLine } from './watch.ts';

export interface KeptDevice {
  readonly ref: DeviceRef;
  readonly state: DeviceState;
}

export interface WatchKeeper {
  /** Every entry of the log, before anything else is done with it: its time passes. */
  pass(entry: LogEntry): void;
  /** A message with samples. Answers what it says about the device's silence. */
  message(device: KeptDevice, entry: LoggedEntry, samples: readonly OrderedSample[]): readonly AlertFinding[];
  /** The device goes away on purpose. */
  goodbye(device: KeptDevice, entry: LoggedEntry): void;
  /** The next device that is due; call {@link fallSilent} with its state. `undefined` = nobody. */
  nextDue(): DeviceRef | undefined;
  /** The device that was due: its condition, unless its state knows better. */
  fallSilent(device: KeptDevice): AlertFinding | undefined;
  /** Of whom the condition is, as {@link endSilence} asks. */
  subjectOf(device: KeptDevice): SilenceSubject;
  /** Nobody waits for it any more. */
  forget(ref: DeviceRef): void;
  /** What is to be saved with the position. Call `saved` once it is. */
  changed(): readonly DeviceCheckpoint[];
  saved(): void;
  load(checkpoints: Pick<CheckpointStore, 'load'>): Promise<void>;
  watched(): number;
  /** Devices that nobody waits for because there are too many. */
  unwatched(): number;
}

export interface WatchSetup {
  readonly policy: AlertPolicy;
  /** Expected time between samples; `null` = not known yet. */
  readonly intervalMs: (state: DeviceState) => number | null;
  readonly maxDevices: number;
  readonly partitions: ReadonlySet<number> | undefined;
}

/** Lines may be so old when they are loaded again: whoever is due by an old line is looked at, and found to be well. */
const SAVE_LINES_EVERY_MS = 10 * MINUTE_MS;
/** Where it is saved; no tenant and no device is called so. */
const LISTENING: DeviceRef = { tenant: '*', device: '*listening' };
const shardRef = (shard: number): DeviceRef => ({ tenant: '*', device: `*watch-${shard}` });

/**
 * Whether an entry of kind `state` says that its device goes away on purpose. A last will was written before the connection
 * began and cannot know when it ends: only the device itself says `t`.
 * @throws SyntaxError when it is no JSON
 */
export function goesOnPurpose(entry: LoggedEntry): boolean {
  const said = statePayload.safeParse(JSON.parse(Buffer.from(entry.body).toString()));
  return said.success && said.data.state === 'offline' && said.data.t !== undefined;
}

export function createWatchKeeper({ policy, intervalMs, maxDevices, partitions }: WatchSetup): WatchKeeper {
  const graceMs = policy.reconnectGraceMs;
  const watch = createSilenceWatch(maxDevices, graceMs);
  let listening: Listening = initListening();
  let shardsToSave: readonly number[] = [];
  let unwatched = 0;

  const subjectOf = ({ ref, state }: KeptDevice): SilenceSubject => ({
    ...ref,
    model: state.model,
    intervalMs: intervalMs(state),
    policy,
  });

  function expect(ref: DeviceRef, { lastAt, silenceMs, silent }: SilenceState): void {
    const key = clientIdOf(ref);
    if (silenceMs === null || silent) watch.forget(key);
    else if (!watch.expect(key, ref, lastAt, silenceMs)) unwatched++;
  }

  function fall(device: KeptDevice): AlertFinding | undefined {
    const { silence } = device.state;
    if (!silence || silence.silenceMs === null) return undefined;
    const dueAt = silentFrom(listening, silence.lastAt, silence.silenceMs, graceMs);
    if (dueAt >= listening.logTime) {
      expect(device.ref, silence);
      return undefined;
    }
    return fallSilent(silence, dueAt, subjectOf(device));
  }

  return {
    pass: (entry) => passEntry(listening, entry),
    message(device, entry, samples) {
      const newest = samples.reduce((a, b) => (b.observedAt >= a.observedAt ? b : a), samples[0] as OrderedSample);
      if (!newest || !isRecent(listening, entry)) return [];
      const before = fall(device);
      const { silence, finding } = hearMessage(
        device.state.silence,
        {
          at: listening.logTime,
          sample: newest.identity,
          observedAt: newest.observedAt,
          oldestAt: samples.reduce((oldest, one) => Math.min(oldest, one.observedAt), newest.observedAt),
          position: entry.position,
        },
        subjectOf(device),
      );
      device.state.silence = silence;
      expect(device.ref, silence);
      return [before, finding].filter((one) => one !== undefined);
    },
    goodbye(device, entry) {
      const { silence } = device.state;
      if (!silence || !isRecent(listening, entry)) return;
      fallAsleep(silence, subjectOf(device));
      expect(device.ref, silence);
    },
    nextDue: () => watch.nextDue(listening),
    fallSilent: fall,
    subjectOf,
    forget: (ref) => watch.forget(clientIdOf(ref)),
    changed() {
      shardsToSave = watch.changedShards(listening.logTime, SAVE_LINES_EVERY_MS);
      return [
        { ...LISTENING, state: listening },
        ...shardsToSave.map((shard) => ({ ...shardRef(shard), state: watch.linesOf(shard) })),
      ];
    },
    saved() {
      watch.noteSaved(shardsToSave, listening.logTime);
    },
    async load(checkpoints) {
      watch.clear();
      listening = ((await checkpoints.load(LISTENING)) as Listening | undefined) ?? initListening();
      for (let shard = 0; shard < SHARDS; shard++) {
        if (partitions && !partitions.has(shard)) continue;
        const lines = ((await checkpoints.load(shardRef(shard))) as readonly WatchLine[] | undefined) ?? [];
        for (const [tenant, device, lastAt, silenceMs] of lines) {
          const ref = { tenant, device };
          if (partitionOf(ref) === shard) watch.expect(clientIdOf(ref), ref, lastAt, silenceMs);
        }
        watch.noteSaved([shard], listening.logTime);
      }
    },
    watched: () => watch.size(),
    unwatched: () => unwatched,
  };
}
