/**
 * A batch of work on alarms in one transaction: what is known is read once, changes are decided in memory and written
 * together, and whatever has to look at other alarms has them written first.
 */
import { and, eq, inArray, isNull, or, sql } from 'drizzle-orm';
import type { AlarmEventType } from '../../contract/http/alarms.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { alarmHolds, silences } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { alerts, devices, tenants, ticketAlerts, tickets } from '../db/schema.ts';
import type { OpenTicket } from '../desk/decide-ticket.ts';
import { parsePolicy, type TicketPolicy } from '../desk/policy.ts';
import { appendAlarmEvents, lockAlarms, type NewAlarmEvent, SYSTEM_ACTOR } from './alarm-events.ts';
import type { AlarmRow } from './announce.ts';
import { refreshSuppression, withDescendants } from './suppression.ts';

export interface DeskContext {
  readonly now: number;
  /** Base of links in webhooks, without a slash at the end. */
  readonly publicUrl: string;
}

export interface TenantFacts {
  readonly defaultCentre: string;
  readonly policy: TicketPolicy;
}

export interface DeviceFacts {
  readonly centre: string;
  readonly parent: string | null;
  readonly batch: string | null;
  readonly firmware: string | null;
}

export interface Known {
  /** by tenant and episode id */
  readonly episodes: Map<string, AlarmRow>;
  /** id of the open episode, by tenant, device and fault key */
  readonly openByFault: Map<string, string>;
  /** ids of episodes that are cleared and not over, by tenant, device and fault key */
  readonly standing: Map<string, string[]>;
  /** ticket key, by tenant and episode id */
  readonly attached: Map<string, string>;
  /** by tenant, device and component */
  readonly openTickets: Map<string, OpenTicket>;
  /** by tenant and device */
  readonly devices: Map<string, DeviceFacts>;
  readonly tenants: Map<string, TenantFacts>;
  /** Not ended, by tenant; read when first asked for. */
  readonly silences: Map<string, SilenceRow[]>;
}

export type SilenceRow = typeof silences.$inferSelect;

export interface Batch {
  readonly tx: Transaction;
  readonly context: DeskContext;
  readonly known: Known;
  /** Not written yet, by tenant and id. */
  readonly changed: Map<string, AlarmRow>;
  /** Changed at all, by tenant and id. */
  readonly told: Set<string>;
  readonly events: NewAlarmEvent[];
  /** Tickets that were opened or changed, by tenant and key. */
  readonly touched: Map<string, { tenant: string; key: string }>;
  /** Device ids in which a new alarm may be explained, by tenant. */
  readonly dirty: Map<string, Set<string>>;
  /** Device ids whose silence came or went, by tenant: those below them as well. */
  readonly explaining: Map<string, Set<string>>;
  /** Alarms that nothing explains any more, by tenant and id. */
  readonly released: Map<string, { tenant: string; id: string }>;
  /** Groups that were opened or changed, by tenant and id. */
  readonly groups: Map<string, { tenant: string; id: string }>;
  opened: number;
}

/** No part of a key may hold it: ids and fault keys are names. */
export const keyOf = (...parts: string[]) => parts.join('\n');
export const episodeKey = (one: { tenant: string; id: string }) => keyOf(one.tenant, one.id);
export const faultKeyOf = (one: { tenant: string; device: string; faultKey: string }) =>
  keyOf(one.tenant, one.device, one.faultKey);
export const componentKey = (one: { tenant: string; device: string; component: string }) =>
  keyOf(one.tenant, one.device, one.component);

/** What concerns these findings, read under the lock of their tenants. */
export async function openBatch(
  tx: Transaction,
  findings: readonly Pick<AlertFinding, 'tenant' | 'device' | 'episode'>[],
  context: DeskContext,
): Promise<Batch> {
  await lockAlarms(
    tx,
    findings.map((one) => one.tenant),
  );
  return {
    tx,
    context,
    known: await readKnown(tx, findings),
    changed: new Map(),
    told: new Set(),
    events: [],
    touched: new Map(),
    dirty: new Map(),
    explaining: new Map(),
    released: new Map(),
    groups: new Map(),
    opened: 0,
  };
}

