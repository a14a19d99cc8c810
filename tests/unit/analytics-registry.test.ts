import { describe, expect, it } from 'vitest';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { type Analytics, type AnalyticsOptions, createAnalytics } from '../../analytics/create-analytics.ts';
import { ENSEMBLE_PARTS, runnableHere, shippedEnsemble } from '../../analytics/registry/ensemble.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import type { AlertFinding, Finding, ShadowFinding } from '../../contract/ports/findings.ts';
import { type AssignOrder, orderEntry } from '../../contract/ports/orders.ts';
import {
  type EnsembleParameters,
  ensembleParameters,
  exposureBook,
  ORDER_BOOK,
  type RunnableVersion,
} from '../../contract/ports/versions.ts';
import {
  MemoryCheckpoints,
  MemoryFindings,
  MemoryLog,
  NO_METRICS,
  QUIET_LOGGER,
} from '../support/analytics-harness.ts';
import { refrigeratorStream } from '../support/refrigerator-stream.ts';

const wear = (day: number): number => Math.max(0, Math.min(1.2, (day - 6) / 8));
const shipped = shippedEnsemble();

const versionOf = (version: string, change: Partial<EnsembleParameters> = {}): RunnableVersion => ({
  ...shipped,
  version,
  parameters: { ...shipped.parameters, ...change },
});
/** Raises four times as late. */
const slow = versionOf('slow', { onSamples: 40 });
const deaf = versionOf('deaf', { detectors: ['relations'] });

let orders = 0;
const assignment = (active: RunnableVersion, shadows: RunnableVersion[] = [], over: Partial<AssignOrder> = {}) => ({
  kind: 'assign' as const,
  id: `00000000-0000-4000-8000-${String(++orders).padStart(12, '0')}`,
  tenant: 'acme',
  at: 0,
  actor: 'anna',
  what: 'ensemble' as const,
  model: 'refrigerator',
  active,
  shadows,
  ...over,
});

