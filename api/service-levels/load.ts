/**
 * The clocks of tickets with everything they depend on: history, promises, calendar of the centre. Read in the caller's
 * transaction, so that what is decided upon them is decided upon one state of the ticket.
 */
import { and, asc, desc, eq, inArray, sql } from 'drizzle-orm';
import type { Transaction } from '../db/database.ts';
import { centres, serviceLevelPolicies, ticketEvents, tickets } from '../db/schema.ts';
import { officeHours, type WorkingCalendar } from '../desk/service-levels/calendar.ts';
import { type RecordedEvent, serviceEventsOf } from '../desk/service-levels/history.ts';
import { parseServiceLevels, type ServiceLevelPolicy } from '../desk/service-levels/policy.ts';
import { type ServiceLevels, serviceLevelsOf } from '../desk/service-levels/view.ts';
import { createWorkingTime, type WorkingTime } from '../desk/service-levels/working-time.ts';

export interface TicketClocks {
  readonly levels: ServiceLevels;
  readonly calendar: WorkingCalendar;
  readonly policy: ServiceLevelPolicy;
  /** 0 = what the program ships. */
  readonly policyVersion: number;
}

/** The promises that the program ships with. */
export const SHIPPED_POLICY: ServiceLevelPolicy = parseServiceLevels({});

/** Events that clocks depend on; a ticket's history holds many more. */
const RELEVANT = [
  'opened',
  'transition',
  'quoteAuthorised',
  'accepted',
  'answered',
  'customerWrote',
  'arrived',
  'followedUp',
];

/** By ticket key; keys that are not there, or not for this reader, are left out. */
export async function loadClocks(
  tx: Transaction,
  tenant: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, TicketClocks>> {
  if (keys.length === 0) return new Map();
  const rows = await tx
    .select({ ticket: tickets, calendar: centres.calendar, timeZone: centres.timeZone })
    .from(tickets)
    .innerJoin(centres, and(eq(centres.tenant, tickets.tenant), eq(centres.id, tickets.centre)))
    .where(and(eq(tickets.tenant, tenant), inArray(tickets.key, [...keys])));
  const histories = await readHistories(tx, tenant, keys);
  const policies = await readPolicies(tx, tenant, [...new Set(rows.map((row) => row.ticket.servicePolicy))]);
  /** Tickets of one centre share what was worked out about its days. */
  const times = new Map<string, { calendar: WorkingCalendar; time: WorkingTime }>();
  const timeOf = (centre: string, stored: WorkingCalendar | null, zone: string) => {
    const known = times.get(centre);
    if (known) return known;
    const calendar = stored ?? officeHours(zone);
    const made = { calendar, time: createWorkingTime(calendar) };
    times.set(centre, made);
    return made;
  };
  return new Map(
    rows.map(({ ticket, calendar: stored, timeZone }) => {
      const { calendar, time } = timeOf(ticket.centre, stored, timeZone);
      const policy = policies.get(ticket.servicePolicy) ?? SHIPPED_POLICY;
      const events = serviceEventsOf(histories.get(ticket.key) ?? [], ticket.source === 'preemptive');
      const { severity, tier, kind, mode } = ticket;
      const levels = serviceLevelsOf(events, { severity, tier, kind, mode }, policy, time);
      return [ticket.key, { levels, calendar, policy, policyVersion: ticket.servicePolicy }];
    }),
  );
}

async function readHistories(
  tx: Transaction,
  tenant: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, RecordedEvent[]>> {
  const events = await tx
    .select({
      key: ticketEvents.ticketKey,
      at: ticketEvents.at,
      type: ticketEvents.type,
      to: ticketEvents.to,
      facts: ticketEvents.facts,
    })
    .from(ticketEvents)
    .where(
      and(
        eq(ticketEvents.tenant, tenant),
        inArray(ticketEvents.ticketKey, [...keys]),
        inArray(ticketEvents.type, RELEVANT),
      ),
    )
    .orderBy(asc(ticketEvents.ticketKey), asc(ticketEvents.seq));
  const histories = new Map<string, RecordedEvent[]>();
  for (const { key, ...event } of events) {
    const history = histories.get(key);
    if (history) history.push(event);
    else histories.set(key, [event]);
  }
  return histories;
}

async function readPolicies(
  tx: Transaction,
  tenant: string,
  versions: readonly number[],
): Promise<ReadonlyMap<number, ServiceLevelPolicy>> {
  if (versions.length === 0) return new Map();
  const rows = await tx
    .select({ version: serviceLevelPolicies.version, document: serviceLevelPolicies.document })
    .from(serviceLevelPolicies)
    .where(and(eq(serviceLevelPolicies.tenant, tenant), inArray(serviceLevelPolicies.version, [...versions])));
  return new Map(rows.map(({ version, document }) => [version, document]));
}

/** The promises that new tickets get. */
export async function currentPolicy(
  tx: Transaction,
  tenant: string,
): Promise<{ readonly version: number; readonly policy: ServiceLevelPolicy }> {
  const [newest] = await tx
    .select({ version: serviceLevelPolicies.version, document: serviceLevelPolicies.document })
    .from(serviceLevelPolicies)
    .where(eq(serviceLevelPolicies.tenant, tenant))
    .orderBy(desc(serviceLevelPolicies.version))
    .limit(1);
  return newest ? { version: newest.version, policy: newest.document } : { version: 0, policy: SHIPPED_POLICY };
}

/** Keys of the tickets of a centre that are not finished, after `after`, in order. */
export async function openTicketKeys(
  tx: Transaction,
  tenant: string,
  centre: string,
  after: string,
  limit: number,
): Promise<readonly string[]> {
  const rows = await tx
    .select({ key: tickets.key })
    .from(tickets)
    .where(
      and(
        eq(tickets.tenant, tenant),
        eq(tickets.centre, centre),
        sql`${tickets.state} NOT IN ('closed', 'cancelled')`,
        sql`${tickets.key} > ${after}`,
      ),
    )
    .orderBy(asc(tickets.key))
    .limit(limit);
  return rows.map((row) => row.key);
}
