/** Webhooks about alarms, groups and silences, in the transaction that causes them. Only centres that want them get any. */
import { and, eq } from 'drizzle-orm';
import { v7 as uuidv7 } from 'uuid';
import type { AlertBrief, AlertChange, WebhookBody } from '../../contract/http/resources.ts';
import type { Transaction } from '../db/database.ts';
import { type alerts, centres, outbox } from '../db/schema.ts';

export type AlarmRow = typeof alerts.$inferSelect;

export interface Announcement {
  readonly tenant: string;
  /** Whose webhook. */
  readonly centre: string;
  readonly now: number;
  readonly body: WebhookBody;
}

/** Its text is fixed here, so that every delivery of it is the same. */
export async function announce(tx: Transaction, { tenant, centre, now, body }: Announcement): Promise<void> {
  const [wanted] = await tx
    .select({ url: centres.webhookUrl })
    .from(centres)
    .where(and(eq(centres.tenant, tenant), eq(centres.id, centre)));
  if (!wanted?.url) return;
  await tx.insert(outbox).values({
    id: uuidv7(),
    tenant,
    kind: 'webhook',
    centre,
    body: JSON.stringify(body),
    nextAt: now,
    createdAt: now,
  });
}

export interface AlertNews {
  readonly change: AlertChange;
  /** `system`, or the user's id. */
  readonly actor: string;
  readonly reason?: string | undefined;
  /** Of an escalation, from 1. */
  readonly level?: number;
}

export function alertChanged(
  row: AlarmRow,
  { change, actor, reason, level }: AlertNews,
  { now, publicUrl }: { now: number; publicUrl: string },
): WebhookBody {
  return {
    type: 'alert.changed',
    timestamp: new Date(now).toISOString(),
    data: {
      tenant: row.tenant,
      change,
      alert: briefOf(row),
      actor,
      ...(reason === undefined ? {} : { reason }),
      ...(level === undefined ? {} : { level }),
      alertUrl: `${publicUrl}/api/v1/alerts/${encodeURIComponent(row.id)}`,
    },
  };
}

export function briefOf(row: AlarmRow): AlertBrief {
  const { id, device, model, component, faultKey, severity, state, raisedAt, version, latched } = row;
  return {
    id,
    device,
    model,
    component,
    faultKey,
    severity,
    state,
    raisedAt,
    version,
    latched,
    ...(row.acknowledgedBy === null ? {} : { acknowledgedBy: row.acknowledgedBy }),
    ...(row.assignee === null ? {} : { assignee: row.assignee }),
  };
}
