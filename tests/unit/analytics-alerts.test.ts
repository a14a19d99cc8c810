import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bandPoints, initBand, recordBand } from '../../analytics/alerts/bands.ts';
import { type EpisodeInput, type EpisodeState, initEpisode, stepEpisode } from '../../analytics/alerts/episode.ts';
import { stableId } from '../../analytics/alerts/identity.ts';
import { type AlertPolicy, DEFAULT_POLICY, raiseThreshold } from '../../analytics/alerts/policy.ts';
import type { Prediction } from '../../contract/ports/findings.ts';

const STEP_MS = 300_000;
const policy: AlertPolicy = { ...DEFAULT_POLICY, offSamples: 4, offMs: 0, confirmSamples: 6 };

function prediction(median: number, lower: number): Prediction {
  return {
    faultKey: 'wear',
    component: 'bearing',
    remainingLife: { median, lower, upper: median * 2, unit: 'cycle' },
    probabilityWithin: [],
    method: { name: 'test', version: '1' },
  };
}

interface Step {
  readonly surprise: number;
  readonly prediction?: Prediction;
  readonly leavesTime?: boolean;
  readonly plausible?: boolean;
  readonly otherConfirmed?: boolean;
}

const inputOf = (step: Step, i: number): EpisodeInput => ({
  at: 1_000_000 + i * STEP_MS,
  sample: `boot:${i}:0`,
  surprise: step.surprise,
  held: step.surprise,
  threshold: 5,
  since: undefined,
  prediction: step.prediction,
  leavesTime: step.leavesTime ?? false,
  plausible: step.plausible ?? true,
  otherConfirmed: step.otherConfirmed ?? false,
  signals: ['vibration'],
});

interface Seen {
  readonly i: number;
  readonly kind: string;
  readonly id: string;
  readonly confirmed: boolean;
}

/** Runs the machine; with `restart` its state goes through JSON after every sample. */
function run(steps: readonly Step[], restart = false): Seen[] {
  let state: EpisodeState = initEpisode();
  const seen: Seen[] = [];
  steps.forEach((step, i) => {
    const event = stepEpisode(state, inputOf(step, i), policy, 'major', (sample) => stableId('t.d', 'wear', sample));
    if (event) seen.push({ i, kind: event.kind, id: event.episode.id, confirmed: event.episode.confirmed });
    if (restart) state = JSON.parse(JSON.stringify(state)) as EpisodeState;
  });
  return seen;
}

const repeat = (count: number, step: Step): Step[] => Array.from({ length: count }, () => step);

