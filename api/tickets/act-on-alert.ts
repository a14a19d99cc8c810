/**
 * What follows from an alarm that asks for attention: a ticket opens, or it attaches to one, or something keeps it quiet
 * and that is recorded. One place for fresh findings and for alarms whose silence has ended.
 */
import { and, eq, sql } from 'drizzle-orm';
import { assertNever } from '../../contract/kernel/errors.ts';
import { type AlertFinding, compareSeverity } from '../../contract/ports/findings.ts';
import type { AlarmRow } from '../alerts/announce.ts';
import {
  type Batch,
  centreOf,
  componentKey,
  current,
  type DeskContext,
  episodeKey,
  keyOf,
  note,
  policyOf,
  remember,
} from '../alerts/batch.ts';
import { endHolds, type Holder, holdersOf, recordHolds, reminderAt } from '../alerts/holds.ts';
import type { Transaction } from '../db/database.ts';
import { ticketAlerts, tickets } from '../db/schema.ts';
import { asksForTicket, decideTicket, decisionAlertOf, type OpenTicket } from '../desk/decide-ticket.ts';
import { isTerminal } from '../desk/transitions.ts';
import { openTicket } from './open-ticket.ts';
import { appendTicketEvent, SYSTEM_ACTOR } from './ticket-events.ts';

/** What is new about it. */
export interface Occasion {
  /** The alarm as it was before, where it was known. */
  readonly before: AlarmRow | undefined;
  /** It got worse than what people have seen. */
  readonly worsened: boolean;
  /** What kept it quiet is over. */
  readonly released: boolean;
}

export type ActOutcome = 'ticket' | 'attached' | 'annunciated' | 'held' | 'watched';

export async function actOnAlert(
  batch: Batch,
  finding: AlertFinding,
  row: AlarmRow,
  occasion: Occasion,
): Promise<ActOutcome> {
  const policy = policyOf(batch, row.tenant);
  const attachedTo = batch.known.attached.get(episodeKey(row));
  const open = batch.known.openTickets.get(componentKey(row));
  const alert = { ...decisionAlertOf(finding), state: row.state };
  const decision = decideTicket(alert, attachedTo, open, policy);
  const asks = row.state === 'open' && asksForTicket(alert, policy).kind === 'open';
  const calls = asks && isNews(row, occasion);
  const mayAct = decision.kind === 'open' || (decision.kind === 'attach' && decision.reopen) || calls;
  const holders: readonly Holder[] = mayAct && !occasion.released ? await holdersOf(batch, row) : [];
  if (holders.length > 0) await recordHolds(batch, row, holders);
  const quiet = holders.length > 0;
  switch (decision.kind) {
    case 'open':
      if (quiet) return 'held';
      return (await openOne(batch, finding, row, decision.reason))
        ? announceIf(batch, row, calls, 'ticket')
        : 'watched';
    case 'attach':
      // Attaching is recording; reopening asks somebody to go there again.
      if (quiet && decision.reopen) return 'held';
      await attachTo(batch, row, decision.ticketKey, decision.reopen ? open?.state : undefined);
      if (quiet) return 'held';
      return announceIf(batch, row, calls, decision.reopen ? 'ticket' : 'attached');
    case 'none':
      if (attachedTo !== undefined && (await follow(batch.tx, occasion.before, row, attachedTo, batch.context))) {
        touch(batch, row.tenant, attachedTo);
      }
      if (quiet) return 'held';
      return calls ? announceIf(batch, row, true, 'annunciated') : 'watched';
    default:
      return assertNever(decision);
  }
}

/** Attention is asked for once, and again when there is a reason to. */
function isNews(row: AlarmRow, { worsened, released }: Occasion): boolean {
  if (row.annunciatedAt === null || worsened) return true;
  return released && row.acknowledgedAt === null;
}

async function openOne(batch: Batch, finding: AlertFinding, row: AlarmRow, reason: string): Promise<boolean> {
  const centre = centreOf(batch, row);
  const ticket = await openTicket(batch.tx, finding, reason, {
    ...batch.context,
    centre,
    policy: policyOf(batch, row.tenant),
  });
  if (!ticket) return false; // Reopened by a person meanwhile; the next finding attaches to it.
  batch.known.attached.set(episodeKey(row), ticket.key);
  batch.known.openTickets.set(componentKey(row), { key: ticket.key, state: ticket.state });
  touch(batch, row.tenant, ticket.key);
  batch.opened += 1;
  return true;
}

