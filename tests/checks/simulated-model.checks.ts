/** What every simulated device model must keep to. */
import { describe, expect, it } from 'vitest';
import { findModel, signalsOf } from '../../contract/devices/catalogue.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { signalsPayload } from '../../contract/wire/payloads.ts';
import { FAULT_MODELS } from '../../device-sim/faults/catalogue.ts';
import type { FaultPlan } from '../../device-sim/faults/fault-plan.ts';
import type { SimulatedModel } from '../../device-sim/models/catalogue.ts';

export const START = Date.UTC(2026, 2, 2);

export function play(model: SimulatedModel, seed: number, days: number, fault?: FaultPlan, start = START) {
  const simulation = model.create(seed, { startAt: start, ...(fault ? { fault } : {}) });
  const samples = [];
  for (let at = start + model.intervalMs; at <= start + days * DAY_MS; at += model.intervalMs) {
    const signals = simulation.step(at);
    if (signals) samples.push({ at, signals });
  }
  return { samples, failedAt: simulation.failedAt() };
}

export type Played = ReturnType<typeof play>;

/** Exponentially smoothed values of a signal, only from samples in `mode` when one is given. */
export function smooth(played: Played, signal: string, mode: string | undefined, weight: number) {
  const points: { at: number; value: number }[] = [];
  let level: number | undefined;
  for (const { at, signals } of played.samples) {
    const value = signals[signal];
    if (typeof value !== 'number' || (mode !== undefined && signals.mode !== mode)) continue;
    level = level === undefined ? value : level + weight * (value - level);
    points.push({ at, value: level });
  }
  return points;
}

