/** Labelled recordings: confounders, lying sensors, truth, and what is drawn for an evaluation. */
import { describe, expect, it } from 'vitest';
import { signalsOf } from '../../contract/devices/catalogue.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import {
  CONFOUNDER_KINDS,
  type Confounder,
  type ConfounderKind,
  circumstancesAt,
  USUAL,
} from '../../device-sim/confounders.ts';
import { disturb, drawRecordings, HELD_OUT_SEEDS, type RecordingMix } from '../../device-sim/draw-recordings.ts';
import { SIMULATED_MODELS } from '../../device-sim/models/catalogue.ts';
import { type RecordingRequest, recordDevice, truthOf } from '../../device-sim/record-device.ts';
import { SENSOR_LIES, type SensorLie } from '../../device-sim/sensors.ts';
import { createSampleStream, type SimulatedDevice } from '../../device-sim/simulated-device.ts';

const START = Date.UTC(2026, 4, 4);
const request = (model: string, more: Partial<RecordingRequest> = {}): RecordingRequest => ({
  model,
  seed: 3,
  start: START,
  durationMs: 4 * DAY_MS,
  ...more,
});
const confounder = (kind: ConfounderKind, strength = 1): Confounder => ({
  kind,
  at: START + 2 * DAY_MS,
  strength,
  ...(kind === 'sensorSwap' ? { signal: 'supplyVoltageV' } : {}),
});
const MIX: RecordingMix = {
  model: 'washingMachine',
  firstSeed: HELD_OUT_SEEDS,
  count: 200,
  start: START,
  days: 60,
  faultShare: 0.5,
  confounderShare: 0.3,
  lieShare: 0.1,
  quietDays: 20,
};

describe.each(SIMULATED_MODELS.map((model) => model.id))('confounders of a %s', (model) => {
  const usual = recordDevice(request(model)).rows;
  const swapSignal = [...signalsOf(model).values()].find(
    (spec) => spec.kind === 'number' && (spec.role === 'context' || spec.role === 'condition') && spec.range,
  )?.name;

  it.each(CONFOUNDER_KINDS.filter((kind) => kind !== 'sensorSwap' || swapSignal !== undefined))(
    '%s changes nothing before its time and something after it, within the ranges, and is no fault',
    (kind) => {
      const specs = signalsOf(model);
      for (const strength of [-1, 1]) {
        const one = {
          ...confounder(kind, strength),
          ...(kind === 'sensorSwap' && swapSignal ? { signal: swapSignal } : {}),
        };
        const { rows, truth } = recordDevice(request(model, { confounders: [one] }));
        const before = (row: { at: number }): boolean => row.at <= one.at;
        expect(rows.filter(before)).toEqual(usual.filter(before));
        expect(rows).not.toEqual(usual);
        expect(truth).toEqual({ confounders: [one], lies: [] });
        const wrong = rows.flatMap(({ signals }) =>
          Object.entries(signals).filter(([name, value]) => {
            const range = specs.get(name)?.range;
            return typeof value === 'number' && range !== undefined && (value < range[0] || value > range[1]);
          }),
        );
        expect(wrong).toEqual([]);
      }
    },
  );

  it('of strength 0 changes nothing', () => {
    const confounders = CONFOUNDER_KINDS.filter((kind) => kind !== 'sensorSwap').map((kind) => confounder(kind, 0));
    expect(recordDevice(request(model, { confounders })).rows).toEqual(usual);
  });
});

describe('circumstances', () => {
  it('are the usual ones before and after a confounder', () => {
    const spell: Confounder = { kind: 'weather', at: 0, until: DAY_MS, strength: -1 };
    expect(circumstancesAt([spell], 0)).toBe(USUAL);
    expect(circumstancesAt([spell], DAY_MS).weatherK).toBe(-10);
    expect(circumstancesAt([spell], 6 * HOUR_MS).weatherK).toBe(-5);
    expect(circumstancesAt([spell], DAY_MS + 1)).toBe(USUAL);
    expect(circumstancesAt(undefined, 5)).toBe(USUAL);
  });

  it('add up', () => {
    const load: Confounder = { kind: 'loadStep', at: 0, strength: 0.5 };
    const both = circumstancesAt([load, load, { kind: 'userHabits', at: 0, strength: -1 }], 1);
    expect(both).toMatchObject({ load: 1.44, useRate: 0.4, useShiftMs: -3 * HOUR_MS });
  });
});

