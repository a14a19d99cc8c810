import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type Analytics, type AnalyticsOptions, createAnalytics } from '../../analytics/create-analytics.ts';
import {
  type Arrival,
  arrive,
  DEFAULT_ORDER,
  initOrder,
  type OrderedSample,
  type OrderLimits,
  type OrderState,
  takeDue,
} from '../../analytics/event-order.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { type Random, seededRandom } from '../../contract/kernel/random.ts';
import type { DeviceCheckpoint } from '../../contract/ports/analytics.ts';
import type { Finding } from '../../contract/ports/findings.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import {
  countdownPrognoser,
  MemoryCheckpoints,
  MemoryFindings,
  MemoryLog,
  NO_METRICS,
  QUIET_LOGGER,
} from '../support/analytics-harness.ts';
import { refrigeratorStream } from '../support/refrigerator-stream.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const held = (seq: number, observedAt: number, receivedAt: number): OrderedSample => ({
  identity: `b:${seq}:0`,
  seq,
  index: 0,
  observedAt,
  receivedAt,
  position: seq,
  signals: {},
});

/** One device's order under test: takes one sample at a time and remembers how far scoring has come. */
class Line {
  readonly limits: OrderLimits;
  state: OrderState;
  scored: number[] = [];
  late = 0;

  constructor(limits: Partial<OrderLimits> = {}) {
    this.limits = { ...DEFAULT_ORDER, ...limits };
    this.state = initOrder(this.limits, 0);
  }

  send(observedAt: number, receivedAt: number, seq = 0): Arrival {
    // Plain JSON survives between any two messages.
    this.state = JSON.parse(JSON.stringify(this.state)) as OrderState;
    const upTo = this.scored.at(-1) ?? Number.NEGATIVE_INFINITY;
    const arrival = arrive(this.state, [held(seq, observedAt, receivedAt)], receivedAt, upTo, this.limits);
    this.take(arrival.ready);
    return arrival;
  }

  take(samples: readonly OrderedSample[]): void {
    for (const { observedAt } of samples) {
      if (observedAt < (this.scored.at(-1) ?? Number.NEGATIVE_INFINITY)) this.late++;
      else this.scored.push(observedAt);
    }
  }
}

describe('the order of one device', () => {
  it('lets samples that come in order pass at once', () => {
    const line = new Line();
    for (let t = 0; t < 100; t++) expect(line.send(t * SECOND, t * SECOND + 50).ready).toHaveLength(1);
    expect(line.state.waiting).toEqual([]);
  });

  it('gives up the first straggler and waits for the next ones', () => {
    const line = new Line();
    line.send(1 * MINUTE, 1 * MINUTE);
    line.send(3 * MINUTE, 3 * MINUTE);
    line.send(2 * MINUTE, 3 * MINUTE + 4 * SECOND);
    expect(line.late).toBe(1);
    expect(line.state.boundMs).toBe(6 * SECOND);
    line.send(5 * MINUTE, 5 * MINUTE);
    expect(line.send(4 * MINUTE, 5 * MINUTE + 5 * SECOND)).toMatchObject({ ready: [], reordered: 1 });
    line.send(6 * MINUTE, 6 * MINUTE);
    expect(line.scored.map((at) => at / MINUTE)).toEqual([1, 3, 4, 5]);
    expect(line.late).toBe(1);
  });

  it('learns nothing from old data after an outage', () => {
    const line = new Line();
    for (let t = 0; t < 60; t++) line.send(10 * HOUR + t * SECOND, 10 * HOUR + t * SECOND);
    for (let t = 0; t < 60; t++) {
      line.send(10 * HOUR + (60 + t) * SECOND, 10 * HOUR + (60 + t) * SECOND);
      line.send(5 * HOUR + t * MINUTE, 10 * HOUR + (60 + t) * SECOND + 100);
    }
    expect(line.late).toBe(60);
    expect(line.state.boundMs).toBe(0);
    // Out of quarantine, with the receive time of then.
    line.send(3 * HOUR, 3 * HOUR);
    expect(line.state.boundMs).toBe(0);
  });

  it('takes back a bound that nobody needs any more', () => {
    const line = new Line({ calmMs: 6 * HOUR });
    line.send(10 * MINUTE, 10 * MINUTE);
    line.send(5 * MINUTE, 10 * MINUTE + 20 * SECOND);
    const bounds: number[] = [];
    for (let h = 1; h <= 48; h++) {
      line.send(h * HOUR, h * HOUR);
      if (bounds.at(-1) !== line.state.boundMs) bounds.push(line.state.boundMs);
    }
    expect(bounds).toEqual([30_000, 15_000, 7_500, 3_750, 1_875, 0]);
    expect(line.state.waiting).toEqual([]);
    expect(line.scored).toHaveLength(49);
  });

  it('never waits longer than the longest bound nor holds more than it may', () => {
    const line = new Line({ minBoundMs: MINUTE, maxWaiting: 10 });
    let hurried = 0;
    for (let t = 0; t < 50; t++) hurried += line.send(t * SECOND, t * SECOND).hurried;
    expect(hurried).toBe(40);
    expect(line.state.waiting).toHaveLength(10);
    expect(line.scored).toEqual(Array.from({ length: 40 }, (_, t) => t * SECOND));
  });

  it('ends the wait when the server clock was set back', () => {
    const line = new Line({ minBoundMs: MINUTE });
    line.send(10 * HOUR, 10 * HOUR);
    expect(line.send(10 * HOUR + SECOND, 9 * HOUR).ready).toHaveLength(1);
  });

  it('orders equal device times by sequence number whatever came first', () => {
    const line = new Line({ minBoundMs: MINUTE });
    for (const seq of [3, 1, 2]) line.send(5 * SECOND, 5 * SECOND + seq, seq);
    expect(takeDue(line.state, HOUR).map((one) => one.seq)).toEqual([1, 2, 3]);
  });

  it('brings any order within the bound back to the order of the device, whenever it is asked', () => {
    const messages = fc.array(
      fc.record({ gapMs: fc.integer({ min: 0, max: 30_000 }), delayMs: fc.integer({ min: 0, max: 20_000 }) }),
      { minLength: 1, maxLength: 120 },
    );
    fc.assert(
      fc.property(messages, fc.boolean(), (list, swept) => {
        const line = new Line({ minBoundMs: 20_000, maxWaiting: 1_000 });
        let at = 1_000_000;
        const sent = list.map(({ gapMs, delayMs }, seq) => {
          at += gapMs;
          return { seq, at, arrivesAt: at + delayMs };
        });
        for (const one of [...sent].sort((a, b) => a.arrivesAt - b.arrivesAt)) {
          if (swept) line.take(takeDue(line.state, one.arrivesAt, 500));
          line.send(one.at, one.arrivesAt, one.seq);
        }
        line.take(takeDue(line.state, at + HOUR));
        expect(line.late).toBe(0);
        expect(line.scored).toEqual(sent.map((one) => one.at));
      }),
    );
  });
});

