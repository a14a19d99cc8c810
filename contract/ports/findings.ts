/** What analytics finds out, as it travels to the desk through the findings log. */
import { z } from 'zod';
import { tenantId } from '../kernel/ids.ts';

export const SEVERITIES = ['info', 'minor', 'major', 'critical'] as const;
export const severity = z.enum(SEVERITIES);
export type Severity = z.infer<typeof severity>;

/** How much worse one severity is than another: negative, 0 or positive. */
export function compareSeverity(a: Severity, b: Severity): number {
  return SEVERITIES.indexOf(a) - SEVERITIES.indexOf(b);
}

export const lifeUnit = z.enum(['h', 'cycle']);
export type LifeUnit = z.infer<typeof lifeUnit>;

/** Why an alarm was raised: one line a signal, largest contribution first. */
export const contribution = z.object({
  signal: z.string(),
  value: z.number(),
  /** Middle and edges of the expected band at that time. */
  expected: z.number(),
  low: z.number(),
  high: z.number(),
  unit: z.string(),
  /** Share of the score, 0..1; shares of all lines sum to at most 1. */
  contribution: z.number(),
  /** Device time since when this signal has been drifting, where the detector can tell. */
  since: z.number().optional(),
});
export type Contribution = z.infer<typeof contribution>;

export const likelyCause = z.object({
  faultKey: z.string(),
  cause: z.string(),
  probability: z.number().min(0).max(1),
  parts: z.array(z.object({ number: z.string(), name: z.string(), quantity: z.number().int().positive() })),
});
export type LikelyCause = z.infer<typeof likelyCause>;

/** 90 % interval. `cycle` = operating cycles, `h` = hours. */
export const remainingLife = z.object({
  median: z.number().nonnegative(),
  lower: z.number().nonnegative(),
  upper: z.number().nonnegative(),
  unit: lifeUnit,
});
export type RemainingLife = z.infer<typeof remainingLife>;

export const prediction = z.object({
  faultKey: z.string(),
  component: z.string(),
  /** Absent = cannot estimate; `reason` then says why. */
  remainingLife: remainingLife.optional(),
  probabilityWithin: z.array(z.object({ days: z.number(), p: z.number(), lower: z.number(), upper: z.number() })),
  reason: z.string().optional(),
  /** Name and version of the model that said it. */
  method: z.object({ name: z.string(), version: z.string() }),
});
export type Prediction = z.infer<typeof prediction>;

/** What ends an episode: its signals back in their bands for so many samples in a row and at least so long. */
export const clearing = z.object({
  samples: z.number().int().nonnegative(),
  ms: z.number().nonnegative(),
  /** The lower bound of remaining life must also be beyond this, in the unit of the prediction. */
  warnHorizon: z.number().optional(),
});
export type Clearing = z.infer<typeof clearing>;

/** Expected band of one signal over time, for the plot of a ticket's evidence. */
export const bandPoint = z.object({ at: z.number(), expected: z.number(), low: z.number(), high: z.number() });
export type BandPoint = z.infer<typeof bandPoint>;

/** Name and version of something in the registry. */
export const versionName = z.object({ name: z.string(), version: z.string() });
export type VersionName = z.infer<typeof versionName>;

/** The rule of a person behind an alert, and what satisfied it. */
export const ruleEvidence = z.object({
  id: z.string(),
  version: z.number().int(),
  name: z.string(),
  /** Canonical text; empty when the rule itself is gone. */
  text: z.string(),
  /** Device time: since when the condition held, and when this was said. */
  from: z.number(),
  to: z.number(),
  /** Each test of the rule with the value that it saw. */
  tests: z.array(
    z.object({
      test: z.string(),
      /** `null` = not known: no value, or one that is too old. */
      holds: z.boolean().nullable(),
      signal: z.string().optional(),
      value: z.union([z.number(), z.boolean(), z.string()]).optional(),
      limit: z.number().optional(),
      unit: z.string().optional(),
      /** Device time of the value. */
      at: z.number().optional(),
    }),
  ),
  /** Why it changed although the device did not. */
  correction: z.enum(['lateData', 'ruleChanged', 'ruleRemoved']).optional(),
});
export type RuleEvidence = z.infer<typeof ruleEvidence>;

