/** Sensors that lie are told from machines that fail. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import {
  initSensor,
  type SensorState,
  type SensorVerdict,
  watchSensor,
} from '../../analytics/detectors/sensor-health.ts';
import { initDevice } from '../../analytics/device-state.ts';
import { UNEXPLAINED } from '../../analytics/diagnosis/diagnose.ts';
import { loneSensor, sensorFaultKey, sensorOf } from '../../analytics/diagnosis/sensor-faults.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { type AlertFinding, finding } from '../../contract/ports/findings.ts';
import { recordDevice } from '../../device-sim/record-device.ts';
import type { SensorLieKind } from '../../device-sim/sensors.ts';

const START = Date.UTC(2026, 0, 5);
const LIE_AT = START + 15 * DAY_MS;

interface Reading {
  readonly mode: string;
  readonly value: number | undefined;
}

/** A machine that rests at zero every fourth hour and otherwise reads about 20. */
function readings(count: number, seed = 1): Reading[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const rests = Math.floor(i / 30) % 4 === 3;
    return { mode: rests ? 'idle' : 'runs', value: rests ? 0 : Math.round((20 + gaussian(random)) * 10) / 10 };
  });
}

function watch(some: readonly Reading[], state: SensorState = initSensor()): SensorVerdict[] {
  return some.map(({ mode, value }) => watchSensor(state, mode, value, 0.01)).filter((one) => one !== undefined);
}

const worst = (verdicts: readonly SensorVerdict[]): number =>
  verdicts.reduce((top, one) => Math.max(top, one.surprise), 0);

describe('the health of a sensor', () => {
  it('is not doubted while it measures, at rest or not', () => {
    for (let seed = 1; seed <= 10; seed++) expect(worst(watch(readings(6_000, seed))), `seed ${seed}`).toBeLessThan(5);
  });

  it.each<[string, (reading: Reading, i: number) => Reading]>([
    ['stuck', (reading) => ({ ...reading, value: 20.3 })],
    ['missing', (reading, i) => (i % 3 === 0 ? { ...reading, value: undefined } : reading)],
    ['noisy', (reading, i) => ({ ...reading, value: (reading.value ?? 0) + (i % 2 === 0 ? 12 : -12) })],
  ])('is doubted when it is %s', (fault, lie) => {
    const state = initSensor();
    watch(readings(4_000), state);
    const found = watch(readings(400, 2).map(lie), state).filter(({ surprise }) => surprise > 6);
    expect(found.length).toBeGreaterThan(0);
    expect(found.at(-1)?.fault).toBe(fault);
  });

  it('takes a signal that is sent now and then for what it is', () => {
    const sparse = readings(6_000).map((reading, i) => (i % 7 === 0 ? reading : { ...reading, value: undefined }));
    expect(worst(watch(sparse))).toBeLessThan(5);
  });

  it('takes a switch that hardly ever moves for what it is', () => {
    const state = initSensor();
    const rare = Array.from({ length: 8_000 }, (_, i) => ({ mode: '', value: Math.floor(i / 700) % 2 }));
    expect(worst(watch(rare, state))).toBeLessThan(5);
  });

  it('knows where a signal rests, however seldom it does so for long', () => {
    const random = seededRandom(4);
    // A load that changes with each of many short trips, and a long rest at zero now and then.
    const trips = Array.from({ length: 9_000 }, (_, i): Reading => {
      const rests = i % 3_000 > 2_700 || i % 300 > 250;
      return { mode: 'any', value: rests ? 0 : Math.floor(i / 12) + Math.floor(random() * 2) };
    });
    expect(worst(watch(trips))).toBeLessThan(6);
  });

  it('goes on from JSON at any point', () => {
    const some = readings(2_000, 3).map((reading, i) => (i > 1_500 ? { ...reading, value: 20 } : reading));
    const whole = watch(some);
    const state = initSensor();
    const head = watch(some.slice(0, 1_510), state);
    expect([...head, ...watch(some.slice(1_510), JSON.parse(JSON.stringify(state)) as SensorState)]).toEqual(whole);
  });

  it('says nothing of a sensor that is not fitted', () => {
    expect(watch(readings(500).map((reading) => ({ ...reading, value: undefined })))).toEqual([]);
  });
});

