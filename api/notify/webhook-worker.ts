/**
 * Delivers webhooks from the outbox, signed by Standard Webhooks. The id stays the same over all tries, so that a
 * receiver can drop repetitions; every try is recorded.
 */
import { and, asc, eq, lte, sql } from 'drizzle-orm';
import { Webhook } from 'standardwebhooks';
import { errorText } from '../../contract/kernel/errors.ts';
import { type RetryPolicy, retryDelayMs } from '../../contract/kernel/retry.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import type { Clock, Logger, Metrics } from '../../contract/ports/services.ts';
import type { KeyRing } from '../accounts/key-ring.ts';
import type { Database } from '../db/database.ts';
import { centres, deliveries, outbox, tickets } from '../db/schema.ts';
import { createPollingWorker, type PollingWorker } from '../polling-worker.ts';
import { appendTicketEvent, SYSTEM_ACTOR } from '../tickets/ticket-events.ts';
import { type DeliveryOutcome, type OutboundRules, postWebhook } from './post-webhook.ts';
import { openWebhookSecret } from './webhook-secrets.ts';

export interface WebhookDeps {
  readonly database: Database;
  readonly webhookKeys: KeyRing;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface WebhookOptions extends OutboundRules {
  /** Waiting between tries; from 1 s up to 1 h. */
  readonly retry?: RetryPolicy;
  /** A message that could not be delivered for so long is given up; 3 days. */
  readonly maxAgeMs?: number;
}

const DEFAULT_WEBHOOK_RETRY: RetryPolicy = { firstDelayMs: 1_000, maxDelayMs: HOUR_MS, factor: 2 };
const BATCH = 8;
const IDLE_MS = 1_000;
/** A message taken by a process that then died is taken again after this. */
const LEASE_MS = 60_000;
const MAX_ERROR_CHARS = 300;

type Message = typeof outbox.$inferSelect;

export function createWebhookWorker(deps: WebhookDeps, options: WebhookOptions): PollingWorker {
  const retry = options.retry ?? DEFAULT_WEBHOOK_RETRY;
  const maxAgeMs = options.maxAgeMs ?? 3 * DAY_MS;

  return createPollingWorker('webhooks', deps.logger, async () => {
    const due = await lease();
    await Promise.all(due.map((message) => deliver(message)));
    return due.length === BATCH ? 0 : IDLE_MS;
  });

  /** Takes due messages: their next try moves away first, so that no other process takes them as well. */
  function lease(): Promise<Message[]> {
    return deps.database.withSystem(async (tx) => {
      const now = deps.clock.now();
      const due = await tx
        .select()
        .from(outbox)
        .where(and(eq(outbox.state, 'pending'), lte(outbox.nextAt, now)))
        .orderBy(asc(outbox.nextAt))
        .limit(BATCH)
        .for('update', { skipLocked: true });
      for (const message of due) {
        await tx
          .update(outbox)
          .set({ nextAt: now + LEASE_MS, attempts: message.attempts + 1 })
          .where(eq(outbox.id, message.id));
      }
      return due.map((message) => ({ ...message, attempts: message.attempts + 1 }));
    });
  }

  async function deliver(message: Message): Promise<void> {
    const startedAt = deps.clock.now();
    const outcome = await send(message);
    const now = deps.clock.now();
    const givenUp = outcome.kind === 'refused' || (outcome.kind === 'retriable' && now - message.createdAt > maxAgeMs);
    const state = outcome.kind === 'delivered' ? 'delivered' : givenUp ? 'failed' : 'pending';
    deps.metrics.count('presage_webhook_deliveries_total', 'Tries to deliver a webhook', { outcome: outcome.kind });
    if (state === 'failed') {
      deps.logger.error({ ticket: message.ticketKey, centre: message.centre, outcome }, 'a webhook was given up');
    }
    await deps.database.withSystem(async (tx) => {
      await tx
        .insert(deliveries)
        .values({
          tenant: message.tenant,
          outboxId: message.id,
          attempt: message.attempts,
          at: startedAt,
          status: outcome.status ?? null,
          error: outcome.kind === 'delivered' ? null : outcome.error.slice(0, MAX_ERROR_CHARS),
          durationMs: Math.round(now - startedAt),
        })
        .onConflictDoNothing();
      const nextAt = now + retryDelayMs(message.attempts, Math.random(), retry);
      await tx.update(outbox).set({ state, nextAt }).where(eq(outbox.id, message.id));
      const { ticketKey } = message;
      if (state === 'pending' || ticketKey === null) return;
      await tx.execute(
        sql`SELECT 1 FROM ${tickets} WHERE ${tickets.tenant} = ${message.tenant} AND ${tickets.key} = ${ticketKey} FOR UPDATE`,
      );
      await appendTicketEvent(tx, {
        tenant: message.tenant,
        ticketKey,
        at: now,
        actor: SYSTEM_ACTOR,
        type: 'webhook',
        reason: state === 'delivered' ? 'the centre was told' : 'the centre could not be told',
        facts: { centre: message.centre, attempts: message.attempts, ...statusOf(outcome) },
      });
    });
  }

  async function send(message: Message): Promise<DeliveryOutcome> {
    const [centre] = await deps.database.withSystem((tx) =>
      tx
        .select({ url: centres.webhookUrl, secret: centres.webhookSecret })
        .from(centres)
        .where(and(eq(centres.tenant, message.tenant), eq(centres.id, message.centre))),
    );
    if (!centre?.url || !centre.secret) return { kind: 'refused', error: 'the centre has no webhook any more' };
    const opened = openWebhookSecret(centre.secret, message, deps.webhookKeys);
    // The key may come back (a restored folder): the message waits for it as for a receiver that is away.
    if (opened.kind === 'unreadable') return { kind: 'retriable', error: opened.reason };
    try {
      const timestamp = new Date(deps.clock.now());
      const headers = {
        'content-type': 'application/json',
        'user-agent': 'presage-webhook/1',
        'webhook-id': message.id,
        'webhook-timestamp': String(Math.floor(timestamp.getTime() / 1000)),
        'webhook-signature': new Webhook(opened.secret).sign(message.id, timestamp, message.body),
      };
      return await postWebhook(centre.url, headers, message.body, options);
    } catch (error) {
      // A secret that is not base64 or a URL that does not parse: another try would fail the same way.
      return { kind: 'refused', error: errorText(error) };
    }
  }
}

function statusOf(outcome: DeliveryOutcome): { status?: number; error?: string } {
  return {
    ...(outcome.status === undefined ? {} : { status: outcome.status }),
    ...(outcome.kind === 'delivered' ? {} : { error: outcome.error.slice(0, MAX_ERROR_CHARS) }),
  };
}
