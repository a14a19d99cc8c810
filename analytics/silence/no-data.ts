/**
 * "No data" of one device: a condition of its own. It is raised when messages fail to come for longer than this device may
 * be silent, cleared by the first one that comes, and says nothing of any other fault: what was open before stays open.
 * Pure; time is that of the log (see listening.ts), told to people on the device's own clock.
 */
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { NO_DATA } from '../../contract/ports/findings.ts';
import {
  closeEpisode,
  type EpisodeEvent,
  type EpisodeState,
  initEpisode,
  isIdle,
  stepEpisode,
} from '../alerts/episode.ts';
import { policyOf } from '../alerts/exceptions.ts';
import { stableId } from '../alerts/identity.ts';
import { type AlertPolicy, paced } from '../alerts/policy.ts';

/** Plain JSON, part of the device's state. */
export interface SilenceState {
  /** Log time of the newest message. */
  lastAt: number;
  /** What it may be silent after that; `null` = for ever. */
  silenceMs: number | null;
  /** Mean time between messages, memory 8; 0 before the second one. */
  usualGapMs: number;
  /** Device time that the samples of the newest message cover, and those of the one before. */
  spanMs: number;
  previousSpanMs: number;
  /** Newest sample: identity, device time, position in the log. */
  sample: string;
  observedAt: number;
  position: number;
  /** It went away on purpose. */
  asleep: boolean;
  /** It counts as silent since its newest message. */
  silent: boolean;
  readonly episode: EpisodeState;
}

/** A message of samples as this condition sees it. */
export interface LifeSign {
  /** Log time. */
  readonly at: number;
  readonly sample: string;
  /** Device time of its newest sample, and of its oldest. */
  readonly observedAt: number;
  readonly oldestAt: number;
  readonly position: number;
}

/** Of whom the condition is. */
export interface SilenceSubject {
  readonly tenant: string;
  readonly device: string;
  readonly model: string;
  /** Expected time between samples; `null` = not known yet. */
  readonly intervalMs: number | null;
  readonly policy: AlertPolicy;
}

const DETECTOR = { name: 'no-data', version: '1' } as const;
const GAP_MEMORY = 8;
const NOTHING = {
  prediction: undefined,
  leavesTime: false,
  plausible: true,
  otherConfirmed: false,
  signals: [],
  threshold: 1,
} as const;

/** A message came. Call {@link fallSilent} first when it was due: a message cannot undo a silence that has been. */
export function hearMessage(
  known: SilenceState | undefined,
  sign: LifeSign,
  subject: SilenceSubject,
): { readonly silence: SilenceState; readonly finding: AlertFinding | undefined } {
  const silence = known ?? initSilence();
  const spanMs = sign.observedAt - sign.oldestAt;
  // Sleep teaches nothing of how often it sends.
  if (known && !known.asleep) learnGap(silence, sign.at - silence.lastAt);
  silence.previousSpanMs = known ? silence.spanMs : spanMs;
  silence.spanMs = spanMs;
  silence.lastAt = Math.max(silence.lastAt, sign.at);
  silence.sample = sign.sample;
  silence.observedAt = Math.max(silence.observedAt, sign.observedAt);
  silence.position = sign.position;
  silence.asleep = false;
  silence.silent = false;
  silence.silenceMs = allowedMs(silence, subject);
  const finding = isIdle(silence.episode) ? undefined : step(silence, subject, sign.observedAt, 0);
  return { silence, finding };
}

/** The device said that it goes away on purpose; its next message ends that. */
export function fallAsleep(silence: SilenceState, subject: SilenceSubject): void {
  silence.asleep = true;
  silence.silenceMs = allowedMs(silence, subject);
}

/** It was due at `dueAt`, log time, and no message had come. */
export function fallSilent(silence: SilenceState, dueAt: number, subject: SilenceSubject): AlertFinding | undefined {
  if (silence.silent) return undefined;
  silence.silent = true;
  return step(silence, subject, silence.observedAt + (dueAt - silence.lastAt), 1);
}

/** Ends the condition from outside; the next message begins it anew. */
export function endSilence(
  silence: SilenceState,
  reason: 'accepted' | 'decommissioned' | 'replaced',
  subject: SilenceSubject,
): AlertFinding | undefined {
  silence.silenceMs = null;
  const event = closeEpisode(silence.episode, silence.observedAt, reason);
  return event && findingOf(silence, subject, event);
}

