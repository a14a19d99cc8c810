/** How far a log consumer has come, kept in the transaction of its effects: that is what makes them happen once. */
import { and, eq } from 'drizzle-orm';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type { Transaction } from './database.ts';
import { consumerPositions } from './schema.ts';

/** Stands for the whole installation where a table asks for a tenant. */
const INSTALLATION = '*';

/** 0 for a consumer that never wrote one. Locks the row: a second follower of the same name waits. */
export async function readPosition(tx: Transaction, consumer: string): Promise<Position> {
  const [row] = await tx
    .select({ position: consumerPositions.position })
    .from(consumerPositions)
    .where(and(eq(consumerPositions.tenant, INSTALLATION), eq(consumerPositions.consumer, consumer)))
    .for('update');
  return row?.position ?? 0;
}

export async function writePosition(tx: Transaction, consumer: string, position: Position): Promise<void> {
  await tx
    .insert(consumerPositions)
    .values({ tenant: INSTALLATION, consumer, position })
    .onConflictDoUpdate({ target: [consumerPositions.tenant, consumerPositions.consumer], set: { position } });
}
