/** What every detector must hold, whatever it looks for. Each detector's test calls this with example parameters. */
import { describe, expect, it } from 'vitest';
import type { Detector, DetectorInput, DetectorResult } from '../../analytics/detectors/detector.ts';
import { gaussian, seededRandom } from '../../contract/kernel/random.ts';

const STEP_MS = 300_000;

/** A noisy daily rhythm with holes, a constant stretch and a jump. */
export function exampleInputs(contextCount: number, count = 1_500, seed = 1): DetectorInput[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const context = Array.from({ length: contextCount }, () => gaussian(random));
    const level = 20 + 3 * Math.sin((2 * Math.PI * i) / 288) + (context[0] ?? 0) + gaussian(random);
    const value = i % 37 === 5 ? undefined : i > 400 && i < 450 ? 21 : i > 1_300 ? level + 15 : level;
    return { at: 1_767_571_200_000 + i * STEP_MS, value, context };
  });
}

export function detectorChecks<Params, State>(
  detector: Detector<Params, State>,
  params: Params,
  contextCount: number,
): void {
  const inputs = exampleInputs(contextCount);
  const run = (state: State, some: readonly DetectorInput[]): DetectorResult[] =>
    some.map((input) => {
      const result = detector.score(state, input);
      detector.learn(state, input, result.kind !== 'scored' || result.surprise < 3);
      return result;
    });

  describe(`${detector.name} ${detector.version}`, () => {
    it('leaves its input alone, and its state when it only scores', () => {
      const state = detector.init(params);
      run(state, inputs.slice(0, 700));
      const frozen = structuredClone(inputs[700] as DetectorInput);
      const before = JSON.stringify(state);
      detector.score(state, Object.freeze({ ...frozen, context: Object.freeze([...frozen.context]) }));
      expect(JSON.stringify(state)).toBe(before);
      detector.learn(state, inputs[700] as DetectorInput, true);
      expect(inputs[700]).toEqual(frozen);
    });

    it('gives the same answers to the same inputs', () => {
      expect(run(detector.init(params), inputs)).toEqual(run(detector.init(params), inputs));
    });

    it('goes on from JSON at any point as if nothing had happened', () => {
      const whole = run(detector.init(params), inputs);
      for (const cut of [0, 1, 17, 300, 777, 1_301]) {
        const state = detector.init(params);
        const head = run(state, inputs.slice(0, cut));
        const tail = run(JSON.parse(JSON.stringify(state)) as State, inputs.slice(cut));
        expect([...head, ...tail], `cut at ${cut}`).toEqual(whole);
      }
    });

    it('survives missing and non-finite values without learning from them', () => {
      const state = detector.init(params);
      run(state, inputs.slice(0, 500));
      const before = JSON.stringify(state);
      for (const value of [undefined, Number.NaN, Number.POSITIVE_INFINITY]) {
        const input = { ...(inputs[500] as DetectorInput), value };
        expect(detector.score(state, input)).toEqual({ kind: 'missing' });
        detector.learn(state, input, true);
      }
      expect(JSON.stringify(state)).toBe(before);
    });

    it('says that it is warming up, then always scores finite figures', () => {
      const results = run(detector.init(params), inputs).filter((result) => result.kind !== 'missing');
      expect(results[0]).toMatchObject({ kind: 'warmingUp' });
      const scored = results.filter((result) => result.kind === 'scored');
      expect(scored.length).toBeGreaterThan(400);
      for (const { surprise, expected, low, high } of scored) {
        expect([surprise, expected, low, high].every(Number.isFinite)).toBe(true);
        expect(surprise).toBeGreaterThanOrEqual(0);
        expect(low <= expected && expected <= high).toBe(true);
      }
    });

    it('stays finite on extreme values and on a signal that never moves', () => {
      for (const value of [0, 1e-300, 1e15, -1e15]) {
        const state = detector.init(params);
        run(
          state,
          inputs.map((input) => ({ ...input, value })),
        );
        const odd = detector.score(state, { ...(inputs.at(-1) as DetectorInput), value: value + 1 });
        if (odd.kind === 'scored') expect(Number.isFinite(odd.surprise)).toBe(true);
        expect(JSON.stringify(state)).not.toContain('null');
      }
    });

    it('does not look ahead: what comes later changes no earlier score', () => {
      const whole = run(detector.init(params), inputs);
      const other = [...inputs.slice(0, 900), ...exampleInputs(contextCount, 1_500, 99).slice(900)];
      expect(run(detector.init(params), other).slice(0, 900)).toEqual(whole.slice(0, 900));
    });

    it('keeps a state of bounded size', () => {
      const state = detector.init(params);
      run(state, inputs.slice(0, 800));
      const size = JSON.stringify(state).length;
      run(
        state,
        exampleInputs(contextCount, 4_000, 3).map((input) => ({ ...input, at: input.at + 1e9 })),
      );
      expect(JSON.stringify(state).length).toBeLessThan(size * 1.5);
    });
  });
}
