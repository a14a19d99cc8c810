/** A ticket's warranty claim with everything it is decided by: terms, notes, the machine's history. In the caller's transaction. */
import { and, asc, desc, eq, inArray } from 'drizzle-orm';
import { Temporal } from 'temporal-polyfill';
import type { WarrantyTerms, WarrantyView } from '../../contract/http/warranty.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Transaction } from '../db/database.ts';
import { centres, ticketEvents, ticketOutcomes, tickets, warrantyNotes, warrantyTermsVersions } from '../db/schema.ts';
import type { Speech } from '../desk/explain/render.ts';
import { decideWarranty, foldNotes, type PastRepair, type WarrantyHistory } from '../desk/warranty/decide.ts';
import { SHIPPED_TERMS } from '../desk/warranty/shipped-terms.ts';

type TicketRow = typeof tickets.$inferSelect;

/** Events of one machine that its history is told from; a machine that is repaired more often is another problem. */
const MAX_EVENTS = 10_000;

/** The terms that are decided by; 0 = what the program ships. */
export async function currentTerms(
  tx: Transaction,
  tenant: string,
): Promise<{ readonly version: number; readonly terms: WarrantyTerms }> {
  const [newest] = await tx
    .select({ version: warrantyTermsVersions.version, document: warrantyTermsVersions.document })
    .from(warrantyTermsVersions)
    .where(eq(warrantyTermsVersions.tenant, tenant))
    .orderBy(desc(warrantyTermsVersions.version))
    .limit(1);
  return newest ? { version: newest.version, terms: newest.document } : { version: 0, terms: SHIPPED_TERMS };
}

/** `undefined`: no such ticket for this reader. */
export async function readClaim(
  tx: Transaction,
  tenant: string,
  key: string,
  now: number,
  language: Speech['language'],
): Promise<WarrantyView | undefined> {
  const [row] = await tx
    .select({ ticket: tickets, zone: centres.timeZone })
    .from(tickets)
    .innerJoin(centres, and(eq(centres.tenant, tickets.tenant), eq(centres.id, tickets.centre)))
    .where(and(eq(tickets.tenant, tenant), eq(tickets.key, key)));
  if (!row) return undefined;
  const { ticket, zone } = row;
  const { version, terms } = await currentTerms(tx, tenant);
  const notes = await tx
    .select({ at: warrantyNotes.at, by: warrantyNotes.by, note: warrantyNotes.note })
    .from(warrantyNotes)
    .where(and(eq(warrantyNotes.tenant, tenant), eq(warrantyNotes.ticketKey, key)))
    .orderBy(asc(warrantyNotes.version));
  const region = terms.regions[ticket.centre] ?? terms.region;
  const subject = {
    model: ticket.model,
    component: ticket.component,
    faultKey: ticket.faultKey,
    region,
    // The claim is as old as the ticket: waiting for parts ends no warranty.
    on: dayOf(ticket.createdAt, zone),
    history: await historyOf(tx, ticket, now, zone),
    language,
  };
  const claim = foldNotes(
    notes.map((one) => one.note),
    ticket.purchasedOn ?? undefined,
  );
  return { ...decideWarranty(terms, subject, claim), termsVersion: version, region, notes };
}

function dayOf(at: number, zone: string): string {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDate().toString();
}

async function historyOf(tx: Transaction, ticket: TicketRow, now: number, zone: string): Promise<WarrantyHistory> {
  const events = await tx
    .select({ key: ticketEvents.ticketKey, at: ticketEvents.at, to: ticketEvents.to })
    .from(ticketEvents)
    .innerJoin(tickets, and(eq(tickets.tenant, ticketEvents.tenant), eq(tickets.key, ticketEvents.ticketKey)))
    .where(
      and(
        eq(tickets.tenant, ticket.tenant),
        // A machine that is not registered has no history but this ticket.
        ticket.device === null ? eq(tickets.key, ticket.key) : eq(tickets.device, ticket.device),
        eq(ticketEvents.type, 'transition'),
        inArray(ticketEvents.to, ['in_repair', 'resolved', 'cancelled']),
      ),
    )
    .orderBy(asc(ticketEvents.ticketKey), asc(ticketEvents.seq))
    .limit(MAX_EVENTS);
  const spans = new Map<string, number>();
  const since = new Map<string, number>();
  for (const { key, at, to } of events) {
    const begun = since.get(key);
    if (to === 'in_repair') since.set(key, begun ?? at);
    else if (begun !== undefined) {
      spans.set(key, (spans.get(key) ?? 0) + at - begun);
      since.delete(key);
    }
  }
  for (const [key, begun] of since) spans.set(key, (spans.get(key) ?? 0) + now - begun);
  const days = (ms: number) => Math.ceil(ms / DAY_MS);
  return {
    repairs: await pastRepairs(tx, ticket, zone),
    daysInRepair: [...spans.values()].reduce((sum, ms) => sum + days(ms), 0),
    daysOfThisRepair: days(spans.get(ticket.key) ?? 0),
  };
}

/** Earlier tickets of the machine in which a fault was found, by their newest outcome. */
async function pastRepairs(tx: Transaction, ticket: TicketRow, zone: string): Promise<PastRepair[]> {
  if (ticket.device === null) return [];
  const rows = await tx
    .select({ ticket: tickets, version: ticketOutcomes.version, at: ticketOutcomes.at, report: ticketOutcomes.report })
    .from(ticketOutcomes)
    .innerJoin(tickets, and(eq(tickets.tenant, ticketOutcomes.tenant), eq(tickets.key, ticketOutcomes.ticketKey)))
    .where(and(eq(tickets.tenant, ticket.tenant), eq(tickets.device, ticket.device)))
    .orderBy(asc(tickets.createdAt), asc(tickets.key), asc(ticketOutcomes.version));
  const newest = new Map(rows.filter((row) => row.ticket.key !== ticket.key).map((row) => [row.ticket.key, row]));
  return [...newest.values()]
    .filter(({ report }) => report.result === 'confirmed' || report.result === 'other_cause')
    .map(({ ticket: before, at, report }) => ({
      on: dayOf(at, zone),
      component: before.component,
      faultKey: report.faultKey ?? before.faultKey,
      fittedPart: report.parts.length > 0,
    }));
}
