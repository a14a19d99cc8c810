/** Durations in milliseconds and the words users write for them. All times are epoch milliseconds in UTC. */
import { AppError } from './errors.ts';

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/** Earliest device time that is believed: 2000-01-01. Earlier means seconds sent as milliseconds, or an unset clock. */
export const EARLIEST_DEVICE_TIME_MS = 946_684_800_000;
/** A sample further ahead of the server's clock than this is quarantined. */
export const MAX_FUTURE_MS = 5 * MINUTE_MS;
/** Clock skew beyond this is flagged on the device. */
export const SKEW_FLAG_MS = 60 * SECOND_MS;

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS };

/**
 * Milliseconds of a duration such as `250ms`, `30s`, `10m`, `1h`, `2d`, `1.5h`.
 * @throws AppError CONFIG_INVALID naming the text when it is anything else
 * @example parseDuration('1.5h') // => 5400000
 */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  const unitMs = UNIT_MS[match?.[2] ?? ''];
  if (!match || unitMs === undefined) {
    throw new AppError('CONFIG_INVALID', `"${text}" is not a duration; write for example 250ms, 30s, 10m, 1h or 2d`);
  }
  return Number(match[1]) * unitMs;
}

/**
 * A duration in the two largest units that matter.
 * @example formatDuration(93_600_000) // => '1d 2h'
 */
export function formatDuration(ms: number): string {
  if (ms < SECOND_MS) return `${Math.round(ms)}ms`;
  let restSeconds = Math.round(ms / SECOND_MS);
  const parts: string[] = [];
  for (const [unit, seconds] of [
    ['d', 86_400],
    ['h', 3_600],
    ['m', 60],
    ['s', 1],
  ] as const) {
    const count = Math.floor(restSeconds / seconds);
    restSeconds -= count * seconds;
    if (count > 0) parts.push(`${count}${unit}`);
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}
