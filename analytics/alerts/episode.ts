/**
 * The alert of one fault key on one device as a pure state machine: idle → pending (on-delay) → open → idle (off-delay, dead
 * band), with flapping as a way of being open. One episode is raised once, updated now and then, cleared once. Time is the
 * device's and never runs backwards; delays count only time in which samples came. State is plain JSON, so an interleaving or
 * restart at any sample changes nothing.
 */
import { type AlertReason, compareSeverity, type Prediction, type Severity } from '../../contract/ports/findings.ts';
import { type FlapState, hasSettled, noteOpening, noteSwing } from './flapping.ts';
import { type AlertPolicy, isDue } from './policy.ts';

/** What one sample says about one fault key. */
export interface EpisodeInput {
  /** Device time. What is older than the last step counts as of then. */
  readonly at: number;
  /**
   * Time since the last step in which samples came, so that silence lets no delay pass. Absent = all time since then.
   */
  readonly observedMs?: number;
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
  /** Absent in states of older versions, as are all fields that may be. */
  readonly raisedAt?: number;
  /** Signals behind it so far, at most {@link MAX_SIGNALS}: their learning is withheld. */
  signals: string[];
  confirmed: boolean;
  severity: Severity;
  /** Samples above the threshold so far. */
  strong: number;
  /** Samples below the clearing threshold in a row, and how long they lasted. */
  calm: number;
  calmMs?: number;
  /** Samples and time with samples since it was raised. */
  samples?: number;
  openMs?: number;
  /** Findings so far: numbers their ids. */
  findings: number;
  samplesSinceUpdate: number;
  /** Median remaining life in the last finding. */
  reportedMedian: number | null;
  /** Present while it flaps. */
  flap?: FlapState;
}

export interface PendingEpisode {
  readonly onset: number;
  readonly sample: string;
  readonly since: number;
  samples: number;
  /** How long it has lasted. Absent in states of older versions. */
  heldMs?: number;
}

/** Plain JSON. */
export interface EpisodeState {
  pending: PendingEpisode | null;
  open: OpenEpisode | null;
  /** Predictions within the horizon in a row. */
  due: number;
  /** First sample of that row. */
  dueSample: string;
  dueSince: number;
  /** The newest prediction that could estimate, and how many could not since. */
  prediction: Prediction | null;
  unusable: number;
  /** The newest prediction when it could not estimate: it says why. Absent in states of older versions, as all below. */
  unestimated?: Prediction | null;
  /** Device time of the last step. */
  at?: number;
  /** Device times of the newest openings, oldest first; no more than make an alert flap. */
  openings?: number[];
  /** Median remaining life that was closed as normal: until half of it is left, the prediction is no news. */
  acceptedMedian?: number | null;
}

export type EpisodeEvent =
  | { readonly kind: 'alertRaised'; readonly episode: OpenEpisode; readonly at: number }
  | {
      readonly kind: 'alertUpdated' | 'alertCleared';
      readonly episode: OpenEpisode;
      readonly at: number;
      readonly reason: AlertReason;
    };

const MAX_SIGNALS = 12;
/** A median that moved by this share is news. */
const NEWS_SHARE = 0.2;
/** What was closed as normal is foreseen again once this share of its remaining life is left. */
const ACCEPTED_SHARE = 0.5;
/** A policy closes nothing as normal that showed in fewer samples, however long they took. */
const ACCEPT_SAMPLES = 200;

export function initEpisode(): EpisodeState {
  return { pending: null, open: null, due: 0, dueSample: '', dueSince: 0, prediction: null, unusable: 0 };
}

/** Nothing pending, open or foreseen: a quiet sample cannot change this state. */
export function isIdle(state: EpisodeState): boolean {
  return !state.pending && !state.open && state.due === 0;
}

/** A step with its time in order. */
interface Step extends EpisodeInput {
  readonly stepMs: number;
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
  const before = state.at ?? input.at;
  const at = Math.max(input.at, before);
  const step: Step = { ...input, at, stepMs: Math.min(at - before, Math.max(0, input.observedMs ?? at - before)) };
  state.at = at;
  takePrediction(state, step, policy);
  if (state.open) return stepOpen(state, state.open, step, policy, severity);
  return stepClosed(state, step, policy, severity, episodeId);
}

