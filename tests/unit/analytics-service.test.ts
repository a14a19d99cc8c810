import { afterEach, describe, expect, it } from 'vitest';
import { type Analytics, type AnalyticsOptions, createAnalytics } from '../../analytics/create-analytics.ts';
import { reviveDevice } from '../../analytics/device-state.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { partitionOf } from '../../contract/kernel/ids.ts';
import type { AlertFinding, Finding } from '../../contract/ports/findings.ts';
import {
  countdownPrognoser,
  MemoryCheckpoints,
  MemoryFindings,
  MemoryLog,
  NO_METRICS,
  QUIET_LOGGER,
} from '../support/analytics-harness.ts';
import { refrigeratorStream } from '../support/refrigerator-stream.ts';

const wear = (day: number): number => Math.max(0, Math.min(1.2, (day - 8) / 8));
const DAYS = 14;

/** Devices of one fleet in the order in which their messages would arrive: by time, device after device. */
function fleetLog(devices: number, days = DAYS): MemoryLog {
  const log = new MemoryLog();
  const streams = Array.from({ length: devices }, (_, d) => [
    ...refrigeratorStream({ seed: 70 + d, days, ...(d === 0 ? { fanWear: wear } : {}) }),
  ]);
  for (let i = 0; i < (streams[0]?.length ?? 0); i++) {
    streams.forEach((samples, d) => {
      const sample = samples[i];
      if (sample) log.append({ tenant: 'acme', device: `fridge-${d}` }, 'refrigerator', i, sample.at, sample.signals);
    });
  }
  return log;
}

interface World {
  readonly log: MemoryLog;
  readonly checkpoints: MemoryCheckpoints;
  readonly findings: MemoryFindings;
}

const running: Analytics[] = [];
afterEach(async () => {
  for (const analytics of running.splice(0)) await analytics.stop();
});

const world = (log: MemoryLog): World => ({
  log,
  checkpoints: new MemoryCheckpoints(),
  findings: new MemoryFindings(),
});

function analyticsOf(from: World, options: Partial<AnalyticsOptions> = {}): Analytics {
  const analytics = createAnalytics(
    {
      ...from,
      findModel,
      prognosersFor: countdownPrognoser('evaporatorFanWear', 'evaporatorFan', 4_000, 100, 'h'),
      clock: { now: () => performance.now() },
      logger: QUIET_LOGGER,
      metrics: NO_METRICS,
    },
    { pollMs: 5, ...options },
  );
  running.push(analytics);
  return analytics;
}

async function scoreAll(from: World, options: Partial<AnalyticsOptions> = {}): Promise<readonly Finding[]> {
  const analytics = analyticsOf(from, options);
  await analytics.start();
  await analytics.drain();
  await analytics.stop();
  return from.findings.unique();
}

const byId = (findings: readonly Finding[]): Finding[] => [...findings].sort((a, b) => a.id.localeCompare(b.id));

