/** How far a log consumer has come, kept in the transaction of its effects: that is what makes them happen once. */
import { and, eq } from 'drizzle-orm';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type { Transaction } from './database.ts';
import { consumerPositions } from './schema.ts';

/** Stands for the whole installation where a table asks for a tenant. */
const INSTALLATION = '*';

/** 0 for a consumer that never wrote one. Locks the row: a second follower of the same name waits. */
export async function readPosition(tx: Transaction, consumer: string): Promise<Position> {
  const locked = () =>
    tx
      .select({ position: consumerPositions.position })
      .from(consumerPositions)
      .where(and(eq(consumerPositions.tenant, INSTALLATION), eq(consumerPositions.consumer, consumer)))
      .for('update');
  const [row] = await locked();
  if (row) return row.position;
  // A row that is not there cannot be locked: two first followers at once would both begin at 0.
  await tx.insert(consumerPositions).values({ tenant: INSTALLATION, consumer, position: 0 }).onConflictDoNothing();
  return (await locked())[0]?.position ?? 0;
}

export async function writePosition(tx: Transaction, consumer: string, position: Position): Promise<void> {
  await tx
    .insert(consumerPositions)
    .values({ tenant: INSTALLATION, consumer, position })
    .onConflictDoUpdate({ target: [consumerPositions.tenant, consumerPositions.consumer], set: { position } });
}
