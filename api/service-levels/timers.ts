/**
 * When somebody is to be told that a promise is in danger, as rows: set anew with each change of a ticket in that change's own
 * transaction, so they survive any restart. A timer that has fired stays as it is and never fires again, whatever is recomputed.
 */
import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { Transaction } from '../db/database.ts';
import { serviceTimers } from '../db/schema.ts';
import { loadClocks, openTicketKeys } from './load.ts';

/** Rows of one statement stay well below the 65,535 parameters of PostgreSQL's protocol. */
const CHUNK_ROWS = 1_000;
const CHUNK_TICKETS = 500;

/** Works the timers of these tickets out anew. Callers have locked the tickets. */
export async function resetTimers(tx: Transaction, tenant: string, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  const clocks = await loadClocks(tx, tenant, keys);
  await tx
    .delete(serviceTimers)
    .where(
      and(eq(serviceTimers.tenant, tenant), inArray(serviceTimers.ticketKey, [...keys]), isNull(serviceTimers.firedAt)),
    );
  const due = [...clocks].flatMap(([ticketKey, { levels }]) =>
    levels.escalations().map(({ clock, cycle, share, notify, at }) => ({
      tenant,
      ticketKey,
      clock,
      cycle,
      share,
      notify,
      dueAt: Math.ceil(at),
    })),
  );
  for (let start = 0; start < due.length; start += CHUNK_ROWS) {
    // What stands there still has fired.
    await tx
      .insert(serviceTimers)
      .values(due.slice(start, start + CHUNK_ROWS))
      .onConflictDoNothing();
  }
}

/** Works out anew what a centre has promised: its calendar is another one. */
export async function resetTimersOfCentre(tx: Transaction, tenant: string, centre: string): Promise<void> {
  for (let after = ''; ; ) {
    const keys = await openTicketKeys(tx, tenant, centre, after, CHUNK_TICKETS);
    const last = keys.at(-1);
    if (last === undefined) return;
    await tx.execute(sql`SELECT 1 FROM tickets WHERE tenant_id = ${tenant} AND key IN ${keys} ORDER BY key FOR UPDATE`);
    await resetTimers(tx, tenant, keys);
    after = last;
  }
}