export const evidence = z.object({
  /** What spoke up: a part of `ensemble`, or the prognosis model. */
  detector: versionName,
  /** The version of the registry that decided, and those that ran beside it on the same sample. */
  ensemble: versionName.extend({ beside: z.array(versionName).optional() }).optional(),
  /** 1 − p, p the calibrated chance that a healthy stream reaches this value in one sample. */
  score: z.number().min(0).max(1),
  /** Score from which an alarm is raised, from the allowed alerts per 1,000 device-days. */
  threshold: z.number().min(0).max(1),
  because: z.array(contribution),
  likelyCauses: z.array(likelyCause),
  prediction: prediction.optional(),
  /** Expected bands of the signals in `because` around the onset, by signal. */
  bands: z.record(z.string(), z.array(bandPoint)),
  /** Absent in findings of older versions. */
  clears: clearing.optional(),
  /** Only of alerts of rules. */
  rule: ruleEvidence.optional(),
  /** Present while the alert comes and goes so often that it is kept as one: openings within the window that led to that. */
  flapping: z.object({ openings: z.number().int().positive(), windowMs: z.number().positive() }).optional(),
});
export type Evidence = z.infer<typeof evidence>;

const findingBase = z.object({
  /** Derived from device, fault key and onset identity: the same finding has the same id after any restart. */
  id: z.string(),
  tenant: tenantId,
  device: z.string(),
  model: z.string(),
  /** Device time of the sample that led to it. */
  at: z.number(),
  /** Where that sample stands in the telemetry log: evidence is complete once the store has passed it. */
  position: z.number(),
});

/** Fault key of a device from which nothing comes any more. It says nothing of any other fault. */
export const NO_DATA = 'noData';

export const ALERT_REASONS = [
  // Why an open alert is news again.
  'confirmed',
  'severity',
  'prediction',
  /** It comes and goes; from now on as one alert. */
  'flapping',
  /** It stays, after having come and gone. */
  'steady',
  // Why an alert ended.
  'calm',
  /** A person closed it as normal. */
  'accepted',
  /** The policy closed it as normal: it has lasted, and nobody can explain it. */
  'adopted',
  /** A device from which nothing came sends again. */
  'dataReturned',
  /** The device left the fleet. */
  'decommissioned',
  /** Another device model sends under this name. */
  'replaced',
] as const;
export type AlertReason = (typeof ALERT_REASONS)[number];

/** One episode of one fault key on one device: raised once, updated, cleared once. */
export const alertFinding = findingBase.extend({
  kind: z.enum(['alertRaised', 'alertUpdated', 'alertCleared']),
  /** The same for all findings of one episode. */
  episode: z.string(),
  faultKey: z.string(),
  component: z.string(),
  severity,
  /** Long and strong enough to act on, by the alert policy. */
  confirmed: z.boolean(),
  /** Device time at which the deviation began. */
  onset: z.number(),
  evidence,
  /** Why an alert was updated or cleared; absent when it was raised, and in findings of older versions. */
  reason: z.enum(ALERT_REASONS).optional(),
  /** The person's order that ended it, with what he said. */
  order: z.object({ id: z.string(), by: z.string(), why: z.string() }).optional(),
});
export type AlertFinding = z.infer<typeof alertFinding>;

export const predictionFinding = findingBase.extend({ kind: z.literal('prediction'), prediction });
export type PredictionFinding = z.infer<typeof predictionFinding>;

/** What a version that only runs beside the active one would have raised or cleared. It never becomes an alert or a ticket. */
export const shadowFinding = findingBase.extend({
  kind: z.literal('shadowAlert'),
  event: z.enum(['raised', 'updated', 'cleared']),
  /** The version that says so. */
  by: versionName,
  episode: z.string(),
  faultKey: z.string(),
  component: z.string(),
  severity,
  confirmed: z.boolean(),
  onset: z.number(),
  score: z.number().min(0).max(1),
});
export type ShadowFinding = z.infer<typeof shadowFinding>;

export const finding = z.discriminatedUnion('kind', [alertFinding, predictionFinding, shadowFinding]);
export type Finding = z.infer<typeof finding>;
