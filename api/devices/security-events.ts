/**
 * Writes what speaks of an attack. The broker hands it over and goes on: it waits here, in memory and bounded, for as
 * long as the database is away. A kill forgets what was not written yet, at most a second's worth while the database
 * answers; a commit whose answer was lost is counted twice.
 */
import { sql } from 'drizzle-orm';
import { errorText } from '../../contract/kernel/errors.ts';
import { SECOND_MS } from '../../contract/kernel/time.ts';
import type { SecurityEvent } from '../../contract/ports/broker.ts';
import type { Clock, Logger, Metrics, Service } from '../../contract/ports/services.ts';
import type { Database, Transaction } from '../db/database.ts';
import { securityEvents } from '../db/schema.ts';
import { createSecurityFold, type FoldedEvent, type FoldLimits, foldAll, ofNoDevice } from './security-fold.ts';

export interface SecurityEventLimits extends FoldLimits {
  /** Rows that a tenant keeps; the oldest go. */
  readonly maxRowsPerTenant: number;
  readonly flushIntervalMs: number;
}

export const DEFAULT_SECURITY_EVENT_LIMITS: SecurityEventLimits = {
  // About 1 KB each.
  maxEvents: 5_000,
  maxEventsPerTenant: 200,
  // A flood of names that are all made up, in two hundred rows a minute, needs this long to push the rest out: 100 min.
  maxRowsPerTenant: 20_000,
  flushIntervalMs: SECOND_MS,
};
/** The bound may be passed by this part of it before anybody looks. */
const SLACK = 1 / 16;
const MAX_TENANTS = 10_000;
const CHUNK_ROWS = 500;

export interface SecurityEventWriter extends Service {
  /** Takes note, and returns at once. */
  record(event: SecurityEvent): void;
}

export function createSecurityEventWriter(
  database: Database,
  { clock, logger, metrics }: { readonly clock: Clock; readonly logger: Logger; readonly metrics: Metrics },
  limits: SecurityEventLimits = DEFAULT_SECURITY_EVENT_LIMITS,
): SecurityEventWriter {
  const fold = createSecurityFold(limits);
  const table = createSecurityEventTable(metrics, limits);
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> = Promise.resolve();
  let failing = false;

  async function flush(): Promise<void> {
    const batch = fold.pending();
    try {
      if (batch.length > 0) await database.withSystem((tx) => table.store(tx, batch));
      fold.written(batch, clock.now());
      failing = false;
    } catch (error) {
      // Once an outage: it is tried again every second.
      if (!failing) logger.warn({ error: errorText(error), waiting: batch.length }, 'security events were not written');
      failing = true;
    }
  }

  const nextFlush = (): Promise<void> => {
    flushing = flushing.then(flush);
    return flushing;
  };

  return {
    record(event) {
      countSecurityEvents(metrics, event.kind, 1);
      if (fold.add(event)) return;
      metrics.count('presage_security_events_dropped_total', 'Security events for which there was no room');
    },
    async start() {
      // One flush at a time: while the database is slow, no line of them may form.
      let busy = false;
      timer ??= setInterval(() => {
        if (busy) return;
        busy = true;
        void nextFlush().finally(() => {
          busy = false;
        });
      }, limits.flushIntervalMs).unref();
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      await nextFlush();
    },
  };
}

export function countSecurityEvents(metrics: Metrics, kind: string, count: number): void {
  metrics.count('presage_security_events_total', 'What speaks of an attack, by kind', { kind }, count);
}

export interface SecurityEventTable {
  /** Adds to what is there. What is about a tenant that does not exist is left out. */
  store(tx: Transaction, events: readonly FoldedEvent[]): Promise<void>;
}

export function createSecurityEventTable(
  metrics: Metrics,
  { maxRowsPerTenant }: Pick<SecurityEventLimits, 'maxRowsPerTenant'> = DEFAULT_SECURITY_EVENT_LIMITS,
): SecurityEventTable {
  /** rows since the last look, by tenant; the first look comes with the first event after a start */
  const since = new Map<string, number>();
  return {
    async store(tx, events) {
      const rows = await known(tx, events);
      for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
        await upsert(tx, rows.slice(start, start + CHUNK_ROWS));
      }
      for (const { tenant } of rows) {
        if (since.size >= MAX_TENANTS) since.clear();
        since.set(tenant, (since.get(tenant) ?? maxRowsPerTenant) + 1);
      }
      for (const [tenant, added] of since) {
        if (added <= maxRowsPerTenant * SLACK) continue;
        const cut = await cutOldest(tx, tenant, maxRowsPerTenant);
        since.set(tenant, 0);
        const help = 'Rows of security events that went because their tenant keeps too many';
        metrics.count('presage_security_events_cut_total', help, {}, cut);
      }
    },
  };
}

/** Only who has registered a device may make it appear: else whoever invents names would get a row for each. */
async function known(tx: Transaction, events: readonly FoldedEvent[]): Promise<FoldedEvent[]> {
  const names = sql.param(events.map(({ tenant }) => tenant));
  const ids = sql.param(events.map(({ device }) => device ?? ''));
  const found = await tx.execute<{ tenant: string; device: string | null }>(sql`
    SELECT DISTINCT tenants.tenant_id AS tenant, devices.id AS device
    FROM unnest(${names}::text[], ${ids}::text[]) AS named (tenant, device)
    JOIN tenants ON tenants.tenant_id = named.tenant
    LEFT JOIN devices ON devices.tenant_id = named.tenant AND devices.id = named.device`);
  const tenants = new Set(found.rows.map(({ tenant }) => tenant));
  const devices = new Set(found.rows.map(({ tenant, device }) => `${tenant} ${device}`));
  const ours = events.filter(({ tenant }) => tenants.has(tenant));
  return foldAll(ours.map((event) => (devices.has(`${event.tenant} ${event.device}`) ? event : ofNoDevice(event))));
}

async function upsert(tx: Transaction, rows: readonly FoldedEvent[]): Promise<void> {
  await tx
    .insert(securityEvents)
    .values([...rows])
    .onConflictDoUpdate({
      target: [securityEvents.tenant, securityEvents.id],
      set: {
        firstAt: sql`LEAST(excluded.first_at, ${securityEvents.firstAt})`,
        lastAt: sql`GREATEST(excluded.last_at, ${securityEvents.lastAt})`,
        times: sql`${securityEvents.times} + excluded.times`,
        certificateSerial: sql`excluded.certificate_serial`,
        detail: sql`excluded.detail`,
      },
    });
}

async function cutOldest(tx: Transaction, tenant: string, maxRows: number): Promise<number> {
  const cut = await tx.execute(sql`
    DELETE FROM ${securityEvents} WHERE tenant_id = ${tenant} AND (minute, id) <= (
      SELECT minute, id FROM ${securityEvents} WHERE tenant_id = ${tenant}
      ORDER BY minute DESC, id DESC OFFSET ${maxRows} LIMIT 1
    )`);
  return cut.rowCount ?? 0;
}
