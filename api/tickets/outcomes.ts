/** Outcomes of tickets in SQL, and the labels that they become. */
import { and, asc, desc, eq, gte, inArray, sql } from 'drizzle-orm';
import { z } from 'zod';
import type { Label, OutcomeReport, TicketOutcome } from '../../contract/http/outcomes.ts';
import { evidence } from '../../contract/ports/findings.ts';
import type { Transaction } from '../db/database.ts';
import { ticketAlerts, ticketEvents, ticketEvidence, ticketOutcomes, tickets } from '../db/schema.ts';
import { appendTicketEvent } from './ticket-events.ts';

type OutcomeRow = typeof ticketOutcomes.$inferSelect;

const viewOf = ({ report, version, at, by }: OutcomeRow): TicketOutcome => ({ ...report, version, at, by });

export async function newestOutcome(tx: Transaction, tenant: string, key: string): Promise<TicketOutcome | undefined> {
  const [row] = await tx
    .select()
    .from(ticketOutcomes)
    .where(and(eq(ticketOutcomes.tenant, tenant), eq(ticketOutcomes.ticketKey, key)))
    .orderBy(desc(ticketOutcomes.version))
    .limit(1);
  return row && viewOf(row);
}

/** Whether anybody ever had the machine in hand. */
export async function wasInRepair(tx: Transaction, tenant: string, key: string): Promise<boolean> {
  const [event] = await tx
    .select({ seq: ticketEvents.seq })
    .from(ticketEvents)
    .where(
      and(
        eq(ticketEvents.tenant, tenant),
        eq(ticketEvents.ticketKey, key),
        eq(ticketEvents.type, 'transition'),
        eq(ticketEvents.to, 'in_repair'),
      ),
    )
    .limit(1);
  return event !== undefined;
}

/** Adds a report. Callers have locked the ticket, so versions do not collide. */
export async function appendOutcome(
  tx: Transaction,
  { tenant, key, at, by }: { tenant: string; key: string; at: number; by: string },
  report: OutcomeReport,
): Promise<void> {
  const version = ((await newestOutcome(tx, tenant, key))?.version ?? 0) + 1;
  await tx.insert(ticketOutcomes).values({ tenant, ticketKey: key, version, at, by, report });
  const { result, faultKey, cause } = report;
  await appendTicketEvent(tx, {
    tenant,
    ticketKey: key,
    at,
    actor: by,
    type: 'outcome',
    ...(report.note === undefined ? {} : { reason: report.note }),
    facts: { version, result, ...(faultKey ? { faultKey } : {}), ...(cause ? { cause } : {}) },
  });
}

/** Of the snapshot only what a label needs: signals are large. */
const provenance = z.object({ onset: z.number(), evidence: evidence.pick({ detector: true, prediction: true }) });

/** Newest outcome of each ticket that was reported since `since`, oldest first, after the cursor's place. */
export async function selectLabels(
  tx: Transaction,
  tenant: string,
  since: number,
  after: readonly [at: number, key: string] | undefined,
  limit: number,
): Promise<Label[]> {
  const rows = await tx
    .select({ outcome: ticketOutcomes, ticket: tickets, canonical: ticketEvidence.canonical })
    .from(ticketOutcomes)
    .innerJoin(tickets, and(eq(tickets.tenant, ticketOutcomes.tenant), eq(tickets.key, ticketOutcomes.ticketKey)))
    .leftJoin(
      ticketEvidence,
      and(eq(ticketEvidence.tenant, ticketOutcomes.tenant), eq(ticketEvidence.ticketKey, ticketOutcomes.ticketKey)),
    )
    .where(
      and(
        eq(ticketOutcomes.tenant, tenant),
        gte(ticketOutcomes.at, since),
        after ? sql`(${ticketOutcomes.at}, ${ticketOutcomes.ticketKey}) > (${after[0]}, ${after[1]})` : undefined,
        sql`NOT EXISTS (SELECT 1 FROM ticket_outcomes newer WHERE newer.tenant_id = ${ticketOutcomes.tenant}
          AND newer.ticket_key = ${ticketOutcomes.ticketKey} AND newer.version > ${ticketOutcomes.version})`,
      ),
    )
    .orderBy(asc(ticketOutcomes.at), asc(ticketOutcomes.ticketKey))
    .limit(limit);
  const attached = await attachedAlerts(
    tx,
    tenant,
    rows.map((row) => row.ticket.key),
  );
  return rows.map(({ outcome, ticket, canonical }) => ({
    ticket: ticket.key,
    ...(ticket.device === null ? {} : { device: ticket.device }),
    model: ticket.model,
    component: ticket.component,
    source: ticket.source,
    predictedFaultKey: ticket.faultKey,
    ...provenanceOf(canonical),
    openedAt: ticket.createdAt,
    alerts: attached.get(ticket.key) ?? [],
    outcome: viewOf(outcome),
  }));
}

function provenanceOf(canonical: string | null): Pick<Label, 'detector' | 'method' | 'onset'> {
  if (canonical === null) return {};
  const { onset, evidence: said } = provenance.parse(JSON.parse(canonical));
  return { onset, detector: said.detector, ...(said.prediction ? { method: said.prediction.method } : {}) };
}

async function attachedAlerts(
  tx: Transaction,
  tenant: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, string[]>> {
  const attached = new Map<string, string[]>(keys.map((key) => [key, []]));
  if (keys.length === 0) return attached;
  const rows = await tx
    .select({ key: ticketAlerts.ticketKey, id: ticketAlerts.alertId })
    .from(ticketAlerts)
    .where(and(eq(ticketAlerts.tenant, tenant), inArray(ticketAlerts.ticketKey, [...keys])))
    .orderBy(asc(ticketAlerts.attachedAt));
  for (const { key, id } of rows) attached.get(key)?.push(id);
  return attached;
}