async function attachTo(
  batch: Batch,
  row: AlarmRow,
  ticketKey: string,
  reopenFrom: OpenTicket['state'] | undefined,
): Promise<void> {
  await attach(batch.tx, row, ticketKey, reopenFrom, batch.context);
  batch.known.attached.set(episodeKey(row), ticketKey);
  if (reopenFrom) batch.known.openTickets.set(componentKey(row), { key: ticketKey, state: 'reopened' });
  touch(batch, row.tenant, ticketKey);
}

function touch(batch: Batch, tenant: string, key: string): void {
  batch.touched.set(keyOf(tenant, key), { tenant, key });
}

/** Notes that a person's attention was asked for, and when somebody is reminded if nobody acknowledges it. */
async function announceIf(
  batch: Batch,
  before: AlarmRow,
  calls: boolean,
  outcome: 'ticket' | 'attached' | 'annunciated',
): Promise<ActOutcome> {
  if (!calls) return outcome;
  const row = current(batch, before);
  const { now } = batch.context;
  const { alarms } = policyOf(batch, row.tenant);
  remember(batch, {
    ...row,
    version: row.version + 1,
    annunciatedAt: row.annunciatedAt ?? now,
    escalateAt: row.acknowledgedAt === null ? reminderAt(row, alarms, now) : null,
    escalationLevel: 0,
  });
  note(batch, row, 'annunciated', { facts: { severity: row.severity } });
  // Whatever kept it quiet before does so no longer.
  await endHolds(batch, row, outcome);
  return outcome;
}

const isTicket = (tenant: string, ticketKey: string) => and(eq(tickets.tenant, tenant), eq(tickets.key, ticketKey));

/** Later evidence for the same component: recorded on its ticket, which reopens when the repair was thought done. */
async function attach(
  tx: Transaction,
  episode: AlarmRow,
  ticketKey: string,
  reopenFrom: OpenTicket['state'] | undefined,
  context: DeskContext,
): Promise<void> {
  await tx
    .update(tickets)
    .set({
      updatedAt: context.now,
      version: sql`${tickets.version} + 1`,
      severity: worse(episode.severity),
      ...(reopenFrom ? { state: 'reopened' as const } : {}),
    })
    .where(isTicket(episode.tenant, ticketKey));
  await tx
    .insert(ticketAlerts)
    .values({ tenant: episode.tenant, alertId: episode.id, ticketKey, attachedAt: context.now });
  const event = { tenant: episode.tenant, ticketKey, at: context.now, actor: SYSTEM_ACTOR };
  await appendTicketEvent(tx, {
    ...event,
    type: 'alertAttached',
    facts: { alert: episode.id, faultKey: episode.faultKey, severity: episode.severity },
  });
  if (!reopenFrom) return;
  await appendTicketEvent(tx, {
    ...event,
    type: 'transition',
    from: reopenFrom,
    to: 'reopened',
    reason: 'the fault shows again',
  });
}

/** The worse of the ticket's severity and this one. */
function worse(severity: AlarmRow['severity']) {
  const rank = sql`array_position(ARRAY['info','minor','major','critical'], `;
  return sql`CASE WHEN ${rank}${tickets.severity}) < ${rank}${severity}::text) THEN ${severity}::text ELSE ${tickets.severity} END`;
}

/** News of an episode that its ticket should tell: it got worse, or it ended. */
async function follow(
  tx: Transaction,
  before: AlarmRow | undefined,
  after: AlarmRow,
  ticketKey: string,
  context: DeskContext,
): Promise<boolean> {
  const ended = before?.state === 'open' && after.state === 'cleared';
  const rose = before !== undefined && compareSeverity(after.severity, before.severity) > 0;
  if (!ended && !rose) return false;
  const [row] = await tx
    .update(tickets)
    .set({ updatedAt: context.now, version: sql`${tickets.version} + 1`, severity: worse(after.severity) })
    .where(and(isTicket(after.tenant, ticketKey), sql`${tickets.state} NOT IN ('closed', 'cancelled')`))
    .returning({ state: tickets.state });
  if (!row || isTerminal(row.state)) return false;
  await appendTicketEvent(tx, {
    tenant: after.tenant,
    ticketKey,
    at: context.now,
    actor: SYSTEM_ACTOR,
    type: ended ? 'alertCleared' : 'severityRaised',
    facts: { alert: after.id, severity: after.severity },
  });
  return true;
}
