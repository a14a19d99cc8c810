import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { type DeviceState, initDevice, packDevice, reviveDevice } from '../../analytics/device-state.ts';
import { createTrendPrognoser } from '../../analytics/prognosis/trend.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { packJson, unpackJson } from '../../analytics/state-codec.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Finding } from '../../contract/ports/findings.ts';
import { recordDevice } from '../../device-sim/record-device.ts';

const START = Date.UTC(2026, 0, 5);

describe('a packed state', () => {
  it('holds any JSON value without loss', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const json: unknown = JSON.parse(JSON.stringify(value));
        expect(unpackJson(packJson(json))).toEqual(json);
      }),
      { numRuns: 300 },
    );
  });

  it('holds numbers of every size to the last bit', () => {
    const numbers = [
      1.7e12,
      1.7e12 + 5,
      1.7e12 + 9e6,
      1.7e12 - 3e9,
      2 ** 31,
      0,
      1,
      46,
      47,
      -1,
      127,
      128,
      -129,
      32_768,
      -32_769,
      2 ** 31,
      2 ** 48 - 1,
      2 ** 48,
      -(2 ** 40),
    ];
    const broken = [0.1, 1 / 3, Math.fround(0.1), 1e-300, 1e300, Number.MAX_SAFE_INTEGER, 5e-324];
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (one) => unpackJson(packJson(one)) === one),
    );
    expect(unpackJson(packJson([...numbers, ...broken]))).toEqual([...numbers, ...broken]);
  });

  it('writes an object once that stands in several places', () => {
    const params = { warmupSamples: 72, memorySamples: 8_640, names: ['a', 'b'] };
    const alone = packJson([params]).length;
    expect(packJson([params, params, params]).length).toBeLessThan(alone + 12);
    expect(unpackJson(packJson([params, params]))).toEqual([params, params]);
  });

  it('refuses what was cut off', () => {
    const packed = packJson({ a: [1.5, 2.5, 'text'], b: { c: null } });
    expect(() => unpackJson(packed.slice(0, 16))).toThrow(RangeError);
  });
});

describe('the state of a device', () => {
  const request = {
    model: 'heatPump',
    seed: 3,
    start: START,
    durationMs: 14 * DAY_MS,
    fault: {
      faultKey: 'airFilterClog',
      onsetAt: START + 8 * DAY_MS,
      failsAt: START + 13 * DAY_MS,
      curve: 'linear' as const,
    },
  };

  it('goes on from its packed form at any point with equal results, and is short', () => {
    const { rows } = recordDevice(request);
    const scorer = createDeviceScorer({
      findModel,
      prognosersFor: (model) => [createTrendPrognoser(model)],
      policy: DEFAULT_POLICY,
    });
    const play = (packEvery: number): { state: DeviceState; findings: Finding[] } => {
      let state = initDevice(request.model);
      const findings: Finding[] = [];
      rows.forEach(({ at, signals }, i) => {
        const ref = { tenant: 'acme', device: 'pump' };
        const sample = { ref, identity: `b:${i}:0`, observedAt: at, position: i + 1, signals };
        findings.push(...scorer.score(state, sample).findings);
        if (i % packEvery !== packEvery - 1) return;
        state = reviveDevice(JSON.parse(JSON.stringify(packDevice(state))), request.model) as DeviceState;
      });
      return { state, findings };
    };
    const whole = play(Number.POSITIVE_INFINITY);
    expect(whole.findings.length).toBeGreaterThan(0);
    const interrupted = play(331);
    expect(interrupted.findings).toEqual(whole.findings);
    expect(JSON.parse(JSON.stringify(interrupted.state))).toEqual(JSON.parse(JSON.stringify(whole.state)));
    expect(JSON.stringify(packDevice(whole.state)).length).toBeLessThan(40 * 1024);
  });

  it('of another model or version starts anew', () => {
    const packed = packDevice(initDevice('heatPump'));
    expect(reviveDevice(packed, 'heatPump')).toEqual(initDevice('heatPump'));
    expect(reviveDevice(packed, 'refrigerator')).toBeUndefined();
    expect(reviveDevice({ ...packed, v: 1 }, 'heatPump')).toBeUndefined();
  });
});
