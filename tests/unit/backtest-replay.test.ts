import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { createAnalytics } from '../../analytics/create-analytics.ts';
import { replayDevice } from '../../analytics/evaluate/replay-device.ts';
import { shippedEnsemble } from '../../analytics/registry/ensemble.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { parsePolicy } from '../../api/desk/policy.ts';
import { type AccountRules, accountOf, costTable, type KnownOutcome } from '../../app/backtest/desk-account.ts';
import { missingRows } from '../../app/backtest/missing-rows.ts';
import { DEFAULT_MAX_ROWS, type ReplaySettings, replayFleet } from '../../app/backtest/replay-fleet.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import type { RegistryEntry } from '../../contract/http/registry.ts';
import { gaussian, type Random, seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS, SECOND_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding, Finding } from '../../contract/ports/findings.ts';
import { type AssignOrder, orderEntry } from '../../contract/ports/orders.ts';
import type { StoredSample } from '../../contract/ports/telemetry-store.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import {
  MemoryCheckpoints,
  MemoryFindings,
  MemoryLog,
  NO_METRICS,
  QUIET_LOGGER,
} from '../support/analytics-harness.ts';
import { alertOf } from '../support/api-harness.ts';
import { refrigeratorStream } from '../support/refrigerator-stream.ts';

const TENANT = 'acme';
const shipped = shippedEnsemble();
const START = Date.UTC(2026, 0, 5);

interface Message {
  readonly device: string;
  readonly model: string;
  readonly seq: number;
  readonly receivedAt: number;
  readonly samples: readonly { readonly at: number; readonly signals: Signals }[];
}

/** Samples in messages of random sizes; some messages are overtaken by later ones, by seconds or by hours. */
function messagesOf(
  device: string,
  model: string,
  samples: readonly { at: number; signals: Signals }[],
  random: Random,
): Message[] {
  const messages: Message[] = [];
  for (let i = 0, seq = 0; i < samples.length; seq++) {
    const size = 1 + Math.floor(random() * 6);
    const own = samples.slice(i, i + size);
    i += size;
    const delay = random() < 0.02 ? random() * HOUR_MS : random() < 0.1 ? random() * 40 * SECOND_MS : random() * 500;
    messages.push({ device, model, seq, receivedAt: Math.round((own.at(-1)?.at ?? 0) + delay), samples: own });
  }
  return messages;
}

/** A test rig that no catalogue describes: every five seconds, and from two thirds on one signal no longer fits. */
function* rig(random: Random, samples: number) {
  for (let i = 0; i < samples; i++) {
    const load = Math.sin(i / 40) + 0.1 * gaussian(random);
    const torn = i > (2 * samples) / 3 ? 4 : 0;
    yield {
      at: START + i * 5 * SECOND_MS,
      signals: { load, heat: 2 * load + torn + 0.1 * gaussian(random), flow: 0.5 * load + 0.1 * gaussian(random) },
    };
  }
}

const wear = (day: number): number => Math.max(0, Math.min(1.2, (day - 4) / 6));

function fleetOf(seed: number): Message[] {
  const random = seededRandom(seed);
  const fridge = [...refrigeratorStream({ seed, days: 8, startAt: START, fanWear: wear })];
  return [
    ...messagesOf('fridge-1', 'refrigerator', fridge, random),
    ...messagesOf('rig-1', 'rig', [...rig(random, 2_500)], random),
  ].sort((a, b) => a.receivedAt - b.receivedAt || (a.device < b.device ? -1 : 1) || a.seq - b.seq);
}

function logOf(messages: readonly Message[], orderAt: number, given: AssignOrder): MemoryLog {
  const log = new MemoryLog();
  messages.forEach(({ device, model, seq, receivedAt, samples }, i) => {
    if (i === orderAt) log.entries.push({ ...orderEntry(given, receivedAt), position: log.end() + 1 });
    const t = samples[0]?.at ?? 0;
    const body = { boot: 'boot1', seq, t, s: samples.map(({ at, signals }) => [at - t, signals]) };
    log.appendBody({ tenant: TENANT, device }, model, receivedAt, JSON.stringify(body));
  });
  return log;
}

/** As the store gives them back: by device time. */
function rowsOf(messages: readonly Message[], device: string): StoredSample[] {
  return messages
    .filter((one) => one.device === device)
    .flatMap(({ seq, receivedAt, samples }) =>
      samples.map(({ at, signals }, index) => ({
        ...{ tenant: TENANT, device, boot: 'boot1', seq, index, receivedAt, signals },
        observedAt: at,
      })),
    )
    .sort((a, b) => a.observedAt - b.observedAt || a.seq - b.seq || a.index - b.index);
}

