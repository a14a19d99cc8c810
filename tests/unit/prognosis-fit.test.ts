import { describe, expect, it } from 'vitest';
import { featureCount, featuresOf, initFeatures, observe } from '../../analytics/prognosis/features.ts';
import { DEFAULT_FIT, fitFleet } from '../../analytics/prognosis/fit-fleet.ts';
import { createFittedPrognoser, mapColumns, predictUnit } from '../../analytics/prognosis/fitted-model.ts';
import { type FleetHistory, truncateUnit, type UnitHistory } from '../../analytics/prognosis/fleet-history.ts';
import { scorePredictions } from '../../analytics/prognosis/metrics.ts';
import { type FittedModelFile, parseModel, serializeModel } from '../../analytics/prognosis/model-file.ts';
import { findRegimes, ONE_REGIME } from '../../analytics/prognosis/regimes.ts';
import { turbofan } from '../../contract/devices/turbofan.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import { CMAPSS_FIXTURE, readCmapss, syntheticFleet, unitsWhere } from '../support/fleets.ts';

const OPTIONS = { ...DEFAULT_FIT, horizon: 80, dataHash: 'test' };
const START = 1_750_000_000_000;

/** Predictions at random ages of units that the model has not seen. */
function scoreOn(model: FittedModelFile, history: FleetHistory, seed: number) {
  const random = seededRandom(seed);
  const columnOf = mapColumns(model, history.columns);
  return scorePredictions(
    history.units.flatMap((unit) =>
      Array.from({ length: 10 }, () => {
        const rows = 20 + Math.floor(random() * (unit.cycles.length - 21));
        const estimate = predictUnit(model, truncateUnit(unit, rows, history.columns.length), columnOf);
        return { ...estimate, actual: Math.min(model.horizon, unit.cycles.length - rows) };
      }),
    ),
  );
}

const predictAt = (model: FittedModelFile, history: FleetHistory, unit: UnitHistory, rows: number) =>
  predictUnit(model, truncateUnit(unit, rows, history.columns.length), mapColumns(model, history.columns));