const BOUND = 20 * MINUTE;
const WAITS: OrderLimits = { ...DEFAULT_ORDER, minBoundMs: BOUND, maxBoundMs: BOUND };

interface Sent {
  readonly device: string;
  readonly seq: number;
  readonly at: number;
  readonly arrivesAt: number;
  readonly signals: Signals;
}

/** What two refrigerators send, each message on its way for a while; the fan of one wears. */
function sentBy(delayMs: () => number, days = 14): Sent[] {
  const wear = (day: number): number => Math.max(0, Math.min(1.2, (day - 8) / 5));
  return [0, 1].flatMap((d) =>
    [...refrigeratorStream({ seed: 70 + d, days, ...(d === 0 ? { fanWear: wear } : {}) })].map((sample, seq) => ({
      device: `fridge-${d}`,
      seq,
      at: sample.at,
      arrivesAt: sample.at + Math.floor(delayMs()),
      signals: sample.signals,
    })),
  );
}

function logOf(sent: readonly Sent[]): MemoryLog {
  const log = new MemoryLog();
  for (const one of [...sent].sort((a, b) => a.arrivesAt - b.arrivesAt || a.seq - b.seq)) {
    const body = { boot: 'boot1', seq: one.seq, t: one.at, s: [[0, one.signals]] };
    log.appendBody({ tenant: 'acme', device: one.device }, 'refrigerator', one.arrivesAt, JSON.stringify(body));
  }
  return log;
}

/** From a save on, nothing reaches the disk any more: the process was killed there and does not know. */
class KilledCheckpoints extends MemoryCheckpoints {
  lastSave = Number.POSITIVE_INFINITY;

  override save(changed: readonly DeviceCheckpoint[], position: Position): Promise<void> {
    if (this.saves >= this.lastSave) return Promise.resolve();
    return super.save(changed, position);
  }
}

class World {
  readonly checkpoints = new KilledCheckpoints();
  readonly findings = new MemoryFindings();
  log: MemoryLog;
  /** Server time after the newest message. */
  laterMs = 0;
  #running: Analytics | undefined;

  constructor(log: MemoryLog) {
    this.log = log;
  }

  async run(options: Partial<AnalyticsOptions> = {}): Promise<Analytics> {
    await this.stop();
    const analytics = createAnalytics(
      {
        log: this.log,
        checkpoints: this.checkpoints,
        findings: this.findings,
        findModel,
        prognosersFor: countdownPrognoser('evaporatorFanWear', 'evaporatorFan', 4_000, 100, 'h'),
        clock: { now: () => (this.log.entries.at(-1)?.receivedAt ?? 0) + this.laterMs },
        logger: QUIET_LOGGER,
        metrics: NO_METRICS,
      },
      { pollMs: 1, ...options },
    );
    this.#running = analytics;
    await analytics.start();
    await analytics.drain();
    return analytics;
  }

  async stop(): Promise<void> {
    await this.#running?.stop();
    this.#running = undefined;
  }

