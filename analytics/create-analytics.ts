/**
 * Analytics as a service: follows the telemetry log, scores the samples of each device by event time, hands on findings
 * and keeps its state, samples that wait for stragglers included. Findings are durable before the position moves, states
 * and position are saved in one transaction, and scoring is deterministic: after a crash the same entries give the same
 * findings with the same ids.
 */
import type { DeviceModel } from '../contract/devices/device-model.ts';
import { errorText } from '../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef, partitionOf } from '../contract/kernel/ids.ts';
import { retryDelayMs } from '../contract/kernel/retry.ts';
import type { CheckpointStore, DeviceCheckpoint, FindingsSink } from '../contract/ports/analytics.ts';
import type { Finding } from '../contract/ports/findings.ts';
import type { DeviceOrder } from '../contract/ports/orders.ts';
import type { Clock, Logger, Metrics, Service } from '../contract/ports/services.ts';
import type { LoggedEntry, LogReader, Position } from '../contract/ports/telemetry-log.ts';
import { ORDER_BOOK } from '../contract/ports/versions.ts';
import { decodeTelemetryEntry } from '../contract/wire/log-entry.ts';
import { type AlertPolicy, DEFAULT_POLICY } from './alerts/policy.ts';
import { endAll, type OrderedDevice, takeDeviceOrder } from './device-orders.ts';
import { type DeviceState, initDevice, packDevice, reviveDevice } from './device-state.ts';
import { arrive, DEFAULT_ORDER, initOrder, type OrderedSample, type OrderLimits, takeDue } from './event-order.ts';
import type { Prognoser } from './prognosis/prognoser.ts';
import { createJudgedScoring, type OrderTaken } from './registry/judged-scoring.ts';
import { reportOf, reportRules } from './rules/rule-reports.ts';
import { createRuledDevices } from './rules/ruled-devices.ts';
import { createWatchKeeper, goesOnPurpose } from './silence/keep-watch.ts';

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
  /** How long a sample may wait for stragglers of its device. */
  readonly order: OrderLimits;
  /** Samples of all devices that wait; beyond, those of the device that sends are scored at once. */
  readonly maxWaiting: number;
  /** Devices, counted once a version, that may have a state of a version that runs beside the active one. */
  readonly maxShadowedDevices: number;
  /** Devices whose silence is noticed. */
  readonly maxWatchedDevices: number;
}

export const DEFAULT_ANALYTICS: AnalyticsOptions = {
  batchEntries: 500,
  saveEveryMs: 2_000,
  saveEveryEntries: 5_000,
  maxDevices: 5_000,
  pollMs: 500,
  policy: DEFAULT_POLICY,
  order: DEFAULT_ORDER,
  maxWaiting: 20_000,
  maxShadowedDevices: 1_000,
  maxWatchedDevices: 200_000,
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
  /** Came after a newer sample of their device was scored; not scored. */
  readonly lateSamples: number;
  /** Came after a newer sample of their device and were scored in their place. */
  readonly reorderedSamples: number;
  /** Scored before their time because too many waited. */
  readonly hurriedSamples: number;
  readonly waitingSamples: number;
  readonly findings: number;
  readonly devicesInMemory: number;
  /** Messages with samples that could not be scored; these are skipped. */
  readonly skippedEntries: number;
  /** Orders of the desk that hold now or have held. */
  readonly orders: number;
  /** Devices with a state beside the active one, and those that found no room since start. */
  readonly shadowedDevices: number;
  readonly shadowRefused: number;
  /** Devices whose next message is waited for. */
  readonly watchedDevices: number;
}

export interface Analytics extends Service {
  /** The log grew. */
  wake(): void;
  /** Resolves once everything now in the log is scored or waits for stragglers, and findings and states are durable. */
  drain(): Promise<void>;
  stats(): AnalyticsStats;
}

interface Cached {
  readonly ref: DeviceRef;
  readonly state: DeviceState;
  dirty: boolean;
}

