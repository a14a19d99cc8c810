/** Warranty: what a ticket's repair is covered by and why, what people note about it, and the terms of the tenant. */
import { and, eq } from 'drizzle-orm';
import { z } from 'zod';
import { speechQuery } from '../../contract/http/explanation.ts';
import { type WarrantyNote, warrantyNote, warrantyTerms, warrantyView } from '../../contract/http/warranty.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type Principal, requireAct, requireWholeTenant } from '../accounts/principal.ts';
import { sqlState, type Transaction } from '../db/database.ts';
import { warrantyNotes, warrantyTermsVersions } from '../db/schema.ts';
import { speechOf } from '../explain/speech.ts';
import { principalOf } from '../plugins/authentication.ts';
import { lockTicket, touchTicket } from '../tickets/lock-ticket.ts';
import { appendTicketEvent } from '../tickets/ticket-events.ts';
import { currentTerms, readClaim } from '../warranty/read-claim.ts';
import { type App, answers, byTicketKey, etagOf, ifMatch, parseEtag, type RouteContext } from './context.ts';

const termsAnswer = z.object({ version: z.number().int(), terms: warrantyTerms });
const UNIQUE_VIOLATION = '23505';

export function registerWarranty(app: App, { database, clock, announceTicket }: RouteContext): void {
  app.get(
    '/api/v1/tickets/:key/warranty',
    {
      schema: {
        tags: ['warranty'],
        params: byTicketKey,
        querystring: speechQuery,
        response: answers({ 200: warrantyView }),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { key } = request.params;
      const { language } = speechOf(request, reply, request.query);
      const claim = await database.withTenant(principal, (tx) =>
        readClaim(tx, principal.tenant, key, clock.now(), language),
      );
      if (!claim) throw new AppError('NOT_FOUND', `ticket ${key}`);
      return claim;
    },
  );

  app.post(
    '/api/v1/tickets/:key/warranty',
    {
      schema: {
        tags: ['warranty'],
        params: byTicketKey,
        headers: ifMatch,
        body: warrantyNote,
        response: answers({ 200: warrantyView }, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key } = request.params;
      const version = parseEtag(request.headers['if-match']);
      const { language } = speechOf(request, reply, {});
      const claim = await database.withTenant(principal, async (tx) => {
        await addNote(tx, principal, key, version, request.body);
        return readClaim(tx, principal.tenant, key, clock.now(), language);
      });
      if (!claim) throw new AppError('NOT_FOUND', `ticket ${key}`);
      announceTicket(principal.tenant, key);
      return reply.header('etag', etagOf(version + 1)).send(claim);
    },
  );

  async function addNote(
    tx: Transaction,
    principal: Principal,
    key: string,
    version: number,
    note: WarrantyNote,
  ): Promise<void> {
    const { tenant, user } = principal;
    const row = await lockTicket(tx, tenant, key, version);
    const known = await tx
      .select({ note: warrantyNotes.note })
      .from(warrantyNotes)
      .where(and(eq(warrantyNotes.tenant, tenant), eq(warrantyNotes.ticketKey, key)))
      .orderBy(warrantyNotes.version);
    requireRank(
      principal,
      known.map((one) => one.note),
      note,
    );
    const now = clock.now();
    await tx
      .insert(warrantyNotes)
      .values({ tenant, ticketKey: key, version: known.length + 1, at: now, by: user, note });
    await touchTicket(tx, row, now);
    await appendTicketEvent(tx, {
      tenant,
      ticketKey: key,
      at: now,
      actor: user,
      type: 'warrantyNoted',
      reason: note.reason.slice(0, 500),
      facts: { fields: Object.keys(note).filter((name) => name !== 'reason') },
    });
  }

  app.get(
    '/api/v1/warranty-terms',
    { schema: { tags: ['warranty'], response: answers({ 200: termsAnswer }) } },
    async (request, reply) => {
      const principal = principalOf(request);
      const current = await database.withTenant(principal, (tx) => currentTerms(tx, principal.tenant));
      return reply.header('etag', etagOf(current.version)).send(current);
    },
  );

  app.put(
    '/api/v1/warranty-terms',
    {
      schema: {
        tags: ['warranty'],
        headers: ifMatch,
        body: warrantyTerms,
        response: answers({ 200: termsAnswer }, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireWholeTenant(principal, 'manageDevices');
      const version = parseEtag(request.headers['if-match']);
      await database.withTenant(principal, async (tx) => {
        const current = await currentTerms(tx, principal.tenant);
        if (current.version !== version) {
          throw new AppError('VERSION_STALE', `the terms are at version ${current.version}`);
        }
        try {
          await tx.insert(warrantyTermsVersions).values({
            tenant: principal.tenant,
            version: version + 1,
            document: request.body,
            createdAt: clock.now(),
            createdBy: principal.user,
          });
        } catch (error) {
          // Somebody else saved the same version between our look and now.
          if (sqlState(error) === UNIQUE_VIOLATION)
            throw new AppError('VERSION_STALE', 'the terms were changed meanwhile');
          throw error;
        }
      });
      return reply.header('etag', etagOf(version + 1)).send({ version: version + 1, terms: request.body });
    },
  );
}

/** Goodwill costs money, and an appeal is judged by somebody else than who refused: both take a manager. */
function requireRank(principal: Principal, before: readonly WarrantyNote[], note: WarrantyNote): void {
  const isAppealed = before.reduce((open, one) => one.appeal ?? (one.finding === undefined && open), false);
  const needsManager = note.goodwillShare !== undefined || (note.finding !== undefined && isAppealed);
  if (needsManager) requireAct(principal, 'manageDevices');
}