  found(): unknown[] {
    // The position is where a sample stands in the log: the one thing that the order of arrival may change.
    const withoutPosition = ({ position: _, ...rest }: Finding): object => rest;
    return [...this.findings.unique()].sort((a, b) => a.id.localeCompare(b.id)).map(withoutPosition);
  }
}

const worlds: World[] = [];
const world = (log: MemoryLog): World => {
  const made = new World(log);
  worlds.push(made);
  return made;
};
afterEach(async () => {
  for (const one of worlds.splice(0)) await one.stop();
});

async function inOrder(): Promise<unknown[]> {
  const sorted = world(logOf(sentBy(() => 0)));
  await sorted.run();
  expect(sorted.found().length).toBeGreaterThan(10);
  return sorted.found();
}

const delays = (random: Random) => (): number => random() * BOUND;

describe('analytics with samples out of order', () => {
  it('finds the same as in order, also when it is killed at any point', { timeout: 120_000 }, async () => {
    const expected = await inOrder();
    for (let seed = 1; seed <= 3; seed++) {
      const random = seededRandom(seed);
      const log = logOf(sentBy(delays(random)));
      const from = world(log);
      const options = { order: WAITS, saveEveryEntries: 150, batchEntries: 40 };
      for (let life = 0; life < 3; life++) {
        const read = Math.floor(((life + random()) / 3) * log.entries.length);
        from.log = new MemoryLog();
        from.log.entries.push(...log.entries.slice(0, read));
        from.checkpoints.lastSave = from.checkpoints.saves + Math.floor(random() * 20);
        await from.run(options);
        await from.stop();
      }
      from.log = log;
      from.laterMs = HOUR;
      from.checkpoints.lastSave = Number.POSITIVE_INFINITY;
      const analytics = await from.run(options);
      expect(analytics.stats()).toMatchObject({ lateSamples: 0, waitingSamples: 0 });
      expect(from.found(), `seed ${seed}`).toEqual(expected);
    }
  });

  it('learns how far a device is out of order and then loses nothing', async () => {
    const random = seededRandom(9);
    const delayMs = (): number => (random() < 0.05 ? 320 * SECOND : 0);
    const from = world(logOf(sentBy(delayMs, 3)));
    from.laterMs = HOUR;
    const { lateSamples, reorderedSamples } = (await from.run()).stats();
    // One straggler each shows the device's disorder.
    expect(lateSamples).toBe(2);
    expect(reorderedSamples).toBeGreaterThan(40);
    const states = [...from.checkpoints.states.values()].map((json) => JSON.parse(json));
    for (const { order } of states.filter((one) => one.order)) expect(order.boundMs).toBeLessThanOrEqual(60 * SECOND);
  });

  it('scores the last samples of a device that fell silent, also after a restart', async () => {
    const from = world(logOf(sentBy(() => 0, 1)));
    const before = await from.run({ order: WAITS });
    expect(before.stats().waitingSamples).toBeGreaterThan(0);
    const scored = before.stats().samples;
    await from.stop();
    // Nothing more is ever sent.
    from.laterMs = BOUND + 6 * SECOND;
    const after = await from.run({ order: WAITS });
    expect(after.stats().waitingSamples).toBe(0);
    expect(scored + after.stats().samples).toBe(from.log.entries.length);
    await from.stop();
    const once = await from.run({ order: WAITS });
    expect(once.stats()).toMatchObject({ samples: 0, waitingSamples: 0, devicesInMemory: 0 });
  });

  it('scores at once and in order what is too much to wait, and counts it', async () => {
    const from = world(logOf(sentBy(() => 0, 2)));
    const analytics = await from.run({ order: WAITS, maxWaiting: 3 });
    expect(analytics.stats().waitingSamples).toBe(3);
    expect(analytics.stats().hurriedSamples).toBeGreaterThan(1_000);
    expect(analytics.stats()).toMatchObject({ lateSamples: 0, samples: from.log.entries.length - 3 });
  });

  it('keeps devices with waiting samples in memory and drops the others', async () => {
    const expected = await inOrder();
    const from = world(logOf(sentBy(() => 0)));
    from.laterMs = HOUR;
    const analytics = await from.run({ order: WAITS, maxDevices: 0, saveEveryEntries: 300 });
    expect(analytics.stats().devicesInMemory).toBe(0);
    expect(from.found()).toEqual(expected);
  });

  it('scores what waits before a device becomes another model', async () => {
    const from = world(logOf(sentBy(() => 0, 1).filter((one) => one.device === 'fridge-0')));
    const ref = { tenant: 'acme', device: 'fridge-0' };
    const last = from.log.entries.at(-1)?.receivedAt ?? 0;
    const fridgeSamples = from.log.entries.length;
    from.log.append(ref, 'mystery', 9_999, last + SECOND, { a: 1 });
    const analytics = await from.run({ order: WAITS });
    expect(analytics.stats()).toMatchObject({ samples: fridgeSamples, waitingSamples: 1, lateSamples: 0 });
  });
});
