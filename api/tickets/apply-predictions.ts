/** Prediction findings of one log batch: the newest of each device and fault key, and a thinned ledger of what was said. */
import { and, inArray, sql } from 'drizzle-orm';
import type { PredictionFinding } from '../../contract/ports/findings.ts';
import type { Transaction } from '../db/database.ts';
import { predictionHistory, predictions, tenants } from '../db/schema.ts';
import { parsePolicy } from '../desk/policy.ts';

const keyOf = (one: { tenant: string; device: string; faultKey: string }) =>
  `${one.tenant}\n${one.device}\n${one.faultKey}`;
const CHUNK_ROWS = 500;

type PredictionRow = typeof predictions.$inferInsert;
type HistoryRow = typeof predictionHistory.$inferInsert;

export async function applyPredictions(tx: Transaction, findings: readonly PredictionFinding[]): Promise<void> {
  if (findings.length === 0) return;
  const spacing = await readSpacing(tx, [...new Set(findings.map((one) => one.tenant))]);
  const known = await readKnown(tx, findings);
  /** by tenant, device and fault key */
  const newest = new Map<string, PredictionRow>();
  const history: HistoryRow[] = [];
  for (const finding of findings) {
    const spacingMs = spacing.get(finding.tenant);
    if (spacingMs === undefined) continue; // The tenant is gone.
    const row = { ...identityOf(finding), prediction: finding.prediction, at: finding.at };
    const before = newest.get(keyOf(row)) ?? known.get(keyOf(row));
    if (before && finding.at <= before.at) continue; // A replay, or late.
    const record = !before || finding.at - before.recordedAt >= spacingMs;
    if (record)
      history.push({
        tenant: row.tenant,
        device: row.device,
        faultKey: row.faultKey,
        at: row.at,
        prediction: row.prediction,
      });
    newest.set(keyOf(row), { ...row, recordedAt: record ? finding.at : before.recordedAt });
  }
  await write(tx, [...newest.values()], history);
}

function identityOf(finding: PredictionFinding) {
  const { faultKey, component } = finding.prediction;
  return { tenant: finding.tenant, device: finding.device, faultKey, model: finding.model, component };
}

async function readSpacing(tx: Transaction, ids: string[]): Promise<Map<string, number>> {
  const rows = await tx.select().from(tenants).where(inArray(tenants.tenant, ids));
  return new Map(rows.map((row) => [row.tenant, parsePolicy(row.policy).predictionHistoryMs]));
}

async function readKnown(tx: Transaction, findings: readonly PredictionFinding[]) {
  const rows = await tx
    .select({
      tenant: predictions.tenant,
      device: predictions.device,
      faultKey: predictions.faultKey,
      at: predictions.at,
      recordedAt: predictions.recordedAt,
    })
    .from(predictions)
    .where(
      and(
        inArray(predictions.tenant, [...new Set(findings.map((one) => one.tenant))]),
        inArray(predictions.device, [...new Set(findings.map((one) => one.device))]),
      ),
    );
  return new Map(rows.map((row) => [keyOf(row), row]));
}

async function write(tx: Transaction, newest: PredictionRow[], history: HistoryRow[]): Promise<void> {
  for (let start = 0; start < newest.length; start += CHUNK_ROWS) {
    await tx
      .insert(predictions)
      .values(newest.slice(start, start + CHUNK_ROWS))
      .onConflictDoUpdate({
        target: [predictions.tenant, predictions.device, predictions.faultKey],
        set: {
          component: sql`excluded.component`,
          prediction: sql`excluded.prediction`,
          at: sql`excluded.at`,
          recordedAt: sql`excluded.recorded_at`,
        },
      });
  }
  for (let start = 0; start < history.length; start += CHUNK_ROWS) {
    await tx
      .insert(predictionHistory)
      .values(history.slice(start, start + CHUNK_ROWS))
      .onConflictDoNothing();
  }
}
