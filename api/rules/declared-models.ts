/** Device models of a tenant that no catalogue describes, with the signals that their devices declared. */
import { and, eq, notInArray } from 'drizzle-orm';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import type { DeclaredModel } from '../../contract/ports/rules.ts';
import type { TenantScope, Transaction } from '../db/database.ts';
import { type DeclaredSignals, devices } from '../db/schema.ts';

/** So many devices are asked; those of one model declare the same. */
const MAX_DEVICES = 1_000;

export async function selectDeclaredModels(tx: Transaction, { tenant }: TenantScope): Promise<DeclaredModel[]> {
  const known = DEVICE_MODELS.map(({ id }) => id);
  const rows = await tx
    .selectDistinct({ model: devices.model, signals: devices.declaredSignals })
    .from(devices)
    .where(and(eq(devices.tenant, tenant), notInArray(devices.model, known)))
    .limit(MAX_DEVICES);
  /** by model id */
  const models = new Map<string, DeclaredSignals>();
  for (const { model, signals } of rows) models.set(model, { ...models.get(model), ...signals });
  return [...models].map(([id, signals]) => ({ id, signals }));
}
