/**
 * Orders from the desk to analytics. Whoever decides something writes the order in the same transaction; a worker then
 * appends it to the telemetry log, in the order of the decisions, and notes where it stands.
 */
import { asc, desc, eq, isNotNull, isNull } from 'drizzle-orm';
import { errorText } from '../../contract/kernel/errors.ts';
import { decodeOrder, type Order, orderEntry } from '../../contract/ports/orders.ts';
import type { Clock, Logger, Metrics } from '../../contract/ports/services.ts';
import type { EntryKind, LogAppender, LogReader, Position } from '../../contract/ports/telemetry-log.ts';
import type { Database, Transaction } from '../db/database.ts';
import { orders } from '../db/schema.ts';
import { createPollingWorker, type PollingWorker } from '../polling-worker.ts';

export interface OrderDeps {
  readonly database: Database;
  /** The telemetry log; without it orders wait. */
  readonly log: (LogAppender & Pick<LogReader, 'read' | 'start'>) | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

const BATCH = 100;
const IDLE_MS = 5_000;
const ORDERS_ONLY: ReadonlySet<EntryKind> = new Set(['order']);

/** Part of the transaction that decides it; wake the worker once that is committed. */
export async function sendOrder(tx: Transaction, order: Order): Promise<void> {
  await tx.insert(orders).values({ tenant: order.tenant, id: order.id, order, createdAt: order.at });
}

/** Where an order stands in the telemetry log; `undefined` while it waits. */
export async function positionOf(tx: Transaction, id: string): Promise<Position | undefined> {
  const [row] = await tx.select({ position: orders.position }).from(orders).where(eq(orders.id, id));
  return row?.position ?? undefined;
}

export function createOrderWriter({ database, log, clock, logger, metrics }: OrderDeps): PollingWorker {
  /** Before the first append of this process: an earlier one may have been killed between append and note. */
  let isFirst = true;

  return createPollingWorker('orders', logger, async (stopping) => {
    if (!log) return IDLE_MS;
    const waiting = await database.withSystem((tx) =>
      tx
        .select({ id: orders.id, order: orders.order })
        .from(orders)
        .where(isNull(orders.position))
        .orderBy(asc(orders.seq))
        .limit(BATCH),
    );
    metrics.gauge(
      'presage_orders_waiting',
      'Orders to analytics that are not in the telemetry log yet',
      waiting.length,
    );
    const standing = isFirst && waiting.length > 0 ? await findStanding(log) : new Map<string, Position>();
    isFirst = false;
    for (const { id, order } of waiting) {
      if (stopping.aborted) return 0;
      const position = standing.get(id) ?? (await append(log, order, clock.now()));
      await database.withSystem((tx) => tx.update(orders).set({ position }).where(eq(orders.id, id)));
      logger.info({ order: id, kind: order.kind, tenant: order.tenant, position }, 'an order stands in the log');
    }
    return waiting.length === BATCH ? 0 : IDLE_MS;
  });

  /** Orders behind the last one that was noted, by id. */
  async function findStanding(from: NonNullable<typeof log>): Promise<Map<string, Position>> {
    const [last] = await database.withSystem((tx) =>
      tx
        .select({ position: orders.position })
        .from(orders)
        .where(isNotNull(orders.position))
        .orderBy(desc(orders.position))
        .limit(1),
    );
    const found = new Map<string, Position>();
    for (let position = Math.max(last?.position ?? 0, from.start()); ; ) {
      const batch = await from.read(position, { kinds: ORDERS_ONLY, maxEntries: BATCH });
      for (const entry of batch.entries) {
        const id = idOf(entry, logger);
        if (id !== undefined && !found.has(id)) found.set(id, entry.position);
      }
      if (batch.next === position) return found;
      position = batch.next;
    }
  }
}

function idOf(entry: Parameters<typeof decodeOrder>[0], logger: Logger): string | undefined {
  try {
    return decodeOrder(entry)?.id;
  } catch (error) {
    logger.warn({ error: errorText(error) }, 'an order in the log cannot be read');
    return undefined;
  }
}

function append(log: LogAppender, order: Order, receivedAt: number): Promise<Position> {
  return new Promise((resolve, reject) => {
    log.append(orderEntry(order, receivedAt), (error, position) => (error ? reject(error) : resolve(position)));
  });
}
