/** Tickets as clients see them. An open ticket shows the newest remaining life, a finished one what was foreseen then. */
import { and, eq, type SQL, sql } from 'drizzle-orm';
import type { TicketSummary } from '../../contract/http/resources.ts';
import type { Transaction } from '../db/database.ts';
import { predictions, tickets } from '../db/schema.ts';
import { isTerminal } from '../desk/transitions.ts';

type TicketRow = typeof tickets.$inferSelect;
type PredictionRow = Pick<typeof predictions.$inferSelect, 'prediction'>;

/** Tickets that meet `condition`, newest first. */
export async function selectSummaries(
  tx: Transaction,
  condition: SQL | undefined,
  limit: number,
): Promise<TicketSummary[]> {
  const rows = await tx
    .select({ ticket: tickets, prediction: predictions.prediction })
    .from(tickets)
    .leftJoin(
      predictions,
      and(
        eq(predictions.tenant, tickets.tenant),
        eq(predictions.device, tickets.device),
        eq(predictions.faultKey, tickets.faultKey),
      ),
    )
    .where(condition)
    .orderBy(sql`${tickets.createdAt} DESC, ${tickets.key} DESC`)
    .limit(limit);
  return rows.map(({ ticket, prediction }) => summaryOf(ticket, prediction ? { prediction } : undefined));
}

export function summaryOf(row: TicketRow, newest?: PredictionRow): TicketSummary {
  const foreseen = isTerminal(row.state) ? undefined : newest?.prediction.remainingLife;
  const remainingLife = foreseen ?? row.remainingLife ?? undefined;
  return {
    key: row.key,
    source: row.source,
    kind: row.kind,
    mode: row.mode,
    faultClass: row.faultClass,
    ...(row.repeatOf === null ? {} : { repeatOf: row.repeatOf }),
    state: row.state,
    severity: row.severity,
    title: row.title,
    ...(row.device === null ? {} : { device: row.device }),
    model: row.model,
    component: row.component,
    faultKey: row.faultKey,
    centre: row.centre,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    observedAt: row.observedAt,
    version: row.version,
    ...(remainingLife ? { remainingLife } : {}),
  };
}
