/**
 * Fires due timers: the escalation becomes an event of the ticket and a webhook to its centre, in the transaction that marks
 * the timer, so each is told exactly once, with any number of processes and however often they are killed.
 */
import { and, asc, eq, isNull, lte } from 'drizzle-orm';
import { v7 as uuidv7 } from 'uuid';
import type { WebhookBody } from '../../contract/http/resources.ts';
import type { Clock, Logger, Metrics } from '../../contract/ports/services.ts';
import type { Database, Transaction } from '../db/database.ts';
import { centres, outbox, serviceTimers, tickets } from '../db/schema.ts';
import { createPollingWorker, type PollingWorker } from '../polling-worker.ts';
import { appendTicketEvent, SYSTEM_ACTOR } from '../tickets/ticket-events.ts';
import { summaryOf } from '../tickets/ticket-summary.ts';

export interface TimerDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Base of links in webhooks, without a slash at the end. */
  readonly publicUrl: () => string;
  /** Escalations have become events of these tickets. */
  readonly onEscalated: (ticket: { readonly tenant: string; readonly key: string }) => void;
}

const BATCH = 50;
const IDLE_MS = 1_000;

type Timer = typeof serviceTimers.$inferSelect;

export function createTimerWorker(deps: TimerDeps): PollingWorker {
  const { database, clock, metrics } = deps;
  return createPollingWorker('service timers', deps.logger, async () => {
    const fired = await database.withSystem((tx) => fireDue(tx));
    for (const { tenant, ticketKey, notify } of fired) {
      metrics.count('presage_escalations_total', 'Promises in danger that somebody was told of', { notify });
      deps.onEscalated({ tenant, key: ticketKey });
    }
    return fired.length === BATCH ? 0 : IDLE_MS;
  });

  async function fireDue(tx: Transaction): Promise<readonly Timer[]> {
    const now = clock.now();
    const due = await tx
      .select()
      .from(serviceTimers)
      .where(and(isNull(serviceTimers.firedAt), lte(serviceTimers.dueAt, now)))
      .orderBy(asc(serviceTimers.dueAt))
      .limit(BATCH);
    const fired: Timer[] = [];
    // In the order of their keys, as every transaction that locks several tickets does.
    for (const timer of due.sort((a, b) => (ticketId(a) < ticketId(b) ? -1 : 1))) {
      if (await fire(tx, timer, now)) fired.push(timer);
    }
    return fired;
  }

  /** False when somebody else fired it, or a change of the ticket took it back, until its row was ours. */
  async function fire(tx: Transaction, timer: Timer, now: number): Promise<boolean> {
    const [ticket] = await tx
      .select()
      .from(tickets)
      .where(and(eq(tickets.tenant, timer.tenant), eq(tickets.key, timer.ticketKey)))
      .for('update');
    const [marked] = await tx
      .update(serviceTimers)
      .set({ firedAt: now })
      .where(
        and(
          eq(serviceTimers.tenant, timer.tenant),
          eq(serviceTimers.ticketKey, timer.ticketKey),
          eq(serviceTimers.clock, timer.clock),
          eq(serviceTimers.cycle, timer.cycle),
          eq(serviceTimers.share, timer.share),
          isNull(serviceTimers.firedAt),
          lte(serviceTimers.dueAt, now),
        ),
      )
      .returning();
    if (!marked || !ticket) return false;
    await appendTicketEvent(tx, {
      tenant: timer.tenant,
      ticketKey: timer.ticketKey,
      at: now,
      actor: SYSTEM_ACTOR,
      type: 'escalated',
      reason: `${Math.round(timer.share * 100)} % of the target for ${timer.clock} have passed`,
      facts: { clock: timer.clock, cycle: timer.cycle, share: timer.share, notify: timer.notify, dueAt: timer.dueAt },
    });
    await tell(tx, timer, ticket, now);
    return true;
  }

  async function tell(tx: Transaction, timer: Timer, ticket: typeof tickets.$inferSelect, now: number): Promise<void> {
    const [centre] = await tx
      .select({ url: centres.webhookUrl })
      .from(centres)
      .where(and(eq(centres.tenant, timer.tenant), eq(centres.id, ticket.centre)));
    if (!centre?.url) return;
    const { clock: name, cycle, share, notify, dueAt } = timer;
    const body: WebhookBody = {
      type: 'ticket.escalated',
      timestamp: new Date(now).toISOString(),
      data: {
        tenant: timer.tenant,
        ticket: summaryOf(ticket),
        escalation: { clock: name, cycle, share, notify, dueAt },
        evidenceUrl: `${deps.publicUrl()}/api/v1/tickets/${ticket.key}`,
      },
    };
    await tx.insert(outbox).values({
      id: uuidv7(),
      tenant: timer.tenant,
      kind: 'webhook',
      ticketKey: ticket.key,
      centre: ticket.centre,
      body: JSON.stringify(body),
      nextAt: now,
      createdAt: now,
    });
  }
}

const ticketId = ({ tenant, ticketKey }: Timer) => `${tenant}\n${ticketKey}`;
