/**
 * What people do about an alarm: acknowledge, shelve, reset, assign, comment. Each is decided by the machine, under the lock
 * of the tenant's alarms and against the version that the person saw, and written with its history in one transaction.
 */
import { and, eq, isNull, sql } from 'drizzle-orm';
import { v7 as uuidv7 } from 'uuid';
import type { AlarmEventType } from '../../contract/http/alarms.ts';
import type { AlertChange } from '../../contract/http/resources.ts';
import { AppError, assertNever } from '../../contract/kernel/errors.ts';
import { MINUTE_MS } from '../../contract/kernel/time.ts';
import { type Principal, requireAct } from '../accounts/principal.ts';
import { silences } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { alerts, devices, tenants, ticketAlerts, users } from '../db/schema.ts';
import { type AlarmAct, decideAct } from '../desk/alarm-state.ts';
import { parsePolicy } from '../desk/policy.ts';
import { invalidField } from '../plugins/problems.ts';
import { alarmOf } from '../tickets/apply-alerts.ts';
import { appendAlarmEvents, continueAsSystem, lockAlarms } from './alarm-events.ts';
import { isRunningNow } from './alert-view.ts';
import { type AlarmRow, alertChanged, announce } from './announce.ts';

export type PersonAct =
  | (Extract<AlarmAct, { kind: 'acknowledge' | 'unshelve' }> & { readonly reason?: string | undefined })
  | (Extract<AlarmAct, { kind: 'shelve' | 'reset' | 'comment' }> & { readonly reason: string })
  | {
      readonly kind: 'assign';
      /** `null` = nobody. */
      readonly assignee: string | null;
      readonly reason?: string | undefined;
    };

export interface ActContext {
  readonly now: number;
  readonly publicUrl: string;
}

/** What each act is called in the history, and to centres that listen; a comment is for the history only. */
const NAMES = {
  acknowledge: ['acknowledged', 'acknowledged'],
  shelve: ['shelved', 'shelved'],
  unshelve: ['unshelved', 'unshelved'],
  reset: ['reset', 'reset'],
  assign: ['assigned', 'assigned'],
  comment: ['commented', undefined],
} as const satisfies Record<PersonAct['kind'], readonly [AlarmEventType, AlertChange | undefined]>;

/**
 * The alarm after the act; the same row when it was so already.
 * @throws AppError NOT_FOUND, VERSION_STALE, CONFLICT with the rule that refuses it, FORBIDDEN
 */
export async function actOnAlarm(
  tx: Transaction,
  principal: Principal,
  id: string,
  version: number,
  act: PersonAct,
  context: ActContext,
): Promise<{ row: AlarmRow; changed: boolean }> {
  requireAct(principal, 'workOnTickets');
  await lockAlarms(tx, [principal.tenant]);
  const row = await readAlarm(tx, principal.tenant, id);
  if (row.version !== version) throw new AppError('VERSION_STALE', `the alert is at version ${row.version}`);
  const policy = await policyOfTenant(tx, principal.tenant);
  const shelf = await shelfOf(tx, row, context.now);
  const decision = decideAct(alarmOf(row), { shelved: shelf !== undefined }, act, policy.alarms);
  if (decision.kind === 'refused') throw new AppError('CONFLICT', decision.reason);
  if (decision.kind === 'unchanged') return { row, changed: false };
  if (act.kind === 'assign') {
    if (act.assignee === row.assignee) return { row, changed: false };
    await requireWorker(tx, principal.tenant, act.assignee);
  }
  const facts = await effectOf(tx, principal, row, act, shelf, context);
  const [after] = await tx
    .update(alerts)
    .set({
      ...columnsOf(principal, act, context.now),
      ...(decision.over && row.closedAt === null ? { closedAt: context.now } : {}),
      version: row.version + 1,
    })
    .where(isAlarm(principal.tenant, id))
    .returning();
  if (!after) throw new AppError('NOT_FOUND', `alert ${id}`);
  await record(tx, principal, after, act, facts, context);
  return { row: after, changed: true };
}

const isAlarm = (tenant: string, id: string) => and(eq(alerts.tenant, tenant), eq(alerts.id, id));

async function readAlarm(tx: Transaction, tenant: string, id: string): Promise<AlarmRow> {
  const [row] = await tx.select().from(alerts).where(isAlarm(tenant, id));
  if (!row) throw new AppError('NOT_FOUND', `alert ${id}`);
  return row;
}

export async function policyOfTenant(tx: Transaction, tenant: string) {
  const [owner] = await tx.select({ policy: tenants.policy }).from(tenants).where(eq(tenants.tenant, tenant));
  return parsePolicy(owner?.policy ?? {});
}

async function shelfOf(tx: Transaction, row: AlarmRow, now: number) {
  const [shelf] = await tx
    .select()
    .from(silences)
    .where(
      and(
        eq(silences.tenant, row.tenant),
        eq(silences.kind, 'shelve'),
        eq(silences.device, row.device),
        eq(silences.faultKey, row.faultKey),
        isRunningNow(now),
      ),
    );
  return shelf;
}

/** @throws AppError REQUEST_INVALID naming `body.assignee` */
async function requireWorker(tx: Transaction, tenant: string, id: string | null): Promise<void> {
  if (id === null) return;
  const [user] = await tx
    .select({ role: users.role, disabled: users.disabled })
    .from(users)
    .where(and(eq(users.tenant, tenant), eq(users.id, id)));
  if (!user || user.disabled) throw invalidField('body.assignee', `there is no user ${id}`);
  if (user.role === 'viewer') throw invalidField('body.assignee', `${id} may only read`);
}

