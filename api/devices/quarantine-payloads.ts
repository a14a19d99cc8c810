/**
 * Refused payloads that are kept for a replay, bounded for each tenant: beyond the bound the oldest payloads go, and what
 * stays of their entries is the reason, the hash and the excerpt. Looked at only now and then, because it costs a scan.
 */
import { sql } from 'drizzle-orm';
import type { Metrics } from '../../contract/ports/services.ts';
import type { Transaction } from '../db/database.ts';
import { quarantine } from '../db/schema.ts';

export interface QuarantineLimits {
  /** Bytes of payloads that a tenant keeps. Default 256 MiB. */
  readonly maxBytes: number;
  /** Entries with payloads that a tenant keeps. Default 100,000. */
  readonly maxEntries: number;
}

export const DEFAULT_QUARANTINE_LIMITS: QuarantineLimits = { maxBytes: 256 * 1024 * 1024, maxEntries: 100_000 };
/** The bound may be passed by this part of it before anybody looks. */
const SLACK = 1 / 16;
const MAX_TENANTS = 10_000;

export interface PayloadBound {
  /** Takes note of new rows, in their transaction, and cuts where a tenant may be over its bound. */
  added(tx: Transaction, rows: readonly { readonly tenant: string; readonly payloadBytes: number }[]): Promise<void>;
}

export function createPayloadBound(limits: QuarantineLimits, metrics: Metrics): PayloadBound {
  /** bytes and entries since the last look, by tenant; the first look comes with the first entry after a start */
  const since = new Map<string, { bytes: number; entries: number }>();
  return {
    async added(tx, rows) {
      for (const { tenant, payloadBytes } of rows) {
        if (payloadBytes === 0) continue;
        if (since.size >= MAX_TENANTS) since.clear();
        const seen = since.get(tenant) ?? { bytes: limits.maxBytes, entries: limits.maxEntries };
        since.set(tenant, { bytes: seen.bytes + payloadBytes, entries: seen.entries + 1 });
      }
      for (const [tenant, { bytes, entries }] of since) {
        if (bytes <= limits.maxBytes * SLACK && entries <= limits.maxEntries * SLACK) continue;
        const cut = await cutOldest(tx, tenant, limits);
        since.set(tenant, { bytes: 0, entries: 0 });
        const help = 'Kept payloads of the quarantine that went because their tenant keeps too many';
        metrics.count('presage_quarantine_payloads_cut_total', help, {}, cut);
      }
    },
  };
}

/** Ids sort as log positions do: the newest payloads stay. */
async function cutOldest(tx: Transaction, tenant: string, limits: QuarantineLimits): Promise<number> {
  const cut = await tx.execute(sql`
    UPDATE ${quarantine} SET payload = NULL, payload_bytes = 0
    FROM (
      SELECT id, sum(payload_bytes) OVER newest AS bytes, row_number() OVER newest AS entries
      FROM ${quarantine} WHERE tenant_id = ${tenant} AND payload_bytes > 0
      WINDOW newest AS (ORDER BY id DESC)
    ) AS kept
    WHERE quarantine.tenant_id = ${tenant} AND quarantine.id = kept.id
      AND (kept.bytes > ${limits.maxBytes} OR kept.entries > ${limits.maxEntries})`);
  return cut.rowCount ?? 0;
}
