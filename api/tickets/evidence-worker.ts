/**
 * Completes the evidence of new tickets: waits until the telemetry store has the sample that raised the alert, reads the
 * signals around the onset, and pins them with a hash. Retention may then delete the originals.
 */
import { and, asc, eq, lte, sql } from 'drizzle-orm';
import { signalsOf } from '../../contract/devices/catalogue.ts';
import { type EvidenceSnapshot, evidenceSnapshot } from '../../contract/http/resources.ts';
import { errorText } from '../../contract/kernel/errors.ts';
import { retryDelayMs } from '../../contract/kernel/retry.ts';
import type { Clock, Logger, Metrics } from '../../contract/ports/services.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type { TelemetryReader } from '../../contract/ports/telemetry-store.ts';
import type { Database } from '../db/database.ts';
import { outbox, ticketEvidence, tickets } from '../db/schema.ts';
import { evidenceSignals } from '../desk/evidence.ts';
import { createPollingWorker, type PollingWorker } from '../polling-worker.ts';
import { sealSnapshot } from './open-ticket.ts';
import { appendTicketEvent, SYSTEM_ACTOR } from './ticket-events.ts';

export interface EvidenceDeps {
  readonly database: Database;
  readonly reader: Pick<TelemetryReader, 'series'>;
  /** Resolves when the store has everything up to the position. */
  readonly storePassed: (position: Position) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The ticket's evidence is complete. */
  readonly onPinned: (tenant: string, ticketKey: string) => void;
}

export interface EvidenceOptions {
  /** Longest wait for the store in one try; 15 s. */
  readonly storeWaitMs?: number;
}

/** Points a signal: about the width of a plot, so that nothing visible is lost. */
const MAX_POINTS = 500;
const BATCH = 8;
const IDLE_MS = 1_000;

type EvidenceRow = typeof ticketEvidence.$inferSelect;

export function createEvidenceWorker(deps: EvidenceDeps, options: EvidenceOptions = {}): PollingWorker {
  const storeWaitMs = options.storeWaitMs ?? 15_000;
  return createPollingWorker('evidence', deps.logger, async (stopping) => {
    const due = await deps.database.withSystem((tx) =>
      tx
        .select()
        .from(ticketEvidence)
        .where(and(eq(ticketEvidence.complete, false), lte(ticketEvidence.nextAt, deps.clock.now())))
        .orderBy(asc(ticketEvidence.nextAt))
        .limit(BATCH),
    );
    await Promise.all(due.map((row) => completeOne(row, stopping)));
    return due.length === BATCH ? 0 : IDLE_MS;
  });

  async function completeOne(row: EvidenceRow, stopping: AbortSignal): Promise<void> {
    try {
      await within(deps.storePassed(row.position), storeWaitMs, stopping);
      const open = evidenceSnapshot.parse({ ...JSON.parse(row.canonical), sha256: row.sha256 });
      const series = await readSeries(deps.reader, row, open);
      await pin(deps, row, { ...withoutHash(open), series, complete: true });
      deps.onPinned(row.tenant, row.ticketKey);
    } catch (error) {
      if (stopping.aborted) return; // The next start goes on with it.
      deps.metrics.count('presage_evidence_retries_total', 'Tries to complete a ticket’s evidence that failed');
      deps.logger.warn({ error: errorText(error), ticket: row.ticketKey }, 'evidence is not complete yet');
      const attempts = row.attempts + 1;
      const nextAt = deps.clock.now() + retryDelayMs(Math.min(attempts, 10), Math.random());
      await deps.database.withSystem((tx) =>
        tx
          .update(ticketEvidence)
          .set({ attempts, nextAt })
          .where(and(eq(ticketEvidence.tenant, row.tenant), eq(ticketEvidence.ticketKey, row.ticketKey))),
      );
    }
  }
}

function withoutHash({ sha256: _, ...rest }: EvidenceSnapshot): Omit<EvidenceSnapshot, 'sha256'> {
  return rest;
}

/** Only signals that have at least one point: an empty line on a plot says nothing. */
async function readSeries(
  reader: Pick<TelemetryReader, 'series'>,
  row: EvidenceRow,
  open: EvidenceSnapshot,
): Promise<EvidenceSnapshot['series']> {
  const signals = evidenceSignals({ model: row.model, faultKey: row.faultKey, evidence: open.evidence });
  if (signals.length === 0) return [];
  const units = signalsOf(row.model);
  const series = await reader.series({
    tenant: row.tenant,
    device: row.device,
    model: row.model,
    from: open.from,
    to: open.to,
    signals,
    points: MAX_POINTS,
  });
  return series
    .filter((one) => one.points.length > 0)
    .map((one) => ({
      signal: one.signal,
      unit: units.get(one.signal)?.unit ?? '',
      points: one.points.map(([at, value]) => [at, value]),
    }));
}

async function pin(deps: EvidenceDeps, row: EvidenceRow, snapshot: Omit<EvidenceSnapshot, 'sha256'>): Promise<void> {
  const sealed = sealSnapshot(snapshot);
  const now = deps.clock.now();
  await deps.database.withSystem(async (tx) => {
    // The ticket's row is the lock of its history.
    await tx
      .update(tickets)
      .set({ updatedAt: now, version: sql`${tickets.version} + 1` })
      .where(and(eq(tickets.tenant, row.tenant), eq(tickets.key, row.ticketKey)));
    const pinned = await tx
      .update(ticketEvidence)
      .set({ canonical: sealed.canonical, sha256: sealed.sha256, complete: true })
      .where(
        and(
          eq(ticketEvidence.tenant, row.tenant),
          eq(ticketEvidence.ticketKey, row.ticketKey),
          eq(ticketEvidence.complete, false),
        ),
      )
      .returning({ key: ticketEvidence.ticketKey });
    if (pinned.length === 0) return;
    await appendTicketEvent(tx, {
      tenant: row.tenant,
      ticketKey: row.ticketKey,
      at: now,
      actor: SYSTEM_ACTOR,
      type: 'evidencePinned',
      facts: { sha256: sealed.sha256, signals: snapshot.series.map((one) => one.signal) },
    });
    await tx
      .update(outbox)
      .set({ nextAt: now })
      .where(
        and(
          eq(outbox.tenant, row.tenant),
          eq(outbox.ticketKey, row.ticketKey),
          eq(outbox.state, 'pending'),
          eq(outbox.attempts, 0),
        ),
      );
  });
}

/** @throws Error when it takes longer, or when we are asked to stop; what was begun goes on, the next try uses it. */
async function within(work: Promise<void>, limitMs: number, stopping: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([AbortSignal.timeout(limitMs), stopping]);
  let onAbort: () => void = () => undefined;
  const tooLate = new Promise<never>((_, reject) => {
    onAbort = () => reject(new Error(`the telemetry store is more than ${limitMs} ms behind`));
    limit.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([work, tooLate]);
  } finally {
    limit.removeEventListener('abort', onAbort);
  }
}
