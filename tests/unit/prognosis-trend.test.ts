import { describe, expect, it } from 'vitest';
import { createTrendPrognoser, type TrendState } from '../../analytics/prognosis/trend.ts';
import { addToBlocks, type BlockPlan, initBlocks } from '../../analytics/prognosis/trend-blocks.ts';
import { refrigerator } from '../../contract/devices/refrigerator.ts';
import { turbofan } from '../../contract/devices/turbofan.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import { type Prediction, prediction } from '../../contract/ports/findings.ts';

const START = Date.UTC(2026, 0, 1);
const SAMPLES_PER_HOUR = 12;
const LIMIT = 7.1;
const HEALTHY = 1.8;
const WAY = LIMIT - HEALTHY;

interface Story {
  readonly seed: number;
  readonly days: number;
  /** Vibration above healthy, mm/s, at so many hours. */
  readonly wear?: (hours: number) => number;
  /** Standard deviation of what changes over days, mm/s; room temperature moves three times as much. */
  readonly weather?: number;
  /** Whether the other signals are measured, too. */
  readonly others?: boolean;
}

/** A refrigerator with rhythm, weather and noise; `visit` sees the predictions once every six hours. */
function follow(
  { seed, days, wear = () => 0, weather = 0.1, others = true }: Story,
  visit: (hours: number, all: readonly Prediction[]) => void,
) {
  const random = seededRandom(seed);
  const prognoser = createTrendPrognoser(refrigerator);
  let state = prognoser.init();
  let drift = 0;
  for (let i = 0; i < days * 24 * SAMPLES_PER_HOUR; i++) {
    const hours = i / SAMPLES_PER_HOUR;
    drift = drift * 0.9995 + gaussian(random) * weather * Math.sqrt(1 - 0.9995 ** 2);
    const day = Math.sin((2 * Math.PI * hours) / 24);
    const cooling = i % 7 < 4;
    const vibration = HEALTHY + 0.25 * day + drift + wear(hours) + 0.15 * gaussian(random);
    state = prognoser.update(state, {
      at: START + i * 5 * MINUTE_MS,
      mode: cooling ? 'cooling' : 'idle',
      signals: {
        compressorVibrationMmPerS: cooling ? vibration : 0.2,
        ...(others && {
          freshFoodTempC: 4 + 0.5 * day + 3 * drift + 0.5 * gaussian(random),
          evaporatorFanRpm: cooling ? 2400 + 40 * day + 30 * gaussian(random) : 0,
        }),
      },
    });
    if (i % 72 === 71) visit(hours, prognoser.predict(state));
    if (wear(hours) >= WAY) return hours;
  }
  return undefined;
}

const bearing = (all: readonly Prediction[]) => all.find(({ faultKey }) => faultKey === 'compressorBearingWear');

const WEAR_SHAPES: readonly (readonly [name: string, curve: (share: number) => number])[] = [
  ['linear', (share) => share],
  ['quadratic', (share) => share ** 2],
  ['exponential', (share) => Math.expm1(3 * share) / Math.expm1(3)],
];

/** All predictions for a bearing that wears out along a curve, beside the hours that really remained. */
function wearOut(seed: number, curve: (share: number) => number) {
  const random = seededRandom(1_000 + seed);
  const onset = 24 * (4 + 10 * random());
  const life = 24 * (8 + 30 * random());
  const said: { hours: number; lower: number; upper: number }[] = [];
  const wear = (hours: number) => (hours <= onset ? 0 : WAY * curve((hours - onset) / life));
  const end = follow({ seed, days: 80, wear, others: false }, (hours, all) => {
    const own = bearing(all)?.remainingLife;
    if (own) said.push({ hours, lower: own.lower, upper: own.upper });
  });
  expect((end ?? 0) - (said[0]?.hours ?? Number.POSITIVE_INFINITY), `lead of seed ${seed}, hours`).toBeGreaterThan(48);
  return said.map((one) => ({ ...one, remaining: (end ?? 0) - one.hours }));
}

