/** The append-only history of a ticket. Callers have locked the ticket's row, so numbers do not collide. */
import { sql } from 'drizzle-orm';
import type { TicketState } from '../../contract/http/resources.ts';
import type { Transaction } from '../db/database.ts';
import { ticketEvents } from '../db/schema.ts';

/** What passes between customer and desk and moves no state, but clocks. */
export const CONTACT_KINDS = ['accepted', 'answered', 'customerWrote', 'arrived', 'followedUp'] as const;
export type ContactKind = (typeof CONTACT_KINDS)[number];

export const SYSTEM_ACTOR = 'system';

export interface NewTicketEvent {
  readonly tenant: string;
  readonly ticketKey: string;
  readonly at: number;
  /** `system`, or the user's id. */
  readonly actor: string;
  readonly type:
    | 'opened'
    | 'alertAttached'
    | 'alertCleared'
    | 'severityRaised'
    | 'transition'
    | 'evidencePinned'
    | 'webhook'
    | 'escalated'
    | 'outcome'
    | 'intakeCompleted'
    | 'contactRevealed'
    | 'warrantyNoted'
    | 'quoteSent'
    | 'quoteAuthorised'
    | 'quoteDeclined'
    | 'visitBooked'
    | ContactKind;
  readonly from?: TicketState;
  readonly to?: TicketState;
  readonly reason?: string;
  readonly facts?: Record<string, unknown>;
}

export async function appendTicketEvent(tx: Transaction, event: NewTicketEvent): Promise<void> {
  await tx.insert(ticketEvents).values({
    ...event,
    seq: sql`(SELECT COALESCE(max(seq), 0) + 1 FROM ticket_events
      WHERE tenant_id = ${event.tenant} AND ticket_key = ${event.ticketKey})`,
  });
}
