/**
 * The alert machine against a model so plain that it can be checked by eye: it looks at the whole history each time. Then
 * what holds whatever comes: samples, predictions, silence, late data, restarts, people who close alerts.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closeEpisode, type EpisodeState } from '../../analytics/alerts/episode.ts';
import type { AlertPolicy } from '../../analytics/alerts/policy.ts';
import { HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import { SEVERITIES } from '../../contract/ports/findings.ts';
import { EpisodeScript, START_AT, THRESHOLD, wearWithin } from '../support/episode-script.ts';

/** Surprise, and device time since the sample before, of which `observed` counts. */
interface Reading {
  readonly surprise: number;
  readonly gapMs: number;
  readonly observedMs: number;
}

const anyReading: fc.Arbitrary<Reading> = fc
  .record({
    surprise: fc.oneof(fc.constantFrom(0, 2.9, 3, 4, 4.9, 5, 9), fc.double({ min: 0, max: 10, noNaN: true })),
    gapMs: fc.constantFrom(0, 1_000, 5 * MINUTE_MS, HOUR_MS),
    silent: fc.boolean(),
  })
  .map(({ surprise, gapMs, silent }) => ({ surprise, gapMs, observedMs: silent ? Math.min(gapMs, MINUTE_MS) : gapMs }));

const anyDelays = fc.record({
  onSamples: fc.integer({ min: 1, max: 4 }),
  onMs: fc.constantFrom(0, 10 * MINUTE_MS, 90 * MINUTE_MS),
  offSamples: fc.integer({ min: 1, max: 4 }),
  offMs: fc.constantFrom(0, 10 * MINUTE_MS, 90 * MINUTE_MS),
  clearShare: fc.constantFrom(0.6, 1),
});

/** Indices at which it is raised and cleared, in turn. */
function model(readings: readonly Reading[], policy: AlertPolicy): number[] {
  const turns: number[] = [];
  const isHot = ({ surprise }: Reading) => surprise >= THRESHOLD;
  const isCold = ({ surprise }: Reading) => surprise < THRESHOLD * policy.clearShare;
  /** Time that the readings after the first of these lasted. */
  const lastedMs = (some: readonly Reading[]) => some.slice(1).reduce((sum, one) => sum + one.observedMs, 0);
  readings.forEach((_, i) => {
    const since = readings.slice((turns.at(-1) ?? -1) + 1, i + 1);
    if (turns.length % 2 === 0) {
      const afterCold = since.slice(since.findLastIndex((one) => isCold(one) && !isHot(one)) + 1);
      const row = afterCold.slice(Math.max(0, afterCold.findIndex(isHot)));
      if (row.filter(isHot).length >= policy.onSamples && lastedMs(row) >= policy.onMs) turns.push(i);
    } else {
      const row = since.slice(since.findLastIndex((one) => !isCold(one)) + 1);
      if (row.length >= policy.offSamples && lastedMs(row) >= policy.offMs) turns.push(i);
    }
  });
  return turns;
}