describe('a fit on synthetic fleets', () => {
  const fleet = syntheticFleet({ units: 40, seed: 1 });
  const model = fitFleet(fleet, OPTIONS);

  it('predicts unseen units far better than the mean, and its intervals cover about 90 %', () => {
    const scores = [11, 12, 13].map((seed) => scoreOn(model, syntheticFleet({ units: 40, seed }), seed));
    const rmse = Math.sqrt(scores.reduce((sum, score) => sum + (score?.rmse ?? 0) ** 2, 0) / scores.length);
    const coverage = scores.reduce((sum, score) => sum + (score?.coverage ?? 0), 0) / scores.length;
    expect(rmse).toBeLessThan(12);
    expect(coverage).toBeGreaterThan(0.85);
    expect(coverage).toBeLessThan(0.96);
  });

  it('says by cross-validation what it then does on unseen units', () => {
    const unseen = scoreOn(model, syntheticFleet({ units: 80, seed: 21 }), 21);
    expect(model.metrics.rmse / (unseen?.rmse ?? 0)).toBeGreaterThan(0.65);
    expect(model.metrics.rmse / (unseen?.rmse ?? 0)).toBeLessThan(1.4);
  });

  it('is the same, byte for byte, for the same seed, and another for another', () => {
    expect(serializeModel(fitFleet(fleet, OPTIONS))).toBe(serializeModel(model));
    expect(fitFleet(fleet, { ...OPTIONS, seed: 2 }).version).not.toBe(model.version);
  });

  it('uses the wearing columns and neither the noise nor the constant', () => {
    const used = model.plan.channels.map((channel) => model.columns[channel.column]);
    expect(used.toSorted()).toEqual(['heat', 'pressure']);
  });

  it('does not let the future of a unit change anything earlier', () => {
    const unit = fleet.units[0] as UnitHistory;
    const wild = { ...unit, values: unit.values.map((value, i) => (i < 60 * fleet.columns.length ? value : 1e6)) };
    expect(predictAt(model, fleet, wild, 60)).toEqual(predictAt(model, fleet, unit, 60));
  });

  it('stays within 0..horizon and around the estimate, whatever the readings', () => {
    const random = seededRandom(8);
    const values = Float64Array.from({ length: 5 * 70 }, () => (random() < 0.2 ? Number.NaN : (random() - 0.5) * 1e9));
    const unit = { id: 'wild', cycles: Float64Array.from({ length: 70 }, (_, i) => i + 1), values };
    for (let rows = 0; rows <= 70; rows += 5) {
      const { median, lower, upper } = predictAt(model, fleet, unit, rows);
      expect(lower).toBeGreaterThanOrEqual(0);
      expect(lower).toBeLessThanOrEqual(median);
      expect(median).toBeLessThanOrEqual(upper);
      expect(upper).toBeLessThanOrEqual(80);
    }
  });

  it('finds columns by name: order and additional columns of a test recording do not matter', () => {
    const order = [4, 2, 0, 3, 1];
    const shuffled: FleetHistory = {
      columns: order.map((column) => fleet.columns[column] as string),
      units: fleet.units.map((unit) => ({
        ...unit,
        values: Float64Array.from(unit.values, (_, i) => unit.values[i - (i % 5) + (order[i % 5] as number)] as number),
      })),
    };
    const unit = fleet.units[3] as UnitHistory;
    const same = shuffled.units[3] as UnitHistory;
    expect(predictAt(model, shuffled, same, 50)).toEqual(predictAt(model, fleet, unit, 50));
    expect(() => mapColumns(model, ['heat'])).toThrow(/pressure is missing/);
  });

  it('is not moved by the unit of measurement of a column', () => {
    const scaled: FleetHistory = {
      ...fleet,
      units: fleet.units.map((unit) => ({
        ...unit,
        values: unit.values.map((value, i) => (i % 5 === 1 ? value * 1.8 + 32 : value)),
      })),
    };
    const other = fitFleet(scaled, OPTIONS);
    expect(Math.abs(other.metrics.rmse - model.metrics.rmse)).toBeLessThan(0.5);
  });

  it('works with a tenth of the cells missing', () => {
    const random = seededRandom(3);
    const holed: FleetHistory = {
      ...fleet,
      units: fleet.units.map((unit) => ({
        ...unit,
        values: unit.values.map((value) => (random() < 0.1 ? Number.NaN : value)),
      })),
    };
    const score = scoreOn(fitFleet(holed, OPTIONS), syntheticFleet({ units: 30, seed: 31 }), 31);
    expect(score?.rmse).toBeLessThan(14);
  });

  it('works when every unit stands twice', () => {
    const units = fleet.units.flatMap((unit) => [unit, { ...unit, id: `${unit.id}-copy` }]);
    const score = scoreOn(fitFleet({ ...fleet, units }, OPTIONS), syntheticFleet({ units: 30, seed: 41 }), 41);
    expect(score?.rmse).toBeLessThan(13);
  });
});

describe('operating regimes', () => {
  it('are found from a setting that comes and goes and explains the sensors', () => {
    const fleet = syntheticFleet({ units: 20, seed: 5, regimes: 4 });
    expect(findRegimes(fleet).centres).toHaveLength(4);
    const model = fitFleet(fleet, OPTIONS);
    const unseen = scoreOn(model, syntheticFleet({ units: 20, seed: 6, regimes: 4 }), 6);
    expect(unseen?.rmse).toBeLessThan(15);
  });

  it('are not invented for a fleet that runs at one setting', () => {
    expect(findRegimes(syntheticFleet({ units: 20, seed: 5 }))).toEqual(ONE_REGIME);
    expect(findRegimes(readCmapss(CMAPSS_FIXTURE))).toEqual(ONE_REGIME);
  });
});

describe('small fleets', () => {
  it('of three units give a model with wide intervals', () => {
    const three = fitFleet(syntheticFleet({ units: 3, seed: 9 }), OPTIONS);
    const many = fitFleet(syntheticFleet({ units: 40, seed: 1 }), OPTIONS);
    const width = (model: FittedModelFile) => model.metrics.meanWidth;
    expect(three.committee).toHaveLength(3);
    expect(width(three)).toBeGreaterThan(width(many));
  });

  it('of two units are refused with the reason', () => {
    expect(() => fitFleet(syntheticFleet({ units: 2, seed: 9 }), OPTIONS)).toThrow(/2 unit\(s\), at least 3 needed/);
  });

  it('with hardly any rows are refused with the reason', () => {
    const fleet = syntheticFleet({ units: 5, seed: 9 });
    const short = { ...fleet, units: fleet.units.map((unit) => truncateUnit(unit, 4, fleet.columns.length)) };
    expect(() => fitFleet(short, OPTIONS)).toThrow(/20 rows in all, at least 60 needed/);
  });

  it('whose columns say nothing still know the usual length of life', () => {
    const fleet = syntheticFleet({ units: 10, seed: 9 });
    const dull = { ...fleet, units: fleet.units.map((unit) => ({ ...unit, values: unit.values.map(() => 1) })) };
    const model = fitFleet(dull, OPTIONS);
    expect(model.plan.channels).toEqual([]);
    const { median } = predictAt(model, dull, dull.units[0] as UnitHistory, 30);
    expect(median).toBeGreaterThan(20);
  });
});

