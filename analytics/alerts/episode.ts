/**
 * The alert of one fault key on one device as a pure state machine: idle → pending (on-delay) → open → idle (off-delay,
 * lower threshold). One episode is raised once, updated now and then, cleared once. Time is the device's; state is plain
 * JSON, so an interleaving or restart at any sample changes nothing.
 */
import type { Prediction, Severity } from '../../contract/ports/findings.ts';
import { type AlertPolicy, isDue } from './policy.ts';

/** What one sample says about one fault key. */
export interface EpisodeInput {
  readonly at: number;
  /** Identity of the sample, unique on the device: boot, sequence number and index. */
  readonly sample: string;
  /** Surprise of what this sample shows. */
  readonly surprise: number;
  /** The same with what other operating modes showed last: keeps an episode open, never opens one. */
  readonly held: number;
  readonly threshold: number;
  /** When the deviation began, where the detectors know it. */
  readonly since: number | undefined;
  /** Present when this sample renewed the prediction for this fault key. */
  readonly prediction: Prediction | undefined;
  /** A usable prediction for the component leaves more time than the horizon: an anomaly is then watched, not acted on. */
  readonly leavesTime: boolean;
  /** In view of all signals this fault key is a likely cause: without that an anomaly is not acted on. */
  readonly plausible: boolean;
  /** Another failure mode of the device is confirmed: without `plausible`, what is foreseen here is its consequence. */
  readonly otherConfirmed: boolean;
  /** Signals behind it. */
  readonly signals: readonly string[];
}

export interface OpenEpisode {
  readonly id: string;
  readonly onset: number;
  /** Signals behind it so far, at most {@link MAX_SIGNALS}: their learning is withheld. */
  signals: string[];
  confirmed: boolean;
  severity: Severity;
  /** Samples above the threshold so far. */
  strong: number;
  /** Samples below the clearing threshold in a row, and since when. */
  calm: number;
  calmSince: number;
  /** Findings so far: numbers their ids. */
  findings: number;
  samplesSinceUpdate: number;
  /** Median remaining life in the last finding. */
  reportedMedian: number | null;
}

/** Plain JSON. */
export interface EpisodeState {
  pending: { onset: number; sample: string; since: number; samples: number } | null;
  open: OpenEpisode | null;
  /** Predictions within the horizon in a row. */
  due: number;
  /** First sample of that row. */
  dueSample: string;
  dueSince: number;
  /** The newest prediction that could estimate, and how many could not since. */
  prediction: Prediction | null;
  unusable: number;
  /** The newest prediction when it could not estimate: it says why. Absent in states of older versions. */
  unestimated?: Prediction | null;
}

export type EpisodeEvent =
  | { readonly kind: 'alertRaised'; readonly episode: OpenEpisode }
  | { readonly kind: 'alertUpdated'; readonly episode: OpenEpisode; readonly reason: UpdateReason }
  | { readonly kind: 'alertCleared'; readonly episode: OpenEpisode };

export type UpdateReason = 'confirmed' | 'severity' | 'prediction';

const MAX_SIGNALS = 12;
/** A median that moved by this share is news. */
const NEWS_SHARE = 0.2;

export function initEpisode(): EpisodeState {
  return { pending: null, open: null, due: 0, dueSample: '', dueSince: 0, prediction: null, unusable: 0 };
}

/** Nothing pending, open or foreseen: a quiet sample cannot change this state. */
export function isIdle(state: EpisodeState): boolean {
  return !state.pending && !state.open && state.due === 0;
}

/**
 * Takes one sample in and says what happened; mutates `state`.
 * @param severity of the fault key, from the catalogue
 * @param episodeId makes the id of an episode from its onset sample
 */
export function stepEpisode(
  state: EpisodeState,
  input: EpisodeInput,
  policy: AlertPolicy,
  severity: Severity,
  episodeId: (onsetSample: string) => string,
): EpisodeEvent | undefined {
  takePrediction(state, input, policy);
  if (state.open) return stepOpen(state, state.open, input, policy, severity);
  return stepClosed(state, input, policy, severity, episodeId);
}

function takePrediction(state: EpisodeState, input: EpisodeInput, policy: AlertPolicy): void {
  const { prediction } = input;
  if (!prediction) return;
  if (!prediction.remainingLife) {
    // One hole takes nothing back; a model that has lost its trend for good (after a repair) does.
    state.unestimated = prediction;
    state.unusable++;
    if (state.unusable < policy.foreseenPredictions) return;
    state.due = 0;
    state.prediction = null;
    return;
  }
  state.unusable = 0;
  state.unestimated = null;
  state.prediction = prediction;
  if (!isDue(prediction.remainingLife, policy)) {
    state.due = 0;
    return;
  }
  if (state.due === 0) {
    state.dueSample = input.sample;
    state.dueSince = input.at;
  }
  state.due++;
}

