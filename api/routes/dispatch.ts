/** Technicians of the centres, who could be sent for a ticket and why, and visits. */
import { and, asc, eq, gt } from 'drizzle-orm';
import { z } from 'zod';
import { dispatchView, technician, technicianBody, visit, visitBody } from '../../contract/http/dispatch.ts';
import { page, pageQuery } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { MINUTE_MS } from '../../contract/kernel/time.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import { sqlState, type Transaction } from '../db/database.ts';
import { technicians, tickets, visits } from '../db/schema.ts';
import { decideTransition } from '../desk/transitions.ts';
import { requireCentre } from '../devices/device-view.ts';
import { bookVisit, candidatesFor, findOverlap, lockTechnician, technicianOf, visitOf } from '../dispatch/dispatch.ts';
import { principalOf } from '../plugins/authentication.ts';
import { invalidField } from '../plugins/problems.ts';
import { resetTimers } from '../service-levels/timers.ts';
import { isTicket, lockTicket } from '../tickets/lock-ticket.ts';
import { appendTicketEvent } from '../tickets/ticket-events.ts';
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

const byId = z.object({ id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'lower case letters, digits and dashes') });
const listQuery = pageQuery.extend({ centre: z.string().min(1).max(64).optional() }).strict();
/** Coordinates come apart, as a query has no objects. */
const candidateQuery = z
  .strictObject({
    durationMinutes: z.coerce.number().int().min(5).max(1_440).default(90),
    lat: z.coerce.number().min(-90).max(90).optional(),
    lon: z.coerce.number().min(-180).max(180).optional(),
  })
  .refine(({ lat, lon }) => (lat === undefined) === (lon === undefined), { message: 'both or none', path: ['lon'] });
const UNIQUE_VIOLATION = '23505';

