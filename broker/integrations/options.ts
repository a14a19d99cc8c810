/** Limits of integrations. Each has a unit, a default and the reason for it; `docs/broker.md` shows them to users. */
import type { Pace } from '../bucket.ts';

export interface IntegrationOptions {
  /** Sessions of one integration, with and without a connection: a few programs of one customer. */
  readonly maxSessionsPerIntegration: number;
  /** Of all integrations together. */
  readonly maxSessions: number;
  /** A session without a connection is forgotten after this long. */
  readonly sessionExpiryMs: number;
  /** Filters of one session. */
  readonly maxFilters: number;
  /** Messages that wait for one session; beyond that the oldest leave, counted. */
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
  /** Bytes that wait for all sessions together. */
  readonly maxQueuedBytesInAll: number;
  /** Messages sent to a session and not acknowledged. */
  readonly maxInFlight: number;
  /** Unreleased QoS 2 publishes of a session. */
  readonly maxIncoming: number;
  /** Retained messages that wait for a session: as many as there may be. */
  readonly maxReplays: number;
  /** What the integrations of one tenant may retain on their own topics. */
  readonly maxRetainedPerTenant: number;
  readonly maxRetainedBytesPerTenant: number;
  /** Publishes of one connection; beyond that it is read only at this pace. */
  readonly pace: Pace;
  /** Logins of one integration with the right secret. */
  readonly loginPace: Pace;
  /** A socket that takes nothing for that long is closed. */
  readonly drainTimeoutMs: number;
  readonly maxWillBytes: number;
}

export const DEFAULT_INTEGRATION_OPTIONS: IntegrationOptions = {
  maxSessionsPerIntegration: 8,
  maxSessions: 500,
  sessionExpiryMs: 24 * 60 * 60 * 1_000,
  maxFilters: 20,
  maxQueuedMessages: 10_000,
  maxQueuedBytes: 4 * 1024 * 1024,
  maxQueuedBytesInAll: 64 * 1024 * 1024,
  maxInFlight: 100,
  maxIncoming: 100,
  maxReplays: 40_000,
  maxRetainedPerTenant: 1_000,
  maxRetainedBytesPerTenant: 4 * 1024 * 1024,
  pace: { perSecond: 50, burst: 250 },
  loginPace: { perSecond: 1, burst: 60 },
  drainTimeoutMs: 3_000,
  maxWillBytes: 4 * 1024,
};
