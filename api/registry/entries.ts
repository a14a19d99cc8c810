/** Rows of the registry: read as a tenant sees them, and changed together with their history and the order to analytics. */
import { randomUUID } from 'node:crypto';
import { and, asc, eq, inArray, or, type SQL, sql } from 'drizzle-orm';
import type { RegistryEntry } from '../../contract/http/registry.ts';
import type { VersionName } from '../../contract/ports/findings.ts';
import type { AssignOrder } from '../../contract/ports/orders.ts';
import {
  EVERY_TENANT,
  type RegistryAct,
  type RegistryKind,
  type RunnableVersion,
} from '../../contract/ports/versions.ts';
import type { Transaction } from '../db/database.ts';
import { orders, registryChanges, registryEntries } from '../db/schema.ts';
import { sendOrder } from '../orders/orders.ts';
import type { KnownVersion, StateChange } from './decide.ts';

export type EntryRow = typeof registryEntries.$inferSelect;

/** The versions of one tenant, kind and model belong together: one of them is active. */
export interface Family {
  readonly tenant: string;
  readonly kind: RegistryKind;
  readonly model: string;
}

/** Who decided, when and why. */
export interface Decision {
  readonly actor: string;
  readonly at: number;
  readonly reason: string;
}

const inFamily = ({ tenant, kind, model }: Family): SQL | undefined =>
  and(eq(registryEntries.tenant, tenant), eq(registryEntries.kind, kind), eq(registryEntries.model, model));

