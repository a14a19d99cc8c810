/** One ticket with all that belongs to it. */
import { and, asc, eq } from 'drizzle-orm';
import { evidenceSnapshot, type Ticket } from '../../contract/http/resources.ts';
import type { Transaction } from '../db/database.ts';
import { ticketAlerts, ticketEvents, ticketEvidence, tickets } from '../db/schema.ts';
import type { Speech } from '../desk/explain/render.ts';
import { explainTicket } from '../explain/explain-alerts.ts';
import { newestOutcome } from './outcomes.ts';
import { readIntake } from './report-ticket.ts';
import { selectSummaries } from './ticket-summary.ts';

/** @param speech how its explanation is worded */
export async function selectTicket(
  tx: Transaction,
  tenant: string,
  key: string,
  speech: Speech,
): Promise<Ticket | undefined> {
  const [summary] = await selectSummaries(tx, and(eq(tickets.tenant, tenant), eq(tickets.key, key)), 1);
  if (!summary) return undefined;
  const attached = await tx
    .select({ id: ticketAlerts.alertId })
    .from(ticketAlerts)
    .where(and(eq(ticketAlerts.tenant, tenant), eq(ticketAlerts.ticketKey, key)))
    .orderBy(asc(ticketAlerts.attachedAt));
  const [pinned] = await tx
    .select({ canonical: ticketEvidence.canonical, sha256: ticketEvidence.sha256 })
    .from(ticketEvidence)
    .where(and(eq(ticketEvidence.tenant, tenant), eq(ticketEvidence.ticketKey, key)));
  const events = await tx
    .select()
    .from(ticketEvents)
    .where(and(eq(ticketEvents.tenant, tenant), eq(ticketEvents.ticketKey, key)))
    .orderBy(asc(ticketEvents.seq));
  const outcome = await newestOutcome(tx, tenant, key);
  const intake = await readIntake(tx, tenant, key);
  const evidence = pinned && evidenceSnapshot.parse({ ...JSON.parse(pinned.canonical), sha256: pinned.sha256 });
  const explanation = evidence && (await explainTicket(tx, tenant, openerOf(events), evidence.evidence, speech));
  return {
    ...summary,
    ...(intake ? { intake } : {}),
    ...(outcome ? { outcome } : {}),
    alerts: attached.map((row) => row.id),
    ...(evidence ? { evidence } : {}),
    ...(explanation ? { explanation } : {}),
    history: events.map((event) => ({
      at: event.at,
      actor: event.actor,
      type: event.type,
      ...(event.from === null ? {} : { from: event.from }),
      ...(event.to === null ? {} : { to: event.to }),
      ...(event.reason === null ? {} : { reason: event.reason }),
      ...(event.facts === null ? {} : { facts: event.facts }),
    })),
  };
}

/** Id of the alert that opened the ticket. */
function openerOf(events: readonly (typeof ticketEvents.$inferSelect)[]): string | undefined {
  const alert = events.find((event) => event.type === 'opened')?.facts?.alert;
  return typeof alert === 'string' ? alert : undefined;
}