describe('trend to threshold', () => {
  it('stays silent on healthy refrigerators for 60 days, with rhythm, noise and weather', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const spoke: string[] = [];
      follow({ seed, days: 60 }, (hours, all) => {
        for (const { faultKey, remainingLife } of all) if (remainingLife) spoke.push(`${faultKey} at ${hours} h`);
      });
      expect(spoke, `seed ${seed}`).toEqual([]);
    }
  });

  it('says why it does not estimate: warming up, then no trend', () => {
    const reasons = new Set<string | undefined>();
    follow({ seed: 1, days: 6 }, (_, all) => reasons.add(bearing(all)?.reason));
    expect([...reasons].at(0)).toMatch(/^warming up: have \d+, need 12 blocks of 6 h$/);
    expect([...reasons].at(-1)).toBe('no trend towards the limit');
  });

  it('covers the true end of linear, quadratic and exponential wear in 85–95 % of cases, and speaks days before it', () => {
    const shares = WEAR_SHAPES.map(([shape, curve]) => {
      const said = Array.from({ length: 16 }, (_, index) => wearOut(index + 1, curve)).flat();
      const inside = said.filter(({ remaining, lower, upper }) => remaining >= lower && remaining <= upper);
      expect(inside.length / said.length, shape).toBeGreaterThan(0.8);
      return inside.length / said.length;
    });
    const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
    expect(mean, shares.join(' ')).toBeGreaterThan(0.85);
    expect(mean, shares.join(' ')).toBeLessThan(0.95);
  }, 60_000);

  it('gives predictions that fit the contract, with chances that rise with time', () => {
    const wear = (hours: number) => (WAY * Math.max(0, hours - 240)) / 480;
    const all: Prediction[] = [];
    follow({ seed: 3, days: 30, wear }, (_, predictions) => all.push(...predictions));
    for (const one of all) expect(prediction.parse(one)).toEqual(one);
    const speaking = all.filter(({ remainingLife }) => remainingLife);
    expect(speaking.length).toBeGreaterThan(10);
    for (const { probabilityWithin } of speaking) {
      const p = probabilityWithin.map((entry) => entry.p);
      expect(p).toEqual(p.toSorted((a, b) => a - b));
    }
  });

  it('says that no life remains once the level has passed the limit', () => {
    const wear = (hours: number) => (hours > 200 ? WAY + 1 : 0);
    const prognoser = createTrendPrognoser(refrigerator);
    let state = prognoser.init();
    for (let i = 0; i < 230 * SAMPLES_PER_HOUR; i++) {
      const hours = i / SAMPLES_PER_HOUR;
      const compressorVibrationMmPerS = HEALTHY + wear(hours) + 0.05 * (i % 3);
      state = prognoser.update(state, {
        at: START + hours * HOUR_MS,
        mode: 'cooling',
        signals: { compressorVibrationMmPerS },
      });
    }
    expect(bearing(prognoser.predict(state))?.remainingLife).toEqual({ median: 0, lower: 0, upper: 0, unit: 'h' });
  });

  it('does not call a unit dead whose healthy level lies beyond the limit', () => {
    const prognoser = createTrendPrognoser(refrigerator);
    let state = prognoser.init();
    for (let hours = 0; hours < 200; hours += 0.5) {
      const signals = { compressorVibrationMmPerS: LIMIT + 1 + 0.1 * Math.sin(hours) };
      state = prognoser.update(state, { at: START + hours * HOUR_MS, mode: 'cooling', signals });
    }
    expect(bearing(prognoser.predict(state))?.remainingLife).toBeUndefined();
    expect(bearing(prognoser.predict(state))?.reason).toBe('cannot estimate: beyond the limit from the start');
  });

  it('resumes from its JSON state to the same predictions, in bounded memory', () => {
    const prognoser = createTrendPrognoser(refrigerator);
    const sample = (hours: number) => ({
      at: START + hours * HOUR_MS,
      mode: 'cooling',
      signals: { compressorVibrationMmPerS: HEALTHY + Math.max(0, hours - 200) / 100 + 0.1 * Math.sin(hours * 7) },
    });
    let straight = prognoser.init();
    let restarted = prognoser.init();
    for (let hours = 0; hours < 500; hours += 0.25) {
      straight = prognoser.update(straight, sample(hours));
      restarted = prognoser.update(JSON.parse(JSON.stringify(restarted)) as TrendState, sample(hours));
    }
    expect(restarted).toEqual(straight);
    expect(prognoser.predict(restarted)).toEqual(prognoser.predict(straight));
    expect(bearing(prognoser.predict(straight))?.remainingLife).toBeDefined();
    expect(JSON.stringify(straight).length).toBeLessThan(8_000);
  });

  it('ignores impossible readings, other modes and samples that come late', () => {
    const prognoser = createTrendPrognoser(refrigerator);
    const state = prognoser.init();
    const feed = (hours: number, mode: string, value: number) =>
      prognoser.update(state, { at: START + hours * HOUR_MS, mode, signals: { compressorVibrationMmPerS: value } });
    feed(100, 'cooling', 2);
    const before = JSON.stringify(state.modes);
    feed(101, 'cooling', 999);
    feed(101, 'cooling', Number.NaN);
    feed(101, 'idle', 3);
    feed(90, 'cooling', 3);
    expect(JSON.stringify(state.modes)).toBe(before);
  });

  it('counts life in cycles where the model does, with chances by days once the pace is known', () => {
    const prognoser = createTrendPrognoser(turbofan);
    const limit = turbofan.failureModes[0]?.endOfLife?.limit ?? 0;
    const random = seededRandom(4);
    let state = prognoser.init();
    for (let cycle = 1; cycle <= 160; cycle++) {
      const wear = Math.max(0, cycle - 60) / 140;
      const hpcOutletStaticPressurePsia = 47.3 + (limit - 47.3) * wear + 0.03 * gaussian(random);
      state = prognoser.update(state, {
        at: START + cycle * 12 * HOUR_MS,
        cycle,
        signals: { hpcOutletStaticPressurePsia },
      });
    }
    const [hpc] = prognoser.predict(state);
    expect(hpc?.remainingLife?.unit).toBe('cycle');
    expect(hpc?.remainingLife?.lower).toBeLessThan(40);
    expect(hpc?.remainingLife?.upper).toBeGreaterThan(40);
    expect(hpc?.probabilityWithin).toHaveLength(4);
    const blind = prognoser.update(prognoser.init(), { at: START, signals: { hpcOutletStaticPressurePsia: 47 } });
    expect(prognoser.predict(blind)[0]?.reason).toBe('warming up: have 0, need 12 blocks of 4 cycles');
  });
});

