/** What happened to alarms, and the one lock under which it happens. */
import { sql } from 'drizzle-orm';
import type { AlarmEvent, AlarmEventType } from '../../contract/http/alarms.ts';
import { alarmEvents } from '../db/alarm-schema.ts';
import type { Transaction } from '../db/database.ts';

export const SYSTEM_ACTOR = 'system';
const CHUNK_ROWS = 1_000;

export interface NewAlarmEvent {
  readonly tenant: string;
  readonly alertId: string;
  readonly at: number;
  /** `system`, or the user's id. */
  readonly actor: string;
  readonly type: AlarmEventType;
  readonly reason?: string | undefined;
  readonly facts?: Record<string, unknown>;
}

/**
 * Whoever changes alarms of a tenant is alone with them until his transaction ends: what is decided about one alarm depends
 * on others (groups, parents, windows), and a decision taken beside another one would be taken twice, or not at all.
 */
export async function lockAlarms(tx: Transaction, tenants: Iterable<string>): Promise<void> {
  // One order for all, so that two who want several do not wait for each other.
  for (const tenant of [...new Set(tenants)].sort()) {
    await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${`alarms of ${tenant}`}, 0))`);
  }
}

/** Of the transaction from here on: what follows from a person's act (tickets, webhooks) is done by the house, not by him. */
export async function continueAsSystem(tx: Transaction): Promise<void> {
  await tx.execute(sql`SELECT set_config('role', 'presage_system', true)`);
}

/** In the given order. */
export async function appendAlarmEvents(tx: Transaction, events: readonly NewAlarmEvent[]): Promise<void> {
  for (let start = 0; start < events.length; start += CHUNK_ROWS) {
    await tx.insert(alarmEvents).values(events.slice(start, start + CHUNK_ROWS).map(rowOf));
  }
}

const rowOf = ({ reason, facts, ...event }: NewAlarmEvent) => ({
  ...event,
  reason: reason ?? null,
  facts: facts ?? null,
});

export function eventOf(row: typeof alarmEvents.$inferSelect): AlarmEvent {
  return {
    at: row.at,
    actor: row.actor,
    type: row.type,
    ...(row.reason === null ? {} : { reason: row.reason }),
    ...(row.facts === null ? {} : { facts: row.facts }),
  };
}
