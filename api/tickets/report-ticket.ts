/** Opens a ticket that people report, and adds to it what they are asked for. In the caller's transaction, under its rights. */
import { and, eq, lt, sql } from 'drizzle-orm';
import { v7 as uuidv7 } from 'uuid';
import type { ContactDetails, FaultReport, IntakeChange, TicketIntake } from '../../contract/http/intake.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Principal } from '../accounts/principal.ts';
import { sqlState, type Transaction } from '../db/database.ts';
import { centres, devices, idempotentRequests, tenants, ticketContacts, tickets } from '../db/schema.ts';
import { asksOf, classify, REPORTED, UNKNOWN_MODEL, UNSPECIFIED } from '../desk/intake.ts';
import { parsePolicy, policyVersion } from '../desk/policy.ts';
import { reportTitle } from '../desk/words.ts';
import { invalidField } from '../plugins/problems.ts';
import { currentPolicy } from '../service-levels/load.ts';
import { resetTimers } from '../service-levels/timers.ts';
import { nextKey } from './open-ticket.ts';
import { findRepeated } from './repeats.ts';
import { appendTicketEvent } from './ticket-events.ts';

/** A request with the same key is the same request for so long. */
const IDEMPOTENT_MS = DAY_MS;
const UNIQUE_VIOLATION = '23505';

type TicketRow = typeof tickets.$inferSelect;

export interface ReportRequest {
  readonly principal: Principal;
  readonly report: FaultReport;
  readonly now: number;
  /** From the header, with the hash of what was asked for. */
  readonly idempotency: { readonly key: string; readonly fingerprint: string } | undefined;
}

/** Key of the new ticket, or of the one that the same request opened before. */
export async function reportTicket(
  tx: Transaction,
  request: ReportRequest,
): Promise<{ key: string; created: boolean }> {
  const { principal, report, now, idempotency } = request;
  if (idempotency) {
    const before = await openedBefore(tx, principal, idempotency, now);
    if (before !== undefined) return { key: before, created: false };
  }
  const machine = await machineOf(tx, principal, report);
  const key = await insertTicket(tx, request, machine);
  if (report.contact) await writeContact(tx, principal.tenant, key, report.contact, now);
  if (idempotency) {
    const { key: requestKey, fingerprint } = idempotency;
    await tx.insert(idempotentRequests).values({
      tenant: principal.tenant,
      actor: principal.user,
      key: requestKey,
      fingerprint,
      ticketKey: key,
      at: now,
    });
  }
  await resetTimers(tx, principal.tenant, [key]);
  return { key, created: true };
}

