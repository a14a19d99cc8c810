/** Promises: the clocks of a ticket with the reason for each target, what a tenant promises, and when its centres work. */
import { and, asc, eq } from 'drizzle-orm';
import { z } from 'zod';
import { contactNote, type ServiceLevelsView, serviceLevelsView } from '../../contract/http/service-levels.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { type Principal, requireAct, requireWholeTenant } from '../accounts/principal.ts';
import { sqlState, type Transaction } from '../db/database.ts';
import { centres, serviceLevelPolicies, serviceTimers } from '../db/schema.ts';
import { officeHours, workingCalendar } from '../desk/service-levels/calendar.ts';
import { CLOCK_IDS } from '../desk/service-levels/events.ts';
import { serviceLevelPolicy } from '../desk/service-levels/policy.ts';
import { isTerminal } from '../desk/transitions.ts';
import { principalOf } from '../plugins/authentication.ts';
import { currentPolicy, loadClocks } from '../service-levels/load.ts';
import { resetTimers, resetTimersOfCentre } from '../service-levels/timers.ts';
import { lockTicket, touchTicket } from '../tickets/lock-ticket.ts';
import { appendTicketEvent } from '../tickets/ticket-events.ts';
import { type App, answers, byTicketKey, etagOf, ifMatch, parseEtag, type RouteContext } from './context.ts';

const whyQuery = z.strictObject({ why: z.enum(CLOCK_IDS).optional() });
const byCentre = z.object({ id: z.string().min(1).max(64) });
const policyAnswer = z.object({ version: z.number().int(), policy: serviceLevelPolicy });
const UNIQUE_VIOLATION = '23505';
/** Lines that a person reads; a target a year ahead has hundreds. */
const MAX_LISTED = 1_000;