describe('an alert episode', () => {
  it('is raised after the on-delay, confirmed when it persists, cleared once after the off-delay', () => {
    const seen = run([...repeat(5, { surprise: 0 }), ...repeat(10, { surprise: 8 }), ...repeat(10, { surprise: 1 })]);
    expect(seen.map(({ i, kind, confirmed }) => [i, kind, confirmed])).toEqual([
      [7, 'alertRaised', false],
      [10, 'alertUpdated', true],
      [18, 'alertCleared', true],
    ]);
    expect(new Set(seen.map((one) => one.id)).size).toBe(1);
  });

  it('is foreseen beside a confirmed failure mode only when it is a likely cause itself', () => {
    const due: Step = { surprise: 0, prediction: prediction(10, 5) };
    const raised = (step: Step) => run(repeat(8, step)).map(({ kind }) => kind);
    expect(raised(due)).toEqual(['alertRaised']);
    expect(raised({ ...due, otherConfirmed: true })).toEqual(['alertRaised']);
    expect(raised({ ...due, otherConfirmed: true, plausible: false })).toEqual([]);
    expect(raised({ ...due, plausible: false })).toEqual(['alertRaised']);
  });

  it('keeps why remaining life cannot be estimated until it can', () => {
    const { remainingLife: _, ...rest } = prediction(10, 5);
    const none: Prediction = { ...rest, reason: 'no trend towards the limit' };
    const state = initEpisode();
    const step = (one: Step, i: number) => stepEpisode(state, inputOf(one, i), policy, 'major', () => 'id');
    step({ surprise: 0, prediction: none }, 0);
    step({ surprise: 0 }, 1);
    expect(state.unestimated?.reason).toBe('no trend towards the limit');
    step({ surprise: 0, prediction: prediction(200, 100) }, 2);
    expect(state.unestimated).toBeNull();
  });

  it('is not raised by two samples, nor by a surprise that only comes near', () => {
    expect(run([...repeat(2, { surprise: 9 }), ...repeat(5, { surprise: 0 }), ...repeat(2, { surprise: 9 })])).toEqual(
      [],
    );
    expect(run(repeat(100, { surprise: 4.9 }))).toEqual([]);
  });

  it('stays open between the thresholds', () => {
    const seen = run([...repeat(5, { surprise: 8 }), ...repeat(50, { surprise: 3.5 })]);
    expect(seen.map((one) => one.kind)).toEqual(['alertRaised']);
  });

  it('is only watched while a usable prediction leaves time, and confirmed once it no longer does', () => {
    const later = { surprise: 8, prediction: prediction(100, 60), leavesTime: true };
    const due = { surprise: 8, prediction: prediction(40, 20), leavesTime: false };
    const seen = run([...repeat(40, later), ...repeat(5, due)]);
    expect(seen.filter((one) => one.confirmed).map((one) => one.i)).toEqual([40]);
  });

  it('is raised, confirmed, by predictions alone once several in a row are within the horizon', () => {
    const seen = run([
      ...repeat(3, { surprise: 0, prediction: prediction(40, 20) }),
      { surprise: 0, prediction: prediction(100, 60) },
      ...repeat(8, { surprise: 0, prediction: prediction(40, 20) }),
    ]);
    expect(seen).toEqual([{ i: 8, kind: 'alertRaised', id: stableId('t.d', 'wear', 'boot:4:0'), confirmed: true }]);
  });

  it('joins an anomaly and a prediction into one episode', () => {
    const seen = run([
      ...repeat(5, { surprise: 8, prediction: prediction(100, 60), leavesTime: true }),
      ...repeat(20, { surprise: 8, prediction: prediction(30, 10) }),
    ]);
    expect(seen.filter((one) => one.kind === 'alertRaised')).toHaveLength(1);
    expect(seen.at(-1)).toMatchObject({ kind: 'alertUpdated', confirmed: true });
  });

  it('ends when a repair makes the prognosis lose its trend', () => {
    const { remainingLife: _, ...none } = prediction(1, 1);
    const seen = run([
      ...repeat(8, { surprise: 0, prediction: prediction(30, 10) }),
      ...repeat(12, { surprise: 0, prediction: { ...none, reason: 'no trend' } }),
    ]);
    expect(seen.map((one) => one.kind)).toEqual(['alertRaised', 'alertCleared']);
  });

  const anySteps = fc.array(
    fc.record({
      surprise: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 12, noNaN: true })),
      prediction: fc.option(
        fc.integer({ min: 0, max: 120 }).map((life) => prediction(life * 1.5, life)),
        { nil: undefined },
      ),
      leavesTime: fc.boolean(),
    }),
    { maxLength: 200 },
  ) as fc.Arbitrary<Step[]>;

  it('is opened and closed in turn, whatever comes', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        let open: string | undefined;
        for (const { kind, id } of run(steps)) {
          if (kind === 'alertRaised') {
            expect(open).toBeUndefined();
            open = id;
          } else {
            expect(id).toBe(open);
            if (kind === 'alertCleared') open = undefined;
          }
        }
      }),
    );
  });

  it('is the same with a restart after every sample', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        expect(run(steps, true)).toEqual(run(steps));
      }),
    );
  });

  it('never takes a confirmation back within an episode', () => {
    fc.assert(
      fc.property(anySteps, (steps) => {
        const confirmed = new Set<string>();
        for (const one of run(steps)) {
          if (confirmed.has(one.id)) expect(one.confirmed).toBe(true);
          if (one.confirmed) confirmed.add(one.id);
        }
      }),
    );
  });
});

describe('the threshold', () => {
  it('follows from the budget, the samples of a day and the fault keys', () => {
    // 5 alerts in 1,000 days of 288 samples and 5 keys: 5 / 1000 / 288 / 5
    expect(10 ** -raiseThreshold(5, STEP_MS, 5)).toBeCloseTo(5 / 1_000 / 288 / 5, 12);
  });

  it('never goes so low that every sample counts', () => {
    expect(raiseThreshold(1e9, 1e12, 1)).toBeGreaterThan(1);
  });
});

describe('ids', () => {
  it('tell parts apart, however they are cut', () => {
    expect(stableId('a', 'bc')).not.toBe(stableId('ab', 'c'));
    expect(stableId('a', 'b')).toMatch(/^[0-9a-f]{32}$/);
  });

  it('do not collide over many similar parts, in no 32-bit half of them', () => {
    const ids = new Set<string>();
    const halves = new Set<string>();
    for (let i = 0; i < 20_000; i++) {
      const id = stableId('acme.fridge-1', 'refrigerantLeak', `boot:${i}:0`);
      ids.add(id);
      halves.add(id.slice(0, 16));
    }
    expect(ids.size).toBe(20_000);
    expect(halves.size).toBe(20_000);
  });
});

describe('the band history', () => {
  it('keeps the envelope of each slot and forgets the oldest', () => {
    const band = initBand();
    for (let i = 0; i < 1_000; i++) recordBand(band, i * STEP_MS, 3_600_000, i, i - 1, i + 1);
    const points = bandPoints(band);
    expect(points).toHaveLength(24);
    const last = points.at(-1);
    expect(last?.low).toBe((last?.at ?? 0) / STEP_MS - 1);
    expect(last?.high).toBeGreaterThan((last?.low ?? 0) + 2);
  });
});
