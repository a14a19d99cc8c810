/** The row of a ticket that a request is about to change: locked until the transaction ends, and as the caller has read it. */
import { and, eq } from 'drizzle-orm';
import { AppError } from '../../contract/kernel/errors.ts';
import type { Transaction } from '../db/database.ts';
import { tickets } from '../db/schema.ts';

export type TicketRow = typeof tickets.$inferSelect;

export const isTicket = (tenant: string, key: string) => and(eq(tickets.tenant, tenant), eq(tickets.key, key));

/**
 * @param version what `If-Match` named
 * @throws AppError NOT_FOUND, VERSION_STALE
 */
export async function lockTicket(tx: Transaction, tenant: string, key: string, version: number): Promise<TicketRow> {
  const [row] = await tx.select().from(tickets).where(isTicket(tenant, key)).for('update');
  if (!row) throw new AppError('NOT_FOUND', `ticket ${key}`);
  if (row.version !== version) throw new AppError('VERSION_STALE', `the ticket is at version ${row.version}`);
  return row;
}

/** Moves the version of a locked ticket on. */
export async function touchTicket(tx: Transaction, { tenant, key, version }: TicketRow, now: number): Promise<void> {
  await tx
    .update(tickets)
    .set({ updatedAt: now, version: version + 1 })
    .where(isTicket(tenant, key));
}
