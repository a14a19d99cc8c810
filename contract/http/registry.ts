/** Resources of the registry: versions of what judges devices, their history, and what they have found. Times are epoch ms. */
import { z } from 'zod';
import { deviceId } from '../kernel/ids.ts';
import { severity, versionName } from '../ports/findings.ts';
import {
  ensembleParameters,
  registryAct,
  registryKind,
  registryState,
  trainingFacts,
  versionLabel,
} from '../ports/versions.ts';
import { pageQuery } from './resources.ts';

export const registryEntry = z.object({
  id: z.uuid(),
  /** `shipped`: as this build brings it; it becomes the tenant's own with the first change. */
  scope: z.enum(['shipped', 'tenant']),
  kind: registryKind,
  /** Device model; `*` = all devices that no catalogue describes. */
  model: z.string(),
  name: z.string(),
  version: z.string(),
  state: registryState,
  parameters: ensembleParameters.optional(),
  /** Detectors, or prognosis models with the preferred one first. */
  parts: z.array(versionName),
  training: trainingFacts.optional(),
  metrics: z.record(z.string(), z.number()).optional(),
  owner: z.string(),
  note: z.string().optional(),
  createdAt: z.number(),
  updatedAt: z.number(),
  revision: z.number().int(),
  /** The decision that made its state: it holds for what stands behind `position` in the telemetry log; absent while it waits. */
  order: z.object({ id: z.uuid(), position: z.number().optional() }).optional(),
});
export type RegistryEntry = z.infer<typeof registryEntry>;

export const registryChange = z.object({
  at: z.number(),
  /** User id, or `system`. */
  actor: z.string(),
  act: registryAct,
  from: registryState.optional(),
  to: registryState,
  reason: z.string(),
  order: z.uuid().optional(),
});
export type RegistryChange = z.infer<typeof registryChange>;

/** Oldest first. */
export const registryDetail = registryEntry.extend({ history: z.array(registryChange) });
export type RegistryDetail = z.infer<typeof registryDetail>;

export const registryQuery = pageQuery
  .extend({
    kind: registryKind.optional(),
    model: z.string().min(1).max(64).optional(),
    state: registryState.optional(),
  })
  .strict();

/** A new version of an ensemble. It runs beside the active one at once; a part of the parameters is enough. */
export const registryRegister = z.strictObject({
  kind: z.literal('ensemble'),
  model: z.string().min(1).max(64),
  version: versionLabel,
  /** What is not named is as in the active version. */
  parameters: ensembleParameters.partial(),
  note: z.string().min(1).max(500).optional(),
});
export type RegistryRegister = z.infer<typeof registryRegister>;

export const registryReason = z.strictObject({ reason: z.string().min(1).max(500) });

/** How much a version has judged, and what it has raised. */
export const versionRecord = z.object({
  /** Pairs of a device and a day of its clock. */
  deviceDays: z.number(),
  alerts: z.number().int(),
  /** Absent without device-days: nothing is known then. */
  alertsPer1000DeviceDays: z.number().optional(),
  firstAt: z.number().optional(),
  lastAt: z.number().optional(),
});
export type VersionRecord = z.infer<typeof versionRecord>;

export const registryRecord = z.object({
  asActive: versionRecord,
  asShadow: versionRecord.extend({
    /** Devices that have a state of it now. */
    devices: z.number().int(),
    /** Devices for which there was no room beside the active version. */
    refusedDevices: z.number().int(),
  }),
  /** Its alerts as a shadow against those of the version that was active on the same samples. */
  agreement: z.object({
    both: z.number().int(),
    onlyShadow: z.number().int(),
    onlyActive: z.number().int(),
    /** Of all alerts of either those that both raised; absent when neither raised any. */
    share: z.number().optional(),
  }),
  /** False: older alerts made room for newer ones, so the counts are lower bounds. */
  complete: z.boolean(),
});
export type RegistryRecord = z.infer<typeof registryRecord>;

export const shadowAlert = z.object({
  episode: z.string(),
  device: deviceId,
  model: z.string(),
  by: versionName,
  faultKey: z.string(),
  component: z.string(),
  severity,
  confirmed: z.boolean(),
  score: z.number(),
  onset: z.number(),
  raisedAt: z.number(),
  clearedAt: z.number().optional(),
});
export type ShadowAlert = z.infer<typeof shadowAlert>;
