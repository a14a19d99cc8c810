/** Applies the retention times of a telemetry store from time to time, an hour of data a step, oldest first. */
import { errorText } from '../../contract/kernel/errors.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import type { Clock, Logger, Metrics, Service } from '../../contract/ports/services.ts';
import type { TelemetryRetention } from '../../contract/ports/telemetry-store.ts';

export interface RetentionTimes {
  /** Days that raw samples are kept, by device time and by receipt; 0 keeps them for ever. */
  readonly rawDays: number;
  /** Days that minute roll-ups are kept; 0 keeps them for ever. */
  readonly minuteDays: number;
}

export interface RetentionNeeds {
  readonly store: TelemetryRetention;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

const FIRST_AFTER_MS = MINUTE_MS;
const EVERY_MS = HOUR_MS;

/** Runs a minute after `start` and then every hour. `stop` ends it after the step that runs. */
export function createRetentionJob(needs: RetentionNeeds, times: RetentionTimes): Service {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let stopping = false;
  const plan = (afterMs: number): void => {
    timer = setTimeout(() => {
      running = applyRetention(needs, times, () => stopping).finally(() => {
        if (!stopping) plan(EVERY_MS);
      });
    }, afterMs).unref();
  };
  return {
    async start() {
      if (timer || times.rawDays === 0) return;
      stopping = false;
      plan(FIRST_AFTER_MS);
    },
    async stop() {
      stopping = true;
      clearTimeout(timer);
      timer = undefined;
      await running;
    },
  };
}

/** One run. A step that fails ends it: the next run goes on where this one stopped. */
export async function applyRetention(
  { store, clock, logger, metrics }: RetentionNeeds,
  { rawDays, minuteDays }: RetentionTimes,
  isStopping: () => boolean = () => false,
): Promise<void> {
  const now = clock.now();
  const cut = {
    rawBefore: now - rawDays * DAY_MS,
    minutesBefore: minuteDays === 0 ? 0 : now - minuteDays * DAY_MS,
  };
  try {
    while (!isStopping()) {
      const samples = await store.retain(cut);
      if (samples === undefined) return;
      const help = 'Samples that became roll-ups and were deleted by the retention time';
      metrics.count('presage_store_retained_samples_total', help, {}, samples);
    }
  } catch (error) {
    metrics.count('presage_store_retention_errors_total', 'Runs of the retention job that failed');
    logger.warn({ error: errorText(error) }, 'retention stopped; the next run goes on');
  }
}