/** Two worn refrigerators; `at` puts orders in front of the sample with that index of the first device. */
function worn(at: Record<number, AssignOrder> = {}, devices = 2, days = 12): MemoryLog {
  const log = new MemoryLog();
  const streams = Array.from({ length: devices }, (_, d) => [
    ...refrigeratorStream({ seed: 90 + d, days, fanWear: wear }),
  ]);
  for (let i = 0; i < (streams[0]?.length ?? 0); i++) {
    const ordered = at[i];
    if (ordered) log.entries.push({ ...orderEntry(ordered, i), position: log.end() + 1 });
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
const world = (log: MemoryLog): World => ({
  log,
  checkpoints: new MemoryCheckpoints(),
  findings: new MemoryFindings(),
});

function analyticsOf(from: World, options: Partial<AnalyticsOptions>): Analytics {
  return createAnalytics(
    {
      ...from,
      findModel,
      prognosersFor: () => [],
      clock: { now: () => performance.now() },
      logger: QUIET_LOGGER,
      metrics: NO_METRICS,
    },
    { pollMs: 5, ...options },
  );
}

async function run(from: World, options: Partial<AnalyticsOptions> = {}): Promise<readonly Finding[]> {
  const analytics = analyticsOf(from, options);
  await analytics.start();
  await analytics.drain();
  await analytics.stop();
  return from.findings.unique();
}

const byId = (findings: readonly Finding[]) => [...findings].sort((a, b) => a.id.localeCompare(b.id));
const raised = (findings: readonly Finding[]) =>
  findings.filter((one): one is AlertFinding => one.kind === 'alertRaised');
const shadows = (findings: readonly Finding[]) =>
  findings.filter((one): one is ShadowFinding => one.kind === 'shadowAlert');
const exposureOf = (from: World) =>
  Object.values(
    exposureBook.parse(JSON.parse(from.checkpoints.states.get(`${ORDER_BOOK.tenant}.${ORDER_BOOK.device}`) ?? ''))
      .exposure,
  );

describe('the ensemble as a version', () => {
  it('has parameters that the registry accepts, and a name that changes with them', () => {
    expect(ensembleParameters.parse(shipped.parameters)).toEqual(shipped.parameters);
    expect(shippedEnsemble({ ...DEFAULT_POLICY, onSamples: 4 }).version).not.toBe(shipped.version);
    expect(shippedEnsemble().version).toBe(shipped.version);
  });

  it('is never said to be by detectors that this build does not have', () => {
    const old: RunnableVersion = {
      ...versionOf('mine', { onSamples: 7, detectors: ['drift'] }),
      parts: [
        { name: 'drift', version: '0' },
        { name: 'seasonal-residual', version: '1' },
      ],
    };
    const here = runnableHere(old, shipped);
    expect(here.version).toMatch(/^mine~[0-9a-f]{8}$/);
    expect(here.parts).toEqual(ENSEMBLE_PARTS);
    // What was left out stays out; what did not exist then joins.
    expect(here.parameters.detectors).toEqual(['drift', 'relations']);
    expect(here.parameters.onSamples).toBe(7);
    expect(runnableHere(here, shipped)).toEqual(here);
  });
});

describe('versions in production', () => {
  it('are named in every alert, with the detector that spoke among their parts', async () => {
    const findings = raised(await run(world(worn())));
    expect(findings.length).toBeGreaterThan(0);
    for (const { evidence } of findings) {
      expect(evidence.ensemble).toEqual({ name: shipped.name, version: shipped.version });
      expect(ENSEMBLE_PARTS).toContainEqual(evidence.detector);
    }
  });

  it('take effect at their place in the log and nowhere else', async () => {
    const before = raised(await run(world(worn())));
    const index = 6 * 288;
    const log = worn({ [index]: assignment(slow) });
    const after = raised(await run(world(log)));
    expect(after.map((one) => one.evidence.ensemble?.version)).toEqual(after.map(() => 'slow'));
    const first = (found: readonly AlertFinding[]) =>
      found.find((one) => one.device === 'fridge-0' && one.faultKey === 'evaporatorFanWear');
    expect(first(after)?.at).toBeGreaterThan(first(before)?.at ?? 0);
  });

  it('can be rolled back in the log: an alert that is open goes on under the same id', async () => {
    const samples = 12 * 288;
    const plain = byId(raised(await run(world(worn()))));
    const log = worn({ [samples - 600]: assignment(slow), [samples - 300]: assignment(shipped) });
    expect(byId(raised(await run(world(log)))).map((one) => one.id)).toEqual(plain.map((one) => one.id));
  });

  it('are the same after restarts at any place, with shadows beside and orders twice in the log', async () => {
    const promote = assignment(slow, [], {});
    const log = worn({
      900: assignment(shipped, [slow, deaf]),
      1700: promote,
      1800: promote,
      2600: assignment(shipped, [slow]),
    });
    const whole = world(log);
    const expected = byId(await run(whole));
    expect(shadows(expected).length).toBeGreaterThan(0);
    for (const cut of [0.27, 0.5, 0.74]) {
      const from = world(log);
      const part = new MemoryLog();
      part.entries.push(...log.entries.slice(0, Math.floor(cut * log.entries.length)));
      await run({ ...from, log: part }, { batchEntries: 37, saveEveryEntries: 100, maxDevices: 1 });
      expect(byId(await run(from)), `cut at ${cut}`).toEqual(expected);
      expect(from.checkpoints.states.get('*.orders')).toEqual(whole.checkpoints.states.get('*.orders'));
    }
  });

  it('are told apart by tenant and model', async () => {
    const log = worn({
      10: assignment(deaf, [], { tenant: 'globex' }),
      11: assignment(deaf, [], { model: 'turbofan' }),
    });
    expect(byId(raised(await run(world(log))))).toEqual(
      byId(raised(await run(world(worn())))).map((one) => ({ ...one, position: expect.any(Number) })),
    );
  });
});

describe('a version beside the active one', () => {
  it('finds what it would have found, and changes nothing for the active one', async () => {
    const alone = raised(await run(world(worn())));
    const from = world(worn({ 1200: assignment(shipped, [slow, deaf]) }));
    const findings = await run(from);
    const stripped = raised(findings).map(({ evidence: { ensemble, ...evidence }, position: _, ...one }) => ({
      ...one,
      evidence,
    }));
    expect(byId(stripped as never)).toEqual(
      byId(
        alone.map(({ evidence: { ensemble, ...evidence }, position: _, ...one }) => ({ ...one, evidence })) as never,
      ),
    );
    const beside = shadows(findings);
    expect(new Set(beside.map((one) => one.by.version))).toEqual(new Set(['slow']));
    expect(raised(findings)[0]?.evidence.ensemble?.beside).toEqual([
      { name: 'ensemble', version: 'slow' },
      { name: 'ensemble', version: 'deaf' },
    ]);
  });

  it('is counted in device-days, like the active one', async () => {
    const from = world(worn({ [4 * 288]: assignment(shipped, [deaf]) }));
    await run(from);
    const seen = exposureOf(from);
    expect(seen.find((one) => one.role === 'active')).toMatchObject({ deviceDays: 24, version: shipped.version });
    expect(seen.find((one) => one.role === 'shadow')).toMatchObject({ deviceDays: 16, devices: 2, refusedDevices: 0 });
  });

  it('is refused where the budget is used up: counted, and the device is judged by the active one alone', async () => {
    const from = world(worn({ 100: assignment(shipped, [slow, deaf]) }));
    const analytics = analyticsOf(from, { maxShadowedDevices: 3 });
    await analytics.start();
    await analytics.drain();
    expect(analytics.stats()).toMatchObject({ shadowedDevices: 3, shadowRefused: 1, orders: 1 });
    await analytics.stop();
    const refused = exposureOf(from)
      .filter((one) => one.role === 'shadow')
      .map((one) => one.refusedDevices);
    expect(refused.sort()).toEqual([0, 1]);
  });

  it('gives its places back when it is retired, and starts anew when it comes back', async () => {
    const from = world(
      worn({ 100: assignment(shipped, [slow]), 400: assignment(shipped, [deaf]), 700: assignment(shipped) }),
    );
    const analytics = analyticsOf(from, { maxShadowedDevices: 2 });
    await analytics.start();
    await analytics.drain();
    await analytics.stop();
    expect(analytics.stats()).toMatchObject({ shadowedDevices: 0, shadowRefused: 0, orders: 3 });
    for (const [key, json] of from.checkpoints.states) if (key !== '*.orders') expect(json).not.toContain('"shadows"');
  });
});

describe('an order that cannot be read', () => {
  it('is skipped and counted; one of an unknown kind is left alone', async () => {
    const from = world(worn({}, 1, 1));
    const base = { ...orderEntry(assignment(slow), 1), position: from.log.end() + 1 };
    from.log.entries.push({ ...base, body: new TextEncoder().encode('{') });
    from.log.entries.push({ ...base, body: new TextEncoder().encode('{"kind":"later"}'), position: base.position + 1 });
    const analytics = analyticsOf(from, {});
    await analytics.start();
    await analytics.drain();
    expect(analytics.stats()).toMatchObject({ skippedEntries: 1, orders: 0, lag: 0 });
    await analytics.stop();
  });
});
