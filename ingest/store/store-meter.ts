/** Metrics that every telemetry store counts the same way. */
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import type { Metrics } from '../../contract/ports/services.ts';
import type { RejectedSample } from '../../contract/ports/telemetry-store.ts';

export type StoreEngine = 'embedded' | 'influx';

/** Counts a write: its time, what it refused, or that it failed. Rethrows. */
export async function meterWrite(
  metrics: Metrics,
  engine: StoreEngine,
  write: () => Promise<readonly RejectedSample[]>,
): Promise<readonly RejectedSample[]> {
  const startedAt = performance.now();
  try {
    const rejected = await write();
    const seconds = (performance.now() - startedAt) / 1_000;
    metrics.count('presage_store_batches_total', 'Batches written to the telemetry store', { engine });
    metrics.count('presage_store_write_seconds_total', 'Time spent writing to the store', { engine }, seconds);
    if (rejected.length > 0) {
      metrics.count('presage_store_rejected_total', 'Samples that the store refused', { engine }, rejected.length);
    }
    return rejected;
  } catch (error) {
    metrics.count('presage_store_write_errors_total', 'Writes that failed and are tried again', { engine });
    throw error;
  }
}

/** The error as STORE_UNAVAILABLE, unless it is one of the catalogue already. */
export function asUnavailable(error: unknown): AppError {
  return error instanceof AppError ? error : new AppError('STORE_UNAVAILABLE', errorText(error), { cause: error });
}