function columnsOf(principal: Principal, act: PersonAct, now: number): Partial<AlarmRow> {
  switch (act.kind) {
    case 'acknowledge':
      return { acknowledgedAt: now, acknowledgedBy: principal.user, escalateAt: null };
    case 'reset':
      return { latched: false };
    case 'assign':
      return { assignee: act.assignee };
    case 'shelve':
    case 'unshelve':
    case 'comment':
      return {};
    default:
      return assertNever(act);
  }
}

/** What the act changes beside the alarm; answers what the history says about it. */
async function effectOf(
  tx: Transaction,
  principal: Principal,
  row: AlarmRow,
  act: PersonAct,
  shelf: { id: string } | undefined,
  context: ActContext,
): Promise<Record<string, unknown> | undefined> {
  if (act.kind === 'assign') return { from: row.assignee, to: act.assignee };
  if (act.kind === 'unshelve' && shelf) {
    await endSilence(tx, principal, shelf.id, act.reason, context.now);
    return { silence: shelf.id };
  }
  if (act.kind === 'shelve') return shelve(tx, principal, row, act, shelf, context.now);
  return undefined;
}

async function shelve(
  tx: Transaction,
  principal: Principal,
  row: AlarmRow,
  act: Extract<PersonAct, { kind: 'shelve' }>,
  shelf: { id: string } | undefined,
  now: number,
): Promise<Record<string, unknown>> {
  const until = now + act.minutes * MINUTE_MS;
  const values = { reason: act.reason, createdBy: principal.user, until, settleAt: until };
  if (shelf) {
    await tx
      .update(silences)
      .set({ ...values, version: sql`${silences.version} + 1` })
      .where(and(eq(silences.tenant, row.tenant), eq(silences.id, shelf.id)));
    return { silence: shelf.id, until };
  }
  // One that is over and not settled yet would be in the way of the new one.
  await tx
    .update(silences)
    .set({ endedAt: now, endedBy: 'system', settleAt: now })
    .where(
      and(
        eq(silences.tenant, row.tenant),
        eq(silences.kind, 'shelve'),
        eq(silences.device, row.device),
        eq(silences.faultKey, row.faultKey),
        isNull(silences.endedAt),
      ),
    );
  const id = uuidv7();
  await tx.insert(silences).values({
    ...values,
    tenant: row.tenant,
    id,
    kind: 'shelve',
    device: row.device,
    faultKey: row.faultKey,
    createdAt: now,
    from: now,
  });
  return { silence: id, until };
}

/** Ends a silence by a person's will; the worker finds out what has to be done now. */
export async function endSilence(
  tx: Transaction,
  principal: Principal,
  id: string,
  reason: string | undefined,
  now: number,
): Promise<void> {
  await tx
    .update(silences)
    .set({
      endedAt: now,
      endedBy: principal.user,
      endReason: reason ?? null,
      settleAt: now,
      version: sql`${silences.version} + 1`,
    })
    .where(and(eq(silences.tenant, principal.tenant), eq(silences.id, id)));
}

/** History, and a word to the centre of the device. */
async function record(
  tx: Transaction,
  principal: Principal,
  row: AlarmRow,
  act: PersonAct,
  facts: Record<string, unknown> | undefined,
  context: ActContext,
): Promise<void> {
  const [type, change] = NAMES[act.kind];
  const event = { tenant: row.tenant, alertId: row.id, at: context.now, actor: principal.user, type };
  await appendAlarmEvents(tx, [{ ...event, reason: act.reason, ...(facts ? { facts } : {}) }]);
  if (change === undefined) return;
  await continueAsSystem(tx);
  const body = alertChanged(row, { change, actor: principal.user, reason: act.reason }, context);
  await announce(tx, { tenant: row.tenant, centre: await centreOfDevice(tx, row), now: context.now, body });
}

/** The device's, or the tenant's default where the registry does not know it. */
export async function centreOfDevice(tx: Transaction, row: { tenant: string; device: string }): Promise<string> {
  const [home] = await tx
    .select({ centre: devices.centre })
    .from(devices)
    .where(and(eq(devices.tenant, row.tenant), eq(devices.id, row.device)));
  if (home) return home.centre;
  const [owner] = await tx
    .select({ centre: tenants.defaultCentre })
    .from(tenants)
    .where(eq(tenants.tenant, row.tenant));
  return owner?.centre ?? '';
}

/** Whoever moves a ticket has seen the alarms that are attached to it. The caller has locked the tenant's alarms. */
export async function acknowledgeByTicket(
  tx: Transaction,
  principal: Principal,
  ticketKey: string,
  now: number,
): Promise<void> {
  const seen = await tx
    .update(alerts)
    .set({
      acknowledgedAt: now,
      acknowledgedBy: principal.user,
      escalateAt: null,
      version: sql`${alerts.version} + 1`,
      closedAt: sql`CASE WHEN ${alerts.state} = 'cleared' AND NOT ${alerts.latched} THEN ${now}::bigint ELSE ${alerts.closedAt} END`,
    })
    .where(
      and(
        eq(alerts.tenant, principal.tenant),
        isNull(alerts.acknowledgedAt),
        isNull(alerts.closedAt),
        sql`EXISTS (SELECT 1 FROM ${ticketAlerts} t WHERE t.tenant_id = ${principal.tenant} AND t.ticket_key = ${ticketKey} AND t.alert_id = alerts.id)`,
      ),
    )
    .returning({ id: alerts.id });
  const event = { tenant: principal.tenant, at: now, actor: principal.user, type: 'acknowledged' as const };
  await appendAlarmEvents(
    tx,
    seen.map(({ id }) => ({ ...event, alertId: id, reason: `by moving ticket ${ticketKey}` })),
  );
}