describe('a lying sensor', () => {
  const usual = recordDevice(request('refrigerator')).rows;
  const lie = (kind: SensorLie['kind'], strength = 1): SensorLie => ({
    kind,
    signal: 'freezerTempC',
    at: START + DAY_MS,
    until: START + 3 * DAY_MS,
    strength,
  });
  const told = (kind: SensorLie['kind'], strength = 1) =>
    recordDevice(request('refrigerator', { lies: [lie(kind, strength)] })).rows;
  const during = (rows: typeof usual): typeof usual =>
    rows.filter(({ at }) => at > START + DAY_MS && at <= START + 3 * DAY_MS);
  const values = (rows: typeof usual): number[] => during(rows).map(({ signals }) => Number(signals.freezerTempC));

  it.each(SENSOR_LIES)('(%s) touches its signal in its time, and nothing else', (kind) => {
    const rows = told(kind);
    expect(rows).toHaveLength(usual.length);
    rows.forEach((row, i) => {
      const { freezerTempC, ...others } = row.signals;
      const { freezerTempC: truly, ...otherTruths } = usual[i]?.signals ?? {};
      if (row.at <= START + DAY_MS || row.at > START + 3 * DAY_MS) expect(freezerTempC).toBe(truly);
      if (i % 20 === 0) expect(others).toEqual(otherTruths);
    });
    expect(during(rows)).not.toEqual(during(usual));
    expect(told(kind, 0)).toEqual(usual);
    expect(told(kind)).toEqual(rows);
  });

  it('is stuck at one value, silent, noisy, adrift or off, by its kind', () => {
    expect(new Set(values(told('stuck'))).size).toBe(1);
    expect(during(told('dropOut')).every(({ signals }) => signals.freezerTempC === undefined)).toBe(true);
    const half = during(told('dropOut', 0.5)).filter(({ signals }) => signals.freezerTempC === undefined);
    expect(half.length / during(usual).length).toBeCloseTo(0.5, 1);
    const truth = values(usual);
    const off = values(told('offset', -1)).map((value, i) => value - (truth[i] ?? 0));
    expect(Math.max(...off.map((difference) => Math.abs(difference + 10.5)))).toBeLessThan(0.006);
    const drift = values(told('drift')).map((value, i) => value - (truth[i] ?? 0));
    expect(drift[0]).toBeCloseTo(0, 1);
    expect(drift.at(-1)).toBeCloseTo(2.1, 1);
    const noise = values(told('noise')).map((value, i) => value - (truth[i] ?? 0));
    expect(Math.sqrt(noise.reduce((sum, one) => sum + one * one, 0) / noise.length)).toBeGreaterThan(4);
  });

  it('cannot say more than its range', () => {
    const rows = recordDevice(
      request('refrigerator', { lies: [{ ...lie('offset', -1), signal: 'compressorCurrentA' }] }),
    ).rows;
    expect(Math.min(...rows.map(({ signals }) => Number(signals.compressorCurrentA)))).toBe(0);
  });

  it('must lie about a number of the model', () => {
    expect(() => recordDevice(request('refrigerator', { lies: [{ ...lie('stuck'), signal: 'mode' }] }))).toThrow(
      /no number mode/,
    );
  });
});

describe('a recording', () => {
  const fault = {
    faultKey: 'drainPumpClog',
    onsetAt: START + DAY_MS,
    failsAt: START + 3 * DAY_MS,
    curve: 'linear',
  } as const;

  it('carries the truth beside its rows', () => {
    const { truth, rows } = recordDevice(request('washingMachine', { fault }));
    expect(truth.fault).toMatchObject({
      code: 'drainPumpClog',
      component: 'drainPump',
      onsetAt: fault.onsetAt,
      peak: 1,
    });
    expect(Math.abs((truth.fault?.failsAt ?? 0) - fault.failsAt)).toBeLessThan(MINUTE_MS);
    expect(JSON.stringify(rows)).not.toContain('drainPumpClog');
    expect(truthOf(request('washingMachine', { fault }))).toEqual(truth);
  });

  it('names no failure that its time does not hold, and no fault that has no severity', () => {
    const slow = { ...fault, failsAt: START + 9 * DAY_MS };
    expect(truthOf(request('washingMachine', { fault: slow })).fault).not.toHaveProperty('failsAt');
    expect(truthOf(request('washingMachine', { fault: { ...fault, peak: 0.5 } })).fault).toMatchObject({ peak: 0.5 });
    expect(truthOf(request('washingMachine', { fault: { ...fault, peak: 0.5 } })).fault).not.toHaveProperty('failsAt');
    expect(truthOf(request('washingMachine', { fault: { ...fault, peak: 0 } })).fault).toBeUndefined();
    expect(
      truthOf(request('washingMachine', { fault: { ...fault, onsetAt: START + 5 * DAY_MS } })).fault,
    ).toBeUndefined();
  });

  it('has rows at the step asked for', () => {
    const { rows } = recordDevice(request('refrigerator', { stepMs: MINUTE_MS, durationMs: HOUR_MS }));
    expect(rows).toHaveLength(60);
    expect((rows[1]?.at ?? 0) - (rows[0]?.at ?? 0)).toBe(MINUTE_MS);
  });

  it('of a machine at rest has a row every quarter of an hour, and each change of mode', () => {
    const { rows } = recordDevice(request('washingMachine', { durationMs: 7 * DAY_MS }));
    rows.slice(1).forEach((row, i) => {
      const before = rows[i];
      const rests = row.signals.mode === 'idle' && before?.signals.mode === 'idle';
      expect(row.at - (before?.at ?? 0)).toBe(rests ? 15 * MINUTE_MS : row.at - (before?.at ?? 0));
      if (!rests && row.signals.mode !== 'idle' && before?.signals.mode !== 'idle')
        expect(row.at - (before?.at ?? 0)).toBe(MINUTE_MS / 2);
    });
  });
});

