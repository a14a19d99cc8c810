/** Simulated devices: catalogue, physics, faults, ground truth, stories. */
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { FAULT_MODELS } from '../../device-sim/faults/catalogue.ts';
import { type FaultPlan, severityAt } from '../../device-sim/faults/fault-plan.ts';
import { findSimulatedModel, SIMULATED_MODELS, type SimulatedModel } from '../../device-sim/models/catalogue.ts';
import { createSampleStream, groundTruthOf, type SimulatedDevice } from '../../device-sim/simulated-device.ts';
import { assignFaults, DEMO_DAYS, demoFleet, parseFaultList } from '../../device-sim/stories.ts';
import { checkSimulatedModel, play, START } from '../checks/simulated-model.checks.ts';

for (const model of SIMULATED_MODELS) checkSimulatedModel(model);

const modelCalled = (id: string): SimulatedModel => {
  const model = findSimulatedModel(id);
  if (!model) throw new Error(`no model ${id}`);
  return model;
};
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const numbers = (played: ReturnType<typeof play>, signal: string): number[] =>
  played.samples.map(({ signals }) => Number(signals[signal]));

describe('severity', () => {
  const plan: FaultPlan = { faultKey: 'x', onsetAt: 100, failsAt: 200, curve: 'linear' };

  it.each([
    [0, 0],
    [100, 0],
    [150, 0.5],
    [200, 1],
    [210, 1.1],
    [900, 1.25],
  ])('of a linear curve at %d is %d', (time, severity) => {
    expect(severityAt(plan, time)).toBeCloseTo(severity, 9);
  });

  it('of an exponential curve starts slowly and meets 1 at the failure', () => {
    const curve: FaultPlan = { ...plan, curve: 'exponential', steepness: 3 };
    expect(severityAt(curve, 150)).toBeLessThan(0.25);
    expect(severityAt(curve, 200)).toBeCloseTo(1, 9);
    expect(severityAt(undefined, 150)).toBe(0);
  });
});

