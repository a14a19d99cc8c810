/**
 * Analytics as a service: follows the telemetry log, scores every sample in the order of the log, hands on findings and
 * keeps its state. Findings are durable before the position moves, states and position are saved in one transaction,
 * and scoring is deterministic: after a crash the same entries give the same findings with the same ids.
 */
import type { DeviceModel } from '../contract/devices/device-model.ts';
import { errorText } from '../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef } from '../contract/kernel/ids.ts';
import { retryDelayMs } from '../contract/kernel/retry.ts';
import type { CheckpointStore, FindingsSink } from '../contract/ports/analytics.ts';
import type { Finding } from '../contract/ports/findings.ts';
import type { Clock, Logger, Metrics, Service } from '../contract/ports/services.ts';
import type { LoggedEntry, LogReader, Position } from '../contract/ports/telemetry-log.ts';
import { decodeTelemetryEntry } from '../contract/wire/log-entry.ts';
import { type AlertPolicy, DEFAULT_POLICY } from './alerts/policy.ts';
import { type DeviceState, initDevice, reviveDevice } from './device-state.ts';
import type { Prognoser } from './prognosis/prognoser.ts';
import { createDeviceScorer } from './score-device.ts';

export interface AnalyticsDeps {
  readonly log: LogReader;
  readonly checkpoints: CheckpointStore;
  readonly findings: FindingsSink;
  readonly findModel: (id: string) => DeviceModel | undefined;
  /** Ways of foreseeing failures of a model, the preferred one first. */
  readonly prognosersFor: (model: DeviceModel) => readonly Prognoser<unknown>[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Told after each save: the log need not keep anything up to this position for analytics. */
  readonly onSaved?: (position: Position) => void;
}

export interface AnalyticsOptions {
  /** Only these partitions; all when absent. */
  readonly partitions?: ReadonlySet<number>;
  /** Log entries read at a time. */
  readonly batchEntries: number;
  /** States are saved at least so often while there is work. */
  readonly saveEveryMs: number;
  readonly saveEveryEntries: number;
  /** Devices whose state stays in memory; the least recently seen are dropped once saved. */
  readonly maxDevices: number;
  /** How often the log is looked at without a `wake`. */
  readonly pollMs: number;
  readonly policy: AlertPolicy;
}

export const DEFAULT_ANALYTICS: AnalyticsOptions = {
  batchEntries: 500,
  saveEveryMs: 2_000,
  saveEveryEntries: 5_000,
  maxDevices: 5_000,
  pollMs: 500,
  policy: DEFAULT_POLICY,
};

export interface AnalyticsStats {
  /** Last entry whose findings are durable. */
  readonly position: Position;
  /** Last position that a restart would resume from. */
  readonly savedPosition: Position;
  /** End of the log minus position. */
  readonly lag: number;
  readonly samples: number;
  /** Values seen by a detector. */
  readonly values: number;
  /** Since `start`, over the time spent working. */
  readonly valuesPerSecond: number;
  readonly lateSamples: number;
  readonly findings: number;
  readonly devicesInMemory: number;
  /** Entries that could not be scored; they are skipped. */
  readonly skippedEntries: number;
}

export interface Analytics extends Service {
  /** The log grew. */
  wake(): void;
  /** Resolves once everything now in the log is scored, its findings are durable and its states saved. */
  drain(): Promise<void>;
  stats(): AnalyticsStats;
}

interface Cached {
  readonly ref: DeviceRef;
  readonly state: DeviceState;
  dirty: boolean;
}

/** Gauges are renewed so often while there is work: in a worker each costs a message. */
const REPORT_EVERY_MS = 1_000;

export function createAnalytics(deps: AnalyticsDeps, options: Partial<AnalyticsOptions> = {}): Analytics {
  const settings: AnalyticsOptions = { ...DEFAULT_ANALYTICS, ...options };
  const scorer = createDeviceScorer({
    findModel: deps.findModel,
    prognosersFor: deps.prognosersFor,
    policy: settings.policy,
  });
  /** by client id, least recently seen first */
  const devices = new Map<string, Cached>();
  const totals = { samples: 0, values: 0, late: 0, findings: 0, skipped: 0, busyMs: 0 };
  let position: Position = 0;
  let savedPosition: Position = 0;
  let savedAt = 0;
  let reportedAt = 0;
  let entriesSinceSave = 0;
  let running = false;
  let loop: Promise<void> | undefined;
  let wakeUp: (() => void) | undefined;
  let woken = false;
  let failures = 0;
  /** Positions that callers of `drain` wait for. */
  const drains: { until: Position; done: () => void }[] = [];

  const { logger, metrics, clock } = deps;

  async function load(entry: LoggedEntry): Promise<Cached> {
    const ref = { tenant: entry.tenant, device: entry.device };
    const key = clientIdOf(ref);
    const known = devices.get(key);
    if (known && known.state.model === entry.model) {
      devices.delete(key);
      devices.set(key, known);
      return known;
    }
    // A device that became another model has nothing to continue.
    const stored = known ? undefined : await deps.checkpoints.load(ref);
    const state = reviveDevice(stored, entry.model) ?? initDevice(entry.model);
    const cached: Cached = { ref, state, dirty: false };
    devices.delete(key);
    devices.set(key, cached);
    return cached;
  }

  async function scoreEntry(entry: LoggedEntry, found: Finding[]): Promise<void> {
    const cached = await load(entry);
    cached.dirty = true;
    const lateBefore = cached.state.late;
    try {
      const message = decodeTelemetryEntry(entry);
      const { boot, seq } = message.identity;
      // A batch may hold its samples in any order; scoring goes by event time.
      const samples = [...message.samples].sort((a, b) => a.observedAt - b.observedAt || a.index - b.index);
      for (const { index, observedAt, signals } of samples) {
        const outcome = scorer.score(cached.state, {
          ref: cached.ref,
          identity: `${boot}:${seq}:${index}`,
          observedAt,
          position: entry.position,
          signals,
        });
        totals.samples++;
        totals.values += outcome.values;
        found.push(...outcome.findings);
      }
    } catch (error) {
      // Deterministic, so a replay skips it as well; one poisoned entry must not stop the fleet.
      totals.skipped++;
      metrics.count('presage_analytics_skipped_total', 'Log entries that could not be scored');
      logger.error({ position: entry.position, device: entry.device, error: errorText(error) }, 'entry skipped');
    }
    totals.late += cached.state.late - lateBefore;
  }

  async function takeBatch(): Promise<boolean> {
    const startedAt = clock.now();
    const batch = await deps.log.read(position, {
      maxEntries: settings.batchEntries,
      ...(settings.partitions ? { partitions: settings.partitions } : {}),
    });
    if (batch.next <= position) return false;
    const found: Finding[] = [];
    for (const entry of batch.entries) if (entry.kind === 'telemetry') await scoreEntry(entry, found);
    if (found.length > 0) await deps.findings.append(found);
    totals.findings += found.length;
    position = batch.next;
    entriesSinceSave += batch.entries.length;
    totals.busyMs += clock.now() - startedAt;
    if (clock.now() - reportedAt >= REPORT_EVERY_MS) report();
    return true;
  }

  function report(): void {
    reportedAt = clock.now();
    metrics.gauge('presage_analytics_lag', 'Bytes of the telemetry log not scored yet', lag());
    metrics.gauge('presage_analytics_values', 'Values scored since start', totals.values);
    metrics.gauge(
      'presage_analytics_late_samples',
      'Samples older than the newest of their device, not scored',
      totals.late,
    );
    metrics.gauge('presage_analytics_findings', 'Findings since start', totals.findings);
    metrics.gauge('presage_analytics_devices', 'Devices whose state is in memory', devices.size);
  }

  function lag(): number {
    return Math.max(0, deps.log.end() - position);
  }

  async function save(): Promise<void> {
    const changed = [...devices.values()].filter((cached) => cached.dirty);
    if (position !== savedPosition) {
      await deps.checkpoints.save(
        changed.map(({ ref, state }) => ({ ...ref, state })),
        position,
      );
      for (const cached of changed) cached.dirty = false;
      savedPosition = position;
      deps.onSaved?.(position);
    }
    savedAt = clock.now();
    entriesSinceSave = 0;
    evict();
    report();
    for (const drain of drains.splice(0)) {
      if (drain.until <= savedPosition) drain.done();
      else drains.push(drain);
    }
  }

  /** Everything is saved when this is called, so any state may be dropped. */
  function evict(): void {
    for (const key of devices.keys()) {
      if (devices.size <= settings.maxDevices) return;
      devices.delete(key);
    }
  }

  function saveIsDue(): boolean {
    if (position === savedPosition && drains.length === 0) return false;
    return (
      entriesSinceSave >= settings.saveEveryEntries ||
      devices.size > settings.maxDevices ||
      clock.now() - savedAt >= settings.saveEveryMs
    );
  }

  async function step(): Promise<void> {
    const more = await takeBatch();
    const caughtUp = !more;
    if (saveIsDue() || (caughtUp && drains.length > 0)) await save();
    failures = 0;
    if (caughtUp) await pause(settings.pollMs);
  }

  /** Waits for `wake` or the time, whichever comes first. */
  function pause(ms: number): Promise<void> {
    if (woken || !running) {
      woken = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        wakeUp = undefined;
        woken = false;
        resolve();
      };
      const timer = setTimeout(finish, ms);
      wakeUp = finish;
    });
  }

  /** What is in memory may be half a batch ahead of what was handed on: forget it and go on from the last save. */
  async function recover(): Promise<void> {
    devices.clear();
    position = Math.max(await deps.checkpoints.position(), 0);
    const oldest = deps.log.start();
    if (position < oldest) {
      if (position > 0) logger.warn({ position, oldest }, 'the log no longer holds what was not scored yet');
      position = oldest;
    }
    savedPosition = position;
    savedAt = clock.now();
    entriesSinceSave = 0;
  }

  async function run(): Promise<void> {
    let stale = false;
    while (running) {
      try {
        if (stale) await recover();
        stale = false;
        await step();
      } catch (error) {
        stale = true;
        failures++;
        metrics.count('presage_analytics_failures_total', 'Times analytics went back to its last save');
        logger.warn({ error: errorText(error), failures }, 'analytics goes back to its last save');
        await pause(retryDelayMs(failures, 0.5));
      }
    }
    if (!stale) await save();
  }

  return {
    async start() {
      if (running) return;
      await recover();
      running = true;
      loop = run();
    },
    async stop() {
      if (!running) return loop;
      running = false;
      wakeUp?.();
      try {
        await loop;
      } catch (error) {
        // The last save failed: the next start reads again from the save before.
        logger.warn({ error: errorText(error), unsaved: position - savedPosition }, 'the last save failed');
      }
      for (const drain of drains.splice(0)) drain.done();
    },
    wake() {
      woken = true;
      wakeUp?.();
    },
    drain() {
      return new Promise((resolve) => {
        drains.push({ until: deps.log.end(), done: resolve });
        woken = true;
        wakeUp?.();
      });
    },
    stats: () => ({
      position,
      savedPosition,
      lag: lag(),
      samples: totals.samples,
      values: totals.values,
      valuesPerSecond: totals.busyMs > 0 ? Math.round((totals.values / totals.busyMs) * 1_000) : 0,
      lateSamples: totals.late,
      findings: totals.findings,
      devicesInMemory: devices.size,
      skippedEntries: totals.skipped,
    }),
  };
}