export function registerServiceLevels(app: App, { database, clock, announceTicket }: RouteContext): void {
  app.get(
    '/api/v1/tickets/:key/service-levels',
    {
      schema: {
        tags: ['service levels'],
        params: byTicketKey,
        querystring: whyQuery,
        response: answers({ 200: serviceLevelsView }),
      },
    },
    async (request) => {
      const principal = principalOf(request);
      const { key } = request.params;
      const view = await database.withTenant(principal, (tx) =>
        viewLevels(tx, principal.tenant, key, clock.now(), request.query.why),
      );
      if (!view) throw new AppError('NOT_FOUND', `ticket ${key}`);
      return view;
    },
  );

  app.post(
    '/api/v1/tickets/:key/contacts',
    {
      schema: {
        tags: ['service levels'],
        params: byTicketKey,
        headers: ifMatch,
        body: contactNote,
        response: answers({ 200: serviceLevelsView }, 409, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireAct(principal, 'workOnTickets');
      const { key } = request.params;
      const version = parseEtag(request.headers['if-match']);
      const view = await database.withTenant(principal, async (tx) => {
        await noteContact(tx, principal, key, version, request.body);
        return viewLevels(tx, principal.tenant, key, clock.now(), undefined);
      });
      if (!view) throw new AppError('NOT_FOUND', `ticket ${key}`);
      announceTicket(principal.tenant, key);
      return reply.header('etag', etagOf(version + 1)).send(view);
    },
  );

  async function noteContact(
    tx: Transaction,
    principal: Principal,
    key: string,
    version: number,
    { kind, note }: z.infer<typeof contactNote>,
  ): Promise<void> {
    const row = await lockTicket(tx, principal.tenant, key, version);
    if (isTerminal(row.state)) throw new AppError('CONFLICT', `the ticket is ${row.state}`);
    const now = clock.now();
    await touchTicket(tx, row, now);
    const event = { tenant: principal.tenant, ticketKey: key, at: now, actor: principal.user };
    await appendTicketEvent(tx, { ...event, type: kind, reason: note });
    await resetTimers(tx, principal.tenant, [key]);
  }

  app.get(
    '/api/v1/service-levels',
    { schema: { tags: ['service levels'], response: answers({ 200: policyAnswer }) } },
    async (request, reply) => {
      const principal = principalOf(request);
      const current = await database.withTenant(principal, (tx) => currentPolicy(tx, principal.tenant));
      return reply.header('etag', etagOf(current.version)).send(current);
    },
  );

  app.put(
    '/api/v1/service-levels',
    {
      schema: {
        tags: ['service levels'],
        headers: ifMatch,
        body: serviceLevelPolicy,
        response: answers({ 200: policyAnswer }, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const version = parseEtag(request.headers['if-match']);
      await database.withTenant(principal, (tx) => savePolicy(tx, principal, version, request.body));
      return reply.header('etag', etagOf(version + 1)).send({ version: version + 1, policy: request.body });
    },
  );

  async function savePolicy(
    tx: Transaction,
    principal: Principal,
    version: number,
    document: z.infer<typeof serviceLevelPolicy>,
  ): Promise<void> {
    const current = await currentPolicy(tx, principal.tenant);
    if (current.version !== version) throw new AppError('VERSION_STALE', `the policy is at version ${current.version}`);
    try {
      await tx.insert(serviceLevelPolicies).values({
        tenant: principal.tenant,
        version: version + 1,
        document,
        createdAt: clock.now(),
        createdBy: principal.user,
      });
    } catch (error) {
      // Somebody else saved the same version between our look and now.
      if (sqlState(error) === UNIQUE_VIOLATION) throw new AppError('VERSION_STALE', 'the policy was changed meanwhile');
      throw error;
    }
  }

  app.get(
    '/api/v1/centres/:id/calendar',
    { schema: { tags: ['service levels'], params: byCentre, response: answers({ 200: workingCalendar }) } },
    async (request, reply) => {
      const principal = principalOf(request);
      const found = await database.withTenant(principal, (tx) => selectCalendar(tx, principal, request.params.id));
      return reply.header('etag', etagOf(found.version)).send(found.calendar);
    },
  );

  app.put(
    '/api/v1/centres/:id/calendar',
    {
      schema: {
        tags: ['service levels'],
        params: byCentre,
        headers: ifMatch,
        body: workingCalendar,
        response: answers({ 200: workingCalendar }, 412, 428),
      },
    },
    async (request, reply) => {
      const principal = requireWholeTenant(principalOf(request), 'manageDevices');
      const { id } = request.params;
      const version = parseEtag(request.headers['if-match']);
      await database.withTenant(principal, async (tx) => {
        const isIt = and(eq(centres.tenant, principal.tenant), eq(centres.id, id));
        const found = await selectCalendar(tx, principal, id);
        if (found.version !== version) {
          throw new AppError('VERSION_STALE', `the calendar is at version ${found.version}`);
        }
        const [saved] = await tx
          .update(centres)
          .set({ calendar: request.body, calendarVersion: version + 1 })
          .where(and(isIt, eq(centres.calendarVersion, version)))
          .returning({ id: centres.id });
        if (!saved) throw new AppError('VERSION_STALE', 'the calendar was changed meanwhile');
        await resetTimersOfCentre(tx, principal.tenant, id);
      });
      return reply.header('etag', etagOf(version + 1)).send(request.body);
    },
  );
}

async function selectCalendar(tx: Transaction, principal: Principal, id: string) {
  const [row] = await tx
    .select({ calendar: centres.calendar, version: centres.calendarVersion, zone: centres.timeZone })
    .from(centres)
    .where(and(eq(centres.tenant, principal.tenant), eq(centres.id, id)));
  if (!row) throw new AppError('NOT_FOUND', `centre ${id}`);
  return { calendar: row.calendar ?? officeHours(row.zone), version: row.version };
}

async function viewLevels(
  tx: Transaction,
  tenant: string,
  key: string,
  now: number,
  why: (typeof CLOCK_IDS)[number] | undefined,
): Promise<ServiceLevelsView | undefined> {
  const clocks = (await loadClocks(tx, tenant, [key])).get(key);
  if (!clocks) return undefined;
  const timers = await tx
    .select()
    .from(serviceTimers)
    .where(and(eq(serviceTimers.tenant, tenant), eq(serviceTimers.ticketKey, key)))
    .orderBy(asc(serviceTimers.dueAt));
  const { levels, calendar, policyVersion } = clocks;
  return serviceLevelsView.parse({
    at: now,
    policyVersion,
    calendar: { name: calendar.name, zone: calendar.zone },
    clocks: levels.clocks(now),
    escalations: timers.map(({ firedAt, ...timer }) => ({ ...timer, ...(firedAt === null ? {} : { firedAt }) })),
    ...(why === undefined ? {} : { why: levels.why(why, now, MAX_LISTED) }),
  });
}
