/** Small builders for what stands in a telemetry log, and promises around its callbacks. */
import type { LogAppender, LogEntry, LoggedEntry, LogReader, Position } from '../../contract/ports/telemetry-log.ts';

export const RECEIVED_AT = 1_795_392_000_000;

export function logEntry(over: Partial<LogEntry> & { text?: string } = {}): LogEntry {
  const { text = '{"n":1}', ...rest } = over;
  return {
    kind: 'telemetry',
    tenant: 'acme',
    device: 'fridge-1',
    model: 'refrigerator',
    receivedAt: RECEIVED_AT,
    body: Buffer.from(text),
    ...rest,
  };
}

export function appended(log: LogAppender, entry: LogEntry): Promise<Position> {
  return new Promise((resolve, reject) => {
    log.append(entry, (error, position) => (error ? reject(error) : resolve(position)));
  });
}

export function barrierOf(log: LogAppender): Promise<void> {
  return new Promise((resolve, reject) => {
    log.barrier((error) => (error ? reject(error) : resolve()));
  });
}

/** Everything after `from`, read in batches of `maxEntries`. */
export async function readAll(
  log: Pick<LogReader, 'read'>,
  from: Position = 0,
  maxEntries = 100,
): Promise<LoggedEntry[]> {
  const entries: LoggedEntry[] = [];
  for (let position = from; ; ) {
    const batch = await log.read(position, { maxEntries });
    if (batch.next === position) return entries;
    entries.push(...batch.entries);
    position = batch.next;
  }
}

export function textOf(entry: LogEntry): string {
  return Buffer.from(entry.body).toString();
}
