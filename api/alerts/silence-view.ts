/** Silences as clients see them, and what they kept quiet. */
import { and, desc, eq, type SQL } from 'drizzle-orm';
import type { Silence, SilenceReport } from '../../contract/http/alarms.ts';
import { silenceReports, silences } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { isRunning } from '../desk/silences.ts';

const MAX_REPORTS = 50;
type SilenceRow = typeof silences.$inferSelect;

export function silenceOf(row: SilenceRow, now: number): Silence {
  return {
    id: row.id,
    kind: row.kind,
    ...(row.device === null ? {} : { device: row.device }),
    ...(row.model === null ? {} : { model: row.model }),
    ...(row.centre === null ? {} : { centre: row.centre }),
    ...(row.faultKey === null ? {} : { faultKey: row.faultKey }),
    reason: row.reason,
    createdBy: row.createdBy,
    createdAt: row.createdAt,
    from: row.from,
    ...(row.until === null ? {} : { until: row.until }),
    ...(row.weekly === null ? {} : { weekly: row.weekly }),
    running: isRunning(row, now),
    ...(row.endedAt === null ? {} : { endedAt: row.endedAt }),
    ...(row.endedBy === null ? {} : { endedBy: row.endedBy }),
    ...(row.endReason === null ? {} : { endReason: row.endReason }),
    version: row.version,
  };
}

/** Newest first. */
export function selectSilences(tx: Transaction, condition: SQL | undefined, limit: number): Promise<SilenceRow[]> {
  return tx.select().from(silences).where(condition).orderBy(desc(silences.createdAt), desc(silences.id)).limit(limit);
}

export async function selectReports(tx: Transaction, tenant: string, id: string): Promise<SilenceReport[]> {
  const rows = await tx
    .select()
    .from(silenceReports)
    .where(and(eq(silenceReports.tenant, tenant), eq(silenceReports.silenceId, id)))
    .orderBy(desc(silenceReports.until))
    .limit(MAX_REPORTS);
  return rows.map(({ from, until, endedBy, silenced, acted, items }) => ({
    from,
    until,
    endedBy,
    silenced,
    acted,
    items: [...items],
  }));
}