/** Takes a changed alarm in; it is written by the next `flush`. */
export function remember(batch: Batch, row: AlarmRow): AlarmRow {
  batch.changed.set(episodeKey(row), row);
  batch.known.episodes.set(episodeKey(row), row);
  batch.told.add(episodeKey(row));
  return row;
}

export function current(batch: Batch, row: AlarmRow): AlarmRow {
  return batch.known.episodes.get(episodeKey(row)) ?? row;
}

/** Notes something that happened without anybody's doing. */
export function note(
  batch: Batch,
  row: Pick<AlarmRow, 'tenant' | 'id'>,
  type: AlarmEventType,
  more: { reason?: string; facts?: Record<string, unknown> } = {},
): void {
  batch.events.push({
    tenant: row.tenant,
    alertId: row.id,
    at: batch.context.now,
    actor: SYSTEM_ACTOR,
    type,
    ...more,
  });
}

export function policyOf(batch: Batch, tenant: string): TicketPolicy {
  return batch.known.tenants.get(tenant)?.policy ?? parsePolicy({});
}

export function centreOf(batch: Batch, row: { tenant: string; device: string }): string {
  return (
    batch.known.devices.get(keyOf(row.tenant, row.device))?.centre ??
    batch.known.tenants.get(row.tenant)?.defaultCentre ??
    ''
  );
}

/** Silences of the tenant that have not ended. Nobody adds one while the tenant is locked. */
export async function silencesOf(batch: Batch, tenant: string): Promise<SilenceRow[]> {
  const known = batch.known.silences.get(tenant);
  if (known) return known;
  const rows = await batch.tx
    .select()
    .from(silences)
    .where(and(eq(silences.tenant, tenant), isNull(silences.endedAt)));
  batch.known.silences.set(tenant, rows);
  return rows;
}

/** Writes what has changed so far, and finds out what explains what now. */
export async function flush(batch: Batch): Promise<void> {
  const rows = [...batch.changed.values()];
  const events = batch.events.splice(0);
  batch.changed.clear();
  await writeEpisodes(batch.tx, rows);
  await appendAlarmEvents(batch.tx, events);
  await endHoldsOfCleared(batch, rows);
  await explain(batch);
}

async function explain(batch: Batch): Promise<void> {
  const tenantIds = new Set([...batch.dirty.keys(), ...batch.explaining.keys()]);
  for (const tenant of tenantIds) {
    const ids = new Set(batch.dirty.get(tenant));
    const roots = [...(batch.explaining.get(tenant) ?? [])];
    for (const id of await withDescendants(batch.tx, tenant, roots)) ids.add(id);
    const { inhibitingFaultKeys } = policyOf(batch, tenant).alarms;
    const changes = await refreshSuppression(batch.tx, tenant, [...ids], inhibitingFaultKeys);
    for (const { id, before, after, version } of changes) {
      const known = batch.known.episodes.get(keyOf(tenant, id));
      if (known) batch.known.episodes.set(keyOf(tenant, id), { ...known, suppressedBy: after, version });
      const by = { alert: after ?? before };
      note(batch, { tenant, id }, after === null ? 'unsuppressed' : 'suppressed', { facts: by });
      if (before !== null) batch.released.set(keyOf(tenant, id), { tenant, id });
    }
  }
  batch.dirty.clear();
  batch.explaining.clear();
  await appendAlarmEvents(batch.tx, batch.events.splice(0));
}

async function endHoldsOfCleared(batch: Batch, rows: readonly AlarmRow[]): Promise<void> {
  const cleared = rows.filter((row) => row.state === 'cleared');
  for (const tenant of new Set(cleared.map((row) => row.tenant))) {
    const ids = cleared.filter((row) => row.tenant === tenant).map((row) => row.id);
    await batch.tx
      .update(alarmHolds)
      .set({ endedAt: batch.context.now, outcome: 'cleared' })
      .where(and(eq(alarmHolds.tenant, tenant), inArray(alarmHolds.alertId, ids), isNull(alarmHolds.endedAt)));
  }
}