describe('the alert machine', () => {
  it('raises and clears exactly where the plain model does', () => {
    fc.assert(
      fc.property(fc.array(anyReading, { maxLength: 60 }), anyDelays, (readings, delays) => {
        const script = new EpisodeScript({ ...delays, flapOpenings: 0 });
        const turns: number[] = [];
        readings.forEach(({ surprise, gapMs, observedMs }, i) => {
          script.at += gapMs - 5 * MINUTE_MS;
          const event = script.sample(surprise, observedMs);
          if (event?.kind === 'alertRaised' || event?.kind === 'alertCleared') turns.push(i);
        });
        expect(turns).toEqual(model(readings, script.policy));
      }),
      { numRuns: 400 },
    );
  });

  type Act =
    | { readonly kind: 'sample'; readonly surprise: number; readonly forwardMs: number; readonly silent: boolean }
    | { readonly kind: 'predict'; readonly life: number | undefined }
    | { readonly kind: 'late'; readonly surprise: number; readonly backMs: number }
    | { readonly kind: 'severity'; readonly severity: (typeof SEVERITIES)[number] }
    | { readonly kind: 'close'; readonly reason: 'accepted' | 'decommissioned' };
  const anyAct: fc.Arbitrary<Act> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('sample' as const),
        surprise: fc.constantFrom(0, 4, 8),
        forwardMs: fc.constantFrom(1, 5 * MINUTE_MS, HOUR_MS, 30 * HOUR_MS),
        silent: fc.boolean(),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('predict' as const),
        life: fc.option(fc.integer({ min: 0, max: 2_000 }), { nil: undefined }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('late' as const),
        surprise: fc.constantFrom(0, 8),
        backMs: fc.constantFrom(1, HOUR_MS, 100 * HOUR_MS),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('severity' as const), severity: fc.constantFrom(...SEVERITIES) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('close' as const),
        reason: fc.constantFrom('accepted' as const, 'decommissioned' as const),
      }),
    },
  );
  const anyPolicy = fc.record({
    onSamples: fc.integer({ min: 1, max: 3 }),
    onMs: fc.constantFrom(0, HOUR_MS),
    offSamples: fc.integer({ min: 1, max: 3 }),
    offMs: fc.constantFrom(0, HOUR_MS),
    foreseenPredictions: fc.integer({ min: 1, max: 3 }),
    confirmSamples: fc.integer({ min: 1, max: 6 }),
    flapOpenings: fc.constantFrom(0, 3, 4),
    flapWindowMs: fc.constantFrom(HOUR_MS, 48 * HOUR_MS),
    flapQuietMs: fc.constantFrom(HOUR_MS, 12 * HOUR_MS),
    updateEverySamples: fc.integer({ min: 1, max: 4 }),
  });

  /** Plays the acts; `restart` says before which of them the state goes through JSON. */
  function play(acts: readonly Act[], policy: Partial<AlertPolicy>, restart: (i: number) => boolean): EpisodeScript {
    const script = new EpisodeScript(policy);
    script.restarts = false;
    acts.forEach((act, i) => {
      if (restart(i)) script.state = JSON.parse(JSON.stringify(script.state)) as EpisodeState;
      switch (act.kind) {
        case 'sample':
          script.at += act.forwardMs - 5 * MINUTE_MS;
          script.sample(act.surprise, act.silent ? 0 : undefined);
          break;
        case 'predict': {
          const { remainingLife, ...none } = wearWithin(act.life ?? 0);
          const prediction = act.life === undefined ? none : { ...none, remainingLife };
          script.sample(0, undefined, { prediction } as never);
          break;
        }
        case 'late':
          script.sample(act.surprise, undefined, { at: Math.max(START_AT, script.at - act.backMs) });
          break;
        case 'severity':
          script.severity = act.severity;
          break;
        case 'close':
          script.tell(closeEpisode(script.state, script.at, act.reason));
          break;
      }
    });
    return script;
  }

  it('has one open episode at a time, opened and closed in turn under a new id, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(anyAct, { maxLength: 150 }), anyPolicy, (acts, policy) => {
        const { told, state } = play(acts, policy, () => false);
        let open: string | undefined;
        const ids = new Set<string>();
        for (const { kind, id } of told) {
          if (kind === 'alertRaised') {
            expect(open).toBeUndefined();
            expect(ids.has(id)).toBe(false);
            ids.add(id);
            open = id;
          } else expect(id).toBe(open);
          if (kind === 'alertCleared') open = undefined;
        }
        expect(state.open?.id).toBe(open);
      }),
      { numRuns: 300 },
    );
  });

  it('never tells a time before the one it told last, nor a duration below zero', () => {
    fc.assert(
      fc.property(fc.array(anyAct, { maxLength: 150 }), anyPolicy, (acts, policy) => {
        const { told, state } = play(acts, policy, () => false);
        const minutes = told.map(({ minute }) => minute);
        expect(minutes).toEqual([...minutes].sort((a, b) => a - b));
        const { open } = state;
        if (open) expect(open.onset).toBeLessThanOrEqual(open.raisedAt ?? 0);
        expect(open?.onset ?? START_AT).toBeGreaterThanOrEqual(START_AT);
      }),
      { numRuns: 300 },
    );
  });

  it('only gets worse within an episode', () => {
    fc.assert(
      fc.property(fc.array(anyAct, { maxLength: 150 }), anyPolicy, (acts, policy) => {
        const worst = new Map<string, number>();
        for (const { id, severity } of play(acts, policy, () => false).told) {
          const rank = SEVERITIES.indexOf(severity);
          expect(rank).toBeGreaterThanOrEqual(worst.get(id) ?? 0);
          worst.set(id, rank);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('tells the same with a restart at any point', () => {
    fc.assert(
      fc.property(fc.array(anyAct, { maxLength: 100 }), anyPolicy, fc.func(fc.boolean()), (acts, policy, restart) => {
        const restarted = play(acts, policy, (i) => restart(i) === true);
        const whole = play(acts, policy, () => false);
        expect(restarted.told).toEqual(whole.told);
        expect(JSON.stringify(restarted.state)).toBe(JSON.stringify(whole.state));
      }),
      { numRuns: 200 },
    );
  });

  it('keeps a state of bounded size', () => {
    fc.assert(
      fc.property(fc.array(anyAct, { minLength: 100, maxLength: 400 }), anyPolicy, (acts, policy) => {
        expect(JSON.stringify(play(acts, policy, () => false).state).length).toBeLessThan(2_000);
      }),
      { numRuns: 50 },
    );
  });
});
