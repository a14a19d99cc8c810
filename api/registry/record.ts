/** What a version has found, counted: alerts per device-day as the active one and beside it, and how far the two agreed. */
import { and, desc, eq, sql } from 'drizzle-orm';
import type { RegistryRecord, ShadowAlert, VersionRecord } from '../../contract/http/registry.ts';
import { exposureBook, type VersionExposure } from '../../contract/ports/versions.ts';
import type { Transaction } from '../db/database.ts';
import { alerts, shadowAlerts } from '../db/schema.ts';
import { agreementOf } from './agreement.ts';
import type { EntryRow } from './entries.ts';
import { MAX_SHADOW_ALERTS } from './shadow-alerts.ts';

/** Alerts of one version that are compared. */
const MAX_COMPARED = 20_000;

/** What analytics has counted, from its checkpoint; nothing before it has saved for the first time. */
export function exposureFrom(checkpoint: unknown): readonly VersionExposure[] {
  const parsed = exposureBook.safeParse(checkpoint);
  return parsed.success ? Object.values(parsed.data.exposure) : [];
}

export async function recordOf(
  tx: Transaction,
  tenant: string,
  entry: EntryRow,
  exposure: readonly VersionExposure[],
): Promise<RegistryRecord> {
  const seen = (role: VersionExposure['role']): VersionExposure | undefined =>
    exposure.find(
      (one) =>
        one.tenant === tenant &&
        one.model === entry.model &&
        one.role === role &&
        one.name === entry.name &&
        one.version === entry.version,
    );
  const beside = await activeBeside(tx, tenant, entry);
  const own = await shadowRows(tx, tenant, entry, MAX_COMPARED);
  const asShadow = seen('shadow');
  const { share, ...agreement } = agreementOf(own, beside);
  return {
    asActive: versionRecord(seen('active'), await countAsActive(tx, tenant, entry)),
    asShadow: {
      ...versionRecord(asShadow, own.length),
      devices: asShadow?.devices ?? 0,
      refusedDevices: asShadow?.refusedDevices ?? 0,
    },
    agreement: { ...agreement, ...(share === undefined ? {} : { share }) },
    complete: own.length < MAX_COMPARED && beside.length < MAX_COMPARED && !(await isCut(tx, tenant)),
  };
}

function versionRecord(seen: VersionExposure | undefined, count: number): VersionRecord {
  const deviceDays = seen?.deviceDays ?? 0;
  return {
    deviceDays,
    alerts: count,
    ...(deviceDays > 0 ? { alertsPer1000DeviceDays: (1_000 * count) / deviceDays } : {}),
    ...(seen ? { firstAt: seen.firstAt, lastAt: seen.lastAt } : {}),
  };
}

async function countAsActive(tx: Transaction, tenant: string, entry: EntryRow): Promise<number> {
  const [row] = await tx
    .select({ n: sql<number>`count(*)::int` })
    .from(alerts)
    .where(
      and(
        eq(alerts.tenant, tenant),
        sql`${alerts.evidence}->'ensemble'->>'name' = ${entry.name}`,
        sql`${alerts.evidence}->'ensemble'->>'version' = ${entry.version}`,
        ofModel(entry, 'alerts'),
      ),
    );
  return row?.n ?? 0;
}

/** Alerts of the active version on samples that this one judged too. */
async function activeBeside(tx: Transaction, tenant: string, entry: EntryRow) {
  const wanted = JSON.stringify([{ name: entry.name, version: entry.version }]);
  return tx
    .select({ device: alerts.device, faultKey: alerts.faultKey, onset: alerts.onset, clearedAt: alerts.clearedAt })
    .from(alerts)
    .where(
      and(
        eq(alerts.tenant, tenant),
        sql`${alerts.evidence}->'ensemble'->'beside' @> ${wanted}::jsonb`,
        ofModel(entry, 'alerts'),
      ),
    )
    .orderBy(desc(alerts.raisedAt))
    .limit(MAX_COMPARED);
}

async function shadowRows(tx: Transaction, tenant: string, entry: EntryRow, limit: number) {
  return tx
    .select()
    .from(shadowAlerts)
    .where(isBy(tenant, entry))
    .orderBy(desc(shadowAlerts.raisedAt), desc(shadowAlerts.episode))
    .limit(limit);
}

const isBy = (tenant: string, entry: EntryRow) =>
  and(
    eq(shadowAlerts.tenant, tenant),
    eq(shadowAlerts.name, entry.name),
    eq(shadowAlerts.version, entry.version),
    ofModel(entry, 'shadow_alerts'),
  );

/** A version label is unique for a model only; what stands for all models without a catalogue entry has many. */
const ofModel = (entry: EntryRow, table: 'alerts' | 'shadow_alerts') =>
  entry.model === '*' ? sql`true` : sql`${sql.raw(`${table}.model`)} = ${entry.model}`;

async function isCut(tx: Transaction, tenant: string): Promise<boolean> {
  const [row] = await tx
    .select({ n: sql<number>`count(*)::int` })
    .from(shadowAlerts)
    .where(eq(shadowAlerts.tenant, tenant));
  return (row?.n ?? 0) >= MAX_SHADOW_ALERTS;
}

/** Newest first, behind `after`. */
export async function selectShadowAlerts(
  tx: Transaction,
  tenant: string,
  entry: EntryRow,
  limit: number,
  after: [at: number, id: string] | undefined,
): Promise<ShadowAlert[]> {
  const rows = await tx
    .select()
    .from(shadowAlerts)
    .where(
      and(
        isBy(tenant, entry),
        after ? sql`(${shadowAlerts.raisedAt}, ${shadowAlerts.episode}) < (${after[0]}, ${after[1]})` : undefined,
      ),
    )
    .orderBy(desc(shadowAlerts.raisedAt), desc(shadowAlerts.episode))
    .limit(limit);
  return rows.map(({ tenant: _tenant, updatedAt: _updatedAt, name, version, clearedAt, ...row }) => ({
    ...row,
    by: { name, version },
    ...(clearedAt === null ? {} : { clearedAt }),
  }));
}
