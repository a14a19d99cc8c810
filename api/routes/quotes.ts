/** Quotes of a ticket for the desk, and the customer's page behind a link that needs no account. */
import { and, eq } from 'drizzle-orm';
import { z } from 'zod';
import { publicQuote, quote, quoteAnswer, quoteDraft, sentQuote } from '../../contract/http/quotes.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import type { Transaction } from '../db/database.ts';
import { centres, tickets } from '../db/schema.ts';
import { isTerminal } from '../desk/transitions.ts';
import { principalOf } from '../plugins/authentication.ts';
import { findByLink, selectQuotes, sendQuote, takeAnswer, viewOf } from '../quotes/quotes.ts';
import { lockTicket, touchTicket } from '../tickets/lock-ticket.ts';
import { type App, answers, byTicketKey, etagOf, ifMatch, parseEtag, type RouteContext } from './context.ts';

const byVersion = byTicketKey.extend({ version: z.coerce.number().int().min(1).max(10_000) });
/** A header, because addresses stand in logs of whatever lies between. */
const linkHeader = z.object({ 'presage-link': z.string().min(20).max(64) });
/** Who holds the link: written as the actor of what he decides. */
const CUSTOMER = 'customer';

export function registerQuotes(app: App, { database, clock, publicUrl, announceTicket }: RouteContext): void {
  app.post(
    '/api/v1/tickets/:key/quotes',
    {
      schema: {
        tags: ['quotes'],
        params: byTicketKey,
        headers: ifMatch,
        body: quoteDraft,
        response: answers({ 201: sentQuote }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key } = request.params;
      const version = parseEtag(request.headers['if-match']);
      const now = clock.now();
      const sent = await database.withTenant(principal, async (tx) => {
        await touch(tx, principal, key, version, now);
        return sendQuote(tx, { tenant: principal.tenant, key, at: now, by: principal.user }, request.body);
      });
      announceTicket(principal.tenant, key);
      // In the fragment: a server never sees it, no log has it.
      const link = `${publicUrl()}/quote.html#${sent.secret}`;
      return reply
        .code(201)
        .header('etag', etagOf(version + 1))
        .header('cache-control', 'no-store')
        .send({ ...sent.quote, link });
    },
  );

  app.get(
    '/api/v1/tickets/:key/quotes',
    {
      schema: {
        tags: ['quotes'],
        params: byTicketKey,
        response: answers({ 200: z.object({ items: z.array(quote) }) }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      const { key } = request.params;
      return database.withTenant(principal, async (tx) => {
        await requireTicket(tx, principal, key);
        const rows = await selectQuotes(tx, principal.tenant, key);
        return { items: rows.map((row) => viewOf(row, clock.now())) };
      });
    },
  );

  app.post(
    '/api/v1/tickets/:key/quotes/:version/answer',
    {
      schema: {
        tags: ['quotes'],
        params: byVersion,
        headers: ifMatch,
        body: quoteAnswer,
        response: answers({ 200: quote }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key, version } = request.params;
      const ticketVersion = parseEtag(request.headers['if-match']);
      const now = clock.now();
      const answered = await database.withTenant(principal, async (tx) => {
        await touch(tx, principal, key, ticketVersion, now);
        const row = (await selectQuotes(tx, principal.tenant, key)).find((one) => one.version === version);
        if (!row) throw new AppError('NOT_FOUND', `quote ${version} of ticket ${key}`);
        return takeAnswer(tx, row, request.body, { at: now, by: principal.user });
      });
      announceTicket(principal.tenant, key);
      return reply.header('etag', etagOf(ticketVersion + 1)).send(answered);
    },
  );

  app.get(
    '/api/v1/public/quote',
    {
      config: { public: true },
      schema: { tags: ['quotes'], security: [], headers: linkHeader, response: answers({ 200: publicQuote }) },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store');
      return database.withSystem(async (tx) => {
        const found = await findByLink(tx, request.headers['presage-link']);
        if (!found) throw new AppError('NOT_FOUND', 'there is no quote behind this link');
        return publicView(tx, found, clock.now());
      });
    },
  );

  app.post(
    '/api/v1/public/quote',
    {
      config: { public: true },
      schema: {
        tags: ['quotes'],
        security: [],
        headers: linkHeader,
        body: quoteAnswer,
        response: answers({ 200: publicQuote }, 409),
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store');
      const now = clock.now();
      const { view, tenant, key } = await database.withSystem(async (tx) => {
        const known = await findByLink(tx, request.headers['presage-link']);
        if (!known) throw new AppError('NOT_FOUND', 'there is no quote behind this link');
        const { tenant, key } = known.ticket;
        const isIt = and(eq(tickets.tenant, tenant), eq(tickets.key, key));
        const [locked] = await tx.select().from(tickets).where(isIt).for('update');
        const found = await findByLink(tx, request.headers['presage-link']);
        if (!found || !locked) throw new AppError('NOT_FOUND', 'there is no quote behind this link');
        if (isTerminal(locked.state)) throw new AppError('CONFLICT', 'the repair is over');
        await takeAnswer(tx, found.quote, request.body, { at: now, by: CUSTOMER });
        await tx
          .update(tickets)
          .set({ version: locked.version + 1 })
          .where(isIt);
        const answered = await findByLink(tx, request.headers['presage-link']);
        return { view: await publicView(tx, answered ?? found, now), tenant, key };
      });
      announceTicket(tenant, key);
      return view;
    },
  );
}

type Found = NonNullable<Awaited<ReturnType<typeof findByLink>>>;

/** What the customer may see: the quote, and what it is about. */
async function publicView(tx: Transaction, { quote: row, ticket }: Found, now: number) {
  const [centre] = await tx
    .select({ name: centres.name })
    .from(centres)
    .where(and(eq(centres.tenant, ticket.tenant), eq(centres.id, ticket.centre)));
  const { version: _, ...view } = viewOf(row, now);
  return { ...view, title: ticket.title, centre: centre?.name ?? ticket.centre };
}

async function requireTicket(tx: Transaction, { tenant }: Principal, key: string): Promise<void> {
  const [row] = await tx
    .select({ key: tickets.key })
    .from(tickets)
    .where(and(eq(tickets.tenant, tenant), eq(tickets.key, key)));
  if (!row) throw new AppError('NOT_FOUND', `ticket ${key}`);
}

/** Locks the ticket, checks that the caller has read it as it is, and moves its version. */
async function touch(tx: Transaction, { tenant }: Principal, key: string, version: number, now: number): Promise<void> {
  const row = await lockTicket(tx, tenant, key, version);
  if (isTerminal(row.state)) throw new AppError('CONFLICT', `the ticket is ${row.state}`);
  await touchTicket(tx, row, now);
}
