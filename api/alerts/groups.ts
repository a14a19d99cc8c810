/** Groups of alarms: many units of one model, batch and firmware with one fault, counted, told and decided about once. */
import { and, eq, inArray, sql } from 'drizzle-orm';
import { v7 as uuidv7 } from 'uuid';
import type { AlarmGroup } from '../../contract/http/alarms.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { alarmGroups } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';
import { alerts } from '../db/schema.ts';
import { decideGroup } from '../desk/grouping.ts';
import { type AlarmRow, announce } from './announce.ts';
import { type Batch, current, flush, keyOf, note, policyOf, remember } from './batch.ts';

export type GroupRow = typeof alarmGroups.$inferSelect;

/** Puts a confirmed alarm into the open group of its kind, or opens one when it makes the number full. */
export async function joinGroup(batch: Batch, before: AlarmRow): Promise<void> {
  const policy = policyOf(batch, before.tenant).alarms.group;
  if (before.groupId !== null || policy.exclude.includes(before.faultKey)) return;
  await flush(batch);
  const row = current(batch, before);
  // What a silent device above explains is no fault of a batch.
  if (row.suppressedBy !== null) return;
  const open = await openGroupOf(batch.tx, row);
  if (open) return take(batch, row, open.id);
  const members = await unitsWith(batch.tx, row, policy.withinDays * DAY_MS);
  const units = new Set(members.map((one) => one.device)).size;
  const exposed = units < policy.minUnits ? 0 : await exposedTo(batch.tx, row);
  if (decideGroup(row.faultKey, units, exposed, policy).kind !== 'open') return;
  const { now } = batch.context;
  const id = uuidv7();
  const decideBy = now + policy.decideWithinHours * HOUR_MS;
  await batch.tx.insert(alarmGroups).values({
    tenant: row.tenant,
    id,
    model: row.model,
    batch: row.batch ?? '',
    firmware: row.firmware ?? '',
    faultKey: row.faultKey,
    state: 'open',
    openedAt: now,
    exposed,
    decideBy,
    settleAt: decideBy,
  });
  for (const member of members) take(batch, current(batch, member), id);
  await flush(batch);
  await tell(batch, row.tenant, id, 'group.opened');
}

function take(batch: Batch, row: AlarmRow, groupId: string): void {
  remember(batch, { ...row, groupId, version: row.version + 1 });
  note(batch, row, 'grouped', { facts: { group: groupId } });
  batch.groups.set(keyOf(row.tenant, groupId), { tenant: row.tenant, id: groupId });
}

async function openGroupOf(tx: Transaction, row: AlarmRow): Promise<GroupRow | undefined> {
  const [group] = await tx
    .select()
    .from(alarmGroups)
    .where(
      and(
        eq(alarmGroups.tenant, row.tenant),
        eq(alarmGroups.model, row.model),
        eq(alarmGroups.batch, row.batch ?? ''),
        eq(alarmGroups.firmware, row.firmware ?? ''),
        eq(alarmGroups.faultKey, row.faultKey),
        eq(alarmGroups.state, 'open'),
      ),
    );
  return group;
}

/** Confirmed alarms of that kind around this one, itself included, that belong to no group and that nothing explains. */
function unitsWith(tx: Transaction, row: AlarmRow, withinMs: number): Promise<AlarmRow[]> {
  return tx
    .select()
    .from(alerts)
    .where(
      and(
        eq(alerts.tenant, row.tenant),
        eq(alerts.model, row.model),
        eq(alerts.faultKey, row.faultKey),
        sql`${alerts.raisedAt} BETWEEN ${Math.floor(row.raisedAt - withinMs)} AND ${Math.ceil(row.raisedAt + withinMs)}`,
        sql`${alerts.batch} IS NOT DISTINCT FROM ${row.batch}`,
        sql`${alerts.firmware} IS NOT DISTINCT FROM ${row.firmware}`,
        sql`${alerts.confirmed} AND ${alerts.groupId} IS NULL AND ${alerts.suppressedBy} IS NULL`,
      ),
    );
}

