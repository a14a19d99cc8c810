/** Alerts with their explanation. Where one alert is read, it is also compared with what happened before. */
import { setImmediate } from 'node:timers/promises';
import { and, eq, inArray, sql } from 'drizzle-orm';
import { findModel } from '../../contract/devices/catalogue.ts';
import type { Explanation } from '../../contract/http/explanation.ts';
import type { Alert } from '../../contract/http/resources.ts';
import type { Evidence } from '../../contract/ports/findings.ts';
import type { Transaction } from '../db/database.ts';
import { alerts, faultRecords, ticketAlerts, ticketOutcomes, tickets } from '../db/schema.ts';
import { type ExplainedAlert, explainAlert, type PastEpisodes, type ReportedFault } from '../desk/explain/explain.ts';
import { createRenderer, type Speech } from '../desk/explain/render.ts';

/** What names an alert among others, and what is explained of it. */
export interface KnownAlert extends ExplainedAlert {
  readonly id: string;
  readonly device: string;
}

/** Alerts that are explained in one go: about 10 ms. */
const CHUNK = 40;

/** Alerts of a list: from their own evidence alone, without a question to the database. Others get their turn in between. */
export async function explainListed<One extends Alert>(listed: readonly One[], speech: Speech): Promise<One[]> {
  const render = createRenderer(speech);
  const explained: One[] = [];
  for (let start = 0; start < listed.length; start += CHUNK) {
    if (start > 0) await setImmediate();
    for (const one of listed.slice(start, start + CHUNK)) {
      explained.push({ ...one, explanation: render(explainAlert(one), one.model) });
    }
  }
  return explained;
}

/** One alert, compared with its past. `tx` sees what the reader may see, so the counts hold nothing else. */
export async function explainOne(
  tx: Transaction,
  tenant: string,
  alert: KnownAlert,
  speech: Speech,
): Promise<Explanation> {
  const past = await selectPast(tx, tenant, alert);
  const reported = await selectReported(tx, tenant, alert);
  return createRenderer(speech)(explainAlert(alert, { past, reported }), alert.model);
}

/** The alert that opened a ticket, from the evidence as it was pinned; `undefined` where the reader may not see the alert. */
export async function explainTicket(
  tx: Transaction,
  tenant: string,
  opener: string | undefined,
  evidence: Evidence,
  speech: Speech,
): Promise<Explanation | undefined> {
  if (opener === undefined) return undefined;
  const [row] = await tx
    .select()
    .from(alerts)
    .where(and(eq(alerts.tenant, tenant), eq(alerts.id, opener)));
  return row && explainOne(tx, tenant, { ...row, clearedAt: row.clearedAt ?? undefined, evidence }, speech);
}

/** Earlier episodes looked at, newest first: enough for a rate, and a bound on the work. */
const MAX_PAST = 2_000;

async function selectPast(tx: Transaction, tenant: string, alert: KnownAlert): Promise<PastEpisodes> {
  const newest = tx
    .select({ id: alerts.id, device: alerts.device, raisedAt: alerts.raisedAt })
    .from(alerts)
    .where(
      and(
        eq(alerts.tenant, tenant),
        eq(alerts.model, alert.model),
        eq(alerts.faultKey, alert.faultKey),
        sql`(${alerts.raisedAt}, ${alerts.id}) < (${alert.raisedAt}, ${alert.id})`,
      ),
    )
    .orderBy(sql`${alerts.raisedAt} DESC NULLS LAST, ${alerts.id} DESC NULLS LAST`)
    .limit(MAX_PAST)
    .as('past');
  const own = sql`${newest.device} = ${alert.device}`;
  const result = sql`${ticketOutcomes.report}->>'result'`;
  // A ticket may hold episodes of several faults of a component; an outcome speaks of one.
  const found = sql`CASE ${result} WHEN 'confirmed' THEN ${tickets.faultKey}
    WHEN 'other_cause' THEN ${ticketOutcomes.report}->>'faultKey' END`;
  const [row] = await tx
    .select({
      onDevice: sql`count(*) FILTER (WHERE ${own})`.mapWith(Number),
      lastOnDevice: sql<number | null>`max(${newest.raisedAt}) FILTER (WHERE ${own})`,
      onModel: sql`count(*) FILTER (WHERE NOT ${own})`.mapWith(Number),
      devices: sql`count(DISTINCT ${newest.device}) FILTER (WHERE NOT ${own})`.mapWith(Number),
      confirmed: sql`count(*) FILTER (WHERE ${found} = ${alert.faultKey})`.mapWith(Number),
      otherCause:
        sql`count(*) FILTER (WHERE ${result} IN ('confirmed', 'other_cause') AND ${found} IS DISTINCT FROM ${alert.faultKey})`.mapWith(
          Number,
        ),
      noFault: sql`count(*) FILTER (WHERE ${result} = 'no_fault_found')`.mapWith(Number),
    })
    .from(newest)
    .leftJoin(ticketAlerts, and(eq(ticketAlerts.tenant, tenant), eq(ticketAlerts.alertId, newest.id)))
    .leftJoin(tickets, and(eq(tickets.tenant, tenant), eq(tickets.key, ticketAlerts.ticketKey)))
    .leftJoin(
      ticketOutcomes,
      and(
        eq(ticketOutcomes.tenant, tenant),
        eq(ticketOutcomes.ticketKey, ticketAlerts.ticketKey),
        // Later reports correct earlier ones.
        sql`NOT EXISTS (SELECT 1 FROM ticket_outcomes newer WHERE newer.tenant_id = ${ticketOutcomes.tenant}
          AND newer.ticket_key = ${ticketOutcomes.ticketKey} AND newer.version > ${ticketOutcomes.version})`,
      ),
    );
  if (!row) throw new Error('an aggregate without a row');
  return { ...row, lastOnDevice: row.lastOnDevice === null ? undefined : Number(row.lastOnDevice) };
}

/** Faults that the device reported since the deviation began, or shortly before, and that hint at this failure mode. */
async function selectReported(tx: Transaction, tenant: string, alert: KnownAlert): Promise<ReportedFault[]> {
  const codes = (findModel(alert.model)?.faultCodes ?? [])
    .filter((fault) => fault.hintsAt.includes(alert.faultKey))
    .map((fault) => fault.code);
  if (codes.length === 0) return [];
  return tx
    .select({ code: faultRecords.code, occurrences: faultRecords.occurrences, lastSeenAt: faultRecords.lastSeenAt })
    .from(faultRecords)
    .where(
      and(
        eq(faultRecords.tenant, tenant),
        eq(faultRecords.device, alert.device),
        inArray(faultRecords.code, codes),
        sql`${faultRecords.lastSeenAt} >= ${alert.onset}`,
      ),
    )
    .orderBy(sql`${faultRecords.lastSeenAt} DESC`)
    .limit(5);
}
