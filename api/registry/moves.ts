/** Acts of people on the registry, each in the caller's transaction: the rows, their history and the order to analytics. */
import { randomUUID } from 'node:crypto';
import { and, eq } from 'drizzle-orm';
import type { RegistryRegister } from '../../contract/http/registry.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { ensembleParameters } from '../../contract/ports/versions.ts';
import type { Principal } from '../accounts/principal.ts';
import type { Transaction } from '../db/database.ts';
import { registryEntries } from '../db/schema.ts';
import { decideMove, type RegistryMove, shadowRoom } from './decide.ts';
import {
  applyChanges,
  type Decision,
  type EntryRow,
  type Family,
  insertEntry,
  knownVersions,
  lockFamily,
  orderFamily,
  ownFamily,
  runnableBy,
  selectFamily,
  selectHistory,
  shippedOf,
  visibleTo,
} from './entries.ts';

/** Versions of one tenant, kind and model. */
const MAX_VERSIONS = 200;

export interface WantedMove {
  readonly id: string;
  readonly move: RegistryMove;
  /** As the caller has read it. */
  readonly revision: number;
}

/**
 * @returns the id of the version that is active now or was moved
 * @throws AppError NOT_FOUND, VERSION_STALE, CONFLICT
 */
export async function moveVersion(
  tx: Transaction,
  { tenant }: Principal,
  { id, move, revision }: WantedMove,
  decision: Decision,
): Promise<string> {
  const [seen] = await tx
    .select()
    .from(registryEntries)
    .where(and(visibleTo(tenant), eq(registryEntries.id, id)));
  if (!seen) throw new AppError('NOT_FOUND', `version ${id}`);
  const family: Family = { tenant, kind: seen.kind, model: seen.model };
  await lockFamily(tx, family);
  const rows = await ownFamily(tx, family, decision);
  const row = rows.find((one) => one.name === seen.name && one.version === seen.version);
  // Read again under the lock; a shipped row is only ever changed by a new build.
  const current = row?.id === id ? row.revision : seen.revision;
  if (!row || (seen.tenant !== tenant && row.revision !== 1))
    throw new AppError('VERSION_STALE', 'it was copied meanwhile');
  if (current !== revision) throw new AppError('VERSION_STALE', `the version is at revision ${current}`);
  const known = knownVersions(rows, await selectFamily(tx, shippedOf(family)));
  const entry = known.find((one) => one.id === row.id);
  if (!entry) throw new AppError('NOT_FOUND', `version ${id}`);
  const decided = decideMove(move, entry, known, await selectHistory(tx, rows));
  if (decided.kind === 'refused') throw new AppError('CONFLICT', decided.reason);
  await applyChanges(tx, family, decided.changes, decision);
  return decided.changes.find((one) => one.to === 'active')?.id ?? row.id;
}

/**
 * A new version of an ensemble, which runs beside the active one from now on.
 * @throws AppError NOT_FOUND for a model without versions, CONFLICT, REQUEST_INVALID naming the parameter
 */
export async function registerVersion(
  tx: Transaction,
  { tenant, user }: Principal,
  wanted: RegistryRegister,
  at: number,
): Promise<string> {
  const family: Family = { tenant, kind: wanted.kind, model: wanted.model };
  const decision: Decision = { actor: user, at, reason: wanted.note ?? 'registered' };
  await lockFamily(tx, family);
  const rows = await ownFamily(tx, family, decision);
  const shipped = await selectFamily(tx, shippedOf(family));
  const active = rows.find((row) => row.state === 'active');
  const base = shipped.find((row) => row.state === 'active');
  if (!active || !base) throw new AppError('NOT_FOUND', `device model ${wanted.model} in the registry`);
  if (rows.some((row) => row.version === wanted.version)) {
    throw new AppError('CONFLICT', `version ${wanted.version} exists already`);
  }
  if (rows.length >= MAX_VERSIONS) throw new AppError('CONFLICT', `there are ${rows.length} versions already`);
  const room = shadowRoom(knownVersions(rows, shipped));
  if (room.kind === 'refused') throw new AppError('CONFLICT', room.reason);
  const orderId = randomUUID();
  const id = await insertEntry(
    tx,
    {
      ...{
        tenant,
        kind: wanted.kind,
        model: wanted.model,
        name: base.name,
        version: wanted.version,
        parts: base.parts,
      },
      state: 'shadow',
      parameters: parametersOf(wanted, runnableBy(shipped)(active) ? active : base),
      training: null,
      metrics: null,
      owner: user,
      note: wanted.note ?? null,
    },
    'registered',
    decision,
    orderId,
  );
  await orderFamily(tx, family, orderId, decision);
  return id;
}

function parametersOf({ parameters }: RegistryRegister, base: EntryRow) {
  const given = Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== undefined));
  const merged = ensembleParameters.parse({ ...base.parameters, ...given });
  const parts = base.parts.map((part) => part.name);
  const unknown = merged.detectors.filter((name) => !parts.includes(name));
  if (unknown.length > 0) {
    const message = `there is no detector ${unknown.join(', ')}; there are ${parts.join(', ')}`;
    const errors = [{ path: 'body.parameters.detectors', message }];
    throw new AppError('REQUEST_INVALID', `body.parameters.detectors: ${message}`, { facts: { errors } });
  }
  return merged;
}