describe('a lying sensor of a simulated machine', () => {
  function alertsOf(model: string, kind: SensorLieKind, signal: string, strength: number): AlertFinding[] {
    const request = { model, seed: 6, start: START, durationMs: 24 * DAY_MS };
    const { rows } = recordDevice({ ...request, lies: [{ kind, signal, at: LIE_AT, strength }] });
    const scorer = createDeviceScorer({ findModel, prognosersFor: () => [], policy: DEFAULT_POLICY });
    const state = initDevice(model);
    return rows
      .flatMap(({ at, signals }, i) => {
        const sample = {
          ref: { tenant: 'acme', device: 'd1' },
          identity: `b:${i}:0`,
          observedAt: at,
          position: i + 1,
          signals,
        };
        return scorer.score(state, sample).findings;
      })
      .filter((one): one is AlertFinding => one.kind === 'alertRaised');
  }

  it.each<[SensorLieKind, string, string, RegExp]>([
    ['stuck', 'refrigerator', 'freezerTempC', /same value/],
    ['dropOut', 'refrigerator', 'compressorVibrationMmPerS', /does not deliver/],
    ['noise', 'refrigerator', 'compressorVibrationMmPerS', /jumps/],
    ['stuck', 'heatPump', 'outdoorTempC', /same value/],
  ])('(%s, %s %s) is named as such, as minor, and no failure of the machine is', (kind, model, signal, words) => {
    const alerts = alertsOf(model, kind, signal, 0.8).filter((one) => one.at > LIE_AT);
    const own = alerts.find((one) => one.faultKey === sensorFaultKey(signal));
    expect(own).toMatchObject({ severity: 'minor', component: expect.not.stringMatching('device') });
    expect(own?.evidence.likelyCauses[0]?.cause).toMatch(words);
    expect(own?.evidence.because[0]?.signal).toBe(signal);
    expect(finding.safeParse(JSON.parse(JSON.stringify(own))).success).toBe(true);
    const machine = alerts.map((one) => one.faultKey).filter((key) => sensorOf(key) === undefined);
    expect(machine).toEqual([]);
  });
});

describe('a sensor that is off', () => {
  it('raises one alert that stays, not one again and again', () => {
    const request = { model: 'refrigerator', seed: 8, start: START, durationMs: 24 * DAY_MS };
    // Warmer than it is: no failure of a freezer but cold would do that alone.
    const lies = [{ kind: 'offset' as const, signal: 'freezerTempC', at: LIE_AT, strength: -0.9 }];
    const scorer = createDeviceScorer({ findModel, prognosersFor: () => [], policy: DEFAULT_POLICY });
    const state = initDevice(request.model);
    const kinds = recordDevice({ ...request, lies }).rows.flatMap(({ at, signals }, i) => {
      const ref = { tenant: 'acme', device: 'd1' };
      const sample = { ref, identity: `b:${i}:0`, observedAt: at, position: i + 1, signals };
      return scorer.score(state, sample).findings.flatMap((one) => (one.kind === 'prediction' ? [] : [one]));
    });
    const own = kinds.filter((one) => 'faultKey' in one && one.faultKey === sensorFaultKey('freezerTempC'));
    expect(own.filter((one) => one.kind === 'alertRaised')).toHaveLength(1);
  });
});

describe('a signal that alone deviates', () => {
  const lone = {
    faultKey: UNEXPLAINED,
    surprise: 8,
    signals: [
      { signal: 'a', surprise: 9 },
      { signal: 'b', surprise: 1 },
    ],
  };

  it('as no failure does is put down to its sensor', () => {
    expect(loneSensor([lone], 10).map((one) => [one.faultKey, one.surprise])).toEqual([
      [sensorFaultKey('a'), 8],
      [UNEXPLAINED, 0],
    ]);
  });

  it('is not, when others deviate too', () => {
    const others = {
      ...lone,
      signals: [
        { signal: 'a', surprise: 9 },
        { signal: 'b', surprise: -5 },
      ],
    };
    expect(loneSensor([others], 10)).toEqual([others]);
  });
});
