/** What every detector of whole devices must hold, whatever it looks for. Each one's test calls this. */
import { describe, expect, it } from 'vitest';
import type { DeviceDetector, DeviceInput, DeviceScore } from '../../analytics/detectors/device-detector.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';

/** Four signals driven by one load, with holes; from `faultAt` on the second no longer follows the load. */
export function exampleRows(count: number, seed = 1, faultAt = Number.POSITIVE_INFINITY): DeviceInput[] {
  const random = seededRandom(seed);
  let load = 0;
  return Array.from({ length: count }, (_, i) => {
    load = 0.9 * load + gaussian(random);
    const flow = i >= faultAt ? 8 * gaussian(random) : 3 * load;
    const values = [50 + 5 * load, 20 + flow, 7 - 2 * load, 1_000].map(
      (value, s) => value + (s + 1) * 0.3 * gaussian(random),
    );
    const names = ['speed', 'flow', 'pressure', 'level'];
    const hole = i % 41 === 7 ? 2 : -1;
    return {
      at: 1_767_571_200_000 + i * 60_000,
      names: names.filter((_, s) => s !== hole),
      values: values.filter((_, s) => s !== hole),
    };
  });
}

export function deviceDetectorChecks<State>(detector: DeviceDetector<State>): void {
  const rows = exampleRows(1_500, 1, 1_300);
  const run = (state: State, some: readonly DeviceInput[]): DeviceScore[] =>
    some.map((input) => {
      const score = detector.score(state, input);
      detector.learn(state, input, score.surprise < 3);
      return score;
    });

  describe(`${detector.name} ${detector.version}`, () => {
    it('leaves its input alone, and its state when it only scores', () => {
      const state = detector.init();
      run(state, rows.slice(0, 900));
      const input = structuredClone(rows[900] as DeviceInput);
      const before = JSON.stringify(state);
      detector.score(state, input);
      expect(JSON.stringify(state)).toBe(before);
      detector.learn(state, input, true);
      expect(input).toEqual(rows[900]);
    });

    it('gives the same answers to the same rows, and goes on from JSON at any point', () => {
      const whole = run(detector.init(), rows);
      expect(run(detector.init(), rows)).toEqual(whole);
      for (const cut of [0, 1, 31, 400, 1_305]) {
        const state = detector.init();
        const head = run(state, rows.slice(0, cut));
        const tail = run(JSON.parse(JSON.stringify(state)) as State, rows.slice(cut));
        expect([...head, ...tail], `cut at ${cut}`).toEqual(whole);
      }
    });

    it('does not look ahead: what comes later changes no earlier score', () => {
      const other = [...rows.slice(0, 1_000), ...exampleRows(1_500, 9).slice(1_000)];
      expect(run(detector.init(), other).slice(0, 1_000)).toEqual(run(detector.init(), rows).slice(0, 1_000));
    });

    it('says nothing at first, then always finite figures, strongest line first', () => {
      const scores = run(detector.init(), rows);
      expect(scores[0]).toEqual({ surprise: 0, lines: [] });
      for (const { surprise, lines } of scores) {
        expect(Number.isFinite(surprise) && surprise >= 0).toBe(true);
        const strengths = lines.map((line) => line.surprise);
        expect(strengths).toEqual([...strengths].sort((a, b) => b - a));
        for (const { value, expected, low, high } of lines) {
          expect([value, expected, low, high].every(Number.isFinite)).toBe(true);
          expect(low <= expected && expected <= high).toBe(true);
        }
      }
    });

    it('stays finite on signals that never move, are equal, or are absurdly large', () => {
      const state = detector.init();
      const odd = rows.map(({ at }, i) => ({
        at,
        names: ['a', 'b', 'c', 'd'],
        values: [0, i, i, i % 2 === 0 ? 1e15 : -1e15],
      }));
      for (const { surprise } of run(state, odd)) expect(Number.isFinite(surprise)).toBe(true);
      expect(JSON.stringify(state)).not.toMatch(/NaN|1e\+?[5-9]\d/);
    });

    it('does not take a fault for normal while learning is withheld', () => {
      const state = detector.init();
      run(state, rows.slice(0, 1_200));
      const fault = exampleRows(1_600, 1, 1_200).slice(1_200);
      const first = fault.slice(0, 100).map((input) => {
        const score = detector.score(state, input);
        detector.learn(state, input, false);
        return score.surprise;
      });
      const later = fault.slice(300).map((input) => detector.score(state, input).surprise);
      // A detector that has not seen enough yet says nothing of either.
      expect(Math.max(...later)).toBeGreaterThanOrEqual(0.5 * Math.max(...first));
    });

    it('keeps a state of bounded size', () => {
      const state = detector.init();
      run(state, exampleRows(4_000, 3));
      const size = JSON.stringify(state).length;
      run(state, exampleRows(8_000, 4));
      expect(JSON.stringify(state).length).toBeLessThan(size * 1.6);
      expect(JSON.stringify(state).length / 4).toBeLessThan(24 * 1_024);
    });
  });
}
