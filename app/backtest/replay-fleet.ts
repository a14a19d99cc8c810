/** `presage backtest replay`: stored telemetry through two versions, the one that is asked for and the active one. */
import { type ReplayVersion, replayDevice } from '../../analytics/evaluate/replay-device.ts';
import type { Prognoser } from '../../analytics/prognosis/prognoser.ts';
import { createTrendPrognoser } from '../../analytics/prognosis/trend.ts';
import { mutedBy, policyOf, runnableHere } from '../../analytics/registry/ensemble.ts';
import { createDeviceScorer } from '../../analytics/score-device.ts';
import { type Agreement, agreementOf } from '../../api/registry/agreement.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import type { RegistryEntry } from '../../contract/http/registry.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Finding, VersionName } from '../../contract/ports/findings.ts';
import type { StoredSample } from '../../contract/ports/telemetry-store.ts';
import { OTHER_MODELS } from '../../contract/ports/versions.ts';
import { type Account, type AccountRules, accountOf } from './desk-account.ts';
import { type MissingRows, missingRows, usualIntervalMs } from './missing-rows.ts';

export interface FleetDevice {
  readonly tenant: string;
  readonly id: string;
  readonly model: string;
}

/** Where the fleet, its versions and its rows come from. */
export interface FleetSource {
  readonly devices: readonly FleetDevice[];
  /** Ensembles of the registry. */
  readonly versions: readonly RegistryEntry[];
  /** Rows of a device in `[from, to)` of its clock. */
  rows(device: FleetDevice, from: number, to: number): AsyncIterable<StoredSample>;
}

export interface ReplaySettings extends AccountRules {
  /** Label of the version that is asked for. */
  readonly detector: string;
  /** So long before `from` the detectors learn; alerts of that time do not count. */
  readonly warmupMs: number;
  /** Fitted prognosis models, by device model id; else the trend alone foresees. */
  readonly fitted: ReadonlyMap<string, Prognoser<unknown>>;
  /** Rows of one device that are held at a time. */
  readonly maxRows: number;
}

export interface VersionResult extends Account {
  /** By device model, as the registry names them. */
  readonly versions: readonly (VersionName & { readonly model: string })[];
  /** Absent without device-days: nothing is known then. */
  readonly alertsPer1000DeviceDays: number | undefined;
}

export interface ReplayReport {
  readonly from: number;
  readonly to: number;
  readonly learnsFrom: number;
  readonly devices: number;
  readonly samples: number;
  /** Not scored, as in production: they came after newer ones. */
  readonly lateSamples: number;
  readonly deviceDays: number;
  /** Devices of models that do not have the version. */
  readonly leftOut: readonly string[];
  readonly devicesWithoutRows: readonly string[];
  readonly missing: MissingRows;
  readonly candidate: VersionResult;
  readonly active: VersionResult;
  /** `onlyShadow` = only the one that was asked for. */
  readonly agreement: Agreement;
}

export const DEFAULT_MAX_ROWS = 2_000_000;

