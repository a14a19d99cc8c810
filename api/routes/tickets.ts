/** Tickets: the centre's queue, one ticket with its evidence and history, and what may happen to it. */
import { and, eq, inArray, type SQL, sql } from 'drizzle-orm';
import { z } from 'zod';
import { speechQuery } from '../../contract/http/explanation.ts';
import {
  page,
  pageQuery,
  TICKET_STATES,
  type TicketState,
  ticket,
  ticketState,
  ticketSummary,
  ticketTransition,
} from '../../contract/http/resources.ts';
import { AppError, assertNever } from '../../contract/kernel/errors.ts';
import { deviceId } from '../../contract/kernel/ids.ts';
import type { Principal } from '../accounts/principal.ts';
import { requireAct } from '../accounts/principal.ts';
import { acknowledgeByTicket } from '../alerts/alarm-acts.ts';
import { lockAlarms } from '../alerts/alarm-events.ts';
import { sqlState, type Transaction } from '../db/database.ts';
import { tickets } from '../db/schema.ts';
import type { Speech } from '../desk/explain/render.ts';
import { billingObstacle } from '../desk/quotes.ts';
import { decideTransition, isTerminal, TRANSITIONS } from '../desk/transitions.ts';
import { settleVisits } from '../dispatch/dispatch.ts';
import { speechOf } from '../explain/speech.ts';
import { principalOf } from '../plugins/authentication.ts';
import { hasAuthorisedQuote } from '../quotes/quotes.ts';
import { resetTimers } from '../service-levels/timers.ts';
import { isTicket, lockTicket } from '../tickets/lock-ticket.ts';
import { newestOutcome } from '../tickets/outcomes.ts';
import { selectTicket } from '../tickets/read-ticket.ts';
import { appendTicketEvent } from '../tickets/ticket-events.ts';
import { selectSummaries } from '../tickets/ticket-summary.ts';
import { readClaim } from '../warranty/read-claim.ts';
import {
  type App,
  answers,
  byTicketKey,
  decodeCursor,
  encodeCursor,
  etagOf,
  ifMatch,
  pageOf,
  parseEtag,
  type RouteContext,
} from './context.ts';

/** Comma-separated states, or `open` for all that are not closed or cancelled. */
const stateFilter = z
  .string()
  .max(256)
  .transform((text) => (text === 'open' ? TICKET_STATES.filter((state) => !isTerminal(state)) : text.split(',')))
  .pipe(z.array(ticketState).min(1));

const listQuery = pageQuery
  .extend({
    state: stateFilter.optional(),
    centre: z.string().min(1).max(64).optional(),
    device: deviceId.optional(),
  })
  .strict();
/** What may follow: the console shows one button for each. */
const ticketAnswer = ticket.extend({ next: z.array(ticketState) });
const UNIQUE_VIOLATION = '23505';

export function registerTickets(app: App, context: RouteContext): void {
  const { database } = context;

  async function readOne(principal: Principal, key: string, speech: Speech): Promise<z.infer<typeof ticketAnswer>> {
    const found = await database.withTenant(principal, (tx) => selectTicket(tx, principal.tenant, key, speech));
    if (!found) throw new AppError('NOT_FOUND', `ticket ${key}`);
    return { ...found, next: [...TRANSITIONS[found.state]] };
  }

  app.get(
    '/api/v1/tickets',
    { schema: { tags: ['tickets'], querystring: listQuery, response: answers({ 200: page(ticketSummary) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, state, centre, device } = request.query;
      const conditions: SQL[] = [eq(tickets.tenant, principal.tenant)];
      if (state) conditions.push(inArray(tickets.state, state));
      if (centre !== undefined) conditions.push(eq(tickets.centre, centre));
      if (device !== undefined) conditions.push(eq(tickets.device, device));
      const after = decodeCursor(cursor);
      if (after) conditions.push(sql`(${tickets.createdAt}, ${tickets.key}) < (${after[0]}, ${after[1]})`);
      const rows = await database.withTenant(principal, (tx) => selectSummaries(tx, and(...conditions), limit + 1));
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.createdAt, row.key),
      );
    },
  );

  app.get(
    '/api/v1/tickets/:key',
    {
      schema: {
        tags: ['tickets'],
        params: byTicketKey,
        querystring: speechQuery.strict(),
        response: answers({ 200: ticketAnswer }),
      },
    },
    async (request, reply) => {
      const speech = speechOf(request, reply, request.query);
      const found = await readOne(principalOf(request), request.params.key, speech);
      return reply.header('etag', etagOf(found.version)).send(found);
    },
  );

  app.post(
    '/api/v1/tickets/:key/transitions',
    {
      schema: {
        tags: ['tickets'],
        params: byTicketKey,
        headers: ifMatch,
        body: ticketTransition,
        response: answers({ 200: ticketAnswer }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key } = request.params;
      await transit(principal, key, parseEtag(request.headers['if-match']), request.body);
      const changed = await readOne(principal, key, speechOf(request, reply, {}));
      context.hub.ticketChanged(principal.tenant, ticketSummary.parse(changed));
      return reply.header('etag', etagOf(changed.version)).send(changed);
    },
  );

  async function transit(
    principal: Principal,
    key: string,
    version: number,
    { to, reason }: z.infer<typeof ticketTransition>,
  ): Promise<void> {
    try {
      await database.withTenant(principal, async (tx) => {
        await lockAlarms(tx, [principal.tenant]);
        const { state: from } = await lockTicket(tx, principal.tenant, key, version);
        if (to === 'in_repair') await refuseUnpaid(tx, principal.tenant, key, context.clock.now());
        refuseUnlessAllowed(from, to, principal, (await newestOutcome(tx, principal.tenant, key)) !== undefined);
        const now = context.clock.now();
        await tx
          .update(tickets)
          .set({ state: to, updatedAt: now, version: version + 1 })
          .where(isTicket(principal.tenant, key));
        await appendTicketEvent(tx, {
          tenant: principal.tenant,
          ticketKey: key,
          at: now,
          actor: principal.user,
          type: 'transition',
          from,
          to,
          reason,
        });
        await settleVisits(tx, principal.tenant, key, to);
        await resetTimers(tx, principal.tenant, [key]);
        await acknowledgeByTicket(tx, principal, key, now);
      });
    } catch (error) {
      // A closed ticket comes back while its component has a new one.
      if (sqlState(error) === UNIQUE_VIOLATION) {
        throw new AppError('CONFLICT', 'the component has another open ticket already');
      }
      throw error;
    }
  }
}

/** No billable work without the customer's word. */
async function refuseUnpaid(tx: Transaction, tenant: string, key: string, now: number): Promise<void> {
  const claim = await readClaim(tx, tenant, key, now, 'en');
  const obstacle = claim && billingObstacle(claim, await hasAuthorisedQuote(tx, tenant, key));
  if (obstacle !== undefined) throw new AppError('CONFLICT', obstacle);
}

function refuseUnlessAllowed(from: TicketState, to: TicketState, principal: Principal, hasOutcome: boolean): void {
  const decision = decideTransition(from, to, principal.role, hasOutcome);
  switch (decision.kind) {
    case 'allowed':
      return;
    case 'refused':
      throw new AppError('CONFLICT', decision.reason);
    case 'forbidden':
      throw new AppError('FORBIDDEN', decision.reason);
    default:
      assertNever(decision);
  }
}