describe('analytics as a service', () => {
  it('scores the whole log, hands on findings and saves its states with the position', async () => {
    const from = world(fleetLog(3));
    const findings = await scoreAll(from);
    const raised = findings.filter((one): one is AlertFinding => one.kind === 'alertRaised');
    // The countdown warns of every device; the detectors only of the one that wears.
    const detected = raised.filter((one) => one.evidence.detector.name !== 'countdown');
    expect(detected.map((one) => one.device)).toEqual(['fridge-0']);
    expect(raised.map((one) => one.device).sort()).toEqual(['fridge-0', 'fridge-1', 'fridge-2']);
    expect(from.checkpoints.saved).toBe(from.log.end());
    // Beside what analytics was ordered, when it listened, and whom it waits for.
    expect([...from.checkpoints.states.keys()].filter((key) => !key.startsWith('*.'))).toHaveLength(3);
  });

  it('gives the same findings with few devices in memory and frequent saves', async () => {
    const log = fleetLog(4);
    const usual = await scoreAll(world(log));
    const cramped = world(log);
    const options = { maxDevices: 1, batchEntries: 7, saveEveryEntries: 20 };
    const analytics = analyticsOf(cramped, options);
    await analytics.start();
    await analytics.drain();
    expect(analytics.stats().devicesInMemory).toBeLessThanOrEqual(1);
    expect(byId(cramped.findings.unique())).toEqual(byId(usual));
  });

  it('is restarted at any save and finds the same, each with the same id', async () => {
    const log = fleetLog(2);
    const whole = byId(await scoreAll(world(log)));
    for (const cut of [0.3, 0.61, 0.87]) {
      const from = world(log);
      // The first life sees only a part of the log and stops; the second goes on from its save.
      const part = new MemoryLog();
      part.entries.push(...log.entries.slice(0, Math.floor(cut * log.entries.length)));
      await scoreAll({ ...from, log: part });
      expect(byId(await scoreAll(from)), `cut at ${cut}`).toEqual(whole);
    }
  });

  it('goes back to its last save when findings or states cannot be stored, and repeats nothing under another id', async () => {
    const log = fleetLog(2);
    const whole = byId(await scoreAll(world(log)));
    const from = world(log);
    from.findings.failures = 2;
    from.checkpoints.failures = 2;
    expect(byId(await scoreAll(from, { saveEveryEntries: 300, batchEntries: 100 }))).toEqual(whole);
  });

  it('repeats findings that were durable before a crash under the same ids', async () => {
    const log = fleetLog(1);
    const from = world(log);
    await scoreAll(from);
    const once = from.findings.appended.length;
    // Crash after the findings were appended and before anything was saved.
    await scoreAll({ ...from, checkpoints: new MemoryCheckpoints() });
    expect(from.findings.appended.length).toBe(2 * once);
    expect(from.findings.unique().length).toBe(once);
  });

  it('skips an entry that it cannot score and goes on', async () => {
    const from = world(fleetLog(1));
    from.log.appendBody({ tenant: 'acme', device: 'fridge-0' }, 'refrigerator', 0, '{"broken":');
    const analytics = analyticsOf(from);
    await analytics.start();
    await analytics.drain();
    expect(analytics.stats()).toMatchObject({ skippedEntries: 1, lag: 0 });
  });

  it('starts a device anew when it became another model', async () => {
    const from = world(new MemoryLog());
    const ref = { tenant: 'acme', device: 'thing' };
    for (let i = 0; i < 50; i++) from.log.append(ref, 'mystery', i, 1_767_571_200_000 + i * 300_000, { a: i % 3 });
    await scoreAll(from);
    from.log.append(ref, 'refrigerator', 50, 1_767_571_200_000 + 50 * 300_000, { freshFoodTempC: 4 });
    await scoreAll(from);
    expect(reviveDevice(JSON.parse(from.checkpoints.states.get('acme.thing') ?? '{}'))).toMatchObject({
      model: 'refrigerator',
      samples: 1,
    });
  });

  it('scores only its partitions', async () => {
    const from = world(fleetLog(4, 1));
    const mine = partitionOf({ tenant: 'acme', device: 'fridge-2' });
    await scoreAll(from, { partitions: new Set([mine]) });
    for (const key of from.checkpoints.states.keys()) {
      if (key.startsWith('*.')) continue;
      expect(partitionOf({ tenant: 'acme', device: key.slice('acme.'.length) })).toBe(mine);
    }
    expect(from.checkpoints.saved).toBe(from.log.end());
  });

  it('hears of new entries by wake and says how far it is', async () => {
    const from = world(new MemoryLog());
    const analytics = analyticsOf(from, { pollMs: 60_000 });
    await analytics.start();
    const log = fleetLog(1, 2);
    from.log.entries.push(...log.entries);
    expect(analytics.stats().lag).toBe(log.end());
    analytics.wake();
    await analytics.drain();
    expect(analytics.stats()).toMatchObject({ lag: 0, samples: log.entries.length, devicesInMemory: 1 });
    await analytics.stop();
    await analytics.stop();
  });

  it('counts samples that come after a newer one and scores the rest the same', async () => {
    const log = fleetLog(1);
    const whole = byId(await scoreAll(world(log)));
    const from = world(new MemoryLog());
    log.entries.forEach((entry, i) => {
      from.log.entries.push(entry);
      if (i % 100 !== 99) return;
      // Backfill of something old; positions only have to rise.
      const body = JSON.stringify({
        boot: 'old',
        seq: i,
        t: 1_767_571_200_000,
        s: [[0, { freezerTempC: 50 }]],
        hist: true,
      });
      const position = entry.position + 1;
      from.log.entries.push({ ...entry, position, body: new TextEncoder().encode(body) });
    });
    const analytics = analyticsOf(from);
    await analytics.start();
    await analytics.drain();
    expect(analytics.stats().lateSamples).toBe(Math.floor(log.entries.length / 100));
    expect(byId(from.findings.unique())).toEqual(whole);
  });
});
