/**
 * Alert findings of one log batch into episodes and tickets, in the caller's transaction: what is known is read once,
 * each finding is decided in memory by the rules of the desk, and changed episodes are written together.
 */
import { and, eq, inArray, or, sql } from 'drizzle-orm';
import { assertNever } from '../../contract/kernel/errors.ts';
import { type AlertFinding, compareSeverity } from '../../contract/ports/findings.ts';
import type { Transaction } from '../db/database.ts';
import { alerts, devices, tenants, ticketAlerts, tickets } from '../db/schema.ts';
import { decideTicket, decisionAlertOf, type OpenTicket } from '../desk/decide-ticket.ts';
import { type Episode, mergeAlert, supersede } from '../desk/merge-alert.ts';
import { parsePolicy, type TicketPolicy } from '../desk/policy.ts';
import { isTerminal } from '../desk/transitions.ts';
import { resetTimers } from '../service-levels/timers.ts';
import { openTicket } from './open-ticket.ts';
import { appendTicketEvent, SYSTEM_ACTOR } from './ticket-events.ts';

export interface AppliedAlerts {
  readonly episodes: readonly (Episode & { ticketKey: string | undefined })[];
  /** Tickets that were opened or changed. */
  readonly ticketKeys: readonly { tenant: string; key: string }[];
  readonly opened: number;
}

interface Known {
  /** by tenant and episode id */
  readonly episodes: Map<string, Episode>;
  /** id of the open episode, by tenant, device and fault key */
  readonly openByFault: Map<string, string>;
  /** ticket key, by tenant and episode id */
  readonly attached: Map<string, string>;
  /** by tenant, device and component */
  readonly openTickets: Map<string, OpenTicket>;
  /** by tenant and device */
  readonly centres: Map<string, string>;
  readonly tenants: Map<string, { defaultCentre: string; policy: TicketPolicy }>;
}

export interface ApplyContext {
  readonly now: number;
  readonly publicUrl: string;
}

/** No part of a key may hold it: ids and fault keys are names. */
const key = (...parts: string[]) => parts.join('\n');
const episodeKey = (one: { tenant: string; id: string }) => key(one.tenant, one.id);
const faultKeyOf = (one: { tenant: string; device: string; faultKey: string }) =>
  key(one.tenant, one.device, one.faultKey);
const componentKey = (one: { tenant: string; device: string; component: string }) =>
  key(one.tenant, one.device, one.component);

export async function applyAlerts(
  tx: Transaction,
  findings: readonly AlertFinding[],
  context: ApplyContext,
): Promise<AppliedAlerts> {
  const known = await readKnown(tx, findings);
  /** changed episodes, by tenant and id */
  const changed = new Map<string, Episode>();
  const touched = new Map<string, { tenant: string; key: string }>();
  let opened = 0;
  const remember = (episode: Episode) => {
    changed.set(episodeKey(episode), episode);
    known.episodes.set(episodeKey(episode), episode);
  };
  for (const finding of findings) {
    const tenant = known.tenants.get(finding.tenant);
    if (!tenant) continue; // The tenant is gone; so are its tickets.
    const before = known.episodes.get(key(finding.tenant, finding.episode));
    const after = mergeAlert(before, finding);
    if (after === before) continue;
    remember(after);
    const replaced = trackOpen(known, after);
    if (replaced) remember(supersede(replaced, after.onset));
    const ticket = await decide(tx, finding, before, after, known, tenant, context);
    if (ticket) touched.set(key(finding.tenant, ticket.key), { tenant: finding.tenant, key: ticket.key });
    if (ticket?.opened) opened += 1;
  }
  await writeEpisodes(tx, [...changed.values()]);
  for (const tenant of new Set([...touched.values()].map((one) => one.tenant))) {
    const keys = [...touched.values()].filter((one) => one.tenant === tenant).map((one) => one.key);
    await resetTimers(tx, tenant, keys);
  }
  return {
    episodes: [...changed.values()].map((one) => ({ ...one, ticketKey: known.attached.get(episodeKey(one)) })),
    ticketKeys: [...touched.values()],
    opened,
  };
}

/** Keeps one open episode a fault key; answers the one that `after` replaces. */
function trackOpen(known: Known, after: Episode): Episode | undefined {
  const fault = faultKeyOf(after);
  const openId = known.openByFault.get(fault);
  if (after.state === 'cleared') {
    if (openId === after.id) known.openByFault.delete(fault);
    return undefined;
  }
  known.openByFault.set(fault, after.id);
  if (openId === undefined || openId === after.id) return undefined;
  return known.episodes.get(key(after.tenant, openId));
}

