/** When an alert is raised, confirmed and cleared. Everything follows from a budget of false alerts, not from taste. */
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import type { LifeUnit, RemainingLife } from '../../contract/ports/findings.ts';

export interface AlertPolicy {
  /** False alerts that a healthy fleet may raise. */
  readonly alertsPer1000DeviceDays: number;
  /** Consecutive samples above the threshold before an alert is raised, and how long they must last. */
  readonly onSamples: number;
  readonly onMs: number;
  /** Consecutive samples below the clearing threshold before it is cleared, and how long they must last. */
  readonly offSamples: number;
  readonly offMs: number;
  /** Clearing threshold as a share of the raising one (hysteresis). */
  readonly clearShare: number;
  /** Samples above the threshold after which an anomaly counts as persistent. */
  readonly confirmSamples: number;
  /** Consecutive predictions within the horizon before they raise an alert. */
  readonly foreseenPredictions: number;
  /** Remaining life (lower bound of the 90 % interval) at which to warn, by unit. */
  readonly warnHorizon: Readonly<Record<LifeUnit, number>>;
  /** An open alert reports a changed prediction at most once in so many samples. */
  readonly updateEverySamples: number;
  /** A change without a known failure mode behind it becomes normal after this time. */
  readonly adoptAfterMs: number;
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