/** Serialises requests of one key: the second waits until the first has its ticket. */
async function openedBefore(
  tx: Transaction,
  { tenant, user }: Principal,
  { key, fingerprint }: { key: string; fingerprint: string },
  now: number,
): Promise<string | undefined> {
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${`${tenant}\n${user}\n${key}`}, 0))`);
  await tx
    .delete(idempotentRequests)
    .where(and(eq(idempotentRequests.tenant, tenant), lt(idempotentRequests.at, now - IDEMPOTENT_MS)));
  const [known] = await tx
    .select({ fingerprint: idempotentRequests.fingerprint, ticketKey: idempotentRequests.ticketKey })
    .from(idempotentRequests)
    .where(
      and(eq(idempotentRequests.tenant, tenant), eq(idempotentRequests.actor, user), eq(idempotentRequests.key, key)),
    );
  if (known && known.fingerprint !== fingerprint) {
    throw new AppError('CONFLICT', 'this Idempotency-Key was used for another request');
  }
  return known?.ticketKey;
}

interface Machine {
  readonly device: string | null;
  readonly model: string;
  readonly serial: string | null;
  readonly centre: string | undefined;
}

/** The registered machine that is meant, or what was said about one that is not. */
async function machineOf(
  tx: Transaction,
  { tenant }: Principal,
  said: Pick<FaultReport, 'device' | 'serial' | 'model'>,
): Promise<Machine> {
  const columns = { id: devices.id, model: devices.model, serial: devices.serial, centre: devices.centre };
  if (said.device !== undefined) {
    const [found] = await tx
      .select(columns)
      .from(devices)
      .where(and(eq(devices.tenant, tenant), eq(devices.id, said.device)));
    if (!found) throw invalidField('body.device', `there is no device ${said.device}`);
    return { ...found, device: found.id };
  }
  if (said.serial !== undefined) {
    const [found] = await tx
      .select(columns)
      .from(devices)
      .where(and(eq(devices.tenant, tenant), eq(devices.serial, said.serial)));
    if (found) return { ...found, device: found.id };
  }
  const model = said.model ?? UNKNOWN_MODEL;
  return { device: null, model, serial: said.serial ?? null, centre: undefined };
}

async function insertTicket(
  tx: Transaction,
  { principal, report, now }: ReportRequest,
  machine: Machine,
): Promise<string> {
  const { tenant } = principal;
  const [owner] = await tx.select().from(tenants).where(eq(tenants.tenant, tenant));
  if (!owner) throw new AppError('NOT_FOUND', `tenant ${tenant}`);
  const policy = parsePolicy(owner.policy);
  const centre = await centreOf(
    tx,
    principal,
    report.centre ?? machine.centre ?? principal.centre ?? owner.defaultCentre,
  );
  const component = report.component ?? UNSPECIFIED;
  const repeatOf =
    machine.device === null
      ? undefined
      : await findRepeated(tx, { tenant, device: machine.device, component, now, withinDays: policy.repeatWithinDays });
  const { faultClass, reason } = classify({
    kind: report.kind,
    isKnownFault: false,
    isReported: true,
    isRepeated: repeatOf !== undefined,
  });
  const key = await nextKey(tx, tenant, now);
  const row: typeof tickets.$inferInsert = {
    tenant,
    key,
    id: uuidv7(),
    source: report.source,
    kind: report.kind,
    mode: report.mode,
    state: 'new',
    severity: report.severity,
    title: reportTitle(report.symptom),
    device: machine.device,
    model: machine.model,
    component,
    faultKey: REPORTED,
    centre,
    createdAt: now,
    updatedAt: now,
    observedAt: now,
    policyVersion: policyVersion(policy),
    servicePolicy: (await currentPolicy(tx, tenant)).version,
    faultClass,
    repeatOf: repeatOf ?? null,
    symptom: report.symptom,
    serial: machine.serial,
    purchasedOn: report.purchasedOn ?? null,
  };
  try {
    await tx.transaction((inner) => inner.insert(tickets).values(row));
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
    throw new AppError('CONFLICT', `the ${component} of ${machine.device} has an open ticket already; note it there`);
  }
  await appendTicketEvent(tx, {
    tenant,
    ticketKey: key,
    at: now,
    actor: principal.user,
    type: 'opened',
    to: 'new',
    reason: report.symptom.slice(0, 500),
    facts: { source: report.source, faultClass, classReason: reason, ...(repeatOf ? { repeatOf } : {}) },
  });
  return key;
}

async function centreOf(tx: Transaction, principal: Principal, centre: string): Promise<string> {
  const [found] = await tx
    .select({ id: centres.id })
    .from(centres)
    .where(and(eq(centres.tenant, principal.tenant), eq(centres.id, centre)));
  if (!found) throw invalidField('body.centre', `there is no centre ${centre}`);
  if (principal.centre !== undefined && principal.centre !== centre) {
    throw new AppError('FORBIDDEN', `a user of ${principal.centre} opens tickets for that centre only`);
  }
  return centre;
}

/** Adds what was asked for. Callers have locked the ticket. */
export async function completeIntake(
  tx: Transaction,
  principal: Principal,
  ticket: TicketRow,
  change: IntakeChange,
  now: number,
): Promise<void> {
  const { tenant } = principal;
  const names = change.device !== undefined || change.serial !== undefined || change.model !== undefined;
  const machine = names ? await machineOf(tx, principal, change) : undefined;
  if (machine && ticket.device !== null && machine.device !== ticket.device) {
    throw new AppError('CONFLICT', `the ticket is about ${ticket.device} already`);
  }
  try {
    await tx.transaction((inner) =>
      inner
        .update(tickets)
        .set({
          ...(machine ? { device: machine.device, model: machine.model, serial: machine.serial } : {}),
          ...(change.component === undefined ? {} : { component: change.component }),
          ...(change.purchasedOn === undefined ? {} : { purchasedOn: change.purchasedOn }),
          updatedAt: now,
          version: ticket.version + 1,
        })
        .where(and(eq(tickets.tenant, tenant), eq(tickets.key, ticket.key))),
    );
  } catch (error) {
    if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
    throw new AppError('CONFLICT', 'the component of that machine has another open ticket');
  }
  if (change.contact) await writeContact(tx, tenant, ticket.key, change.contact, now);
  await appendTicketEvent(tx, {
    tenant,
    ticketKey: ticket.key,
    at: now,
    actor: principal.user,
    type: 'intakeCompleted',
    // Which, not what: a history holds no personal data.
    facts: { fields: Object.keys(change).filter((name) => change[name as keyof IntakeChange] !== undefined) },
  });
}

async function writeContact(
  tx: Transaction,
  tenant: string,
  ticketKey: string,
  details: ContactDetails,
  now: number,
): Promise<void> {
  await tx
    .insert(ticketContacts)
    .values({ tenant, ticketKey, details, updatedAt: now })
    .onConflictDoUpdate({
      target: [ticketContacts.tenant, ticketContacts.ticketKey],
      set: { details, updatedAt: now },
    });
}

/** What people said, for tickets that people opened. */
export async function readIntake(tx: Transaction, tenant: string, key: string): Promise<TicketIntake | undefined> {
  const [row] = await tx
    .select({ ticket: tickets, contactSince: ticketContacts.updatedAt })
    .from(tickets)
    .leftJoin(ticketContacts, and(eq(ticketContacts.tenant, tickets.tenant), eq(ticketContacts.ticketKey, tickets.key)))
    .where(and(eq(tickets.tenant, tenant), eq(tickets.key, key)));
  if (!row || row.ticket.symptom === null) return undefined;
  const { symptom, serial, purchasedOn, model, device } = row.ticket;
  const hasContact = row.contactSince !== null;
  return {
    symptom,
    ...(serial === null ? {} : { serial }),
    ...(purchasedOn === null ? {} : { purchasedOn }),
    hasContact,
    asks: asksOf({ model, serial, device, purchasedOn, hasContact }),
  };
}
