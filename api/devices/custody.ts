/** The custody log: in whose hands a device has been, and since when. Entries are only ever added. */
import { and, eq, inArray, type SQL, sql } from 'drizzle-orm';
import type { CustodyEntry, CustodyEvent } from '../../contract/http/resources.ts';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import type { TenantScope, Transaction } from '../db/database.ts';
import { custody, devices } from '../db/schema.ts';

export interface CustodyNote extends DeviceRef {
  readonly at: number;
  readonly event: CustodyEvent;
  /** User id; `device` or `claim` where nobody was signed in. */
  readonly actor: string;
  readonly from?: string;
  readonly to?: string;
  readonly reason?: string;
}

/** The caller has changed or made the device's row in this transaction, so that numbers are given one after the other. */
export async function appendCustody(tx: Transaction, { tenant, device, ...note }: CustodyNote): Promise<void> {
  await tx.insert(custody).values({
    tenant,
    device,
    seq: sql`(SELECT COALESCE(MAX(c.seq), 0) + 1 FROM custody c WHERE c.tenant_id = ${tenant} AND c.device = ${device})`,
    serial: sql`(SELECT d.serial FROM devices d WHERE d.tenant_id = ${tenant} AND d.id = ${device})`,
    at: note.at,
    event: note.event,
    actor: note.actor,
    from: note.from ?? null,
    to: note.to ?? null,
    reason: note.reason ?? null,
  });
}

/** In order of device and number, after `after`. */
export async function selectCustody(
  tx: Transaction,
  condition: SQL | undefined,
  limit: number,
): Promise<CustodyEntry[]> {
  const rows = await tx.select().from(custody).where(condition).orderBy(custody.device, custody.seq).limit(limit);
  return rows.map(({ device, seq, serial, at, event, actor, from, to, reason }) => ({
    device,
    seq,
    at,
    event,
    actor,
    ...(serial === null ? {} : { serial }),
    ...(from === null ? {} : { from }),
    ...(to === null ? {} : { to }),
    ...(reason === null ? {} : { reason }),
  }));
}

/**
 * When each device was last transferred, by device id; only those that were. Users of a centre see nothing of before;
 * empty for users of the whole tenant, whose devices they were all the time.
 */
export async function selectSeals(
  tx: Transaction,
  scope: TenantScope,
  ids: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  if (scope.centre === undefined || ids.length === 0) return new Map();
  return lastTransfers(tx, scope.tenant, ids);
}

export async function lastTransfers(
  tx: Transaction,
  tenant: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const rows = await tx
    .select({ device: custody.device, at: sql<string>`MAX(${custody.at})` })
    .from(custody)
    .where(and(eq(custody.tenant, tenant), inArray(custody.device, [...ids]), eq(custody.event, 'transferred')))
    .groupBy(custody.device);
  return new Map(rows.map((row) => [row.device, Number(row.at)]));
}

export const isDevice = (ref: DeviceRef) => and(eq(devices.tenant, ref.tenant), eq(devices.id, ref.device));