describe('a fit on C-MAPSS engines', () => {
  const engines = readCmapss(CMAPSS_FIXTURE);
  const model = fitFleet(
    unitsWhere(engines, (index) => index < 16),
    {
      ...DEFAULT_FIT,
      dataHash: 'test',
      deviceModel: 'turbofan',
    },
  );
  const unseen = unitsWhere(engines, (index) => index >= 16);

  it('beats a predictor that always says the mean by a wide margin', () => {
    const actual = unseen.units.flatMap((unit) =>
      Array.from(unit.cycles, (_, row) => Math.min(125, unit.cycles.length - 1 - row)),
    );
    const mean = actual.reduce((a, b) => a + b, 0) / actual.length;
    const naive = Math.sqrt(actual.reduce((sum, value) => sum + (value - mean) ** 2, 0) / actual.length);
    const score = scoreOn(model, unseen, 1);
    expect(naive).toBeGreaterThan(35);
    expect(score?.rmse).toBeLessThan(naive / 2);
    expect(score?.coverage).toBeGreaterThan(0.75);
  });

  it('predicts live, sample by sample, exactly what it predicts in one go', () => {
    const prognoser = createFittedPrognoser(model, turbofan);
    const unit = unseen.units[0] as UnitHistory;
    let state = prognoser.init();
    for (let row = 0; row < unit.cycles.length; row++) {
      state = prognoser.update(state, liveSample(engines, unit, row));
      // A restart in between changes nothing: the state is plain JSON.
      if (row % 37 === 0) state = JSON.parse(JSON.stringify(state));
      const [live] = prognoser.predict(state);
      if (row < 19) {
        expect(live?.reason).toMatch(/^warming up: have \d+, need 20 cycles$/);
        continue;
      }
      expect(live?.remainingLife).toEqual({ ...predictAt(model, engines, unit, row + 1), unit: 'cycle' });
    }
    expect(JSON.stringify(state).length).toBeLessThan(20_000);
  });

  it('is the same after a way through its file', () => {
    const again = parseModel(serializeModel(model), 'model.json');
    const unit = unseen.units[1] as UnitHistory;
    expect(predictAt(again, engines, unit, 100)).toEqual(predictAt(model, engines, unit, 100));
  });

  it('warns of failures in time and not at a third of life (lower bound at most 30 cycles, three cycles in a row)', () => {
    const prognoser = createFittedPrognoser(model, turbofan);
    for (const unit of unseen.units) {
      let state = prognoser.init();
      let run = 0;
      let warnedAt: number | undefined;
      for (let row = 0; row < unit.cycles.length; row++) {
        state = prognoser.update(state, liveSample(engines, unit, row));
        const lower = prognoser.predict(state)[0]?.remainingLife?.lower;
        run = lower !== undefined && lower <= 30 ? run + 1 : 0;
        if (run === 3) warnedAt ??= row;
      }
      const lead = unit.cycles.length - 1 - (warnedAt ?? unit.cycles.length);
      expect(lead, `engine ${unit.id}`).toBeGreaterThanOrEqual(10);
      expect(warnedAt, `engine ${unit.id}`).toBeGreaterThan(0.3 * unit.cycles.length);
    }
  });

  it('names the failure mode and component of the device model', () => {
    const prognoser = createFittedPrognoser(model, turbofan);
    const [prediction] = prognoser.predict(prognoser.init());
    expect(prediction).toMatchObject({
      faultKey: 'hpcDegradation',
      component: 'highPressureCompressor',
      method: { name: 'boosted-trees', version: model.version },
      reason: 'warming up: have 0, need 20 cycles with a cycle count',
    });
  });

  it('refuses to estimate when most signals are missing or the beginning of life is unknown', () => {
    const prognoser = createFittedPrognoser(model, turbofan);
    const unit = unseen.units[0] as UnitHistory;
    const feed = (firstRow: number) => {
      let state = prognoser.init();
      for (let row = firstRow; row < firstRow + 30; row++)
        state = prognoser.update(state, liveSample(engines, unit, row));
      return state;
    };
    const blind = prognoser.update(feed(0), { at: START + 40 * HOUR_MS, cycle: 31, signals: {} });
    expect(prognoser.predict(blind)[0]?.reason).toMatch(/^missing inputs: \d+ of \d+ signals in the last cycle$/);
    expect(prognoser.predict(feed(60))[0]?.reason).toMatch(/^history starts at cycle 61/);
  });

  it('gives chances of failure within days once the pace is known and the horizon reaches that far', () => {
    const prognoser = createFittedPrognoser(model, turbofan);
    const unit = unseen.units[0] as UnitHistory;
    let state = prognoser.init();
    for (let row = 0; row < unit.cycles.length; row++) {
      const sample = liveSample(engines, unit, row);
      state = prognoser.update(state, { ...sample, at: START + row * 12 * HOUR_MS });
    }
    const within = prognoser.predict(state)[0]?.probabilityWithin ?? [];
    expect(within.map(({ days }) => days)).toEqual([7, 14, 30]);
    for (const { p, lower, upper } of within) {
      expect(p).toBeGreaterThan(0.7);
      expect(lower).toBeLessThanOrEqual(p);
      expect(upper).toBeGreaterThanOrEqual(p);
    }
  });

  it('takes the first sample of a cycle and leaves out repeated and earlier ones', () => {
    const prognoser = createFittedPrognoser(model, turbofan);
    const unit = unseen.units[0] as UnitHistory;
    const once = prognoser.update(prognoser.init(), liveSample(engines, unit, 0));
    const before = JSON.stringify(once);
    prognoser.update(once, { ...liveSample(engines, unit, 5), cycle: 1 });
    prognoser.update(once, { at: START, signals: { hpcOutletTempR: 1 } });
    expect(JSON.stringify(once)).toBe(before);
  });

  it('is not offered for a device model that lacks its signals', () => {
    const other = { ...turbofan, id: 'other', signals: turbofan.signals.slice(0, 5) };
    expect(() => createFittedPrognoser(model, other)).toThrow(/are not signals of the device model other/);
  });
});