describe('blocks of a level', () => {
  const plan: BlockPlan = { firstLength: 6, longestLength: 24, phases: 4, baselineBlocks: 12, minValues: 1 };

  it('take out the daily rhythm once the baseline is known', () => {
    const state = initBlocks(plan);
    for (let hour = 0; hour < 24 * 10; hour++)
      addToBlocks(plan, state, hour, [10, 30, 20, 20][Math.floor(hour / 6) % 4] as number);
    expect(state.baseline).toMatchObject({ level: 20, noise: 0, phaseOffsets: [-10, 10, 0, 0] });
    expect(new Set(state.levels)).toEqual(new Set([20]));
  });

  it('grow longer instead of more, then forget the oldest', () => {
    const state = initBlocks(plan);
    let closed = 0;
    for (let hour = 0; hour < 24 * 300; hour++) {
      if (addToBlocks(plan, state, hour, hour)) closed++;
      expect(state.levels.length).toBeLessThanOrEqual(64);
    }
    expect(state.length).toBe(24);
    expect(closed).toBeGreaterThan(250);
    expect(state.at.at(-1)).toBe(298.5 * 24);
  });

  it('keep a median of thinned values in little memory', () => {
    const state = initBlocks({ ...plan, firstLength: 1_000, longestLength: 1_000 });
    for (let i = 0; i < 1_000; i++) addToBlocks(plan, state, i, i % 10 === 0 ? 1e6 : i);
    expect(state.values.length).toBeLessThanOrEqual(32);
    addToBlocks(plan, state, 1_001, 0);
    expect(state.levels[0]).toBeGreaterThan(400);
    expect(state.levels[0]).toBeLessThan(650);
  });
});
