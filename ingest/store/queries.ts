/** What both stores ask of a query before they run it, so that limits and words are the same. */
import { AppError } from '../../contract/kernel/errors.ts';
import { DEVICE_PATTERN, type DeviceRef, TENANT_PATTERN } from '../../contract/kernel/ids.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { RangeQuery, SeriesQuery } from '../../contract/ports/telemetry-store.ts';
import { MAX_SIGNALS_PER_MODEL } from '../../contract/wire/payloads.ts';

/** Longest range that is given out point by point. */
export const MAX_RAW_RANGE_MS = 31 * DAY_MS;
/** Most points a signal that can be asked for. */
export const MAX_POINTS = 10_000;
/** Most rows of one raw answer: what a reply may hold in memory. */
export const MAX_RAW_ROWS = 500_000;

/** @throws AppError STORE_QUERY_INVALID naming what is wrong */
export function checkRange({ from, to }: RangeQuery): void {
  if (!Number.isInteger(from) || !Number.isInteger(to)) {
    throw new AppError('STORE_QUERY_INVALID', 'from and to are whole epoch milliseconds');
  }
}

/** @throws AppError STORE_QUERY_INVALID naming what is wrong */
export function checkSeries(query: SeriesQuery): void {
  checkRange(query);
  if (query.signals.length > MAX_SIGNALS_PER_MODEL) {
    throw new AppError('STORE_QUERY_INVALID', `at most ${MAX_SIGNALS_PER_MODEL} signals at once`);
  }
  if (query.points === undefined) {
    if (query.to - query.from <= MAX_RAW_RANGE_MS) return;
    throw new AppError('STORE_QUERY_INVALID', 'a raw range is at most 31 days; give `points` to down-sample');
  }
  if (!Number.isInteger(query.points) || query.points < 2 || query.points > MAX_POINTS) {
    throw new AppError('STORE_QUERY_INVALID', `points must be 2 to ${MAX_POINTS}`);
  }
}

/** The answer to a raw query that found too much. */
export function tooManyRows(): AppError {
  return new AppError('STORE_QUERY_INVALID', `over ${MAX_RAW_ROWS} rows; shorten the range or give \`points\``);
}

/** Nothing can be stored for a reference that breaks the grammar; hostile text never reaches a query. */
export function isStorableRef({ tenant, device }: DeviceRef): boolean {
  return TENANT_PATTERN.test(tenant) && DEVICE_PATTERN.test(device);
}
