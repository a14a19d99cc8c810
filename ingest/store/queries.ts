/** What both stores ask of a query before they run it, so that limits and words are the same. */
import { AppError } from '../../contract/kernel/errors.ts';
import { DEVICE_PATTERN, type DeviceRef, TENANT_PATTERN } from '../../contract/kernel/ids.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import {
  type AggregateQuery,
  type LatestPageQuery,
  type ModelAggregateQuery,
  type RangeQuery,
  ROLL_UP_WIDTHS_MS,
  type SeriesQuery,
} from '../../contract/ports/telemetry-store.ts';
import { MAX_SIGNALS_PER_MODEL } from '../../contract/wire/payloads.ts';

/** Longest range that is given out point by point. */
export const MAX_RAW_RANGE_MS = 31 * DAY_MS;
/** Most points a signal that can be asked for. */
export const MAX_POINTS = 10_000;
/** Most rows of one raw answer: what a reply may hold in memory. */
export const MAX_RAW_ROWS = 500_000;

/** Wider buckets of a down-sampled series take sealed hours and not their minutes. */
export const MINUTES_BELOW_MS = 2 * HOUR_MS;
/** Most buckets of one roll-up answer, over all its signals. */
export const MAX_ROLL_UPS = 200_000;
/** Most buckets of one answer about a model: a day by the minute, two months by the hour. */
export const MAX_MODEL_BUCKETS = 1_500;
/** Most devices of one page. */
export const MAX_LATEST_DEVICES = 1_000;

/** @throws AppError STORE_QUERY_INVALID naming what is wrong */
export function checkRange({ from, to }: Pick<RangeQuery, 'from' | 'to'>): void {
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

/**
 * The query with its range widened to whole buckets.
 * @throws AppError STORE_QUERY_INVALID naming what is wrong
 */
export function wholeBuckets<Q extends AggregateQuery | ModelAggregateQuery>(query: Q): Q {
  checkRange(query);
  const { from, to, bucketMs } = query;
  if (!ROLL_UP_WIDTHS_MS.includes(bucketMs)) {
    throw new AppError('STORE_QUERY_INVALID', `bucketMs is one of ${ROLL_UP_WIDTHS_MS.join(', ')}`);
  }
  const whole = { ...query, from: Math.floor(from / bucketMs) * bucketMs, to: Math.ceil(to / bucketMs) * bucketMs };
  const buckets = (whole.to - whole.from) / bucketMs;
  const [signals, limit] = 'signals' in query ? [query.signals.length, MAX_ROLL_UPS] : [1, MAX_MODEL_BUCKETS];
  if (signals > MAX_SIGNALS_PER_MODEL || buckets * signals > limit) {
    throw new AppError(
      'STORE_QUERY_INVALID',
      `at most ${limit} buckets over all signals; shorten the range, or take wider buckets`,
    );
  }
  return whole;
}

/** @throws AppError STORE_QUERY_INVALID naming what is wrong */
export function checkLatestPage({ limit }: LatestPageQuery): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LATEST_DEVICES) return;
  throw new AppError('STORE_QUERY_INVALID', `limit must be 1 to ${MAX_LATEST_DEVICES}`);
}

/** The answer to a raw query that found too much. */
export function tooManyRows(): AppError {
  return new AppError('STORE_QUERY_INVALID', `over ${MAX_RAW_ROWS} rows; shorten the range or give \`points\``);
}

/** Nothing can be stored for a reference that breaks the grammar; hostile text never reaches a query. */
export function isStorableRef({ tenant, device }: DeviceRef): boolean {
  return TENANT_PATTERN.test(tenant) && DEVICE_PATTERN.test(device);
}
