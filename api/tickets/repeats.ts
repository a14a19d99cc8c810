/** Whether a fault is a repeat: the same component of the same machine was repaired a short while ago. */
import { and, desc, eq, gte, ne } from 'drizzle-orm';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Transaction } from '../db/database.ts';
import { ticketEvents, tickets } from '../db/schema.ts';
import { UNSPECIFIED } from '../desk/intake.ts';

export interface RepeatQuery {
  readonly tenant: string;
  readonly device: string;
  readonly component: string;
  readonly now: number;
  readonly withinDays: number;
}

/** Key of the newest ticket that was resolved within so many days, or `undefined`. */
export async function findRepeated(tx: Transaction, query: RepeatQuery): Promise<string | undefined> {
  // Two faults that nobody has placed are not the same.
  if (query.component === UNSPECIFIED) return undefined;
  const [found] = await tx
    .select({ key: tickets.key })
    .from(tickets)
    .innerJoin(ticketEvents, and(eq(ticketEvents.tenant, tickets.tenant), eq(ticketEvents.ticketKey, tickets.key)))
    .where(
      and(
        eq(tickets.tenant, query.tenant),
        eq(tickets.device, query.device),
        eq(tickets.component, query.component),
        ne(tickets.state, 'cancelled'),
        eq(ticketEvents.type, 'transition'),
        eq(ticketEvents.to, 'resolved'),
        gte(ticketEvents.at, query.now - query.withinDays * DAY_MS),
      ),
    )
    .orderBy(desc(ticketEvents.at))
    .limit(1);
  return found?.key;
}
