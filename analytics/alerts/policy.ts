/** When an alert is raised, confirmed and cleared. Everything follows from a budget of false alerts, not from taste. */
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { LifeUnit, RemainingLife, Severity } from '../../contract/ports/findings.ts';

export interface AlertPolicy {
  /** False alerts that a healthy fleet may raise. */
  readonly alertsPer1000DeviceDays: number;
  /** Consecutive samples above the threshold before an alert is raised, and how long they must last. */
  readonly onSamples: number;
  readonly onMs: number;
  /** Consecutive samples below the clearing threshold before it is cleared, and how long they must last. */
  readonly offSamples: number;
  readonly offMs: number;
  /** Clearing threshold as a share of the raising one: what lies between is the dead band. */
  readonly clearShare: number;
  /** Samples above the threshold after which an anomaly counts as persistent. */
  readonly confirmSamples: number;
  /** Consecutive predictions within the horizon before they raise an alert. */
  readonly foreseenPredictions: number;
  /** Remaining life (lower bound of the 90 % interval) at which to warn, by unit. */
  readonly warnHorizon: Readonly<Record<LifeUnit, number>>;
  /** An open alert reports a changed prediction at most once in so many samples. */
  readonly updateEverySamples: number;
  /** A change without a known failure mode behind it becomes normal after this time; its alert is closed then. */
  readonly adoptAfterMs: number;
  /** The same for alerts of one fault key; `null` = only a person closes them as normal. Unexplained ones: `adoptAfterMs`. */
  readonly acceptAfterMs: number | null;
  /** So many openings within the window make an alert one that flaps; 0 = none ever does. */
  readonly flapOpenings: number;
  readonly flapWindowMs: number;
  /** It flaps no more once it has neither come nor gone for so long, silence left out. */
  readonly flapQuietMs: number;
  /** Expected messages that must fail to come before a device counts as silent; 0 = it never does. */
  readonly missedBeats: number;
  /** But no device counts as silent sooner than after this. */
  readonly leastSilenceMs: number;
  /** Time for devices to come back after nobody had listened to them. */
  readonly reconnectGraceMs: number;
  /** How long a device may be silent that went away on purpose. */
  readonly asleepMs: number;
  readonly noDataSeverity: Severity;
  /** What holds for some alerts only. Each is applied over what came before it. */
  readonly exceptions: readonly PolicyException[];
}

/** What an exception asks for: all that is named must fit. */
export interface ExceptionCondition {
  readonly tenant?: string | undefined;
  readonly device?: string | undefined;
  /** Device model. */
  readonly model?: string | undefined;
  readonly faultKey?: string | undefined;
  /** Severity of the failure mode in the catalogue. */
  readonly severity?: Severity | undefined;
  /** Operating mode of the sample; such an exception sets nothing but `severity`. */
  readonly mode?: string | undefined;
}

/** What an exception may set. */
export type ExceptionSettings = Partial<
  Pick<
    AlertPolicy,
    | 'onSamples'
    | 'onMs'
    | 'offSamples'
    | 'offMs'
    | 'clearShare'
    | 'confirmSamples'
    | 'acceptAfterMs'
    | 'flapOpenings'
    | 'flapWindowMs'
    | 'flapQuietMs'
    | 'missedBeats'
    | 'asleepMs'
  >
> & { readonly severity?: Severity };

export interface PolicyException {
  readonly when: ExceptionCondition;
  readonly set: ExceptionSettings;
}

export const DEFAULT_POLICY: AlertPolicy = {
  alertsPer1000DeviceDays: 5,
  onSamples: 3,
  onMs: 0,
  offSamples: 12,
  offMs: HOUR_MS,
  clearShare: 0.6,
  confirmSamples: 12,
  foreseenPredictions: 5,
  warnHorizon: { cycle: 30, h: 14 * 24 },
  updateEverySamples: 24,
  adoptAfterMs: 7 * DAY_MS,
  acceptAfterMs: null,
  flapOpenings: 4,
  flapWindowMs: DAY_MS,
  flapQuietMs: 12 * HOUR_MS,
  missedBeats: 6,
  leastSilenceMs: 10 * MINUTE_MS,
  reconnectGraceMs: 10 * MINUTE_MS,
  asleepMs: 7 * DAY_MS,
  noDataSeverity: 'minor',
  exceptions: [],
};

/**
 * Surprise from which a sample counts: the budget spread evenly over all samples of a day and all fault keys of the
 * device (Bonferroni: an upper bound whatever depends on what; the on-delay makes it rarer still).
 * @example raiseThreshold(5, 300_000, 5) // => 5.459...
 */
export function raiseThreshold(alertsPer1000DeviceDays: number, intervalMs: number, faultKeys: number): number {
  const samplesPerDay = Math.max(1, DAY_MS / Math.max(1, intervalMs));
  return -Math.log10(Math.min(0.05, alertsPer1000DeviceDays / 1_000 / samplesPerDay / faultKeys));
}

/** Whether the lower bound of remaining life has come within the warn horizon. */
export function isDue(life: RemainingLife, policy: AlertPolicy): boolean {
  return life.lower <= policy.warnHorizon[life.unit];
}

/** Four openings with their on- and off-delays, and as much room between them. */
const FLAP_WINDOW_SAMPLES = 120;
const FLAP_QUIET_SAMPLES = 60;

/** A slow device needs longer to come and go: the days that flapping is counted in are at least so many of its samples. */
export function paced(policy: AlertPolicy, intervalMs: number): AlertPolicy {
  return {
    ...policy,
    flapWindowMs: Math.max(policy.flapWindowMs, FLAP_WINDOW_SAMPLES * intervalMs),
    flapQuietMs: Math.max(policy.flapQuietMs, FLAP_QUIET_SAMPLES * intervalMs),
  };
}