describe('refrigerator', () => {
  const model = modelCalled('refrigerator');

  it('keeps food cold, cycles, and defrosts every 8 to 12 hours of run time', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const played = play(model, seed, 14);
      expect(mean(numbers(played, 'freshFoodTempC'))).toBeGreaterThan(2.5);
      expect(mean(numbers(played, 'freshFoodTempC'))).toBeLessThan(6.5);
      expect(mean(numbers(played, 'freezerTempC'))).toBeLessThan(-15.5);
      const duty = mean(numbers(played, 'compressorDutyRatio'));
      expect(duty).toBeGreaterThan(0.25);
      expect(duty).toBeLessThan(0.55);
      const modes = played.samples.map(({ signals }) => signals.mode);
      const starts = modes.filter((mode, i) => mode === 'defrost' && modes[i - 1] !== 'defrost').length;
      const runHoursBetween = (14 * 24 * duty) / starts;
      expect(runHoursBetween).toBeGreaterThan(7);
      expect(runHoursBetween).toBeLessThan(15);
    }
  });

  it('is opened by day, hardly at night, and more at weekends', () => {
    const opened = { night: 0, day: 0, workday: 0, weekend: 0 };
    for (let seed = 1; seed <= 10; seed++) {
      for (const { at, signals } of play(model, seed, 28).samples) {
        if (signals.doorOpen !== true) continue;
        opened[(at % DAY_MS) / HOUR_MS < 5 ? 'night' : 'day']++;
        opened[
          (Math.floor(at / DAY_MS) + 4) % 7 === 0 || (Math.floor(at / DAY_MS) + 4) % 7 === 6 ? 'weekend' : 'workday'
        ]++;
      }
    }
    expect(opened.night).toBeLessThan(opened.day / 40);
    expect(opened.weekend / 2).toBeGreaterThan((opened.workday / 5) * 1.1);
  });

  it('shows each fault in the directions that the catalogue names', () => {
    const last = (signal: string, fault?: FaultPlan, mode?: string): number => {
      const samples = play(model, 3, 19, fault).samples.filter(
        ({ at, signals }) => at > START + 18 * DAY_MS && (mode === undefined || signals.mode === mode),
      );
      return mean(samples.map(({ signals }) => Number(signals[signal])));
    };
    const leak: FaultPlan = {
      faultKey: 'refrigerantLeak',
      onsetAt: START,
      failsAt: START + 24 * DAY_MS,
      curve: 'linear',
    };
    expect(last('compressorDutyRatio', leak)).toBeGreaterThan(last('compressorDutyRatio') * 1.5);
    expect(last('evaporatorTempC', leak, 'cooling')).toBeGreaterThan(last('evaporatorTempC', undefined, 'cooling') + 3);
    expect(last('compressorCurrentA', leak, 'cooling')).toBeLessThan(
      last('compressorCurrentA', undefined, 'cooling') * 0.9,
    );
    const bearing: FaultPlan = { ...leak, faultKey: 'compressorBearingWear' };
    expect(last('compressorVibrationMmPerS', bearing, 'cooling')).toBeGreaterThan(4);
    expect(last('compressorCurrentA', bearing, 'cooling')).toBeGreaterThan(
      last('compressorCurrentA', undefined, 'cooling') * 1.15,
    );
    const fan: FaultPlan = { ...leak, faultKey: 'evaporatorFanWear' };
    expect(last('evaporatorFanRpm', fan, 'cooling')).toBeLessThan(1_600);
    expect(last('evaporatorTempC', fan, 'cooling')).toBeLessThan(last('evaporatorTempC', undefined, 'cooling') - 1);
  });

  it.each(['compressorBearingWear', 'refrigerantLeak', 'evaporatorFanWear'])(
    'is warm after %s ended its life',
    (faultKey) => {
      const plan: FaultPlan = { faultKey, onsetAt: START, failsAt: START + 8 * DAY_MS, curve: 'linear' };
      const played = play(model, 4, 16, plan);
      const warm = played.samples
        .filter(({ at }) => at > START + 15 * DAY_MS)
        .map(({ signals }) => signals.freshFoodTempC);
      expect(Math.min(...warm.map(Number))).toBeGreaterThan(12);
      const after = played.samples.filter(({ at }) => at > (played.failedAt ?? 0) + HOUR_MS);
      if (faultKey === 'compressorBearingWear')
        expect(after.some(({ signals }) => signals.mode === 'cooling')).toBe(false);
    },
  );
});

describe('turbofan', () => {
  const model = modelCalled('turbofan');

  it('counts one cycle a flight and stays at sea level', () => {
    const { samples } = play(model, 2, 5);
    expect(samples.map(({ signals }) => signals.cycle)).toEqual(samples.map((_, i) => i + 1));
    for (const { signals } of samples) {
      expect(Math.abs(Number(signals.altitudeKft))).toBeLessThan(0.01);
      expect(Math.abs(Number(signals.machNumber))).toBeLessThan(0.001);
      expect(signals.throttleAngle).toBe(100);
    }
  });

  it('flies no more after its end of life', () => {
    const plan: FaultPlan = {
      faultKey: 'hpcDegradation',
      onsetAt: START,
      failsAt: START + 3 * DAY_MS,
      curve: 'exponential',
    };
    const { samples, failedAt } = play(model, 2, 5, plan);
    expect(failedAt).toBe(START + 3 * DAY_MS);
    expect(samples.at(-1)?.at).toBe(failedAt);
    expect(samples).toHaveLength(72);
  });
});

describe('ground truth', () => {
  it('says when the device fails in the very samples that are sent', () => {
    const end = START + DEMO_DAYS * DAY_MS;
    for (const device of demoFleet(3, 'demo', START).filter((candidate) => candidate.fault)) {
      const truth = groundTruthOf(device, START, end);
      const stream = createSampleStream(device, START);
      const samples = stream.take(end);
      expect(truth?.failsAt).toBe(stream.failedAt());
      expect(samples.some((sample) => sample.at === truth?.failsAt)).toBe(true);
      if (device.model === 'turbofan') expect(samples.at(-1)?.signals.cycle).toBe(truth?.failsAtCycle);
    }
  });

  it('knows nothing about a healthy device', () => {
    const device = { ref: { tenant: 'demo', device: 'a' }, model: 'turbofan', seed: 1 };
    expect(groundTruthOf(device, START, START + DAY_MS)).toBeUndefined();
  });
});