function isForeseen(state: EpisodeState, policy: AlertPolicy): boolean {
  return state.due >= policy.foreseenPredictions;
}

/** Whether the newest usable prediction of this fault key leaves more time than the horizon. */
export function leavesTime(state: EpisodeState, policy: AlertPolicy): boolean {
  const life = state.prediction?.remainingLife;
  return life !== undefined && !isDue(life, policy);
}

function stepClosed(
  state: EpisodeState,
  input: EpisodeInput,
  policy: AlertPolicy,
  severity: Severity,
  episodeId: (onsetSample: string) => string,
): EpisodeEvent | undefined {
  const foreseen = isForeseen(state, policy) && (input.plausible || !input.otherConfirmed);
  stepPending(state, input, policy);
  const { pending } = state;
  const persisted = pending !== null && pending.samples >= policy.onSamples && input.at - pending.since >= policy.onMs;
  if (!persisted && !foreseen) return undefined;
  const episode: OpenEpisode = {
    id: episodeId(pending && persisted ? pending.sample : state.dueSample),
    onset: pending && persisted ? pending.onset : state.dueSince,
    signals: input.signals.slice(0, MAX_SIGNALS),
    confirmed: foreseen,
    severity,
    strong: pending?.samples ?? 0,
    calm: 0,
    calmSince: input.at,
    findings: 1,
    samplesSinceUpdate: 0,
    reportedMedian: state.prediction?.remainingLife?.median ?? null,
  };
  state.pending = null;
  state.open = episode;
  return { kind: 'alertRaised', episode };
}

function stepPending(state: EpisodeState, input: EpisodeInput, policy: AlertPolicy): void {
  if (input.surprise >= input.threshold) {
    if (state.pending) state.pending.samples++;
    else {
      const onset = Math.min(input.at, input.since ?? input.at);
      state.pending = { onset, sample: input.sample, since: input.at, samples: 1 };
    }
  } else if (input.held < input.threshold * policy.clearShare) {
    state.pending = null;
  }
}

function stepOpen(
  state: EpisodeState,
  episode: OpenEpisode,
  input: EpisodeInput,
  policy: AlertPolicy,
  severity: Severity,
): EpisodeEvent | undefined {
  episode.samplesSinceUpdate++;
  if (input.surprise >= input.threshold) {
    episode.strong++;
    rememberSignals(episode, input.signals);
  }
  if (isCalm(state, episode, input, policy)) {
    state.open = null;
    episode.findings++;
    return { kind: 'alertCleared', episode };
  }
  const reason = newsOf(state, episode, input, policy, severity);
  if (!reason) return undefined;
  episode.findings++;
  episode.samplesSinceUpdate = 0;
  episode.reportedMedian = state.prediction?.remainingLife?.median ?? null;
  return { kind: 'alertUpdated', episode, reason };
}

function rememberSignals(episode: OpenEpisode, signals: readonly string[]): void {
  for (const signal of signals) {
    if (episode.signals.length < MAX_SIGNALS && !episode.signals.includes(signal)) episode.signals.push(signal);
  }
}

function isCalm(state: EpisodeState, episode: OpenEpisode, input: EpisodeInput, policy: AlertPolicy): boolean {
  if (state.due > 0 || input.held >= input.threshold * policy.clearShare) {
    episode.calm = 0;
    return false;
  }
  if (episode.calm === 0) episode.calmSince = input.at;
  episode.calm++;
  return episode.calm >= policy.offSamples && input.at - episode.calmSince >= policy.offMs;
}

/** Applies what changed to the episode and says what it is. */
function newsOf(
  state: EpisodeState,
  episode: OpenEpisode,
  input: EpisodeInput,
  policy: AlertPolicy,
  severity: Severity,
): UpdateReason | undefined {
  const persistent = episode.strong >= policy.confirmSamples && input.plausible && !input.leavesTime;
  if (!episode.confirmed && (isForeseen(state, policy) || persistent)) {
    episode.confirmed = true;
    return 'confirmed';
  }
  if (episode.severity !== severity) {
    episode.severity = severity;
    return 'severity';
  }
  const median = state.prediction?.remainingLife?.median;
  if (median === undefined || episode.samplesSinceUpdate < policy.updateEverySamples) return undefined;
  const before = episode.reportedMedian;
  const moved = before === null || Math.abs(median - before) > NEWS_SHARE * Math.max(before, 1e-9);
  return moved ? 'prediction' : undefined;
}
