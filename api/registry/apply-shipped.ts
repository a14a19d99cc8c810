/**
 * Brings the registry in line with the program at its start: what the build ships is there and active, and tenants with
 * versions of their own are not left with one that this build cannot run. Doing it again changes nothing.
 */
import { randomUUID } from 'node:crypto';
import { eq, ne, sql } from 'drizzle-orm';
import type { Clock } from '../../contract/ports/services.ts';
import { EVERY_TENANT, type RunnableVersion, type ShippedVersion } from '../../contract/ports/versions.ts';
import type { Database, Transaction } from '../db/database.ts';
import { registryEntries } from '../db/schema.ts';
import type { StateChange } from './decide.ts';
import {
  type Decision,
  type EntryRow,
  type Family,
  insertEntry,
  knownVersions,
  lockFamily,
  noteChange,
  orderFamily,
  runnableOf,
  selectFamily,
  shippedOf,
} from './entries.ts';

export interface ShippedDeps {
  readonly clock: Clock;
  /** The version that this build runs in place of an ensemble made of other parts. */
  readonly successorOf: (version: RunnableVersion) => RunnableVersion;
}

export async function applyShipped(
  database: Database,
  shipped: readonly ShippedVersion[],
  { clock, successorOf }: ShippedDeps,
): Promise<void> {
  const decision = (reason: string): Decision => ({ actor: 'system', at: clock.now(), reason });
  await database.withSystem(async (tx) => {
    for (const family of familiesOf(shipped)) {
      const brought = shipped.filter((one) => one.kind === family.kind && one.model === family.model);
      await bringShipped(tx, family, brought, decision('shipped with this build'));
    }
    for (const family of await ownFamilies(tx)) {
      await lockFamily(tx, family);
      await offerShipped(tx, family, decision('shipped with this build'));
      await replaceUnrunnable(tx, family, successorOf, decision('this build has other parts than the version before'));
    }
  });
}

function familiesOf(shipped: readonly ShippedVersion[]): Family[] {
  const families = new Map(shipped.map((one) => [`${one.kind}\n${one.model}`, shippedOf(one)]));
  return [...families.values()];
}

async function ownFamilies(tx: Transaction): Promise<Family[]> {
  return tx
    .selectDistinct({ tenant: registryEntries.tenant, kind: registryEntries.kind, model: registryEntries.model })
    .from(registryEntries)
    .where(ne(registryEntries.tenant, EVERY_TENANT));
}

/** The first of `brought` is active, the others can be promoted. */
async function bringShipped(
  tx: Transaction,
  family: Family,
  brought: readonly ShippedVersion[],
  decision: Decision,
): Promise<void> {
  await lockFamily(tx, family);
  const rows = await selectFamily(tx, family);
  const [wanted] = brought;
  const active = rows.find((row) => row.state === 'active');
  if (wanted && active && !isOf(wanted)(active)) {
    await setState(tx, family, { id: active.id, act: 'retired', from: 'active', to: 'retired' }, decision);
  }
  for (const version of brought) {
    const known = rows.find(isOf(version));
    const state = version === wanted ? 'active' : 'retired';
    if (!known) await insertEntry(tx, rowOf(version, state), 'registered', decision);
    else if (state === 'active' && known.state !== 'active')
      await setState(tx, family, { id: known.id, act: 'promoted', from: known.state, to: 'active' }, decision);
  }
}

const isOf =
  ({ name, version }: { name: string; version: string }) =>
  (row: EntryRow): boolean =>
    row.name === name && row.version === version;

function rowOf(version: ShippedVersion, state: EntryRow['state']) {
  const { kind, model, name, parts, note, parameters, training, metrics } = version;
  return {
    ...{ tenant: EVERY_TENANT, kind, model, name, version: version.version, state, parts, note },
    parameters: parameters ?? null,
    training: training ?? null,
    metrics: metrics ?? null,
    owner: 'system',
  };
}

/** Analytics has it compiled in: no order is needed for what the build ships. */
async function setState(tx: Transaction, { tenant }: Family, change: StateChange, decision: Decision): Promise<void> {
  await tx
    .update(registryEntries)
    .set({ state: change.to, updatedAt: decision.at, revision: sql`${registryEntries.revision} + 1` })
    .where(eq(registryEntries.id, change.id));
  await noteChange(tx, tenant, change, decision);
}

/** What the build brings can be promoted by tenants that went their own way. */
async function offerShipped(tx: Transaction, family: Family, decision: Decision): Promise<void> {
  const own = await selectFamily(tx, family);
  for (const row of await selectFamily(tx, shippedOf(family))) {
    if (own.some(isOf(row))) continue;
    const { id: _id, createdAt: _c, updatedAt: _u, revision: _r, orderId: _o, ...facts } = row;
    await insertEntry(tx, { ...facts, tenant: family.tenant, state: 'retired' }, 'registered', decision);
  }
}

/** An alert must not claim to be by a version whose parts are gone: a successor with the same figures takes its place. */
async function replaceUnrunnable(
  tx: Transaction,
  family: Family,
  successorOf: ShippedDeps['successorOf'],
  decision: Decision,
): Promise<void> {
  const rows = await selectFamily(tx, family);
  const shipped = await selectFamily(tx, shippedOf(family));
  const runnable = new Map(knownVersions(rows, shipped).map((one) => [one.id, one.runnable]));
  const gone = rows.filter((row) => row.state !== 'retired' && !runnable.get(row.id));
  if (gone.length === 0) return;
  const orderId = randomUUID();
  for (const row of gone) {
    await setState(tx, family, { id: row.id, act: 'retired', from: row.state, to: 'retired' }, decision);
    const next = row.kind === 'ensemble' ? successorOf(runnableOf(row)) : undefined;
    const known = rows.find(isOf(next ?? shipped.find((one) => one.state === 'active') ?? row));
    if (known && known.id !== row.id) {
      await setState(tx, family, { id: known.id, act: 'succeeded', from: known.state, to: row.state }, decision);
    } else if (next) {
      const facts = { ...rowFacts(row), ...next, parameters: next.parameters ?? null };
      await insertEntry(tx, facts, 'succeeded', decision, orderId);
    }
  }
  await orderFamily(tx, family, orderId, decision);
}

function rowFacts(row: EntryRow) {
  const { id: _id, createdAt: _c, updatedAt: _u, revision: _r, orderId: _o, ...facts } = row;
  return facts;
}