describe('a fleet in one process', () => {
  it('costs little: 120 devices of all models, a day', () => {
    const startedAt = process.cpuUsage();
    const streams = Array.from({ length: 120 }, (_, i) => {
      const model = SIMULATED_MODELS[i % SIMULATED_MODELS.length]?.id ?? '';
      return createSampleStream({ ref: { tenant: 'lab', device: `d${i}` }, model, seed: i }, START);
    });
    const samples = streams.reduce((sum, stream) => sum + stream.take(START + DAY_MS).length, 0);
    const { user, system } = process.cpuUsage(startedAt);
    expect(samples).toBeGreaterThan(120 * 20);
    // Ten times what it takes on a slow core.
    expect((user + system) / 1_000 / (120 * 24)).toBeLessThan(10);
  });
});

describe('a disturbed fleet', () => {
  it('has confounders and lies in the shares asked for, after the first third, whatever else the fleet holds', () => {
    const fleet: SimulatedDevice[] = Array.from({ length: 300 }, (_, i) => ({
      ref: { tenant: 't', device: `d${i}` },
      model: SIMULATED_MODELS[i % SIMULATED_MODELS.length]?.id ?? '',
      seed: i,
    }));
    const period = { start: START, end: START + 30 * DAY_MS };
    const disturbed = disturb(fleet, period, { confounders: 0.25, lies: 0.1 });
    const share = (has: (one: SimulatedDevice) => boolean): number => disturbed.filter(has).length / fleet.length;
    expect(share((one) => one.confounders !== undefined)).toBeCloseTo(0.25, 1);
    expect(share((one) => one.lies !== undefined)).toBeCloseTo(0.1, 1);
    const times = disturbed.flatMap(({ confounders = [], lies = [] }) => [...confounders, ...lies].map(({ at }) => at));
    expect(Math.min(...times)).toBeGreaterThanOrEqual(START + 10 * DAY_MS);
    expect(disturb(fleet.slice(100, 110), period, { confounders: 0.25, lies: 0.1 })).toEqual(disturbed.slice(100, 110));
    expect(disturb(fleet, period, { confounders: 0, lies: 0 })).toEqual(fleet);
  });
});

describe('recordings drawn for an evaluation', () => {
  const drawn = drawRecordings(MIX);

  it('hold about the shares that were asked for, and all kinds', () => {
    const share = (has: (one: RecordingRequest) => boolean): number => drawn.filter(has).length / drawn.length;
    expect(share((one) => one.fault !== undefined)).toBeCloseTo(0.5, 1);
    expect(share((one) => (one.confounders ?? []).length > 0)).toBeCloseTo(0.3, 1);
    expect(share((one) => (one.lies ?? []).length > 0)).toBeCloseTo(0.1, 1);
    expect(new Set(drawn.flatMap((one) => one.fault?.faultKey ?? [])).size).toBe(5);
    expect(new Set(drawn.flatMap((one) => (one.confounders ?? []).map(({ kind }) => kind))).size).toBe(6);
  });

  it('begin after the quiet days and fail within the recording', () => {
    const quietUntil = START + MIX.quietDays * DAY_MS;
    for (const { fault, confounders = [], lies = [] } of drawn) {
      expect(Math.min(...[...confounders, ...lies].map(({ at }) => at), quietUntil)).toBe(quietUntil);
      if (!fault) continue;
      expect(fault.onsetAt).toBeGreaterThanOrEqual(quietUntil);
      expect(fault.failsAt).toBeLessThan(START + MIX.days * DAY_MS);
    }
  });

  it('are the same for the same seeds, whatever else is drawn', () => {
    expect(drawRecordings(MIX)).toEqual(drawn);
    expect(drawRecordings({ ...MIX, firstSeed: HELD_OUT_SEEDS + 50, count: 10 })).toEqual(drawn.slice(50, 60));
    const fewer = drawRecordings({ ...MIX, confounderShare: 0 });
    expect(fewer.map(({ fault }) => fault)).toEqual(drawn.map(({ fault }) => fault));
  });

  it('can be recorded', () => {
    for (const one of drawRecordings({ ...MIX, count: 6, days: 6, quietDays: 1 })) {
      expect(recordDevice(one).rows.length).toBeGreaterThan(500);
    }
  });
});