/** Ends an open episode from outside, at device time `at` or later. What it showed is over; nothing is pending. */
export function closeEpisode(state: EpisodeState, at: number, reason: AlertReason): EpisodeEvent | undefined {
  const { open } = state;
  if (!open) return undefined;
  state.at = Math.max(at, state.at ?? at);
  if (reason === 'accepted' || reason === 'adopted') acceptPrediction(state);
  // What is foreseen from here on is another episode, which begins with another sample.
  state.due = 0;
  return clear(state, open, state.at, reason);
}

/** What a person takes for normal must not alarm again tomorrow, unless it gets worse. */
function acceptPrediction(state: EpisodeState): void {
  if (state.due > 0) state.acceptedMedian = state.prediction?.remainingLife?.median ?? null;
  // Nor does it count towards flapping.
  state.openings = [];
}

function takePrediction(state: EpisodeState, input: Step, policy: AlertPolicy): void {
  const { prediction } = input;
  if (!prediction) return;
  if (!prediction.remainingLife) {
    // One hole takes nothing back; a model that has lost its trend for good (after a repair) does.
    state.unestimated = prediction;
    state.unusable++;
    if (state.unusable < policy.foreseenPredictions) return;
    state.due = 0;
    state.prediction = null;
    state.acceptedMedian = null;
    return;
  }
  state.unusable = 0;
  state.unestimated = null;
  state.prediction = prediction;
  if (!isDue(prediction.remainingLife, policy)) {
    state.due = 0;
    state.acceptedMedian = null;
    return;
  }
  const accepted = state.acceptedMedian ?? null;
  if (accepted !== null && prediction.remainingLife.median > ACCEPTED_SHARE * accepted) return;
  state.acceptedMedian = null;
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

/** Why an episode would open now. */
function opening(
  state: EpisodeState,
  input: Step,
  policy: AlertPolicy,
): { pending: PendingEpisode | null } | undefined {
  const foreseen = isForeseen(state, policy) && (input.plausible || !input.otherConfirmed);
  stepPending(state, input, policy);
  const { pending } = state;
  const persisted = pending !== null && pending.samples >= policy.onSamples && (pending.heldMs ?? 0) >= policy.onMs;
  if (persisted) return { pending };
  return foreseen ? { pending: null } : undefined;
}

function stepClosed(
  state: EpisodeState,
  input: Step,
  policy: AlertPolicy,
  severity: Severity,
  episodeId: (onsetSample: string) => string,
): EpisodeEvent | undefined {
  const why = opening(state, input, policy);
  if (!why) return undefined;
  const { pending } = why;
  state.openings ??= [];
  const flap = noteOpening(state.openings, input.at, policy);
  const episode: OpenEpisode = {
    id: episodeId(pending ? pending.sample : state.dueSample),
    onset: pending ? pending.onset : state.dueSince,
    raisedAt: input.at,
    signals: input.signals.slice(0, MAX_SIGNALS),
    confirmed: isForeseen(state, policy) && (input.plausible || !input.otherConfirmed),
    severity,
    strong: state.pending?.samples ?? 0,
    calm: 0,
    calmMs: 0,
    samples: 0,
    openMs: 0,
    findings: 1,
    samplesSinceUpdate: 0,
    reportedMedian: state.prediction?.remainingLife?.median ?? null,
    ...(flap ? { flap } : {}),
  };
  state.pending = null;
  state.open = episode;
  return { kind: 'alertRaised', episode, at: input.at };
}

function stepPending(state: EpisodeState, input: Step, policy: AlertPolicy): void {
  if (state.pending) state.pending.heldMs = (state.pending.heldMs ?? input.at - state.pending.since) + input.stepMs;
  if (input.surprise >= input.threshold) {
    if (state.pending) state.pending.samples++;
    else {
      const onset = Math.min(input.at, input.since ?? input.at);
      state.pending = { onset, sample: input.sample, since: input.at, samples: 1, heldMs: 0 };
    }
  } else if (input.held < input.threshold * policy.clearShare) {
    state.pending = null;
  }
}

function stepOpen(
  state: EpisodeState,
  episode: OpenEpisode,
  input: Step,
  policy: AlertPolicy,
  severity: Severity,
): EpisodeEvent | undefined {
  episode.samplesSinceUpdate++;
  episode.samples = (episode.samples ?? 0) + 1;
  episode.openMs = (episode.openMs ?? 0) + input.stepMs;
  if (input.surprise >= input.threshold) {
    episode.strong++;
    rememberSignals(episode, input.signals);
  }
  if (isAccepted(episode, policy)) return closeEpisode(state, input.at, 'adopted');
  const flapped = episode.flap ? stepFlapping(state, episode, episode.flap, input, policy) : undefined;
  if (flapped) return flapped;
  if (!episode.flap && isCalm(state, episode, input, policy)) return clear(state, episode, input.at, 'calm');
  const reason = newsOf(state, episode, input, policy, severity);
  return reason && update(state, episode, input.at, reason);
}

/** Comes and goes without a word, until it has done neither for long enough: then it is over, or here to stay. */
function stepFlapping(
  state: EpisodeState,
  episode: OpenEpisode,
  flap: FlapState,
  input: Step,
  policy: AlertPolicy,
): EpisodeEvent | undefined {
  flap.quietMs += input.stepMs;
  if (flap.active ? isCalm(state, episode, input, policy) : opening(state, input, policy) !== undefined) {
    noteSwing(flap);
    episode.calm = 0;
    state.pending = null;
  }
  if (!hasSettled(flap, policy)) return undefined;
  state.openings = [];
  if (!flap.active) return clear(state, episode, input.at, 'calm');
  delete episode.flap;
  return update(state, episode, input.at, 'steady');
}

function isAccepted(episode: OpenEpisode, policy: AlertPolicy): boolean {
  if (policy.acceptAfterMs === null) return false;
  return (episode.openMs ?? 0) >= policy.acceptAfterMs && (episode.samples ?? 0) >= ACCEPT_SAMPLES;
}

function clear(state: EpisodeState, episode: OpenEpisode, at: number, reason: AlertReason): EpisodeEvent {
  state.open = null;
  state.pending = null;
  episode.findings++;
  return { kind: 'alertCleared', episode, at, reason };
}

function update(state: EpisodeState, episode: OpenEpisode, at: number, reason: AlertReason): EpisodeEvent {
  episode.findings++;
  episode.samplesSinceUpdate = 0;
  episode.reportedMedian = state.prediction?.remainingLife?.median ?? null;
  return { kind: 'alertUpdated', episode, at, reason };
}

function rememberSignals(episode: OpenEpisode, signals: readonly string[]): void {
  for (const signal of signals) {
    if (episode.signals.length < MAX_SIGNALS && !episode.signals.includes(signal)) episode.signals.push(signal);
  }
}

function isCalm(state: EpisodeState, episode: OpenEpisode, input: Step, policy: AlertPolicy): boolean {
  if (state.due > 0 || input.held >= input.threshold * policy.clearShare) {
    episode.calm = 0;
    return false;
  }
  episode.calmMs = episode.calm === 0 ? 0 : (episode.calmMs ?? 0) + input.stepMs;
  episode.calm++;
  return episode.calm >= policy.offSamples && episode.calmMs >= policy.offMs;
}

/** Applies what changed to the episode and says what it is. */
function newsOf(
  state: EpisodeState,
  episode: OpenEpisode,
  input: Step,
  policy: AlertPolicy,
  severity: Severity,
): AlertReason | undefined {
  const persistent = episode.strong >= policy.confirmSamples && input.plausible && !input.leavesTime;
  if (!episode.confirmed && (isForeseen(state, policy) || persistent)) {
    episode.confirmed = true;
    return 'confirmed';
  }
  // Whoever was called for something critical is not told later that it was none: within an episode it only gets worse.
  if (compareSeverity(severity, episode.severity) > 0) {
    episode.severity = severity;
    return 'severity';
  }
  const median = state.prediction?.remainingLife?.median;
  if (median === undefined || episode.samplesSinceUpdate < policy.updateEverySamples) return undefined;
  const before = episode.reportedMedian;
  const moved = before === null || Math.abs(median - before) > NEWS_SHARE * Math.max(before, 1e-9);
  return moved ? 'prediction' : undefined;
}
