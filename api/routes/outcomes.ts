/** What was found: the outcome of a ticket, and all outcomes as labels for whoever evaluates or trains. */
import { z } from 'zod';
import { findModel } from '../../contract/devices/catalogue.ts';
import { label, type OutcomeReport, outcomeReport, ticketOutcome } from '../../contract/http/outcomes.ts';
import { page, pageQuery } from '../../contract/http/resources.ts';
import { AppError, assertNever } from '../../contract/kernel/errors.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import type { Transaction } from '../db/database.ts';
import { decideOutcome } from '../desk/outcome.ts';
import { principalOf } from '../plugins/authentication.ts';
import { invalidField } from '../plugins/problems.ts';
import { lockTicket, touchTicket } from '../tickets/lock-ticket.ts';
import { appendOutcome, newestOutcome, selectLabels, wasInRepair } from '../tickets/outcomes.ts';
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

const labelQuery = pageQuery.extend({ since: z.iso.datetime().optional() }).strict();

export function registerOutcomes(app: App, { database, clock, announceTicket }: RouteContext): void {
  app.put(
    '/api/v1/tickets/:key/outcome',
    {
      schema: {
        tags: ['tickets'],
        params: byTicketKey,
        headers: ifMatch,
        body: outcomeReport,
        response: answers({ 200: ticketOutcome }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key } = request.params;
      const version = parseEtag(request.headers['if-match']);
      const outcome = await database.withTenant(principal, async (tx) => {
        await report(tx, principal, key, version, request.body);
        return newestOutcome(tx, principal.tenant, key);
      });
      announceTicket(principal.tenant, key);
      return reply.header('etag', etagOf(version + 1)).send(outcome as NonNullable<typeof outcome>);
    },
  );

  async function report(
    tx: Transaction,
    principal: Principal,
    key: string,
    version: number,
    body: OutcomeReport,
  ): Promise<void> {
    const { tenant, user } = principal;
    const row = await lockTicket(tx, tenant, key, version);
    const failureModes = findModel(row.model)?.failureModes.map((mode) => mode.code) ?? [];
    const { state, faultKey } = row;
    const decision = decideOutcome(body, {
      state,
      faultKey,
      failureModes,
      wasInRepair: await wasInRepair(tx, tenant, key),
    });
    switch (decision.kind) {
      case 'accepted':
        break;
      case 'tooEarly':
        throw new AppError('CONFLICT', decision.reason);
      case 'contradiction':
        throw invalidField(`body.${decision.field}`, decision.reason);
      default:
        assertNever(decision);
    }
    const now = clock.now();
    await touchTicket(tx, row, now);
    await appendOutcome(tx, { tenant, key, at: now, by: user }, body);
  }

  app.get(
    '/api/v1/labels',
    { schema: { tags: ['tickets'], querystring: labelQuery, response: answers({ 200: page(label) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, since } = request.query;
      const sinceMs = since === undefined ? 0 : Date.parse(since);
      const rows = await database.withTenant(principal, (tx) =>
        selectLabels(tx, principal.tenant, sinceMs, decodeCursor(cursor), limit + 1),
      );
      return pageOf(
        rows,
        limit,
        (row) => row,
        (row) => encodeCursor(row.outcome.at, row.ticket),
      );
    },
  );
}
