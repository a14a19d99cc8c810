/** Faults that people report: the ticket, what is asked for afterwards, and whom to call. */
import { createHash } from 'node:crypto';
import { and, eq } from 'drizzle-orm';
import { z } from 'zod';
import { contactDetails, faultReport, intakeChange } from '../../contract/http/intake.ts';
import { type Ticket, ticket } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import type { Transaction } from '../db/database.ts';
import { ticketContacts, tickets } from '../db/schema.ts';
import { canonicalJson } from '../desk/canonical-json.ts';
import type { Speech } from '../desk/explain/render.ts';
import { isTerminal } from '../desk/transitions.ts';
import { speechOf } from '../explain/speech.ts';
import { principalOf } from '../plugins/authentication.ts';
import { lockTicket } from '../tickets/lock-ticket.ts';
import { selectTicket } from '../tickets/read-ticket.ts';
import { completeIntake, reportTicket } from '../tickets/report-ticket.ts';
import { appendTicketEvent } from '../tickets/ticket-events.ts';
import { type App, answers, byTicketKey, etagOf, ifMatch, parseEtag, type RouteContext } from './context.ts';

const idempotencyHeaders = z.object({ 'idempotency-key': z.string().min(8).max(128).optional() });

export function registerIntake(app: App, { database, clock, announceTicket }: RouteContext): void {
  const read = async (principal: Principal, key: string, speech: Speech): Promise<Ticket> => {
    const found = await database.withTenant(principal, (tx) => selectTicket(tx, principal.tenant, key, speech));
    if (!found) throw new AppError('NOT_FOUND', `ticket ${key}`);
    return found;
  };

  app.post(
    '/api/v1/tickets',
    {
      schema: {
        tags: ['tickets'],
        headers: idempotencyHeaders,
        body: faultReport,
        response: answers({ 200: ticket, 201: ticket }, 409),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const header = request.headers['idempotency-key'];
      const fingerprint = createHash('sha256').update(canonicalJson(request.body)).digest('hex');
      const { key, created } = await database.withTenant(principal, (tx) =>
        reportTicket(tx, {
          principal,
          report: request.body,
          now: clock.now(),
          idempotency: header === undefined ? undefined : { key: header, fingerprint },
        }),
      );
      if (created) announceTicket(principal.tenant, key);
      const opened = await read(principal, key, speechOf(request, reply, {}));
      return reply
        .code(created ? 201 : 200)
        .header('etag', etagOf(opened.version))
        .send(opened);
    },
  );

  app.patch(
    '/api/v1/tickets/:key/intake',
    {
      schema: {
        tags: ['tickets'],
        params: byTicketKey,
        headers: ifMatch,
        body: intakeChange,
        response: answers({ 200: ticket }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key } = request.params;
      const version = parseEtag(request.headers['if-match']);
      await database.withTenant(principal, async (tx) => {
        const row = await lockReported(tx, principal, key, version);
        await completeIntake(tx, principal, row, request.body, clock.now());
      });
      announceTicket(principal.tenant, key);
      const changed = await read(principal, key, speechOf(request, reply, {}));
      return reply.header('etag', etagOf(changed.version)).send(changed);
    },
  );

  app.get(
    '/api/v1/tickets/:key/contact',
    { schema: { tags: ['tickets'], params: byTicketKey, response: answers({ 200: contactDetails }, 409) } },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key } = request.params;
      const details = await database.withTenant(principal, (tx) => revealContact(tx, principal, key));
      return reply.header('cache-control', 'no-store').send(details);
    },
  );

  /** Who looked stands in the ticket's history: personal data is for those who work on an open ticket. */
  async function revealContact(tx: Transaction, principal: Principal, key: string) {
    const { tenant, user } = principal;
    const isIt = and(eq(tickets.tenant, tenant), eq(tickets.key, key));
    const [row] = await tx.select({ state: tickets.state }).from(tickets).where(isIt).for('update');
    if (!row) throw new AppError('NOT_FOUND', `ticket ${key}`);
    if (isTerminal(row.state)) throw new AppError('CONFLICT', `the ticket is ${row.state}: nobody is called about it`);
    const [contact] = await tx
      .select({ details: ticketContacts.details })
      .from(ticketContacts)
      .where(and(eq(ticketContacts.tenant, tenant), eq(ticketContacts.ticketKey, key)));
    if (!contact) throw new AppError('NOT_FOUND', `contact of ticket ${key}`);
    await appendTicketEvent(tx, { tenant, ticketKey: key, at: clock.now(), actor: user, type: 'contactRevealed' });
    return contact.details;
  }
}

async function lockReported(tx: Transaction, { tenant }: Principal, key: string, version: number) {
  const row = await lockTicket(tx, tenant, key, version);
  if (row.symptom === null) throw new AppError('CONFLICT', 'a prediction opened this ticket: nothing is missing');
  if (isTerminal(row.state)) throw new AppError('CONFLICT', `the ticket is ${row.state}`);
  return row;
}
