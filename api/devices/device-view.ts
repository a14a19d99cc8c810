/** Devices as clients see them, and the one question many routes ask: is this device visible here? */
import { and, eq, gt, type SQL, sql } from 'drizzle-orm';
import type { Device } from '../../contract/http/resources.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { clientIdOf } from '../../contract/kernel/ids.ts';
import type { Severity } from '../../contract/ports/findings.ts';
import type { TenantScope, Transaction } from '../db/database.ts';
import { centres, type DeclaredSignals, devices } from '../db/schema.ts';
import { invalidField } from '../plugins/problems.ts';
import { selectSeals } from './custody.ts';

/** Severity of the worst open alert. Names are written out: drizzle leaves out the table's, which would mean `a`'s here. */
const worstAlert = sql<Severity | null>`(SELECT a.severity FROM alerts a
  WHERE a.tenant_id = devices.tenant_id AND a.device = devices.id AND a.state = 'open'
  ORDER BY array_position(ARRAY['info','minor','major','critical'], a.severity) DESC LIMIT 1)`;

/** What `presage_app` may read of a device; the secret's hash is not among it. */
const COLUMNS = {
  tenant: devices.tenant,
  id: devices.id,
  model: devices.model,
  serial: devices.serial,
  name: devices.name,
  firmware: devices.firmware,
  parent: devices.parent,
  batch: devices.batch,
  centre: devices.centre,
  status: devices.status,
  claim: devices.claim,
  lastSeenAt: devices.lastSeenAt,
  createdAt: devices.createdAt,
};

/** Devices in order of their ids, after `afterId`. */
export async function selectDevices(
  tx: Transaction,
  scope: TenantScope,
  connected: ReadonlyMap<string, number>,
  { limit, afterId, only }: { limit: number; afterId?: string | undefined; only?: string },
): Promise<Device[]> {
  const conditions: SQL[] = [eq(devices.tenant, scope.tenant)];
  if (afterId !== undefined) conditions.push(gt(devices.id, afterId));
  if (only !== undefined) conditions.push(eq(devices.id, only));
  const rows = await tx
    .select({ ...COLUMNS, worstAlert })
    .from(devices)
    .where(and(...conditions))
    .orderBy(devices.id)
    .limit(limit);
  return rows.map((row) => ({
    tenant: row.tenant,
    id: row.id,
    model: row.model,
    centre: row.centre,
    status: row.status,
    createdAt: row.createdAt,
    connected: connected.has(clientIdOf({ tenant: row.tenant, device: row.id })),
    ...(row.serial === null ? {} : { serial: row.serial }),
    ...(row.name === null ? {} : { name: row.name }),
    ...(row.firmware === null ? {} : { firmware: row.firmware }),
    ...(row.parent === null ? {} : { parent: row.parent }),
    ...(row.batch === null ? {} : { batch: row.batch }),
    ...(row.lastSeenAt === null ? {} : { lastSeenAt: row.lastSeenAt }),
    ...(row.claim === 'open' ? { awaitsClaim: true } : {}),
    ...(row.worstAlert === null ? {} : { worstAlert: row.worstAlert }),
  }));
}

export interface VisibleDevice {
  readonly tenant: string;
  readonly device: string;
  readonly model: string;
  readonly declaredSignals: DeclaredSignals;
  /** Device time before which nothing may be shown: users of a centre see nothing of before the last transfer; else 0. */
  readonly sealedBefore: number;
}

/** @throws AppError NOT_FOUND, the same for an absent device and one of somebody else */
export async function requireDevice(tx: Transaction, scope: TenantScope, id: string): Promise<VisibleDevice> {
  const [row] = await tx
    .select({ model: devices.model, declaredSignals: devices.declaredSignals })
    .from(devices)
    .where(and(eq(devices.tenant, scope.tenant), eq(devices.id, id)));
  if (!row) throw new AppError('NOT_FOUND', `device ${id}`);
  const seals = await selectSeals(tx, scope, [id]);
  return { tenant: scope.tenant, device: id, ...row, sealedBefore: seals.get(id) ?? 0 };
}

/** @throws AppError REQUEST_INVALID naming `body.centre` */
export async function requireCentre(tx: Transaction, scope: TenantScope, centre: string | undefined): Promise<void> {
  if (centre === undefined) return;
  const found = await tx
    .select({ id: centres.id })
    .from(centres)
    .where(and(eq(centres.tenant, scope.tenant), eq(centres.id, centre)));
  if (found.length === 0) throw invalidField('body.centre', `there is no centre ${centre}`);
}