describe('a model file', () => {
  const text = serializeModel(fitFleet(syntheticFleet({ units: 4, seed: 2 }), OPTIONS));
  const changed = (change: (model: Record<string, unknown>) => void) => {
    const model = JSON.parse(text) as Record<string, unknown>;
    change(model);
    return JSON.stringify(model);
  };

  it.each([
    ['no JSON', 'trees', /m\.json is not JSON/],
    [
      'another schema',
      changed((model) => {
        model.schema = 'other';
      }),
      /m\.json: schema/,
    ],
    [
      'no horizon',
      changed((model) => {
        delete model.horizon;
      }),
      /m\.json: horizon/,
    ],
    [
      'a changed value',
      changed((model) => {
        model.horizon = 90;
      }),
      /changed after the fit/,
    ],
    [
      'a column that is not there',
      changed((model) => {
        model.columns = ['setting'];
      }),
      /its parts refer to columns/,
    ],
    [
      'a tree that leads nowhere',
      changed((model) => {
        model.committee = [{ base: 1, trees: [{ feature: [0], at: [1], left: [0] }] }];
      }),
      /committee\.0\.trees\.0: not a tree/,
    ],
  ])('is refused with %s', (_what, content, message) => {
    expect(() => parseModel(content, 'm.json')).toThrow(message);
  });
});

describe('features', () => {
  it('are means, change since the start and slopes of the last rows', () => {
    const plan = { regimes: ONE_REGIME, channels: [{ column: 0, mean: [100], deviation: [10] }], indices: [] };
    const state = initFeatures(plan);
    for (let cycle = 1; cycle <= 100; cycle++) observe(plan, state, cycle, () => 100 + cycle * 0.1);
    const out = new Float64Array(featureCount(plan));
    featuresOf(state, out);
    // z = cycle / 100: means over the last 5, 15, 30, 60 cycles; the start is the mean of cycles 1–20.
    const expected = [100, 0.98, 0.93, 0.855, 0.705, 0.93 - 0.105, 0.01, 0.01, 0.01];
    expect(Array.from(out, (value) => Math.round(value * 1e6) / 1e6)).toEqual(
      expected.map((value) => Math.round(value * 1e6) / 1e6),
    );
  });
});

function liveSample(history: FleetHistory, unit: UnitHistory, row: number) {
  const width = history.columns.length;
  const entries = history.columns.map((name, column) => [name, unit.values[row * width + column] as number] as const);
  return { at: START + row * HOUR_MS, cycle: unit.cycles[row] as number, signals: Object.fromEntries(entries) };
}