describe('demo fleet', () => {
  it.each([1, 2, 3, 4, 5])('holds four faults of known kinds that end within the month (seed %d)', (seed) => {
    const devices = demoFleet(seed, 'demo', START);
    expect(devices.filter((device) => device.model === 'refrigerator')).toHaveLength(14);
    expect(devices.filter((device) => device.model === 'turbofan')).toHaveLength(6);
    expect(new Set(devices.map((device) => device.seed)).size).toBe(20);
    const truths = devices.flatMap((device) => groundTruthOf(device, START, START + DEMO_DAYS * DAY_MS) ?? []);
    expect(truths.map((truth) => truth.faultKey).sort()).toEqual([
      'compressorBearingWear',
      'fanDegradation',
      'hpcDegradation',
      'refrigerantLeak',
    ]);
    for (const truth of truths) {
      expect(((truth.failsAt ?? 0) - START) / DAY_MS).toBeGreaterThan(21);
      expect(((truth.failsAt ?? 0) - START) / DAY_MS).toBeLessThan(29.5);
      expect(((truth.failsAt ?? 0) - truth.onsetAt) / DAY_MS).toBeGreaterThan(10);
      expect((truth.onsetAt - START) / DAY_MS).toBeGreaterThan(6.5);
    }
    expect(demoFleet(seed, 'demo', START)).toEqual(devices);
  });
});

describe('fault list of the command line', () => {
  const period = { start: START, end: START + 30 * DAY_MS };

  it('reads modes with and without days', () => {
    const [first, second] = parseFaultList('refrigerantLeak, hpcDegradation:10-26', period, seededRandom(1));
    expect(first?.faultKey).toBe('refrigerantLeak');
    expect(first?.failsAt).toBeLessThan(period.end);
    expect(second).toMatchObject({ onsetAt: START + 10 * DAY_MS, failsAt: START + 26 * DAY_MS });
    expect(parseFaultList('', period, seededRandom(1))).toEqual([]);
  });

  it('reads a severity below the end of life', () => {
    const [part, none, timed] = parseFaultList(
      'tyreSlowLeak@0.4,drainPumpClog@0,fuelPumpWear:2-9@0.75',
      period,
      seededRandom(1),
    );
    expect([part?.peak, none?.peak, timed?.peak]).toEqual([0.4, 0, 0.75]);
  });

  it.each(['refrigerantLeak@2', 'refrigerantLeak@', 'rust', 'refrigerantLeak:5', 'refrigerantLeak:9-4', 'tubLeak'])(
    'refuses %j',
    (text) => {
      expect(() => parseFaultList(text, period, seededRandom(1))).toThrow(RangeError);
    },
  );

  it('gives each fault to another device of its model, and says when there is none', () => {
    const devices: SimulatedDevice[] = ['refrigerator', 'turbofan', 'refrigerator'].map((model, seed) => ({
      ref: { tenant: 't', device: `d${seed}` },
      model,
      seed,
    }));
    const plans = parseFaultList('refrigerantLeak,compressorBearingWear', period, seededRandom(1));
    const faulty = assignFaults(devices, plans).filter((device) => device.fault);
    expect(faulty.map((device) => [device.ref.device, device.fault?.faultKey])).toEqual([
      ['d0', 'refrigerantLeak'],
      ['d2', 'compressorBearingWear'],
    ]);
    expect(() => assignFaults(devices.slice(0, 2), plans)).toThrow(/No healthy refrigerator/);
    expect([...FAULT_MODELS.keys()]).toContain('evaporatorFanWear');
  });
});