async function decide(
  tx: Transaction,
  finding: AlertFinding,
  before: Episode | undefined,
  after: Episode,
  known: Known,
  tenant: { defaultCentre: string; policy: TicketPolicy },
  context: ApplyContext,
): Promise<{ key: string; opened: boolean } | undefined> {
  const attachedTo = known.attached.get(episodeKey(after));
  const open = known.openTickets.get(componentKey(after));
  const decision = decideTicket({ ...decisionAlertOf(finding), state: after.state }, attachedTo, open, tenant.policy);
  switch (decision.kind) {
    case 'open': {
      const centre = known.centres.get(key(finding.tenant, finding.device)) ?? tenant.defaultCentre;
      const ticket = await openTicket(tx, finding, decision.reason, { ...context, centre, policy: tenant.policy });
      if (!ticket) return undefined; // Reopened by a person meanwhile; the next finding attaches to it.
      known.attached.set(episodeKey(after), ticket.key);
      known.openTickets.set(componentKey(after), { key: ticket.key, state: ticket.state });
      return { key: ticket.key, opened: true };
    }
    case 'attach':
      await attach(tx, after, decision.ticketKey, decision.reopen ? open?.state : undefined, context);
      known.attached.set(episodeKey(after), decision.ticketKey);
      if (decision.reopen) known.openTickets.set(componentKey(after), { key: decision.ticketKey, state: 'reopened' });
      return { key: decision.ticketKey, opened: false };
    case 'none':
      if (attachedTo === undefined) return undefined;
      return (await follow(tx, before, after, attachedTo, context)) ? { key: attachedTo, opened: false } : undefined;
    default:
      return assertNever(decision);
  }
}

const isTicket = (tenant: string, ticketKey: string) => and(eq(tickets.tenant, tenant), eq(tickets.key, ticketKey));

/** Later evidence for the same component: recorded on its ticket, which reopens when the repair was thought done. */
async function attach(
  tx: Transaction,
  episode: Episode,
  ticketKey: string,
  reopenFrom: OpenTicket['state'] | undefined,
  context: ApplyContext,
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
function worse(severity: Episode['severity']) {
  const rank = sql`array_position(ARRAY['info','minor','major','critical'], `;
  return sql`CASE WHEN ${rank}${tickets.severity}) < ${rank}${severity}::text) THEN ${severity}::text ELSE ${tickets.severity} END`;
}

/** News of an episode that its ticket should tell: it got worse, or it ended. */
async function follow(
  tx: Transaction,
  before: Episode | undefined,
  after: Episode,
  ticketKey: string,
  context: ApplyContext,
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

async function readKnown(tx: Transaction, findings: readonly AlertFinding[]): Promise<Known> {
  const tenantIds = [...new Set(findings.map((one) => one.tenant))];
  const deviceIds = [...new Set(findings.map((one) => one.device))];
  const episodeIds = [...new Set(findings.map((one) => one.episode))];
  // Tenant and device are narrowed apart: at worst a few rows too many, never one too few.
  const episodes = await tx
    .select()
    .from(alerts)
    .where(
      and(
        inArray(alerts.tenant, tenantIds),
        or(inArray(alerts.id, episodeIds), and(inArray(alerts.device, deviceIds), eq(alerts.state, 'open'))),
      ),
    );
  const attached = await tx
    .select()
    .from(ticketAlerts)
    .where(and(inArray(ticketAlerts.tenant, tenantIds), inArray(ticketAlerts.alertId, episodeIds)));
  const open = await tx
    .select()
    .from(tickets)
    .where(
      and(
        inArray(tickets.tenant, tenantIds),
        inArray(tickets.device, deviceIds),
        sql`${tickets.state} NOT IN ('closed', 'cancelled')`,
      ),
    );
  const homes = await tx
    .select({ tenant: devices.tenant, id: devices.id, centre: devices.centre })
    .from(devices)
    .where(and(inArray(devices.tenant, tenantIds), inArray(devices.id, deviceIds)));
  const owners = await tx.select().from(tenants).where(inArray(tenants.tenant, tenantIds));
  return {
    episodes: new Map(episodes.map((row) => [episodeKey(row), row])),
    openByFault: new Map(episodes.filter((row) => row.state === 'open').map((row) => [faultKeyOf(row), row.id])),
    attached: new Map(attached.map((row) => [key(row.tenant, row.alertId), row.ticketKey])),
    openTickets: new Map(
      open.flatMap(({ device, ...row }) =>
        device === null ? [] : [[componentKey({ ...row, device }), { key: row.key, state: row.state }]],
      ),
    ),
    centres: new Map(homes.map((row) => [key(row.tenant, row.id), row.centre])),
    tenants: new Map(
      owners.map((row) => [row.tenant, { defaultCentre: row.defaultCentre, policy: parsePolicy(row.policy) }]),
    ),
  };
}

/** Cleared ones first: the index allows one open episode a fault key at any moment. */
async function writeEpisodes(tx: Transaction, changed: readonly Episode[]): Promise<void> {
  for (const state of ['cleared', 'open'] as const) {
    const rows = changed.filter((one) => one.state === state);
    if (rows.length === 0) continue;
    await tx
      .insert(alerts)
      .values(rows)
      .onConflictDoUpdate({
        target: [alerts.tenant, alerts.id],
        set: {
          severity: sql`excluded.severity`,
          state: sql`excluded.state`,
          confirmed: sql`excluded.confirmed`,
          onset: sql`excluded.onset`,
          updatedAt: sql`excluded.updated_at`,
          clearedAt: sql`excluded.cleared_at`,
          evidence: sql`excluded.evidence`,
        },
      });
  }
}