async function exposedTo(tx: Transaction, row: AlarmRow): Promise<number> {
  const { rows } = await tx.execute<{ n: number }>(sql`SELECT count(*)::int AS n FROM devices
    WHERE tenant_id = ${row.tenant} AND model = ${row.model} AND status = 'active'
      AND batch IS NOT DISTINCT FROM ${row.batch} AND firmware IS NOT DISTINCT FROM ${row.firmware}`);
  return Number(rows[0]?.n ?? 0);
}

/** Closes those of the groups in which no alarm is active any more. */
export async function closeGroups(batch: Batch, rows: readonly AlarmRow[]): Promise<void> {
  const { now } = batch.context;
  for (const tenant of new Set(rows.map((row) => row.tenant))) {
    const ids = [...new Set(rows.filter((row) => row.tenant === tenant).flatMap((row) => row.groupId ?? []))];
    if (ids.length === 0) continue;
    for (const id of ids) batch.groups.set(keyOf(tenant, id), { tenant, id });
    const closed = await batch.tx
      .update(alarmGroups)
      .set({ state: 'closed', closedAt: now, settleAt: null, version: sql`${alarmGroups.version} + 1` })
      .where(
        and(
          eq(alarmGroups.tenant, tenant),
          inArray(alarmGroups.id, ids),
          eq(alarmGroups.state, 'open'),
          sql`NOT EXISTS (SELECT 1 FROM alerts a WHERE a.tenant_id = ${tenant} AND a.group_id = ${alarmGroups}.id::text AND a.state = 'open')`,
        ),
      )
      .returning({ id: alarmGroups.id });
    for (const { id } of closed) await tell(batch, tenant, id, 'group.closed');
  }
}

async function tell(batch: Batch, tenant: string, id: string, type: 'group.opened' | 'group.closed'): Promise<void> {
  const [group] = await selectGroups(batch.tx, and(eq(alarmGroups.tenant, tenant), eq(alarmGroups.id, id)), 1);
  if (!group) return;
  const { now, publicUrl } = batch.context;
  await announce(batch.tx, {
    tenant,
    // It is about many devices, so it is the tenant's own centre that hears of it.
    centre: batch.known.tenants.get(tenant)?.defaultCentre ?? '',
    now,
    body: {
      type,
      timestamp: new Date(now).toISOString(),
      data: { tenant, group, groupUrl: `${publicUrl}/api/v1/alert-groups/${id}` },
    },
  });
}

/** As clients see them, newest first. */
export async function selectGroups(
  tx: Transaction,
  condition: ReturnType<typeof and>,
  limit: number,
): Promise<AlarmGroup[]> {
  const count = (more: string) =>
    sql<number>`(SELECT count(DISTINCT a.device)::int FROM alerts a
      WHERE a.tenant_id = alarm_groups.tenant_id AND a.group_id = alarm_groups.id::text ${sql.raw(more)})`;
  const rows = await tx
    .select({ group: alarmGroups, devices: count(''), active: count(`AND a.state = 'open'`) })
    .from(alarmGroups)
    .where(condition)
    .orderBy(sql`${alarmGroups.openedAt} DESC, ${alarmGroups.id} DESC`)
    .limit(limit);
  return rows.map(({ group, devices, active }) => ({
    id: group.id,
    model: group.model,
    ...(group.batch === '' ? {} : { batch: group.batch }),
    ...(group.firmware === '' ? {} : { firmware: group.firmware }),
    faultKey: group.faultKey,
    state: group.state,
    openedAt: group.openedAt,
    ...(group.closedAt === null ? {} : { closedAt: group.closedAt }),
    devices,
    active,
    exposed: group.exposed,
    ...(group.decision === null ? {} : { decision: group.decision }),
    ...(group.decidedBy === null ? {} : { decidedBy: group.decidedBy }),
    ...(group.decidedAt === null ? {} : { decidedAt: group.decidedAt }),
    ...(group.reason === null ? {} : { reason: group.reason }),
    decideBy: group.decideBy,
    version: group.version,
  }));
}
