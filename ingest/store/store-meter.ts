/** Metrics that every telemetry store counts the same way. */
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import type { Metrics } from '../../contract/ports/services.ts';
import type { RejectedSample, TakenFromLog } from '../../contract/ports/telemetry-store.ts';

export type StoreEngine = 'embedded' | 'influx';

type Written = readonly RejectedSample[] | TakenFromLog;

function isTaken(written: Written): written is TakenFromLog {
  return 'rejected' in written;
}

/** Counts a write: its time, what it refused, or that it failed. Rethrows. */
export async function meterWrite<T extends Written>(
  metrics: Metrics,
  engine: StoreEngine,
  write: () => Promise<T>,
): Promise<T> {
  const startedAt = performance.now();
  try {
    const written = await write();
    const rejected: readonly RejectedSample[] = isTaken(written) ? written.rejected : written;
    const seconds = (performance.now() - startedAt) / 1_000;
    metrics.count('presage_store_batches_total', 'Batches written to the telemetry store', { engine });
    metrics.count('presage_store_write_seconds_total', 'Time spent writing to the store', { engine }, seconds);
    if (rejected.length > 0) {
      metrics.count('presage_store_rejected_total', 'Samples that the store refused', { engine }, rejected.length);
    }
    return written;
  } catch (error) {
    metrics.count('presage_store_write_errors_total', 'Writes that failed and are tried again', { engine });
    throw error;
  }
}

/** The error as STORE_UNAVAILABLE, unless it is one of the catalogue already. */
export function asUnavailable(error: unknown): AppError {
  return error instanceof AppError ? error : new AppError('STORE_UNAVAILABLE', errorText(error), { cause: error });
}
