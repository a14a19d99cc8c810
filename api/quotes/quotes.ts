/** Quotes in SQL. A new one takes the place of the one before; an answer is given once, under the lock of the ticket. */
import { and, asc, desc, eq } from 'drizzle-orm';
import type { Quote, QuoteAnswer, QuoteDraft } from '../../contract/http/quotes.ts';
import { AppError, assertNever } from '../../contract/kernel/errors.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { hashToken, newSecret } from '../accounts/secrets.ts';
import type { Transaction } from '../db/database.ts';
import { quotes, tickets } from '../db/schema.ts';
import { decideAnswer, stateOf, totalsOf } from '../desk/quotes.ts';
import { invalidField } from '../plugins/problems.ts';
import { resetTimers } from '../service-levels/timers.ts';
import { appendTicketEvent } from '../tickets/ticket-events.ts';

/** What may be read of a row: not the hash of its link. */
const readable = {
  tenant: quotes.tenant,
  ticketKey: quotes.ticketKey,
  version: quotes.version,
  state: quotes.state,
  draft: quotes.draft,
  createdAt: quotes.createdAt,
  createdBy: quotes.createdBy,
  validUntil: quotes.validUntil,
  answer: quotes.answer,
};
type QuoteRow = Omit<typeof quotes.$inferSelect, 'tokenHash'>;

const isQuote = ({ tenant, ticketKey, version }: Pick<QuoteRow, 'tenant' | 'ticketKey' | 'version'>) =>
  and(eq(quotes.tenant, tenant), eq(quotes.ticketKey, ticketKey), eq(quotes.version, version));

export function viewOf(row: QuoteRow, now: number): Quote {
  return {
    ...row.draft,
    ticket: row.ticketKey,
    version: row.version,
    state: stateOf(row, now),
    createdAt: row.createdAt,
    validUntil: row.validUntil,
    totals: totalsOf(row.draft.lines),
    ...(row.answer === null ? {} : { answer: row.answer }),
  };
}

/** Oldest first. */
export async function selectQuotes(tx: Transaction, tenant: string, key: string): Promise<readonly QuoteRow[]> {
  return tx
    .select(readable)
    .from(quotes)
    .where(and(eq(quotes.tenant, tenant), eq(quotes.ticketKey, key)))
    .orderBy(asc(quotes.version));
}

export async function hasAuthorisedQuote(tx: Transaction, tenant: string, key: string): Promise<boolean> {
  const [newest] = await tx
    .select({ state: quotes.state })
    .from(quotes)
    .where(and(eq(quotes.tenant, tenant), eq(quotes.ticketKey, key)))
    .orderBy(desc(quotes.version))
    .limit(1);
  return newest?.state === 'authorised';
}

/** Adds a quote and answers the secret of its link. Callers have locked the ticket. */
export async function sendQuote(
  tx: Transaction,
  { tenant, key, at, by }: { tenant: string; key: string; at: number; by: string },
  draft: QuoteDraft,
): Promise<{ readonly quote: Quote; readonly secret: string }> {
  const before = (await selectQuotes(tx, tenant, key)).at(-1);
  // A change order: what was authorised before is no longer what will be done.
  if (before) await tx.update(quotes).set({ state: 'superseded' }).where(isQuote(before));
  const secret = newSecret();
  const row: QuoteRow = {
    tenant,
    ticketKey: key,
    version: (before?.version ?? 0) + 1,
    state: 'sent',
    draft,
    createdAt: at,
    createdBy: by,
    validUntil: at + draft.validDays * DAY_MS,
    answer: null,
  };
  await tx.insert(quotes).values({ ...row, tokenHash: hashToken(secret) });
  await appendTicketEvent(tx, {
    tenant,
    ticketKey: key,
    at,
    actor: by,
    type: 'quoteSent',
    facts: { version: row.version, gross: totalsOf(draft.lines).gross, currency: draft.currency },
  });
  return { quote: viewOf(row, at), secret };
}

/** The quote that a link leads to, for the system: whoever holds the link is nobody's user. */
export async function findByLink(tx: Transaction, secret: string) {
  const [found] = await tx
    .select({ quote: readable, ticket: tickets })
    .from(quotes)
    .innerJoin(tickets, and(eq(tickets.tenant, quotes.tenant), eq(tickets.key, quotes.ticketKey)))
    .where(eq(quotes.tokenHash, hashToken(secret)));
  return found;
}

/**
 * Takes the customer's answer. Callers have locked the ticket. The same answer again changes nothing.
 * @throws AppError CONFLICT when it is too late for this one, REQUEST_INVALID naming the field
 */
export async function takeAnswer(
  tx: Transaction,
  row: QuoteRow,
  answer: QuoteAnswer,
  { at, by }: { readonly at: number; readonly by: string },
): Promise<Quote> {
  if (row.answer && row.answer.decision === answer.decision && row.state !== 'superseded') return viewOf(row, at);
  const decision = decideAnswer(answer, { ...row, lines: row.draft.lines }, at);
  switch (decision.kind) {
    case 'taken':
      break;
    case 'tooLate':
      throw new AppError('CONFLICT', decision.reason);
    case 'contradiction':
      throw invalidField(`body.${decision.field}`, decision.reason);
    default:
      return assertNever(decision);
  }
  const totals = totalsOf(decision.lines);
  const given = { ...answer, at, by, lines: decision.lines.map((line) => line.id), totals };
  await tx.update(quotes).set({ state: decision.state, answer: given }).where(isQuote(row));
  const { tenant, ticketKey, version } = row;
  await appendTicketEvent(tx, {
    tenant,
    ticketKey,
    at,
    actor: by,
    type: decision.state === 'authorised' ? 'quoteAuthorised' : 'quoteDeclined',
    facts: {
      version,
      gross: totals.gross,
      currency: row.draft.currency,
      durationMs: row.draft.durationHours * HOUR_MS,
    },
  });
  await tx
    .update(tickets)
    .set({ updatedAt: at })
    .where(and(eq(tickets.tenant, tenant), eq(tickets.key, ticketKey)));
  await resetTimers(tx, tenant, [ticketKey]);
  return viewOf({ ...row, state: decision.state, answer: given }, at);
}
