/**
 * Orders: what the desk tells analytics while it runs. An order is an entry of the telemetry log and so has a position:
 * samples that stand before it are judged without it, samples behind it with it, whenever the process was killed and however
 * often the log is read. Whoever wants to tell analytics something adds a kind here and handles it in analytics/orders.ts.
 */
import { z } from 'zod';
import { deviceId, tenantId } from '../kernel/ids.ts';
import { ruleId, runnableRule } from './rules.ts';
import type { LogEntry } from './telemetry-log.ts';
import { EVERY_TENANT, MAX_SHADOWS, OTHER_MODELS, registryKind, runnableVersion } from './versions.ts';

const orderBase = z.object({
  /** An order that stands in the log twice counts once, at its first place. */
  id: z.uuid(),
  tenant: z.union([tenantId, z.literal(EVERY_TENANT)]),
  /** Server clock, epoch ms. */
  at: z.number(),
  /** User id, or `system`. */
  actor: z.string(),
});

/** From here on these versions judge the devices of a model. It names all of them, so what was ordered before is over. */
export const assignOrder = orderBase.extend({
  kind: z.literal('assign'),
  what: registryKind,
  model: z.string(),
  active: runnableVersion,
  shadows: z.array(runnableVersion).max(MAX_SHADOWS),
});
export type AssignOrder = z.infer<typeof assignOrder>;

/** From here on a rule runs in this version, or not at all. */
export const ruleOrder = orderBase.extend({
  kind: z.literal('rule'),
  rule: ruleId,
  version: z.number().int().positive(),
  /** `null` = it is switched off or deleted. */
  runs: runnableRule.nullable(),
});
export type RuleOrder = z.infer<typeof ruleOrder>;

const deviceOrderBase = orderBase.extend({
  tenant: tenantId,
  device: deviceId,
  model: z.string(),
  /** What the person said. */
  why: z.string().max(500),
});

/** Ends an open alert: what it showed is normal from here on, and is learned. Without effect once the alert is over. */
export const acceptAsNormalOrder = deviceOrderBase.extend({
  kind: z.literal('acceptAsNormal'),
  episode: z.string().min(1).max(128),
});
/** The device left the fleet: its alerts end, and nobody waits for its samples. */
export const decommissionOrder = deviceOrderBase.extend({ kind: z.literal('decommission') });
/** An order about a single device. */
export type DeviceOrder = z.infer<typeof acceptAsNormalOrder> | z.infer<typeof decommissionOrder>;

export const order = z.discriminatedUnion('kind', [assignOrder, ruleOrder, acceptAsNormalOrder, decommissionOrder]);
export type Order = z.infer<typeof order>;

/** Device of a log entry whose order is about no single device. */
const NO_DEVICE = '*';

/** How an order stands in the log. One about a single device names it, so that it stands in that device's partition. */
export function orderEntry(given: Order, receivedAt: number): LogEntry {
  const { device, model } = given as { device?: string; model?: string };
  return {
    kind: 'order',
    tenant: given.tenant,
    device: device ?? NO_DEVICE,
    model: model ?? OTHER_MODELS,
    receivedAt,
    body: new TextEncoder().encode(JSON.stringify(given)),
  };
}

/** The order in a log entry; `undefined` when this version of the program does not know its kind. */
export function decodeOrder(entry: LogEntry): Order | undefined {
  const parsed = order.safeParse(JSON.parse(new TextDecoder().decode(entry.body)));
  return parsed.success ? parsed.data : undefined;
}
