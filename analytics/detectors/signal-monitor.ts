/**
 * The production ensemble for one signal in one operating mode: the seasonal residual for what happens now, drift for
 * what adds up. A single-sample surprise must persist before it counts.
 */
import { type DetectorInput, isPresent } from './detector.ts';
import { type DriftParams, type DriftState, drift, driftingSince, forgetDrift, forgiveDrift } from './drift.ts';
import { type NoveltyParams, type NoveltyState, novelty } from './novelty.ts';
import {
  type SeasonalParams,
  type SeasonalState,
  seasonalResidual,
  standardisedResidual,
} from './seasonal-residual.ts';

export interface MonitorParams {
  readonly seasonal: SeasonalParams;
  readonly drift: DriftParams;
  /** For streams of which nothing is known. */
  readonly novelty?: NoveltyParams;
}

/** Plain JSON. */
export interface MonitorState {
  readonly seasonal: SeasonalState;
  readonly drift: DriftState;
  /** Signed surprises of the samples before this one, newest first, {@link PERSIST_SAMPLES} − 1 of them. */
  readonly recent: number[];
  /** The same for their rarity. */
  readonly rare: number[];
  readonly novelty?: NoveltyState;
}

/** Surprises here carry the sign of the deviation: positive = above what is expected. */
export interface MonitorResult {
  /** Surprise of this sample alone. */
  readonly instant: number;
  /** Rarity of this sample alone. */
  readonly instantRarity: number;
  /** The weakest of the last {@link PERSIST_SAMPLES} samples when all deviate the same way, else 0. */
  readonly persisted: number;
  /** The same of how rare the samples are, whether that matters or not; without a sign. */
  readonly rarity: number;
  readonly drift: number;
  /** Since when it has been drifting; `undefined` = it is not. */
  readonly driftSince: number | undefined;
  /** Rarity of this sample in its own stream, without a sign; 0 where it is not looked at. */
  readonly novelty: number;
  readonly expected: number;
  readonly low: number;
  readonly high: number;
}

/** A residual must stay surprising for this many samples of its mode. */
export const PERSIST_SAMPLES = 3;

export const RESIDUAL_DETECTOR = { name: seasonalResidual.name, version: seasonalResidual.version } as const;
export const DRIFT_DETECTOR = { name: drift.name, version: drift.version } as const;

export function initMonitor(params: MonitorParams): MonitorState {
  return {
    seasonal: seasonalResidual.init(params.seasonal),
    drift: drift.init(params.drift),
    recent: new Array<number>(PERSIST_SAMPLES - 1).fill(0),
    rare: new Array<number>(PERSIST_SAMPLES - 1).fill(0),
    ...(params.novelty ? { novelty: novelty.init(params.novelty) } : {}),
  };
}

/** Judges one sample before it is learned; `undefined` while the residual warms up or the value is missing. */
export function scoreMonitor(state: MonitorState, input: DetectorInput): MonitorResult | undefined {
  const residual = seasonalResidual.score(state.seasonal, input);
  if (residual.kind !== 'scored') return undefined;
  const slow = drift.score(state.drift, input);
  const rare = state.novelty ? novelty.score(state.novelty, input) : undefined;
  const sign = residual.direction === 'up' ? 1 : -1;
  const instant = sign * residual.surprise;
  const instantRarity = sign * (residual.rarity ?? residual.surprise);
  return {
    instant,
    instantRarity,
    rarity: Math.abs(persistedSurprise(state.rare, instantRarity)),
    persisted: persistedSurprise(state.recent, instant),
    drift: slow.kind !== 'scored' ? 0 : slow.direction === 'up' ? slow.surprise : -slow.surprise,
    driftSince: driftingSince(state.drift),
    novelty: rare?.kind === 'scored' ? rare.surprise : 0,
    expected: residual.expected,
    low: residual.low,
    high: residual.high,
  };
}

/** Takes the sample in. Drift is always tracked; what counts as normal is learned only from trusted samples. */
export function learnMonitor(
  state: MonitorState,
  input: DetectorInput,
  result: MonitorResult | undefined,
  trusted: boolean,
): void {
  if (!isPresent(input.value)) return;
  if (result) {
    const residual = standardisedResidual(state.seasonal, input);
    drift.learn(state.drift, { at: input.at, value: residual, context: input.context }, trusted);
    shift(state.recent, result.instant);
    shift(state.rare, result.instantRarity);
  }
  // Rarity is counted over everything that was seen, odd or not.
  if (state.novelty) novelty.learn(state.novelty, input, true);
  seasonalResidual.learn(state.seasonal, input, trusted);
}

/** Learns a sample known to be healthy, however odd it looks. */
export function teachMonitor(state: MonitorState, input: DetectorInput, result: MonitorResult | undefined): void {
  forgiveDrift(state.drift);
  learnMonitor(state, input, result, true);
}

/** Between two recordings: what is normal stays known, what has added up is history. */
export function restartMonitor(state: MonitorState): void {
  forgetDrift(state.drift);
  state.recent.fill(0);
  state.rare.fill(0);
}

function shift(recent: number[], newest: number): void {
  for (let i = recent.length - 1; i > 0; i--) recent[i] = recent[i - 1] as number;
  recent[0] = Math.fround(newest);
}

function persistedSurprise(recent: readonly number[], instant: number): number {
  let weakest = Math.abs(instant);
  for (const before of recent) {
    if (before * instant <= 0) return 0;
    weakest = Math.min(weakest, Math.abs(before));
  }
  return instant < 0 ? -weakest : weakest;
}