interface WaitingList {
  readonly devices: readonly (readonly [tenant: string, device: string])[];
}

/** Gauges are renewed so often while there is work: in a worker each costs a message. */
const REPORT_EVERY_MS = 1_000;
/** Devices of which nothing comes are looked at so often. */
const SWEEP_EVERY_MS = 1_000;
/** From the receipt of a message until it can be read from the log, with a disk that stalls. */
const LOGGED_WITHIN_MS = 5_000;
/** Where the list of devices with waiting samples is saved; no tenant and no device is called so. */
const WAITING_LIST: DeviceRef = { tenant: '*', device: '*' };
/** So many devices are found silent between two batches: each is a state to load, and the log must not wait for all. */
const SILENT_AT_ONCE = 200;

export function createAnalytics(deps: AnalyticsDeps, options: Partial<AnalyticsOptions> = {}): Analytics {
  const settings: AnalyticsOptions = { ...DEFAULT_ANALYTICS, ...options };
  const { findModel, prognosersFor } = deps;
  const { policy, maxShadowedDevices } = settings;
  const judged = createJudgedScoring({ findModel, prognosersFor, policy, maxShadowedDevices });
  const ruled = createRuledDevices();
  const watch = createWatchKeeper({
    policy,
    intervalMs: (state) => findModel(state.model)?.intervalMs ?? state.intervalMs,
    maxDevices: settings.maxWatchedDevices,
    partitions: settings.partitions,
  });
  /** by client id, least recently seen first */
  const devices = new Map<string, Cached>();
  /** Those of them with waiting samples, by client id; they stay in memory. */
  const waiting = new Map<string, Cached>();
  let waitingSamples = 0;
  let waitingListSaved = false;
  let sweptAt = 0;
  /** Samples were scored since the last save although the position did not move. */
  let unsavedSweep = false;
  /** Latest receive time read; replayed entries carry their old one. */
  let logTime = 0;
  const totals = {
    samples: 0,
    values: 0,
    late: 0,
    reordered: 0,
    hurried: 0,
    findings: 0,
    skipped: 0,
    orders: 0,
    busyMs: 0,
  };
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

  async function load(entry: LoggedEntry, found: Finding[]): Promise<Cached> {
    const ref = { tenant: entry.tenant, device: entry.device };
    const key = clientIdOf(ref);
    const known = devices.get(key);
    if (known && known.state.model === entry.model) {
      devices.delete(key);
      devices.set(key, known);
      return known;
    }
    const before = known ?? (await loadKnown(ref));
    if (before?.state.model === entry.model) return before;
    // A device that became another model has nothing to continue, but what it sent before counts, and what is open ends.
    if (before) {
      scoreAllWaiting(before, found);
      found.push(...endAll(orderedDevice(before, entry.position), 'replaced', entry.position));
      watch.forget(ref);
    }
    const state = initDevice(entry.model);
    // Its rules are asked whether they are about the new model, and end their alerts where they are not.
    if (before?.state.rules) state.rules ??= before.state.rules;
    return remember({ ref, state, dirty: false });
  }

  function remember(cached: Cached): Cached {
    const key = clientIdOf(cached.ref);
    devices.delete(key);
    devices.set(key, cached);
    return cached;
  }

  /** The device as it was left, whatever its model; `undefined` when nothing is known of it. */
  async function loadKnown(ref: DeviceRef): Promise<Cached | undefined> {
    const known = devices.get(clientIdOf(ref));
    if (known) return remember(known);
    const state = reviveDevice(await deps.checkpoints.load(ref));
    return state && remember({ ref, state, dirty: false });
  }

  function orderedDevice(cached: Cached, at: Position): OrderedDevice {
    const { ref, state } = cached;
    return { ref, state, plan: judged.planOf(ref, state, at), subject: watch.subjectOf(cached) };
  }

  function scoreAllWaiting(cached: Cached, found: Finding[]): void {
    const own = cached.state.order?.waiting ?? [];
    const before = own.length;
    if (before === 0) return;
    scoreSamples(cached, own.splice(0), found);
    noteWaiting(cached, before, found);
  }

  async function scoreEntry(entry: LoggedEntry, found: Finding[]): Promise<void> {
    const cached = await load(entry, found);
    cached.dirty = true;
    logTime = Math.max(logTime, entry.receivedAt);
    let message: ReturnType<typeof messageOf>;
    try {
      message = messageOf(entry);
    } catch (error) {
      skip(entry, entry.position, error);
      return;
    }
    const { samples, backfill } = message;
    const { state } = cached;
    // Old data that is sent now says nothing of today.
    if (!backfill) found.push(...watch.message(cached, entry, samples));
    state.order ??= initOrder(settings.order, entry.receivedAt);
    const waitedBefore = state.order.waiting.length;
    const scoredUpTo = state.samples > 0 ? state.newestAt : Number.NEGATIVE_INFINITY;
    const arrival = arrive(state.order, samples, entry.receivedAt, scoredUpTo, settings.order);
    totals.reordered += arrival.reordered;
    totals.hurried += arrival.hurried;
    scoreSamples(cached, arrival.ready, found);
    if (waitedBefore > 0 || state.order.waiting.length > 0) noteWaiting(cached, waitedBefore, found);
  }

  function scoreSamples(cached: Cached, samples: readonly OrderedSample[], found: Finding[]): void {
    const { ref, state } = cached;
    const lateBefore = state.late;
    let skipped = 0;
    for (const sample of samples) {
      const { identity, observedAt, position, signals } = sample;
      try {
        if (ruled.concerns(ref.tenant)) found.push(...ruled.take(cached, { ...sample, at: observedAt }));
        const outcome = judged.score(state, { ref, identity, observedAt, position, signals });
        totals.samples++;
        totals.values += outcome.values;
        found.push(...outcome.findings);
      } catch (error) {
        if (skipped++ === 0) skip(ref, position, error);
      }
    }
    totals.late += state.late - lateBefore;
  }

  /** What devices say beside samples, for their rules. */
  async function takeReport(entry: LoggedEntry, found: Finding[]): Promise<void> {
    const cached = await load(entry, found);
    cached.dirty = true;
    try {
      const { firmware, input } = reportOf(entry);
      if (firmware !== undefined) cached.state.firmware = firmware;
      const { order } = cached.state;
      const before = order?.waiting.length ?? 0;
      // What has waited long enough comes first, or it would depend on when somebody looked.
      if (order && before > 0) scoreSamples(cached, takeDue(order, entry.receivedAt), found);
      if (input) found.push(...ruled.take(cached, input));
      if (before > 0) noteWaiting(cached, before, found);
    } catch (error) {
      skip(entry, entry.position, error);
    }
  }

  /** Lets time pass for devices of which nothing comes, as far as their rules wait for it; at most so many as are due at once. */
  async function passRuleTime(now: number, slackMs: number, found: Finding[]): Promise<number> {
    const due = ruled.takeDue(now);
    for (const ref of due) {
      const cached = await loadKnown(ref);
      if (!cached) {
        ruled.forget(ref);
        continue;
      }
      cached.dirty = true;
      unsavedSweep = true;
      const { order } = cached.state;
      const before = order?.waiting.length ?? 0;
      if (order && before > 0) {
        scoreSamples(cached, takeDue(order, now, slackMs), found);
        noteWaiting(cached, before, found);
      }
      // Where samples still wait for stragglers nobody is silent.
      if ((cached.state.order?.waiting.length ?? 0) === 0) found.push(...ruled.letTimePass(cached, now));
    }
    return due.length;
  }

  /** Holds for what stands behind it in the log: see docs/registry.md, and docs/alerts.md for those about one device. */
  async function takeOrder(entry: LoggedEntry, found: Finding[]): Promise<void> {
    // What rules had to say before it is said under the rules of before.
    while ((await passRuleTime(entry.receivedAt, 0, found)) > 0);
    const taken = readOrder(entry);
    if (!taken) return;
    if (taken.kind === 'taken') totals.orders++;
    metrics.count('presage_analytics_orders_total', 'Orders of the desk, by what became of them', { kind: taken.kind });
    logger.info({ position: entry.position, tenant: entry.tenant, outcome: taken.kind }, 'an order of the desk');
    const { order } = taken;
    if (order?.kind === 'rule') ruled.takeOrder(order, entry.position, entry.receivedAt);
    if (taken.kind !== 'taken' || !order || !isOurs(entry)) return;
    if (order.kind === 'acceptAsNormal' || order.kind === 'decommission') await orderDevice(entry, order, found);
  }

  function readOrder(entry: LoggedEntry): OrderTaken | undefined {
    try {
      return judged.takeOrder(entry);
    } catch (error) {
      skip(entry, entry.position, error);
      return undefined;
    }
  }

  async function orderDevice(entry: LoggedEntry, order: DeviceOrder, found: Finding[]): Promise<void> {
    const cached = await loadKnown({ tenant: entry.tenant, device: entry.device });
    if (!cached) return;
    cached.dirty = true;
    const own = cached.state.order;
    const waitedBefore = own?.waiting.length ?? 0;
    // What came before it and has waited long enough is judged without it.
    if (own) scoreSamples(cached, takeDue(own, entry.receivedAt), found);
    if (waitedBefore > 0) noteWaiting(cached, waitedBefore, found);
    found.push(...takeDeviceOrder(orderedDevice(cached, entry.position), order, entry.position));
    if (order.kind === 'decommission') watch.forget(cached.ref);
  }

  async function noteGoodbye(entry: LoggedEntry): Promise<void> {
    try {
      // Who comes is heard by what he sends.
      if (!goesOnPurpose(entry)) return;
      const cached = await loadKnown({ tenant: entry.tenant, device: entry.device });
      if (!cached) return;
      cached.dirty = true;
      watch.goodbye(cached, entry);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      skip(entry, entry.position, error);
    }
  }

  /** Devices that were due in the time of the log. True: there may be more. */
  async function findSilent(): Promise<boolean> {
    const found: Finding[] = [];
    let looked = 0;
    for (let ref = watch.nextDue(); ref !== undefined; ref = ++looked < SILENT_AT_ONCE ? watch.nextDue() : undefined) {
      const cached = await loadKnown(ref);
      const finding = cached && watch.fallSilent(cached);
      if (!finding) continue;
      cached.dirty = true;
      unsavedSweep = true;
      found.push(finding);
    }
    if (found.length > 0) await deps.findings.append(found);
    totals.findings += found.length;
    return looked >= SILENT_AT_ONCE;
  }

  /** Deterministic, so a replay skips it as well; one poisoned entry must not stop the fleet. One line a message. */
  function skip({ device }: DeviceRef, at: Position, error: unknown): void {
    totals.skipped++;
    metrics.count('presage_analytics_skipped_total', 'Messages that could not be scored whole');
    logger.error({ position: at, device, error: errorText(error) }, 'entry skipped');
  }

  /** Keeps count of what waits; when it is too much, this device's oldest samples wait no longer. */
  function noteWaiting(cached: Cached, before: number, found: Finding[]): void {
    const own = cached.state.order?.waiting ?? [];
    waitingSamples += own.length - before;
    const hurried = own.splice(0, Math.max(0, waitingSamples - settings.maxWaiting));
    waitingSamples -= hurried.length;
    totals.hurried += hurried.length;
    scoreSamples(cached, hurried, found);
    if (own.length > 0) waiting.set(clientIdOf(cached.ref), cached);
    else waiting.delete(clientIdOf(cached.ref));
  }

  /** A device that fell silent gets its last samples scored too. While the log is read, its time counts, not ours. */
  async function sweep(caughtUp: boolean): Promise<void> {
    const isDue = drains.length > 0 || Math.abs(clock.now() - sweptAt) >= SWEEP_EVERY_MS;
    if (!isDue) return;
    sweptAt = clock.now();
    const now = caughtUp ? sweptAt : logTime;
    const found: Finding[] = [];
    for (const cached of [...waiting.values()]) {
      const { order } = cached.state;
      const before = order?.waiting.length ?? 0;
      const due = order ? takeDue(order, now, LOGGED_WITHIN_MS) : [];
      if (due.length === 0) continue;
      cached.dirty = true;
      unsavedSweep = true;
      scoreSamples(cached, due, found);
      noteWaiting(cached, before, found);
    }
    await passRuleTime(now, LOGGED_WITHIN_MS, found);
    if (found.length > 0) await deps.findings.append(found);
    totals.findings += found.length;
  }

  async function takeBatch(): Promise<boolean> {
    const startedAt = clock.now();
    const batch = await deps.log.read(position, { maxEntries: settings.batchEntries });
    if (batch.next <= position) return false;
    const found: Finding[] = [];
    for (const entry of batch.entries) {
      watch.pass(entry);
      ruled.pass(entry.receivedAt);
      // Orders are for whoever scores, whatever partitions he has.
      if (entry.kind === 'order') await takeOrder(entry, found);
      else if (isOurs(entry)) await takeEntry(entry, found);
    }
    if (found.length > 0) await deps.findings.append(found);
    totals.findings += found.length;
    position = batch.next;
    entriesSinceSave += batch.entries.length;
    totals.busyMs += clock.now() - startedAt;
    if (clock.now() - reportedAt >= REPORT_EVERY_MS) report();
    return true;
  }

  async function takeEntry(entry: LoggedEntry, found: Finding[]): Promise<void> {
    if (entry.kind === 'telemetry') await scoreEntry(entry, found);
    else if (entry.kind === 'state') await noteGoodbye(entry);
    else if (entry.kind === 'event' || entry.kind === 'birth') {
      if (ruled.concerns(entry.tenant)) await takeReport(entry, found);
    }
  }

  function isOurs(entry: LoggedEntry): boolean {
    return !settings.partitions || settings.partitions.has(partitionOf(entry));
  }

  function report(): void {
    reportedAt = clock.now();
    metrics.gauge('presage_analytics_lag', 'Bytes of the telemetry log not scored yet', lag());
    metrics.gauge('presage_analytics_values', 'Values scored since start', totals.values);
    metrics.gauge(
      'presage_analytics_late_samples',
      'Samples older than the newest scored one of their device, not scored',
      totals.late,
    );
    metrics.gauge('presage_analytics_waiting_samples', 'Samples that wait for stragglers', waitingSamples);
    metrics.gauge(
      'presage_analytics_reordered_samples',
      'Samples that came after a newer one of their device and were scored in their place',
      totals.reordered,
    );
    metrics.gauge(
      'presage_analytics_hurried_samples',
      'Samples scored before their time because too many waited',
      totals.hurried,
    );
    metrics.gauge('presage_analytics_findings', 'Findings since start', totals.findings);
    metrics.gauge('presage_analytics_devices', 'Devices whose state is in memory', devices.size);
    metrics.gauge('presage_analytics_watched_devices', 'Devices whose next message is waited for', watch.watched());
    metrics.gauge(
      'presage_analytics_unwatched_messages',
      'Messages of devices whose silence nobody will notice, because too many are waited for',
      watch.unwatched(),
    );
    const { shadowedDevices, shadowRefused, shadowFailures } = judged.stats();
    metrics.gauge('presage_analytics_shadowed_devices', 'States of versions beside the active one', shadowedDevices);
    metrics.gauge('presage_analytics_shadow_refused', 'Devices without room for a version beside', shadowRefused);
    metrics.gauge('presage_analytics_shadow_failures', 'Devices given up by a version beside', shadowFailures);
    reportRules(metrics, ruled.stats());
  }

  function lag(): number {
    return Math.max(0, deps.log.end() - position);
  }

  async function save(): Promise<void> {
    const changed = [...devices.values()].filter((cached) => cached.dirty);
    if (position !== savedPosition || unsavedSweep) {
      const states: DeviceCheckpoint[] = changed.map(({ ref, state }) => ({ ...ref, state: packDevice(state) }));
      const listed = waiting.size > 0;
      if (listed || waitingListSaved) states.push({ ...WAITING_LIST, state: waitingList() });
      const book = judged.unsaved();
      if (book) states.push({ ...ORDER_BOOK, state: book });
      states.push(...watch.changed());
      states.push(...ruled.unsaved());
      await deps.checkpoints.save(states, position);
      judged.saved();
      watch.saved();
      ruled.saved();
      for (const cached of changed) cached.dirty = false;
      waitingListSaved = listed;
      unsavedSweep = false;
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

  /** Everything is saved when this is called, so any state may be dropped that nothing waits in. */
  function evict(): void {
    for (const key of devices.keys()) {
      if (devices.size - waiting.size <= settings.maxDevices) return;
      if (!waiting.has(key)) devices.delete(key);
    }
  }

  /** Tells the next start whose samples wait: such a device may never be heard of again. */
  function waitingList(): WaitingList {
    return { devices: [...waiting.values()].map(({ ref }) => [ref.tenant, ref.device]) };
  }

  async function loadWaiting(): Promise<void> {
    waiting.clear();
    waitingSamples = 0;
    const list = (await deps.checkpoints.load(WAITING_LIST)) as WaitingList | undefined;
    waitingListSaved = list !== undefined && list.devices.length > 0;
    for (const [tenant, device] of list?.devices ?? []) {
      const ref = { tenant, device };
      const stored = await deps.checkpoints.load(ref);
      const state = reviveDevice(stored);
      if (!state?.order || state.order.waiting.length === 0) continue;
      const cached: Cached = { ref, state, dirty: false };
      devices.set(clientIdOf(ref), cached);
      waiting.set(clientIdOf(ref), cached);
      waitingSamples += state.order.waiting.length;
    }
  }

  function saveIsDue(): boolean {
    if (position === savedPosition && drains.length === 0 && !unsavedSweep) return false;
    return (
      entriesSinceSave >= settings.saveEveryEntries ||
      devices.size - waiting.size > settings.maxDevices ||
      clock.now() - savedAt >= settings.saveEveryMs
    );
  }

  async function step(): Promise<void> {
    const more = await takeBatch();
    const caughtUp = !more;
    await sweep(caughtUp);
    const moreSilent = await findSilent();
    const isIdle = caughtUp && !moreSilent;
    if (saveIsDue() || (isIdle && drains.length > 0)) await save();
    failures = 0;
    if (isIdle) await pause(settings.pollMs);
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
    judged.resume(await deps.checkpoints.load(ORDER_BOOK));
    await ruled.resume(deps.checkpoints, clock.now());
    await watch.load(deps.checkpoints);
    await loadWaiting();
    unsavedSweep = false;
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
      reorderedSamples: totals.reordered,
      hurriedSamples: totals.hurried,
      waitingSamples,
      findings: totals.findings,
      devicesInMemory: devices.size,
      skippedEntries: totals.skipped,
      orders: totals.orders,
      ...shadowStats(judged.stats()),
      watchedDevices: watch.watched(),
    }),
  };
}

/** @throws SyntaxError and the like when the body is not what ingest writes */
function messageOf(entry: LoggedEntry): { readonly samples: readonly OrderedSample[]; readonly backfill: boolean } {
  const { identity, samples, backfill } = decodeTelemetryEntry(entry);
  const { boot, seq } = identity;
  const { receivedAt, position } = entry;
  const ordered = samples.map(({ index, observedAt, signals }) => ({
    identity: `${boot}:${seq}:${index}`,
    seq,
    index,
    observedAt,
    receivedAt,
    position,
    signals,
  }));
  return { samples: ordered, backfill };
}

function shadowStats({ shadowedDevices, shadowRefused }: { shadowedDevices: number; shadowRefused: number }) {
  return { shadowedDevices, shadowRefused };
}
