/**
 * Versions of what judges devices: the ensemble of detectors of a device model, its prognosis model, a set of rules. What
 * may be tuned of an ensemble, with ranges, so that no number is believed that would silence or flood a fleet.
 */
import { z } from 'zod';
import { DAY_MS, HOUR_MS } from '../kernel/time.ts';
import { versionName } from './findings.ts';

export const REGISTRY_KINDS = ['ensemble', 'prognosis', 'rules'] as const;
export const registryKind = z.enum(REGISTRY_KINDS);
export type RegistryKind = z.infer<typeof registryKind>;

/** `shadow`: runs beside the active one and is only counted. */
export const registryState = z.enum(['shadow', 'active', 'retired']);
export type RegistryState = z.infer<typeof registryState>;

/** Stands for every tenant where a tenant is asked for: what the build ships. */
export const EVERY_TENANT = '*';
/** Stands for all devices that no catalogue describes, where a device model is asked for. */
export const OTHER_MODELS = '*';

/** As people write it: `strict-2`, `2026.11`. */
export const versionLabel = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$/, 'expected 1–64 of A-Z a-z 0-9 . _ ~ -, a letter or digit first');

const whole = (least: number, most: number) => z.number().int().min(least).max(most);

/** What can be tuned of an ensemble. The meaning of each figure stands in analytics/alerts/policy.ts. */
export const ensembleParameters = z.strictObject({
  alertsPer1000DeviceDays: z.number().min(0.01).max(1_000),
  onSamples: whole(1, 1_000),
  onMs: whole(0, 7 * DAY_MS),
  offSamples: whole(1, 10_000),
  offMs: whole(0, 30 * DAY_MS),
  clearShare: z.number().min(0.1).max(0.99),
  confirmSamples: whole(1, 10_000),
  foreseenPredictions: whole(1, 1_000),
  warnHorizon: z.strictObject({ cycle: z.number().min(1).max(10_000), h: z.number().min(1).max(8_760) }),
  updateEverySamples: whole(1, 10_000),
  adoptAfterMs: whole(HOUR_MS, 365 * DAY_MS),
  /** Those of its parts that may speak; the others go on learning and say nothing. */
  detectors: z
    .array(z.string().min(1).max(64))
    .min(1)
    .max(16)
    .refine((names) => new Set(names).size === names.length, 'a detector is named twice'),
});
export type EnsembleParameters = z.infer<typeof ensembleParameters>;

/** A version as analytics runs it. */
export const runnableVersion = versionName.extend({
  /** Only of an ensemble. */
  parameters: ensembleParameters.optional(),
  /** What it is made of: detectors, or prognosis models with the preferred one first. */
  parts: z.array(versionName).max(16),
});
export type RunnableVersion = z.infer<typeof runnableVersion>;

/** Versions that may run beside the active one of a tenant, kind and device model. */
export const MAX_SHADOWS = 2;

/** On what a version was fitted. Absent where nothing is: the detectors learn on each device by itself. */
export const trainingFacts = z.object({
  units: z.number().int().nonnegative(),
  rows: z.number().int().nonnegative(),
  /** Device time of the first and last row, where the data has times. */
  from: z.number().optional(),
  to: z.number().optional(),
  dataHash: z.string(),
  seed: z.number().int().optional(),
});
export type TrainingFacts = z.infer<typeof trainingFacts>;

/** `adopted`: a tenant took a copy of what the build ships. `succeeded`: a new build took the place of an old one. */
export const REGISTRY_ACTS = [
  'registered',
  'adopted',
  'shadowed',
  'promoted',
  'rolledBack',
  'retired',
  'succeeded',
] as const;
export const registryAct = z.enum(REGISTRY_ACTS);
export type RegistryAct = z.infer<typeof registryAct>;

/** What a program brings along, for the registry at start. */
export interface ShippedVersion extends RunnableVersion {
  readonly kind: RegistryKind;
  /** Device model, or {@link OTHER_MODELS}. */
  readonly model: string;
  readonly note: string;
  readonly training?: TrainingFacts;
  readonly metrics?: Readonly<Record<string, number>>;
}

/** How much a version has seen, counted by analytics and kept with its states. */
export const versionExposure = versionName.extend({
  tenant: z.string(),
  /** Device model, or {@link OTHER_MODELS}. */
  model: z.string(),
  role: z.enum(['active', 'shadow']),
  /** Pairs of a device and a UTC day of its clock on which the version judged it. */
  deviceDays: z.number(),
  /** Devices that it has a state of; of a shadow only. */
  devices: z.number(),
  /** Devices for which there was no room beside the active version. */
  refusedDevices: z.number(),
  /** Device time of the first and the newest sample. */
  firstAt: z.number(),
  lastAt: z.number(),
});
export type VersionExposure = z.infer<typeof versionExposure>;

/** Where analytics keeps what it was ordered, among its checkpoints; no tenant and no device is called so. */
export const ORDER_BOOK = { tenant: '*', device: 'orders' } as const;

/** The part of the order book that others may read. */
export const exposureBook = z.object({ exposure: z.record(z.string(), versionExposure) });