const CHUNK_ROWS = 500;

/** Cleared ones first: the index allows one open episode a fault key at any moment. */
async function writeEpisodes(tx: Transaction, changed: readonly AlarmRow[]): Promise<void> {
  for (const state of ['cleared', 'open'] as const) {
    const rows = changed.filter((one) => one.state === state);
    for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
      await tx
        .insert(alerts)
        .values(rows.slice(start, start + CHUNK_ROWS))
        .onConflictDoUpdate({ target: [alerts.tenant, alerts.id], set: FROM_EXCLUDED });
    }
  }
}

/** Columns that may change after an alarm was raised. */
const CHANGEABLE = [
  ...([
    'severity',
    'state',
    'confirmed',
    'onset',
    'updatedAt',
    'clearedAt',
    'evidence',
    'version',
    'position',
  ] as const),
  ...(['acknowledgedAt', 'acknowledgedBy', 'assignee', 'latched', 'flapping', 'suppressedBy', 'groupId'] as const),
  ...(['annunciatedAt', 'escalateAt', 'escalationLevel', 'closedAt'] as const),
];
const FROM_EXCLUDED = Object.fromEntries(
  CHANGEABLE.map((column) => [column, sql.raw(`excluded.${alerts[column].name}`)]),
);

async function readKnown(
  tx: Transaction,
  findings: readonly Pick<AlertFinding, 'tenant' | 'device' | 'episode'>[],
): Promise<Known> {
  const tenantIds = [...new Set(findings.map((one) => one.tenant))];
  const deviceIds = [...new Set(findings.map((one) => one.device))];
  const episodeIds = [...new Set(findings.map((one) => one.episode))];
  // Tenant and device are narrowed apart: at worst a few rows too many, never one too few.
  const ofDevices = and(inArray(alerts.device, deviceIds), or(eq(alerts.state, 'open'), isNull(alerts.closedAt)));
  const episodes = await tx
    .select()
    .from(alerts)
    .where(and(inArray(alerts.tenant, tenantIds), or(inArray(alerts.id, episodeIds), ofDevices)));
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
  const { tenant, id, centre, parent, batch, firmware } = devices;
  const homes = await tx
    .select({ tenant, id, centre, parent, batch, firmware })
    .from(devices)
    .where(and(inArray(devices.tenant, tenantIds), inArray(devices.id, deviceIds)));
  const owners = await tx.select().from(tenants).where(inArray(tenants.tenant, tenantIds));
  return {
    episodes: new Map(episodes.map((row) => [episodeKey(row), row])),
    openByFault: new Map(episodes.filter((row) => row.state === 'open').map((row) => [faultKeyOf(row), row.id])),
    standing: standingOf(episodes),
    attached: new Map(attached.map((row) => [keyOf(row.tenant, row.alertId), row.ticketKey])),
    openTickets: new Map(
      open.flatMap(({ device, ...row }) =>
        device === null ? [] : [[componentKey({ ...row, device }), { key: row.key, state: row.state }]],
      ),
    ),
    devices: new Map(homes.map((row) => [keyOf(row.tenant, row.id), row])),
    tenants: new Map(
      owners.map((row) => [row.tenant, { defaultCentre: row.defaultCentre, policy: parsePolicy(row.policy) }]),
    ),
    silences: new Map(),
  };
}

function standingOf(episodes: readonly AlarmRow[]): Map<string, string[]> {
  const standing = new Map<string, string[]>();
  for (const row of episodes) {
    if (row.state !== 'cleared' || row.closedAt !== null) continue;
    standing.set(faultKeyOf(row), [...(standing.get(faultKeyOf(row)) ?? []), row.id]);
  }
  return standing;
}
