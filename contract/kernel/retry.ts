/** The one retry policy: exponential back-off with full jitter. Callers bring the randomness and the waiting. */
export interface RetryPolicy {
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  readonly factor: number;
}

export const DEFAULT_RETRY: RetryPolicy = { firstDelayMs: 200, maxDelayMs: 30_000, factor: 2 };

/**
 * How long to wait before try number `attempt` (1 = first retry). `random` in [0, 1).
 * @example retryDelayMs(1, 0.5) // => 150
 */
export function retryDelayMs(attempt: number, random: number, policy: RetryPolicy = DEFAULT_RETRY): number {
  const ceiling = Math.min(policy.maxDelayMs, policy.firstDelayMs * policy.factor ** (attempt - 1));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}

/** Whether an HTTP answer with this status may be followed by another try (RFC 9110: 408, 425, 429, 5xx). */
export function isRetriableStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || (status >= 500 && status !== 501);
}
