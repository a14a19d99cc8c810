/** Orders from the desk to analytics: from the transaction that decides into the telemetry log, once and in order. */
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { createOrderWriter, positionOf, sendOrder } from '../../api/orders/orders.ts';
import type { Order } from '../../contract/ports/orders.ts';
import { decodeOrder, orderEntry } from '../../contract/ports/orders.ts';
import type { LogAppender, LogEntry, LoggedEntry, LogReader } from '../../contract/ports/telemetry-log.ts';
import { manualClock, noMetrics, silentLogger } from '../support/fake-services.ts';
import { describeOnDatabases } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const clock = manualClock(1_795_392_000_000);
const version = { name: 'ensemble', version: 'a', parts: [] };

const orderOf = (model: string): Order => ({
  kind: 'assign',
  id: randomUUID(),
  tenant: 'acme',
  at: clock.now(),
  actor: 'anna',
  what: 'ensemble',
  model,
  active: version,
  shadows: [],
});

/** A log in memory whose appends can be told to fail. */
function orderLog(): LogAppender & Pick<LogReader, 'read' | 'start'> & { entries: LoggedEntry[]; failures: number } {
  const entries: LoggedEntry[] = [];
  const log = {
    entries,
    failures: 0,
    append(entry: LogEntry, done: (error: Error | undefined, position: number) => void) {
      setImmediate(() => {
        if (log.failures-- > 0) return done(new Error('the log is full'), 0);
        entries.push({ ...entry, position: (entries.at(-1)?.position ?? 0) + 10 });
        done(undefined, entries.at(-1)?.position ?? 0);
      });
    },
    barrier: (done: (error: Error | undefined) => void) => done(undefined),
    async read(from: number) {
      const found = entries.filter((entry) => entry.position > from);
      return { entries: found, next: found.at(-1)?.position ?? from };
    },
    start: () => 0,
  };
  return log;
}

describeOnDatabases('orders', clock, (database) => {
  const send = (order: Order) => database().withTenant({ tenant: 'acme' }, (tx) => sendOrder(tx, order));
  const standsAt = (order: Order) => database().withTenant({ tenant: 'acme' }, (tx) => positionOf(tx, order.id));
  const idsOf = (log: ReturnType<typeof orderLog>) => log.entries.map((entry) => decodeOrder(entry)?.id);

  async function write(log: ReturnType<typeof orderLog>, until: Order): Promise<void> {
    const writer = createOrderWriter({ database: database(), log, clock, logger: silentLogger, metrics: noMetrics });
    await writer.start();
    await waitFor('the order to stand in the log', async () => (await standsAt(until)) !== undefined);
    await writer.stop();
  }

  it('stand in the log in the order in which they were decided, also when it was full for a while', async () => {
    const log = orderLog();
    log.failures = 2;
    const sent = ['a', 'b', 'c'].map(orderOf);
    for (const one of sent) await send(one);
    await write(log, sent[2] as Order);
    expect(idsOf(log)).toEqual(sent.map((one) => one.id));
    expect(await standsAt(sent[1] as Order)).toBe(20);
    expect(log.entries[0]).toMatchObject({ kind: 'order', tenant: 'acme', device: '*', model: 'a' });
  });

  it('are not appended again when the process was killed before it noted where they stand', async () => {
    const log = orderLog();
    const [noted, killed, next] = ['d', 'e', 'f'].map(orderOf) as [Order, Order, Order];
    await send(noted);
    await write(log, noted);
    await send(killed);
    log.entries.push({ ...orderEntry(killed, clock.now()), position: 1_000 });
    await send(next);
    await write(log, next);
    expect(idsOf(log)).toEqual([noted, killed, next].map((one) => one.id));
    expect(await standsAt(killed)).toBe(1_000);
  });

  it('of a decision that was taken back are never sent', async () => {
    const order = orderOf('g');
    const attempt = database().withTenant({ tenant: 'acme' }, async (tx) => {
      await sendOrder(tx, order);
      throw new Error('no');
    });
    await expect(attempt).rejects.toThrow('no');
    expect(await standsAt(order)).toBeUndefined();
  });

  it('of another tenant can neither be written nor seen', async () => {
    const foreign = { ...orderOf('h'), tenant: 'globex' };
    await expect(send(foreign)).rejects.toThrow();
    await database().withTenant({ tenant: 'globex' }, (tx) => sendOrder(tx, foreign));
    expect(await standsAt(foreign)).toBeUndefined();
  });
});