/** The service over the log, killed at each cut, at most so many entries at a time. */
async function stream(log: MemoryLog, cuts: readonly number[], batchEntries: number): Promise<readonly Finding[]> {
  const checkpoints = new MemoryCheckpoints();
  const findings = new MemoryFindings();
  for (const cut of [...cuts.map((share) => Math.floor(share * log.entries.length)).sort((a, b) => a - b), -1]) {
    const part = new MemoryLog();
    part.entries.push(...log.entries.slice(0, cut < 0 ? undefined : cut));
    // The clock of the server when it read that far; at last long enough after it that nothing waits any more.
    const now = (part.entries.at(-1)?.receivedAt ?? 0) + (cut < 0 ? HOUR_MS : 0);
    const analytics = createAnalytics(
      {
        ...{ log: part, checkpoints, findings, findModel },
        prognosersFor: () => [],
        clock: { now: () => now },
        logger: QUIET_LOGGER,
        metrics: NO_METRICS,
      },
      // Silence is no matter of a version: stored samples do not say when nobody listened.
      { pollMs: 1, batchEntries, saveEveryEntries: 150, maxDevices: 1, policy: { ...DEFAULT_POLICY, missedBeats: 0 } },
    );
    await analytics.start();
    await analytics.drain();
    await analytics.stop();
  }
  return findings.unique();
}