export function registerDispatch(app: App, { database, clock, announceTicket }: RouteContext): void {
  app.get(
    '/api/v1/technicians',
    { schema: { tags: ['dispatch'], querystring: listQuery, response: answers({ 200: page(technician) }) } },
    async (request) => {
      const principal = principalOf(request);
      const { limit, cursor, centre } = request.query;
      const afterId = decodeCursor(cursor)?.[1];
      const rows = await database.withTenant(principal, (tx) =>
        tx
          .select()
          .from(technicians)
          .where(
            and(
              eq(technicians.tenant, principal.tenant),
              centre === undefined ? undefined : eq(technicians.centre, centre),
              afterId === undefined ? undefined : gt(technicians.id, afterId),
            ),
          )
          .orderBy(asc(technicians.id))
          .limit(limit + 1),
      );
      return pageOf(rows, limit, technicianOf, (row) => encodeCursor(0, row.id));
    },
  );

  app.put(
    '/api/v1/technicians/:id',
    {
      schema: {
        tags: ['dispatch'],
        params: byId,
        headers: ifMatch,
        body: technicianBody,
        response: answers({ 200: technician, 201: technician }, 409, 412),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'manageDevices');
      const { id } = request.params;
      const header = request.headers['if-match'];
      const version = header === undefined ? 0 : parseEtag(header);
      const saved = await database.withTenant(principal, async (tx) => {
        await requireCentre(tx, principal, request.body.centre);
        if (principal.centre !== undefined && principal.centre !== request.body.centre) {
          throw new AppError('FORBIDDEN', `a manager of ${principal.centre} keeps the people of that centre only`);
        }
        return saveTechnician(tx, principal, id, version, request.body);
      });
      return reply
        .code(version === 0 ? 201 : 200)
        .header('etag', etagOf(saved.version))
        .send(saved);
    },
  );

  app.get(
    '/api/v1/tickets/:key/candidates',
    {
      schema: {
        tags: ['dispatch'],
        params: byTicketKey,
        querystring: candidateQuery,
        response: answers({ 200: dispatchView }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      const { durationMinutes, lat, lon } = request.query;
      const site = lat === undefined || lon === undefined ? undefined : { lat, lon };
      return database.withTenant(principal, async (tx) => {
        const ticket = await readTicket(tx, principal, request.params.key);
        return candidatesFor(tx, ticket, clock.now(), { durationMs: durationMinutes * MINUTE_MS, site });
      });
    },
  );

  app.get(
    '/api/v1/tickets/:key/visits',
    {
      schema: {
        tags: ['dispatch'],
        params: byTicketKey,
        response: answers({ 200: z.object({ items: z.array(visit) }) }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      return database.withTenant(principal, async (tx) => {
        const { tenant, key } = await readTicket(tx, principal, request.params.key);
        const rows = await tx
          .select()
          .from(visits)
          .where(and(eq(visits.tenant, tenant), eq(visits.ticketKey, key)))
          .orderBy(asc(visits.bookedAt));
        return { items: rows.map(visitOf) };
      });
    },
  );

  app.post(
    '/api/v1/tickets/:key/visits',
    {
      schema: {
        tags: ['dispatch'],
        params: byTicketKey,
        headers: ifMatch,
        body: visitBody,
        response: answers({ 201: visit }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key } = request.params;
      const version = parseEtag(request.headers['if-match']);
      const booked = await database.withTenant(principal, (tx) => book(tx, principal, key, version, request.body));
      announceTicket(principal.tenant, key);
      return reply
        .code(201)
        .header('etag', etagOf(version + 1))
        .send(booked);
    },
  );

  async function book(
    tx: Transaction,
    principal: Principal,
    key: string,
    version: number,
    { technician: id, from, durationMinutes, overrideReason }: z.infer<typeof visitBody>,
  ) {
    const now = clock.now();
    const ticket = await lockTicket(tx, principal.tenant, key, version);
    const person = await lockTechnician(tx, principal.tenant, id);
    if (!person || person.centre !== ticket.centre) {
      throw invalidField('body.technician', `there is no technician ${id} in ${ticket.centre}`);
    }
    if (from < now) throw invalidField('body.from', 'a visit lies ahead');
    const span = { from, until: from + durationMinutes * MINUTE_MS };
    const overlap = await findOverlap(tx, person, span, key);
    if (overlap) throw new AppError('CONFLICT', `${id} has a visit for ${overlap.ticket} at that time`);
    const { candidates } = await candidatesFor(tx, ticket, now, {
      durationMs: span.until - span.from,
      site: undefined,
    });
    const judged = candidates.find((one) => one.technician === id);
    const isFirst = candidates[0]?.technician === id && judged?.slot !== undefined;
    if (!isFirst && overrideReason === undefined) {
      const why = judged?.obstacles.join(', ') || `${candidates[0]?.technician ?? 'nobody'} is the better choice`;
      throw invalidField('body.overrideReason', `say why it is ${id}: ${why}`);
    }
    await toScheduled(tx, principal, ticket, now);
    const bookedVisit = await bookVisit(tx, ticket, {
      technician: id,
      ...span,
      bookedBy: principal.user,
      bookedAt: now,
      ...(overrideReason === undefined ? {} : { overrideReason }),
    });
    await appendTicketEvent(tx, {
      tenant: principal.tenant,
      ticketKey: key,
      at: now,
      actor: principal.user,
      type: 'visitBooked',
      ...(overrideReason === undefined ? {} : { reason: overrideReason }),
      facts: { technician: id, ...span, ...(judged?.score === undefined ? {} : { score: judged.score }) },
    });
    await resetTimers(tx, principal.tenant, [key]);
    return bookedVisit;
  }
}

/** A booked visit makes a ticket scheduled; one that is scheduled already stays so. */
async function toScheduled(
  tx: Transaction,
  principal: Principal,
  ticket: typeof tickets.$inferSelect,
  now: number,
): Promise<void> {
  const { tenant, key, state, version } = ticket;
  const isIt = and(eq(tickets.tenant, tenant), eq(tickets.key, key));
  await tx
    .update(tickets)
    .set({ updatedAt: now, version: version + 1 })
    .where(isIt);
  if (state === 'scheduled') return;
  const decision = decideTransition(state, 'scheduled', principal.role, false);
  if (decision.kind !== 'allowed') throw new AppError('CONFLICT', decision.reason);
  await tx.update(tickets).set({ state: 'scheduled' }).where(isTicket(tenant, key));
  await appendTicketEvent(tx, {
    tenant,
    ticketKey: key,
    at: now,
    actor: principal.user,
    type: 'transition',
    from: state,
    to: 'scheduled',
    reason: 'a visit is booked',
  });
}

async function readTicket(tx: Transaction, { tenant }: Principal, key: string) {
  const [row] = await tx.select().from(tickets).where(isTicket(tenant, key));
  if (!row) throw new AppError('NOT_FOUND', `ticket ${key}`);
  return row;
}

async function saveTechnician(
  tx: Transaction,
  { tenant }: Principal,
  id: string,
  version: number,
  body: z.infer<typeof technicianBody>,
) {
  const isIt = and(eq(technicians.tenant, tenant), eq(technicians.id, id));
  if (version === 0) {
    try {
      const [created] = await tx
        .insert(technicians)
        .values({ tenant, id, version: 1, centre: body.centre, body })
        .returning();
      return technicianOf(created as NonNullable<typeof created>);
    } catch (error) {
      if (sqlState(error) === UNIQUE_VIOLATION) {
        throw new AppError('CONFLICT', `technician ${id} exists already; change it with If-Match`);
      }
      throw error;
    }
  }
  const [saved] = await tx
    .update(technicians)
    .set({ version: version + 1, centre: body.centre, body })
    .where(and(isIt, eq(technicians.version, version)))
    .returning();
  if (saved) return technicianOf(saved);
  const [row] = await tx.select({ version: technicians.version }).from(technicians).where(isIt);
  if (!row) throw new AppError('NOT_FOUND', `technician ${id}`);
  throw new AppError('VERSION_STALE', `the technician is at version ${row.version}`);
}
