/** Technicians and visits in SQL: who could be sent for a ticket, and bookings that never overlap. In the caller's transaction. */
import { and, asc, eq, gt, inArray, lt } from 'drizzle-orm';
import { v7 as uuidv7 } from 'uuid';
import type { DispatchView, Place, Technician, Visit } from '../../contract/http/dispatch.ts';
import type { TicketState } from '../../contract/http/resources.ts';
import { evidence } from '../../contract/ports/findings.ts';
import type { Transaction } from '../db/database.ts';
import { centres, predictions, technicians, ticketEvidence, type tickets, visits } from '../db/schema.ts';
import { type DispatchJob, type DispatchPerson, REQUIRED_LEVEL, rankCandidates, windowOf } from '../desk/dispatch.ts';
import { officeHours } from '../desk/service-levels/calendar.ts';
import { createWorkingTime } from '../desk/service-levels/working-time.ts';

type TicketRow = typeof tickets.$inferSelect;
type TechnicianRow = typeof technicians.$inferSelect;

/** People of one centre that are weighed for one job; a centre with more is several. */
const MAX_PEOPLE = 500;

export function technicianOf({ id, version, body }: TechnicianRow): Technician {
  return { ...body, id, version };
}

export function visitOf({ ticketKey, overrideReason, tenant: _, ...row }: typeof visits.$inferSelect): Visit {
  return { ...row, ticket: ticketKey, ...(overrideReason === null ? {} : { overrideReason }) };
}

/** Who could be sent, for how long and from when on. */
export async function candidatesFor(
  tx: Transaction,
  ticket: TicketRow,
  now: number,
  { durationMs, site }: { readonly durationMs: number; readonly site: Place | undefined },
): Promise<DispatchView> {
  const window = windowOf(now, await lowerHoursOf(tx, ticket, now));
  const job: DispatchJob = {
    model: ticket.model,
    faultClass: ticket.faultClass,
    window,
    durationMs,
    site,
    parts: await likelyParts(tx, ticket),
  };
  const people = await peopleOf(tx, ticket.tenant, ticket.centre, window, ticket.key);
  return {
    window,
    requiredLevel: REQUIRED_LEVEL[ticket.faultClass],
    candidates: rankCandidates(job, people).map((one) => ({
      ...one,
      obstacles: [...one.obstacles],
      parts: [...one.parts],
    })),
  };
}

/** Lower bound of what is left, counted from now; `undefined` where no failure is foreseen in hours. */
async function lowerHoursOf(tx: Transaction, ticket: TicketRow, now: number): Promise<number | undefined> {
  if (ticket.device === null) return undefined;
  const [row] = await tx
    .select({ prediction: predictions.prediction, at: predictions.at })
    .from(predictions)
    .where(
      and(
        eq(predictions.tenant, ticket.tenant),
        eq(predictions.device, ticket.device),
        eq(predictions.faultKey, ticket.faultKey),
      ),
    );
  const life = row?.prediction.remainingLife ?? ticket.remainingLife ?? undefined;
  if (life?.unit !== 'h') return undefined;
  const sinceMs = now - (row?.at ?? ticket.observedAt);
  return Math.max(0, life.lower - sinceMs / 3_600_000);
}

async function likelyParts(tx: Transaction, ticket: TicketRow): Promise<readonly string[]> {
  const [row] = await tx
    .select({ canonical: ticketEvidence.canonical })
    .from(ticketEvidence)
    .where(and(eq(ticketEvidence.tenant, ticket.tenant), eq(ticketEvidence.ticketKey, ticket.key)));
  if (!row) return [];
  const { likelyCauses } = evidence.pick({ likelyCauses: true }).parse(JSON.parse(row.canonical).evidence);
  return (likelyCauses[0]?.parts ?? []).map((part) => part.number);
}

async function peopleOf(
  tx: Transaction,
  tenant: string,
  centre: string,
  window: { readonly from: number; readonly until: number },
  exceptTicket: string,
): Promise<readonly DispatchPerson[]> {
  const [home] = await tx
    .select({ calendar: centres.calendar, timeZone: centres.timeZone })
    .from(centres)
    .where(and(eq(centres.tenant, tenant), eq(centres.id, centre)));
  const time = createWorkingTime(home?.calendar ?? officeHours(home?.timeZone ?? 'UTC'));
  const people = await tx
    .select()
    .from(technicians)
    .where(and(eq(technicians.tenant, tenant), eq(technicians.centre, centre)))
    .orderBy(asc(technicians.id))
    .limit(MAX_PEOPLE);
  const booked = people.length === 0 ? [] : await bookedVisits(tx, tenant, people, window);
  return people.map((row) => ({
    technician: technicianOf(row),
    time,
    // Its own visit is moved, not kept beside the new one.
    visits: booked.filter((one) => one.technician === row.id && one.ticketKey !== exceptTicket),
  }));
}

async function bookedVisits(
  tx: Transaction,
  tenant: string,
  people: readonly TechnicianRow[],
  { from, until }: { readonly from: number; readonly until: number },
) {
  return tx
    .select()
    .from(visits)
    .where(
      and(
        eq(visits.tenant, tenant),
        eq(visits.state, 'booked'),
        inArray(
          visits.technician,
          people.map((one) => one.id),
        ),
        lt(visits.from, until),
        gt(visits.until, from),
      ),
    )
    .orderBy(asc(visits.from));
}

/** The technician's row, which serialises bookings: no two of them overlap. */
export async function lockTechnician(tx: Transaction, tenant: string, id: string): Promise<TechnicianRow | undefined> {
  const [row] = await tx
    .select()
    .from(technicians)
    .where(and(eq(technicians.tenant, tenant), eq(technicians.id, id)))
    .for('update');
  return row;
}

/** A booked visit of another ticket that touches [from, until). Callers hold the technician's lock. */
export async function findOverlap(
  tx: Transaction,
  technician: TechnicianRow,
  { from, until }: { readonly from: number; readonly until: number },
  exceptTicket: string,
): Promise<Visit | undefined> {
  const booked = await bookedVisits(tx, technician.tenant, [technician], { from, until });
  const found = booked.find((one) => one.ticketKey !== exceptTicket);
  return found && visitOf(found);
}

/** Adds a visit in the place of the ticket's earlier one. */
export async function bookVisit(
  tx: Transaction,
  ticket: TicketRow,
  booking: Pick<Visit, 'technician' | 'from' | 'until' | 'bookedBy' | 'bookedAt' | 'overrideReason'>,
): Promise<Visit> {
  await endVisits(tx, ticket.tenant, ticket.key, 'cancelled');
  const [row] = await tx
    .insert(visits)
    .values({
      ...booking,
      tenant: ticket.tenant,
      id: uuidv7(),
      ticketKey: ticket.key,
      state: 'booked',
      overrideReason: booking.overrideReason ?? null,
    })
    .returning();
  return visitOf(row as NonNullable<typeof row>);
}

/** What becomes of the booked visit when its ticket moves on. */
export async function settleVisits(tx: Transaction, tenant: string, key: string, to: TicketState): Promise<void> {
  if (to === 'cancelled') await endVisits(tx, tenant, key, 'cancelled');
  if (to === 'resolved') await endVisits(tx, tenant, key, 'done');
}

async function endVisits(tx: Transaction, tenant: string, key: string, state: 'done' | 'cancelled'): Promise<void> {
  await tx
    .update(visits)
    .set({ state })
    .where(and(eq(visits.tenant, tenant), eq(visits.ticketKey, key), eq(visits.state, 'booked')));
}