interface Told {
  readonly id: string;
  readonly onset: number;
  readonly at: number;
  readonly severity: string;
  readonly kind: string;
}
const told = (findings: readonly Finding[]): Told[] =>
  findings
    .filter((one): one is AlertFinding => one.kind.startsWith('alert'))
    .map(({ id, episode, onset, at, severity, kind, faultKey }) => ({
      id,
      episode,
      onset,
      at,
      severity,
      kind,
      faultKey,
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));

describe('streaming and replay', () => {
  it('agree alert by alert, with random batches, restarts, messages out of order and versions beside', async () => {
    const strict = { ...shipped, version: 'strict', parameters: { ...shipped.parameters, onSamples: 9 } };
    let alerts = 0;
    const facts = fc.record({
      seed: fc.integer({ min: 1, max: 1_000 }),
      cuts: fc.array(fc.double({ min: 0.05, max: 0.95, noNaN: true }), { maxLength: 4 }),
      batchEntries: fc.integer({ min: 1, max: 400 }),
      orderAt: fc.integer({ min: 0, max: 900 }),
    });
    await fc.assert(
      fc.asyncProperty(facts, async ({ seed, cuts, batchEntries, orderAt }) => {
        const messages = fleetOf(seed);
        const given: AssignOrder = {
          ...{ kind: 'assign', id: '00000000-0000-4000-8000-000000000001', tenant: TENANT, at: 0, actor: 'anna' },
          ...{ what: 'ensemble', model: seed % 2 === 0 ? 'refrigerator' : '*', active: shipped, shadows: [strict] },
        };
        const streamed = told(await stream(logOf(messages, orderAt, given), cuts, batchEntries));
        const scorer = createDeviceScorer({ findModel, prognosersFor: () => [], policy: DEFAULT_POLICY });
        const replayed = ['fridge-1', 'rig-1'].flatMap((device) => {
          const rows = rowsOf(messages, device);
          const model = device === 'rig-1' ? 'rig' : 'refrigerator';
          const done = replayDevice({
            ref: { tenant: TENANT, device },
            model,
            rows,
            versions: [{ by: shipped, scorer }],
          });
          expect(done.late).toBeGreaterThan(0);
          return told(done.versions[0]?.findings ?? []);
        });
        expect(streamed).toEqual(replayed.sort((a, b) => (a.id < b.id ? -1 : 1)));
        alerts += streamed.filter((one) => one.kind === 'alertRaised').length;
      }),
      { numRuns: 4, seed: 20_261_122, endOnFailure: true },
    );
    expect(alerts).toBeGreaterThan(6);
  }, 240_000);
});

const rules = (over: Partial<AccountRules> = {}): AccountRules => ({
  policy: parsePolicy({}),
  costs: costTable.parse({ visit: 100, falseVisit: 150, avoidedFailure: 700, missedFailure: 700 }),
  outcomes: [],
  from: 0,
  to: 1_000 * DAY_MS,
  ...over,
});
/** One episode of a device, with a confirmed alert raised on `day` and, where asked for, cleared. */
const episode = (id: string, day: number, over: Partial<AlertFinding> = {}, clearedDay?: number): AlertFinding[] => {
  const base = { episode: id, onset: day * DAY_MS, ...over };
  const at = (when: number, kind: AlertFinding['kind']) =>
    alertOf({ ...base, kind, at: when * DAY_MS, id: `${id} ${kind}` });
  return [at(day, 'alertRaised'), ...(clearedDay === undefined ? [] : [at(clearedDay, 'alertCleared')])];
};
const known = (result: KnownOutcome['result'], from: number, to: number): KnownOutcome => ({
  ...{ device: 'fridge-1', component: 'compressor', result, from: from * DAY_MS, to: to * DAY_MS },
});

describe('the account of a version', () => {
  it('opens tickets by the rule of the desk: one a component, later alerts attach, severity and confirmation decide', () => {
    const { alerts, tickets } = accountOf(
      [
        ...episode('a', 1),
        ...episode('b', 2, { faultKey: 'other' }),
        ...episode('c', 3, { component: 'fan', severity: 'minor' }),
        ...episode('d', 4, {
          device: 'fridge-2',
          confirmed: false,
          evidence: { ...alertOf().evidence, prediction: undefined },
        }),
      ],
      rules(),
    );
    expect(alerts).toHaveLength(4);
    expect(tickets).toMatchObject([
      { device: 'fridge-1', component: 'compressor', alerts: ['a', 'b'], outcome: 'unknown' },
    ]);
  });

  it('opens another ticket once all alerts of the one before have cleared', () => {
    const { tickets } = accountOf([...episode('a', 1, {}, 5), ...episode('b', 9)], rules());
    expect(tickets.map((one) => one.openedAt)).toEqual([1 * DAY_MS, 9 * DAY_MS]);
  });

  it('counts an episode once, however long it lasts and however often it speaks', () => {
    const updates = Array.from({ length: 50 }, (_, i) =>
      alertOf({ episode: 'a', kind: 'alertUpdated', at: (2 + i) * DAY_MS, id: `u${i}` }),
    );
    const { alerts, tickets } = accountOf([...episode('a', 1), ...updates], rules());
    expect([alerts.length, tickets.length]).toEqual([1, 1]);
  });

  it('leaves unknown what nobody knows, and says what it may cost at best and at worst', () => {
    const { tickets, costs } = accountOf(episode('a', 1, {}, 5), rules());
    expect(tickets.map((one) => one.outcome)).toEqual(['unknown']);
    expect(costs).toEqual({ currency: 'EUR', known: 0, atBest: -600, atWorst: 150 });
  });

  it('counts right and wrong tickets and missed faults where an outcome is known', () => {
    const findings = [...episode('a', 1, {}, 5), ...episode('b', 20, {}, 25), ...episode('c', 40, {}, 41)];
    const outcomes = [known('fault', 4, 6), known('noFault', 20, 30), known('fault', 60, 61)];
    const { tickets, missed, costs } = accountOf(findings, rules({ outcomes }));
    expect(tickets.map((one) => one.outcome)).toEqual(['fault', 'noFault', 'unknown']);
    expect(tickets.map((one) => one.delayMs)).toEqual([-3 * DAY_MS, undefined, undefined]);
    expect(missed).toEqual([known('fault', 60, 61)]);
    expect(costs.known).toBe(-600 + 150 + 700);
  });

  it('counts only what was raised within the range', () => {
    const findings = [...episode('a', 1, {}, 2), ...episode('b', 10, {}, 11), ...episode('c', 20)];
    const { alerts, tickets } = accountOf(findings, rules({ from: 5 * DAY_MS, to: 15 * DAY_MS }));
    expect([alerts.map((one) => one.id), tickets.length]).toEqual([['b'], 1]);
  });

  // Point-adjusted figures crown detectors that cry at random; whole episodes that cost something do not.
  it('does not reward a version that cries at random', () => {
    const random = seededRandom(7);
    const outcomes = [
      known('fault', 50, 52),
      ...Array.from({ length: 40 }, (_, i) => known('noFault', 100 + 10 * i, 109 + 10 * i)),
    ];
    const wild = Array.from({ length: 40 }, (_, i) =>
      episode(`w${i}`, 100 + 10 * i + random() * 8, {}, 109 + 10 * i),
    ).flat();
    const silent = accountOf([], rules({ outcomes }));
    const crying = accountOf([...episode('hit', 51, {}, 52), ...wild], rules({ outcomes }));
    expect(crying.tickets.filter((one) => one.outcome === 'noFault')).toHaveLength(40);
    expect(crying.costs.known).toBeGreaterThan(silent.costs.known);
    expect(silent.costs.known).toBe(700);
  });
});

describe('rows that are missing', () => {
  const row = (seq: number, minute: number): StoredSample => ({
    ...{ tenant: TENANT, device: 'd', boot: 'b', seq, index: 0, receivedAt: 0, signals: {} },
    observedAt: minute * 60_000,
  });

  it('are named by their sequence numbers and by the time in which a device was silent', () => {
    const rows = [row(1, 10), row(2, 11), row(5, 12), row(6, 300)];
    expect(missingRows('d', rows, { from: 0, to: 310 * 60_000 }, 60_000)).toEqual({
      messages: [{ device: 'd', boot: 'b', fromSeq: 3, toSeq: 4 }],
      silences: [{ device: 'd', from: 12 * 60_000, to: 300 * 60_000 }],
    });
  });
});

describe('a replay of a fleet', () => {
  const entry = (version: string, state: RegistryEntry['state'], onSamples: number): RegistryEntry => ({
    ...{ id: '00000000-0000-4000-8000-000000000000', scope: 'tenant', kind: 'ensemble', model: 'refrigerator' },
    ...{ name: 'ensemble', version, state, owner: 'anna', createdAt: 0, updatedAt: 0, revision: 1 },
    parts: shipped.parts,
    parameters: { ...shipped.parameters, onSamples, foreseenPredictions: onSamples > 3 ? 6 : 3 },
  });
  const days = 9;
  const settings = (over: Partial<ReplaySettings> = {}): ReplaySettings => ({
    ...rules({ from: START + 3 * DAY_MS, to: START + days * DAY_MS }),
    ...{ detector: 'slow', warmupMs: 3 * DAY_MS, fitted: new Map(), maxRows: DEFAULT_MAX_ROWS },
    ...over,
  });
  const source = () => {
    const messages = messagesOf(
      'fridge-1',
      'refrigerator',
      [...refrigeratorStream({ seed: 5, days, startAt: START, fanWear: wear })],
      seededRandom(1),
    );
    return {
      devices: [
        { tenant: TENANT, id: 'fridge-1', model: 'refrigerator' },
        { tenant: TENANT, id: 'fridge-2', model: 'refrigerator' },
        { tenant: TENANT, id: 'jet-1', model: 'turbofan' },
      ],
      versions: [entry('fast', 'active', 3), entry('slow', 'shadow', 60)],
      async *rows({ id }: { id: string }, from: number, to: number) {
        for (const row of rowsOf(messages, 'fridge-1')) {
          if (id === 'fridge-1' && row.seq !== 40 && row.observedAt >= from && row.observedAt < to) yield row;
        }
      },
    };
  };

  it('sets a version against the active one on the same rows, and names what was not there', async () => {
    const report = await replayFleet(source(), settings());
    expect(report).toMatchObject({ devices: 2, deviceDays: 6, leftOut: ['jet-1'], devicesWithoutRows: ['fridge-2'] });
    expect(report.missing.messages).toEqual([{ device: 'fridge-1', boot: 'boot1', fromSeq: 40, toSeq: 40 }]);
    const [slow, fast] = [report.candidate.alerts[0], report.active.alerts[0]];
    expect(slow?.ensemble?.version).toBe('slow');
    expect(fast?.ensemble?.version).toBe('fast');
    expect(slow?.raisedAt).toBeGreaterThan(fast?.raisedAt ?? 0);
    expect(report.agreement.both).toBeGreaterThan(0);
    expect(report.active.alertsPer1000DeviceDays).toBeCloseTo((1_000 * report.active.alerts.length) / 6, 9);
  });

  it('gives the same answer every time', async () => {
    const both = [await replayFleet(source(), settings()), await replayFleet(source(), settings())];
    expect(JSON.stringify(both[0])).toBe(JSON.stringify(both[1]));
  });

  it('leaves a rate undefined where nothing was judged', async () => {
    const report = await replayFleet({ ...source(), devices: [] }, settings());
    expect(report.candidate.alertsPer1000DeviceDays).toBeUndefined();
    expect(report.agreement.share).toBeUndefined();
  });

  it('names the versions there are when it is asked for another one, and refuses to hold too many rows', async () => {
    await expect(replayFleet(source(), settings({ detector: 'x' }))).rejects.toThrow(/the registry has fast, slow/);
    await expect(replayFleet(source(), settings({ maxRows: 100 }))).rejects.toThrow(/more than 100 samples/);
  });
});