function initSilence(): SilenceState {
  return {
    lastAt: 0,
    silenceMs: null,
    usualGapMs: 0,
    spanMs: 0,
    previousSpanMs: 0,
    sample: '',
    observedAt: 0,
    position: 0,
    asleep: false,
    silent: false,
    episode: initEpisode(),
  };
}

/** A gap teaches no more than the silence that was allowed: an outage of a week is not how often it sends. */
function learnGap(silence: SilenceState, gapMs: number): void {
  // Nor is a silence that somebody closed as normal.
  if (gapMs <= 0 || (silence.silent && silence.silenceMs === null)) return;
  const gap = Math.min(gapMs, silence.silenceMs ?? gapMs);
  silence.usualGapMs = silence.usualGapMs === 0 ? gap : silence.usualGapMs + (gap - silence.usualGapMs) / GAP_MEMORY;
}

/**
 * Beats that may be missed, of the slowest rhythm that is known of it: the model's, how often it has lately sent, and how
 * much its messages cover. The shorter of two messages counts, because one may have brought what an outage had held up.
 */
function allowedMs(silence: SilenceState, subject: SilenceSubject): number | null {
  const { policy } = policyOf(subject.policy, subjectOf(subject));
  if (subject.intervalMs === null || policy.missedBeats === 0) return null;
  const spanMs = Math.min(silence.spanMs, silence.previousSpanMs);
  const beatMs = Math.max(subject.intervalMs, silence.usualGapMs, spanMs);
  const awakeMs = Math.max(policy.leastSilenceMs, policy.missedBeats * beatMs);
  return Math.ceil(silence.asleep ? Math.max(awakeMs, policy.asleepMs) : awakeMs);
}

function step(silence: SilenceState, subject: SilenceSubject, at: number, surprise: 0 | 1): AlertFinding | undefined {
  const { policy, severity } = policyOf(paced(subject.policy, subject.intervalMs ?? 0), subjectOf(subject));
  const event = stepEpisode(
    silence.episode,
    { ...NOTHING, at, sample: silence.sample, surprise, held: surprise, since: silence.observedAt },
    { ...policy, onSamples: 1, onMs: 0, offSamples: 1, offMs: 0, acceptAfterMs: null },
    severity,
    (sample) => stableId(`${subject.tenant}.${subject.device}`, NO_DATA, sample),
  );
  // It is a fact, not a guess.
  if (event) event.episode.confirmed = true;
  return event && findingOf(silence, subject, event);
}

function subjectOf({ tenant, device, model, policy }: SilenceSubject) {
  return { tenant, device, model, faultKey: NO_DATA, severity: policy.noDataSeverity, mode: '' };
}

function findingOf(silence: SilenceState, subject: SilenceSubject, event: EpisodeEvent): AlertFinding {
  const { episode } = event;
  const reason = event.kind === 'alertRaised' ? undefined : event.reason === 'calm' ? 'dataReturned' : event.reason;
  const silentS = Math.round((event.at - episode.onset) / 1_000);
  const { flap } = episode;
  return {
    id: stableId(episode.id, event.kind, episode.findings),
    kind: event.kind,
    tenant: subject.tenant,
    device: subject.device,
    model: subject.model,
    at: event.at,
    position: silence.position,
    episode: episode.id,
    faultKey: NO_DATA,
    component: 'device',
    severity: episode.severity,
    confirmed: episode.confirmed,
    onset: episode.onset,
    evidence: {
      detector: { ...DETECTOR },
      score: 1,
      threshold: 1,
      because: [
        {
          signal: 'secondsWithoutData',
          value: silentS,
          expected: Math.round((subject.intervalMs ?? 0) / 1_000),
          low: 0,
          high: Math.round((silence.silenceMs ?? 0) / 1_000),
          unit: 's',
          contribution: 1,
        },
      ],
      likelyCauses: [],
      bands: {},
      ...(flap
        ? {
            flapping: {
              openings: flap.openings,
              windowMs: paced(subject.policy, subject.intervalMs ?? 0).flapWindowMs,
            },
          }
        : {}),
    },
    ...(reason ? { reason } : {}),
  };
}