export function checkSimulatedModel(model: SimulatedModel): void {
  const faults = [...FAULT_MODELS].filter(([, id]) => id === model.id).map(([code]) => code);
  /** A model with many faults is played often enough with fewer seeds each. */
  const [faultySeeds, healthySeeds] = faults.length > 3 ? [4, 10] : [12, 30];
  const fault = (faultKey: string, onsetDay: number, failsDay: number): FaultPlan => ({
    faultKey,
    onsetAt: START + onsetDay * DAY_MS,
    failsAt: START + failsDay * DAY_MS,
    curve: 'linear',
  });

  describe(`simulated ${model.id}`, () => {
    it('is the same for the same seed and differs for another', () => {
      expect(play(model, 5, 3)).toEqual(play(model, 5, 3));
      expect(play(model, 6, 3)).not.toEqual(play(model, 5, 3));
    });

    it('sends exactly the signals of the catalogue, within their ranges and in its modes', () => {
      const specs = signalsOf(model.id);
      const modes = findModel(model.id)?.modes.map((mode) => mode.id) ?? [];
      const names = [...specs.keys()].sort().join();
      const wrong = new Set<string>();
      for (const key of [undefined, ...faults]) {
        play(model, 11, 12, key ? fault(key, 2, 7) : undefined).samples.forEach(({ signals }, i) => {
          if (Object.keys(signals).sort().join() !== names) wrong.add(`signals ${Object.keys(signals)}`);
          for (const [name, value] of Object.entries(signals)) {
            const spec = specs.get(name);
            const [low, high] = spec?.range ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
            if (typeof value !== (spec?.kind === 'text' ? 'string' : spec?.kind)) wrong.add(`${name} ${typeof value}`);
            if (typeof value === 'number' && !(value >= low && value <= high)) wrong.add(`${name} = ${value}`);
            if (spec?.role === 'mode' && !modes.includes(String(value))) wrong.add(`mode ${value}`);
          }
          if (i % 50 === 0 && !signalsPayload.safeParse(signals).success) wrong.add('payload');
        });
      }
      expect([...wrong]).toEqual([]);
    });

    it('shows each of its modes within two weeks of spring or summer', () => {
      const samples = [START, Date.UTC(2026, 6, 6)].flatMap((start) => play(model, 3, 14, undefined, start).samples);
      const seen = new Set(samples.map(({ signals }) => signals.mode));
      const modeSignal = [...signalsOf(model.id).values()].find((signal) => signal.role === 'mode');
      if (modeSignal)
        expect([...seen].sort()).toEqual(
          findModel(model.id)
            ?.modes.map((mode) => mode.id)
            .sort(),
        );
    });

    it.each(faults)('%s of severity 0 gives exactly the healthy telemetry', (key) => {
      const none = play(model, 9, 4, { ...fault(key, 1, 3), peak: 0 });
      expect(none).toEqual(play(model, 9, 4));
    });

    it.each(faults)('%s shows the more, the more severe it is', (key) => {
      const mode = findModel(model.id)?.failureModes.find((candidate) => candidate.code === key);
      const shown = mode?.shows[0];
      if (!mode || !shown) throw new Error(`${key} shows in nothing`);
      const levels = [0, 0.3, 0.6, 0.9].map((peak) => {
        const played = play(model, 4, 8, { ...fault(key, 1, 2), curve: 'step', peak });
        expect(played.failedAt === undefined || peak === 0.9).toBe(true);
        const values = smooth(played, shown.signal, mode.endOfLife?.mode, 1).filter(
          ({ at }) => at > START + 2 * DAY_MS,
        );
        return values.reduce((sum, point) => sum + point.value, 0) / values.length;
      });
      const signed = levels.map((level) => (shown.direction === 'up' ? level : -level));
      expect(signed).toEqual([...signed].sort((a, b) => a - b));
      expect(new Set(signed).size).toBe(4);
    });

    it.each(faults)('is healthy bit for bit until the onset of %s', (key) => {
      const ill = play(model, 7, 6, fault(key, 3, 5)).samples.filter(({ at }) => at <= START + 3 * DAY_MS);
      expect(ill).toEqual(play(model, 7, 3).samples);
      expect(play(model, 7, 4, fault(key, 100, 120))).toEqual(play(model, 7, 4));
    });

    const endOfLifeOf = (key: string) => findModel(model.id)?.failureModes.find((mode) => mode.code === key)?.endOfLife;

    it.each(faults.filter(endOfLifeOf))(
      'reaches the catalogue’s end of life by %s when it says it failed, and not before',
      (key) => {
        const end = endOfLifeOf(key);
        if (!end) throw new Error(`${key} has no end of life`);
        const sign = end.direction === 'up' ? 1 : -1;
        for (let seed = 1; seed <= faultySeeds; seed++) {
          const played = play(model, seed, 30, fault(key, 8, 24));
          expect(played.failedAt, `seed ${seed}`).toBeDefined();
          const failedAt = played.failedAt ?? 0;
          expect(Math.abs(failedAt - (START + 24 * DAY_MS)) / DAY_MS, `seed ${seed}`).toBeLessThan(4);
          const before = smooth(played, end.signal, end.mode, 0.2).filter((point) => point.at <= failedAt);
          const healthy = before.find((point) => point.at > START + DAY_MS)?.value ?? 0;
          const lastDay = before.filter((point) => point.at > failedAt - DAY_MS).map((point) => sign * point.value);
          const distance = (value: number) => (sign * end.limit - value) / Math.abs(end.limit - healthy);
          expect(distance(Math.max(...lastDay)), `seed ${seed}: reaches the limit`).toBeLessThan(0.08);
          const early = before.filter((point) => point.at < failedAt - 5 * DAY_MS).map((point) => sign * point.value);
          expect(distance(Math.max(...early)), `seed ${seed}: not long before`).toBeGreaterThan(0.08);
        }
      },
    );

    it('never comes near the end of life while it is healthy', () => {
      for (let seed = 100; seed < 100 + healthySeeds; seed++) {
        const played = play(model, seed, 30);
        for (const { code, endOfLife: end } of findModel(model.id)?.failureModes ?? []) {
          if (!end) continue;
          const points = smooth(played, end.signal, end.mode, 0.2);
          const sign = end.direction === 'up' ? 1 : -1;
          const middle = points.reduce((sum, point) => sum + point.value, 0) / points.length;
          const worst = Math.max(
            ...points.map((point) => (sign * (point.value - middle)) / Math.abs(end.limit - middle)),
          );
          expect(worst, `${code}, seed ${seed}`).toBeLessThan(0.55);
        }
      }
    });
  });
}