/** Nobody else changes the family until the transaction ends. */
export async function lockFamily(tx: Transaction, { tenant, kind, model }: Family): Promise<void> {
  const name = `registry ${tenant} ${kind} ${model}`;
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${name}, 0))`);
}

export function selectFamily(tx: Transaction, family: Family): Promise<EntryRow[]> {
  return tx.select().from(registryEntries).where(inFamily(family)).orderBy(asc(registryEntries.createdAt));
}

export function shippedOf({ kind, model }: Omit<Family, 'tenant'>): Family {
  return { tenant: EVERY_TENANT, kind, model };
}

/** What a tenant sees: its own families, and as shipped those that it never changed. */
export const visibleTo = (tenant: string): SQL | undefined =>
  or(
    eq(registryEntries.tenant, tenant),
    and(
      eq(registryEntries.tenant, EVERY_TENANT),
      sql`NOT EXISTS (SELECT 1 FROM registry_entries own WHERE own.tenant_id = ${tenant}
        AND own.kind = ${registryEntries.kind} AND own.model = ${registryEntries.model})`,
    ),
  );

/** The tenant's family; on the first change copies of the shipped rows, one of them active as before. */
export async function ownFamily(tx: Transaction, family: Family, { actor, at }: Decision): Promise<EntryRow[]> {
  const own = await selectFamily(tx, family);
  if (own.length > 0) return own;
  const shipped = await selectFamily(tx, shippedOf(family));
  const copies = shipped.map((row) => ({
    ...row,
    id: randomUUID(),
    tenant: family.tenant,
    createdAt: at,
    updatedAt: at,
    revision: 1,
    orderId: null,
  }));
  if (copies.length === 0) return [];
  await tx.insert(registryEntries).values(copies);
  await tx.insert(registryChanges).values(
    copies.map(({ id, state }) => ({
      tenant: family.tenant,
      entryId: id,
      at,
      actor,
      act: 'adopted' as const,
      to: state,
      reason: 'copied from what the build ships, for the first change here',
    })),
  );
  return copies;
}

/** Whether this build has what a version is made of, as its shipped family shows. */
export function runnableBy(shipped: readonly EntryRow[]): (row: EntryRow) => boolean {
  const active = shipped.find((row) => row.state === 'active');
  return (row) => {
    if (!active) return false;
    if (row.kind === 'ensemble') return JSON.stringify(row.parts) === JSON.stringify(active.parts);
    const [first] = row.parts;
    return first !== undefined && active.parts.some((part) => same(part, first));
  };
}

const same = (a: VersionName, b: VersionName): boolean => a.name === b.name && a.version === b.version;

export function knownVersions(rows: readonly EntryRow[], shipped: readonly EntryRow[]): KnownVersion[] {
  const runnable = runnableBy(shipped);
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    version: row.version,
    state: row.state,
    runnable: runnable(row),
  }));
}

/** History of a family, oldest first. */
export async function selectHistory(tx: Transaction, rows: readonly EntryRow[]) {
  if (rows.length === 0) return [];
  return tx
    .select()
    .from(registryChanges)
    .where(
      inArray(
        registryChanges.entryId,
        rows.map((row) => row.id),
      ),
    )
    .orderBy(asc(registryChanges.seq));
}

/**
 * Carries changes of state out, in their order: each frees what the next one needs. Then analytics is told what holds for
 * the family now.
 */
export async function applyChanges(
  tx: Transaction,
  family: Family,
  changes: readonly StateChange[],
  decision: Decision,
): Promise<void> {
  const orderId = randomUUID();
  for (const { id, act, from, to } of changes) {
    await tx
      .update(registryEntries)
      .set({ state: to, updatedAt: decision.at, revision: sql`${registryEntries.revision} + 1`, orderId })
      .where(eq(registryEntries.id, id));
    await noteChange(tx, family.tenant, { id, act, from, to, orderId }, decision);
  }
  await orderFamily(tx, family, orderId, decision);
}

export async function noteChange(
  tx: Transaction,
  tenant: string,
  change: Omit<StateChange, 'from'> & { from?: StateChange['from']; orderId?: string | undefined },
  { actor, at, reason }: Decision,
): Promise<void> {
  const { id: entryId, act, from, to, orderId } = change;
  await tx
    .insert(registryChanges)
    .values({ tenant, entryId, at, actor, act, from: from ?? null, to, reason, orderId: orderId ?? null });
}

/** Tells analytics which versions hold for the family, all of them, so that orders before are over. */
export async function orderFamily(tx: Transaction, family: Family, id: string, { actor, at }: Decision): Promise<void> {
  const rows = await selectFamily(tx, family);
  const active = rows.find((row) => row.state === 'active');
  if (!active) return; // The database refuses such a transaction.
  const { tenant, kind: what, model } = family;
  const order: AssignOrder = {
    ...{ kind: 'assign', id, tenant, at, actor, what, model },
    active: runnableOf(active),
    shadows: rows.filter((row) => row.state === 'shadow').map(runnableOf),
  };
  await sendOrder(tx, order);
}

export function runnableOf({ name, version, parameters, parts }: EntryRow): RunnableVersion {
  return { name, version, parts: [...parts], ...(parameters ? { parameters } : {}) };
}

/** A version that a tenant or the build brings in. */
export async function insertEntry(
  tx: Transaction,
  row: Omit<EntryRow, 'id' | 'createdAt' | 'updatedAt' | 'revision' | 'orderId'>,
  act: RegistryAct,
  decision: Decision,
  orderId?: string,
): Promise<string> {
  const id = randomUUID();
  const times = { createdAt: decision.at, updatedAt: decision.at };
  await tx.insert(registryEntries).values({ ...row, ...times, id, revision: 1, orderId: orderId ?? null });
  await noteChange(tx, row.tenant, { id, act, to: row.state, orderId }, decision);
  return id;
}

/** As the API shows it; with where the order behind its state stands. */
export async function viewEntries(tx: Transaction, rows: readonly EntryRow[]): Promise<RegistryEntry[]> {
  const ids = rows.map((row) => row.orderId).filter((id) => id !== null);
  const sent =
    ids.length === 0
      ? []
      : await tx.select({ id: orders.id, position: orders.position }).from(orders).where(inArray(orders.id, ids));
  const positions = new Map(sent.map((row) => [row.id, row.position]));
  return rows.map((row) => viewOf(row, row.orderId === null ? undefined : positions.get(row.orderId)));
}

function viewOf(row: EntryRow, position: number | null | undefined): RegistryEntry {
  const { id, tenant, kind, model, name, version, state, owner, createdAt, updatedAt, revision } = row;
  return {
    ...{ id, kind, model, name, version, state, owner, createdAt, updatedAt, revision },
    scope: tenant === EVERY_TENANT ? 'shipped' : 'tenant',
    parts: [...row.parts],
    ...(row.parameters ? { parameters: row.parameters } : {}),
    ...(row.training ? { training: row.training } : {}),
    ...(row.metrics ? { metrics: row.metrics } : {}),
    ...(row.note === null ? {} : { note: row.note }),
    ...(row.orderId === null
      ? {}
      : { order: { id: row.orderId, ...(typeof position === 'number' ? { position } : {}) } }),
  };
}