/** @throws AppError NOT_FOUND naming the versions there are, REQUEST_NOT_ALLOWED when a device has too many rows */
export async function replayFleet(source: FleetSource, settings: ReplaySettings): Promise<ReplayReport> {
  const { from, to, warmupMs } = settings;
  const pairs = versionPairs(source.versions, settings.detector);
  const scorers = createScorers(settings);
  const found: { candidate: Finding[]; active: Finding[] } = { candidate: [], active: [] };
  const report = { samples: 0, lateSamples: 0, deviceDays: 0, devices: 0 };
  const leftOut: string[] = [];
  const empty: string[] = [];
  const missing: { messages: MissingRows['messages'][number][]; silences: MissingRows['silences'][number][] } = {
    messages: [],
    silences: [],
  };
  for (const device of source.devices) {
    const pair = pairs.get(modelKey(device.model));
    if (!pair) {
      leftOut.push(device.id);
      continue;
    }
    report.devices++;
    const rows = await collect(source.rows(device, from - warmupMs, to), device, settings.maxRows);
    if (rows.length === 0) {
      empty.push(device.id);
      continue;
    }
    const intervalMs = findModel(device.model)?.intervalMs ?? usualIntervalMs(rows);
    const holes = missingRows(device.id, rows, { from, to }, intervalMs);
    missing.messages.push(...holes.messages);
    missing.silences.push(...holes.silences);
    const done = replayDevice({
      ref: { tenant: device.tenant, device: device.id },
      model: device.model,
      rows,
      versions: [scorers(pair.candidate), scorers(pair.active)],
      countFrom: from,
    });
    report.samples += done.samples;
    report.lateSamples += done.late;
    report.deviceDays += done.days;
    found.candidate.push(...(done.versions[0]?.findings ?? []));
    found.active.push(...(done.versions[1]?.findings ?? []));
  }
  const result = (role: 'candidate' | 'active'): VersionResult => {
    const account = accountOf(found[role], settings);
    return {
      ...account,
      versions: [...pairs].map(([model, pair]) => ({ model, name: pair[role].name, version: pair[role].version })),
      alertsPer1000DeviceDays: report.deviceDays > 0 ? (1_000 * account.alerts.length) / report.deviceDays : undefined,
    };
  };
  const [candidate, active] = [result('candidate'), result('active')];
  return {
    ...{ from, to, learnsFrom: from - warmupMs, ...report, leftOut, devicesWithoutRows: empty, missing },
    ...{ candidate, active, agreement: agreementOf(candidate.alerts, active.alerts) },
  };
}

const modelKey = (modelId: string): string => (findModel(modelId) ? modelId : OTHER_MODELS);

interface Pair {
  readonly candidate: RegistryEntry;
  readonly active: RegistryEntry;
}

/** The version and the active one of each model that has it. `active` stands for the active one itself. */
function versionPairs(versions: readonly RegistryEntry[], detector: string): ReadonlyMap<string, Pair> {
  const pairs = new Map<string, Pair>();
  for (const active of versions.filter((one) => one.state === 'active')) {
    const own = versions.filter((one) => one.model === active.model);
    const candidate = detector === 'active' ? active : own.find((one) => one.version === detector);
    if (candidate) pairs.set(active.model, { candidate, active });
  }
  if (pairs.size > 0) return pairs;
  const labels = [...new Set(versions.map((one) => one.version))].join(', ');
  throw new AppError('NOT_FOUND', `version ${detector} of an ensemble; the registry has ${labels || 'none'}`);
}

/** Scorers are made once a version; they keep the plans of its device models. */
function createScorers({ fitted }: ReplaySettings): (entry: RegistryEntry) => ReplayVersion {
  /** by content */
  const known = new Map<string, ReplayVersion>();
  const prognosersFor = (model: DeviceModel): readonly Prognoser<unknown>[] => {
    const trend = createTrendPrognoser(model) as Prognoser<unknown>;
    const learnt = fitted.get(model.id);
    return learnt ? [learnt, trend] : [trend];
  };
  return (entry) => {
    const version = runnableHere(entry);
    const key = JSON.stringify(version);
    const made = known.get(key) ?? {
      by: { name: version.name, version: version.version },
      scorer: createDeviceScorer({
        findModel,
        prognosersFor,
        policy: policyOf(version.parameters),
        ensemble: { name: version.name, version: version.version },
        muted: mutedBy(version.parameters),
      }),
    };
    known.set(key, made);
    return made;
  };
}

async function collect(
  rows: AsyncIterable<StoredSample>,
  device: FleetDevice,
  maxRows: number,
): Promise<readonly StoredSample[]> {
  const all: StoredSample[] = [];
  for await (const row of rows) {
    all.push(row);
    if (all.length > maxRows) {
      throw new AppError(
        'REQUEST_NOT_ALLOWED',
        `device ${device.id} has more than ${maxRows} samples in this range; take a shorter one`,
      );
    }
  }
  return all;
}
