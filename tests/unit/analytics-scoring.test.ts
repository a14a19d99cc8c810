import { describe, expect, it } from 'vitest';
import { type AlertPolicy, DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { type DeviceState, initDevice } from '../../analytics/device-state.ts';
import { attribute, rankModes, UNEXPLAINED } from '../../analytics/diagnosis/diagnose.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { refrigerator } from '../../contract/devices/refrigerator.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { type AlertFinding, type Finding, finding } from '../../contract/ports/findings.ts';
import { countdownPrognoser } from '../support/analytics-harness.ts';
import { type RefrigeratorOptions, refrigeratorStream, type StreamSample } from '../support/refrigerator-stream.ts';

const REF = { tenant: 'acme', device: 'fridge-1' } as const;
const START_AT = Date.UTC(2026, 0, 5);

interface RunOptions {
  readonly model?: string;
  readonly policy?: AlertPolicy;
  readonly prognosersFor?: Parameters<typeof createDeviceScorer>[0]['prognosersFor'];
  /** State goes through JSON every so many samples. */
  readonly restartEvery?: number;
}

function run(samples: Iterable<StreamSample>, options: RunOptions = {}): { findings: Finding[]; state: DeviceState } {
  const make = () =>
    createDeviceScorer({
      findModel,
      prognosersFor: options.prognosersFor ?? (() => []),
      policy: options.policy ?? DEFAULT_POLICY,
    });
  let scorer = make();
  let state = initDevice(options.model ?? 'refrigerator');
  const findings: Finding[] = [];
  let i = 0;
  for (const { at, signals } of samples) {
    const outcome = scorer.score(state, { ref: REF, identity: `b:${i}:0`, observedAt: at, position: i + 1, signals });
    findings.push(...outcome.findings);
    i++;
    if (options.restartEvery && i % options.restartEvery === 0) {
      state = JSON.parse(JSON.stringify(state)) as DeviceState;
      scorer = make();
    }
  }
  return { findings, state };
}

const fridge = (options: Partial<RefrigeratorOptions> & { seed: number }) =>
  refrigeratorStream({ days: 40, ...options });
const alertsOf = (findings: readonly Finding[]): AlertFinding[] =>
  findings.filter((one) => one.kind !== 'prediction' && one.kind !== 'shadowAlert');
const raised = (findings: readonly Finding[]) => alertsOf(findings).filter((one) => one.kind === 'alertRaised');
/** 0 until day 20, 1 (failed) on day 35. */
const wear = (day: number): number => Math.max(0, Math.min(1.2, (day - 20) / 15));

describe('a healthy refrigerator', () => {
  it.each([1, 2, 3, 4, 5])('raises no alert in 60 days (seed %i)', (seed) => {
    const { findings, state } = run(fridge({ seed, days: 60 }));
    expect(findings).toEqual([]);
    expect(JSON.stringify(state).length).toBeLessThan(64 * 1024);
  });
});

describe('slow wear', () => {
  it.each([
    ['bearingWear', 'compressorBearingWear', 11],
    ['refrigerantLoss', 'refrigerantLeak', 12],
    ['fanWear', 'evaporatorFanWear', 13],
    ['bearingWear', 'compressorBearingWear', 14],
    ['refrigerantLoss', 'refrigerantLeak', 15],
    ['fanWear', 'evaporatorFanWear', 16],
  ])('by %s is found as %s, days before the failure (seed %i)', (kind, faultKey, seed) => {
    const alerts = raised(run(fridge({ seed, [kind]: wear })).findings);
    expect(alerts.map((one) => one.faultKey)).toEqual([faultKey]);
    const [alert] = alerts as [AlertFinding];
    const day = (alert.at - START_AT) / DAY_MS;
    expect(day).toBeGreaterThan(20);
    expect(day).toBeLessThan(28);
    expect((alert.onset - START_AT) / DAY_MS).toBeGreaterThan(18);
    expect(alert.severity).toBe('major');
  });

  it('comes with its evidence', () => {
    const { findings } = run(fridge({ seed: 21, bearingWear: wear }));
    for (const one of findings) expect(finding.parse(JSON.parse(JSON.stringify(one)))).toEqual(one);
    const { evidence } = raised(findings)[0] as AlertFinding;
    expect(evidence.score).toBeGreaterThanOrEqual(evidence.threshold);
    expect(evidence.detector).toEqual({ name: 'drift', version: '2' });
    expect(evidence.because[0]).toMatchObject({ unit: expect.stringMatching(/A|mm\/s/) });
    expect(evidence.because.reduce((sum, line) => sum + line.contribution, 0)).toBeCloseTo(1, 6);
    expect(evidence.likelyCauses[0]).toMatchObject({ faultKey: 'compressorBearingWear' });
    expect(evidence.likelyCauses[0]?.parts.map((part) => part.number)).toContain('CMP-4420');
    const band = evidence.bands.compressorVibrationMmPerS ?? [];
    expect(band.length).toBeGreaterThan(10);
    expect(band.every((point) => point.low < point.high)).toBe(true);
  });

  it('is not learned as normal while its episode is open: the alert stays', () => {
    const stuck = (day: number): number => Math.max(0, Math.min(0.4, (day - 20) / 15));
    const kinds = alertsOf(run(fridge({ seed: 22, days: 70, bearingWear: stuck })).findings).map((one) => one.kind);
    expect(kinds).toContain('alertRaised');
    expect(kinds).not.toContain('alertCleared');
  });

  it('ends with the repair', () => {
    const repaired = (day: number): number => (day < 32 ? wear(day) : 0);
    const alerts = alertsOf(run(fridge({ seed: 23, days: 50, bearingWear: repaired })).findings);
    expect(alerts.at(-1)?.kind).toBe('alertCleared');
    expect(raised(alerts)).toHaveLength(1);
  });
});

describe('the same samples', () => {
  it('give the same findings with restarts in between as without', () => {
    const whole = run(fridge({ seed: 31, bearingWear: wear })).findings;
    expect(whole.length).toBeGreaterThan(0);
    for (const restartEvery of [5, 97]) {
      expect(run(fridge({ seed: 31, bearingWear: wear }), { restartEvery }).findings).toEqual(whole);
    }
  });

  it('do not depend on late ones that come in between', () => {
    const samples = [...fridge({ seed: 32, fanWear: wear })];
    const mixed = samples.flatMap((sample, i) =>
      i % 50 === 49 ? [sample, { ...(samples[i - 20] as StreamSample), signals: { freshFoodTempC: 55 } }] : [sample],
    );
    const { findings, state } = run(mixed);
    expect(alertsOf(findings).map((one) => [one.at, one.kind, one.faultKey])).toEqual(
      alertsOf(run(samples).findings).map((one) => [one.at, one.kind, one.faultKey]),
    );
    expect(state.late).toBe(mixed.length - samples.length);
  });
});

describe('values from the field', () => {
  it('are not scored when they are physically impossible', () => {
    const samples = [...fridge({ seed: 41, days: 20 })].map(({ at, signals }, i) => ({
      at,
      signals: i > 4_000 ? { ...signals, freezerTempC: -273 } : signals,
    }));
    const { findings, state } = run(samples);
    // That its sensor lies is all that is said.
    expect(new Set(alertsOf(findings).map((one) => one.faultKey))).toEqual(new Set(['sensor:freezerTempC']));
    expect(state.outOfRange).toBe(samples.length - 4_001);
  });

  it('may be missing at any time', () => {
    const random = seededRandom(42);
    const samples = [...fridge({ seed: 42 })].map(({ at, signals }) => ({
      at,
      signals: Object.fromEntries(Object.entries(signals).filter(() => random() > 0.3)),
    }));
    expect(run(samples).findings).toEqual([]);
  });
});

describe('a device that sends modes of its own', () => {
  it('does not make its state grow or break', () => {
    const samples = [...fridge({ seed: 43, days: 5 })].map(({ at, signals }, i) => ({
      at,
      signals: { ...signals, mode: i % 3 === 0 ? '__proto__' : i % 3 === 1 ? `mode-${i}` : 'constructor' },
    }));
    const { state } = run(samples);
    expect(Object.keys(state.signals.freezerTempC?.modes ?? {})).toEqual(['other']);
  });
});

describe('a device that no catalogue describes', () => {
  function* sensor(days: number, shiftAt: number, shift: number): Generator<StreamSample> {
    const random = seededRandom(51);
    for (let i = 0; i < days * 288; i++) {
      const at = START_AT + i * 300_000;
      const level = 50 + 5 * Math.sin((2 * Math.PI * i) / 288) + gaussian(random) + (i >= shiftAt * 288 ? shift : 0);
      yield { at, signals: { pressure: level, steady: 3 + 0.1 * gaussian(random), note: 'text', on: true } };
    }
  }

  it('is scored on all its numbers, without a diagnosis and as minor', () => {
    const alerts = alertsOf(run(sensor(24, 20, 25), { model: 'mystery' }).findings);
    expect(alerts[0]).toMatchObject({
      kind: 'alertRaised',
      faultKey: UNEXPLAINED,
      component: 'device',
      severity: 'minor',
    });
    expect(alerts[0]?.evidence.because[0]?.signal).toBe('pressure');
    expect((alerts[0]?.at ?? 0) - (START_AT + 20 * DAY_MS)).toBeLessThan(HOUR_MS);
    expect(raised(alerts)).toHaveLength(1);
  });

  it('adopts a change that stays, so that it does not alarm for ever', () => {
    const alerts = alertsOf(run(sensor(40, 20, 25), { model: 'mystery' }).findings);
    expect(alerts.map((one) => one.kind)).toContain('alertCleared');
    expect(raised(alerts)).toHaveLength(1);
  });

  it('takes a signal that only rises for a counter', () => {
    const samples = [...sensor(12, 99, 0)].map(({ at, signals }, i) => ({
      at,
      // It runs faster from one day on, and is reset once.
      signals: { ...signals, hours: i < 2_000 ? i / 12 : i < 3_000 ? i : i - 3_000 },
    }));
    const { findings, state } = run(samples, { model: 'mystery' });
    expect(findings).toEqual([]);
    expect(state.signals.hours?.modes).toEqual({});
  });

  it('does not name an object member for a signal', () => {
    const samples = [...sensor(2, 99, 0)].map(({ at, signals }) => ({
      at,
      signals: { ...signals, constructor: 1, toString: 2 } as StreamSample['signals'],
    }));
    expect(Object.keys(run(samples, { model: 'mystery' }).state.signals).sort()).toEqual([
      'constructor',
      'pressure',
      'steady',
      'toString',
    ]);
  });
});

describe('predictions', () => {
  const soon = countdownPrognoser('compressorBearingWear', 'compressor', 30 * 288, 500, 'h');

  it('are reported when they are news, at least every 24 renewals', () => {
    const { findings } = run(fridge({ seed: 61, days: 20 }), { prognosersFor: soon });
    const predictions = findings.filter((one) => one.kind === 'prediction');
    expect(predictions.length).toBeGreaterThan(15);
    expect(predictions.length).toBeLessThan(20 * 24);
    expect(new Set(predictions.map((one) => one.id)).size).toBe(predictions.length);
  });

  it('raise a confirmed alert when the lower bound reaches the horizon', () => {
    const { findings } = run(fridge({ seed: 61, days: 29 }), { prognosersFor: soon });
    const [alert, ...others] = raised(findings);
    expect(others).toEqual([]);
    expect(alert).toMatchObject({ faultKey: 'compressorBearingWear', component: 'compressor', confirmed: true });
    expect(alert?.evidence.detector).toEqual({ name: 'countdown', version: '1' });
    expect(alert?.evidence.prediction?.remainingLife?.lower).toBeLessThanOrEqual(14 * 24);
  });

  it('that leave time keep an anomaly on the same component unconfirmed', () => {
    const late = countdownPrognoser('compressorBearingWear', 'compressor', 200_000, 10, 'h');
    const alerts = alertsOf(run(fridge({ seed: 21, bearingWear: wear, days: 32 }), { prognosersFor: late }).findings);
    expect(alerts.length).toBeGreaterThan(0);
    expect(alerts.every((one) => !one.confirmed)).toBe(true);
  });
});

describe('diagnosis', () => {
  const { failureModes } = refrigerator;
  const bearing = [
    { signal: 'compressorVibrationMmPerS', surprise: 8 },
    { signal: 'compressorCurrentA', surprise: 5 },
  ];

  it('finds the mode whose signals deviate the right way', () => {
    expect(rankModes(failureModes, bearing, 5)[0]?.mode.code).toBe('compressorBearingWear');
    const leak = [
      { signal: 'compressorDutyRatio', surprise: 7 },
      { signal: 'evaporatorTempC', surprise: 6 },
      { signal: 'compressorCurrentA', surprise: -4 },
    ];
    expect(rankModes(failureModes, leak, 5)[0]?.mode.code).toBe('refrigerantLeak');
  });

  it('gives each signal to one fault key, and what nobody explains to unexplained', () => {
    const found = attribute(failureModes, new Set(), [...bearing, { signal: 'freezerTempC', surprise: -6 }], 5);
    expect(found.map((one) => [one.faultKey, one.signals.length])).toEqual([
      ['compressorBearingWear', 2],
      [UNEXPLAINED, 1],
    ]);
  });

  it('is not kept from a mode by a stronger signal that no mode explains', () => {
    const found = attribute(failureModes, new Set(), [...bearing, { signal: 'freezerTempC', surprise: 20 }], 5);
    expect(found.map((one) => one.faultKey)).toEqual(['compressorBearingWear', UNEXPLAINED]);
  });

  it('takes what deviates beside an open episode for its consequence', () => {
    const open = new Set(['compressorBearingWear']);
    const found = attribute(failureModes, open, [...bearing, { signal: 'freezerTempC', surprise: 6 }], 5);
    expect(found.map((one) => one.faultKey)).toEqual(['compressorBearingWear']);
  });

  it('does not blame a mode for a signal that deviates the wrong way', () => {
    const found = attribute(failureModes, new Set(), [{ signal: 'compressorVibrationMmPerS', surprise: -9 }], 5);
    expect(found.filter((one) => one.surprise > 0).map((one) => one.faultKey)).toEqual([UNEXPLAINED]);
  });
});
