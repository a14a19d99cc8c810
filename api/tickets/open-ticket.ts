/** Opens a preemptive ticket: number, row, first event, evidence to be pinned and webhook, in the caller's transaction. */
import { createHash } from 'node:crypto';
import { and, eq, sql } from 'drizzle-orm';
import { v7 as uuidv7 } from 'uuid';
import type { EvidenceSnapshot, TicketSummary, WebhookBody } from '../../contract/http/resources.ts';
import type { AlertFinding, Evidence } from '../../contract/ports/findings.ts';
import type { Transaction } from '../db/database.ts';
import { centres, outbox, ticketAlerts, ticketEvidence, tickets } from '../db/schema.ts';
import { canonicalJson } from '../desk/canonical-json.ts';
import { evidenceRange } from '../desk/evidence.ts';
import { classify, isKnownFault } from '../desk/intake.ts';
import { policyVersion, type TicketPolicy } from '../desk/policy.ts';
import { ticketKey, ticketTitle } from '../desk/words.ts';
import { lastTransfers } from '../devices/custody.ts';
import { currentPolicy } from '../service-levels/load.ts';
import { findRepeated } from './repeats.ts';
import { appendTicketEvent, SYSTEM_ACTOR } from './ticket-events.ts';
import { summaryOf } from './ticket-summary.ts';

export interface TicketContext {
  readonly now: number;
  readonly centre: string;
  readonly policy: TicketPolicy;
  /** Base of links in webhooks, without a slash at the end. */
  readonly publicUrl: string;
}

/** The new ticket, or `undefined` when the component already has an open one (the index says so). */
export async function openTicket(
  tx: Transaction,
  alert: AlertFinding,
  reason: string,
  context: TicketContext,
): Promise<TicketSummary | undefined> {
  const key = await nextKey(tx, alert.tenant, context.now);
  const { tenant, device, component, model, faultKey } = alert;
  const { now, policy } = context;
  const repeatOf = await findRepeated(tx, { tenant, device, component, now, withinDays: policy.repeatWithinDays });
  const { faultClass } = classify({
    kind: 'repair',
    isKnownFault: isKnownFault(model, faultKey),
    isReported: false,
    isRepeated: repeatOf !== undefined,
  });
  const [row] = await tx
    .insert(tickets)
    .values({
      tenant: alert.tenant,
      key,
      id: uuidv7(),
      source: 'preemptive',
      kind: 'repair',
      state: 'new',
      severity: alert.severity,
      title: ticketTitle(alert.model, alert.component, alert.faultKey),
      device: alert.device,
      model: alert.model,
      component: alert.component,
      faultKey: alert.faultKey,
      centre: context.centre,
      createdAt: context.now,
      updatedAt: context.now,
      observedAt: alert.at,
      remainingLife: alert.evidence.prediction?.remainingLife ?? null,
      policyVersion: policyVersion(context.policy),
      faultClass,
      repeatOf: repeatOf ?? null,
      servicePolicy: (await currentPolicy(tx, alert.tenant)).version,
    })
    .onConflictDoNothing()
    .returning();
  if (!row) return undefined;
  await tx
    .insert(ticketAlerts)
    .values({ tenant: alert.tenant, alertId: alert.episode, ticketKey: key, attachedAt: context.now });
  await appendTicketEvent(tx, {
    tenant: alert.tenant,
    ticketKey: key,
    at: context.now,
    actor: SYSTEM_ACTOR,
    type: 'opened',
    to: 'new',
    reason,
    facts: { alert: alert.episode, score: alert.evidence.score, policyVersion: policyVersion(context.policy) },
  });
  await requestEvidence(tx, alert, key, context);
  const summary = summaryOf(row);
  await announce(tx, alert.tenant, summary, context);
  return summary;
}

/** The tenant's next number of the year; gaps stay where a transaction is undone. */
export async function nextKey(tx: Transaction, tenant: string, now: number): Promise<string> {
  const year = new Date(now).getUTCFullYear();
  const counted = await tx.execute<{ last: number }>(sql`INSERT INTO ticket_counters (tenant_id, year, last)
    VALUES (${tenant}, ${year}, 1) ON CONFLICT (tenant_id, year) DO UPDATE SET last = ticket_counters.last + 1 RETURNING last`);
  return ticketKey(year, Number(counted.rows[0]?.last));
}

/** What is known at once is kept at once; the signals follow when the store has them. */
async function requestEvidence(tx: Transaction, alert: AlertFinding, key: string, context: TicketContext) {
  const range = evidenceRange(alert, context.policy);
  // The new owner sees nothing of before the transfer, also not in evidence.
  const transferredAt = (await lastTransfers(tx, alert.tenant, [alert.device])).get(alert.device) ?? 0;
  const snapshot = sealSnapshot({
    from: Math.max(range.from, Math.min(transferredAt, range.to)),
    to: range.to,
    onset: alert.onset,
    series: [],
    evidence: { ...alert.evidence, bands: bandsSince(alert.evidence.bands, transferredAt) },
    complete: false,
  });
  await tx.insert(ticketEvidence).values({
    tenant: alert.tenant,
    ticketKey: key,
    canonical: snapshot.canonical,
    sha256: snapshot.sha256,
    complete: false,
    device: alert.device,
    model: alert.model,
    faultKey: alert.faultKey,
    position: alert.position,
    nextAt: context.now,
  });
}

function bandsSince(bands: Evidence['bands'], since: number): Evidence['bands'] {
  return Object.fromEntries(
    Object.entries(bands).map(([signal, points]) => [signal, points.filter((point) => point.at >= since)]),
  );
}

/** Canonical text of a snapshot and the hash that proves it unchanged. */
export function sealSnapshot(snapshot: Omit<EvidenceSnapshot, 'sha256'>): { canonical: string; sha256: string } {
  const canonical = canonicalJson(snapshot);
  return { canonical, sha256: createHash('sha256').update(canonical).digest('hex') };
}

/** The webhook's text is fixed here, so that every delivery of it is the same. */
async function announce(tx: Transaction, tenant: string, ticket: TicketSummary, context: TicketContext): Promise<void> {
  const [centre] = await tx
    .select({ url: centres.webhookUrl })
    .from(centres)
    .where(and(eq(centres.tenant, tenant), eq(centres.id, context.centre)));
  if (!centre?.url) return;
  const body: WebhookBody = {
    type: 'ticket.opened',
    timestamp: new Date(context.now).toISOString(),
    data: { tenant, ticket, evidenceUrl: `${context.publicUrl}/api/v1/tickets/${ticket.key}` },
  };
  await tx.insert(outbox).values({
    id: uuidv7(),
    tenant,
    kind: 'webhook',
    ticketKey: ticket.key,
    centre: context.centre,
    body: JSON.stringify(body),
    // Complete evidence brings it forward.
    nextAt: context.now + context.policy.evidenceWaitMs,
    createdAt: context.now,
  });
}
