/**
 * How good the data of one device is: what it left out, what came late, what was refused, and whether its clock is right.
 * Older messages count less and less, so that a device which was repaired gets its good score back. Pure.
 */
import type { DataQuality } from '../contract/http/resources.ts';
import { SKEW_FLAG_MS } from '../contract/kernel/time.ts';

/** When so many messages are counted, all counts are halved: the score speaks of the last several thousand. */
const HALVE_AFTER_MESSAGES = 10_000;
/** The clock is judged by the message that came with the least delay among so many. */
const CLOCK_MESSAGES = 32;
const LATE_WEIGHT = 0.25;
const SKEW_PENALTY = 0.2;

/** Counts of one device. Mutable: they are touched with every message. */
export interface QualityCounts {
  messages: number;
  /** Sequence numbers that had not come when a newer one did. */
  missing: number;
  late: number;
  /** Messages of which something was refused. */
  refused: number;
  /** Device clock minus ours, by the last whole group of messages; `undefined` before the first. */
  skewMs: number | undefined;
  /** The group that is being looked at: how many, and the largest difference so far. */
  clockMessages: number;
  clockMaxMs: number;
}

export function newQuality(): QualityCounts {
  return {
    messages: 0,
    missing: 0,
    late: 0,
    refused: 0,
    skewMs: undefined,
    clockMessages: 0,
    clockMaxMs: Number.NEGATIVE_INFINITY,
  };
}

/** Counts an accepted message. */
export function countMessage(counts: QualityCounts, late: boolean, gapBefore: number): void {
  counts.messages++;
  counts.missing += gapBefore;
  if (late) counts.late++;
  if (counts.messages >= HALVE_AFTER_MESSAGES) halve(counts);
}

/**
 * Looks at a device's clock by a message that is not backfill; `deviceTime` is its newest time. Returns whether the clock has
 * just become one that is wrong. Every message takes some time to arrive, so the largest difference is nearest to the truth.
 */
export function watchClock(counts: QualityCounts, deviceTime: number, receivedAt: number): boolean {
  counts.clockMaxMs = Math.max(counts.clockMaxMs, deviceTime - receivedAt);
  if (++counts.clockMessages < CLOCK_MESSAGES) return false;
  const wasSkewed = isSkewed(counts);
  counts.skewMs = counts.clockMaxMs;
  counts.clockMessages = 0;
  counts.clockMaxMs = Number.NEGATIVE_INFINITY;
  return isSkewed(counts) && !wasSkewed;
}

function isSkewed({ skewMs }: QualityCounts): boolean {
  return skewMs !== undefined && Math.abs(skewMs) > SKEW_FLAG_MS;
}

function halve(counts: QualityCounts): void {
  counts.messages = Math.round(counts.messages / 2);
  counts.missing = Math.round(counts.missing / 2);
  counts.late = Math.round(counts.late / 2);
  counts.refused = Math.round(counts.refused / 2);
}

/**
 * 1 = all there, in time, accepted, by a right clock. The share of what should have been and is not, or was refused, is taken
 * off; a late message costs a quarter of a lost one; a wrong clock costs 0.2. A gap that was filled later counts as late.
 * @example dataQuality({ ...newQuality(), messages: 90, missing: 10 }).score // => 0.9
 */
export function dataQuality(counts: QualityCounts): DataQuality {
  const { messages, late, refused, skewMs } = counts;
  const gaps = Math.max(0, counts.missing - late);
  const expected = messages + gaps + refused;
  const share = expected === 0 ? 0 : (gaps + refused + LATE_WEIGHT * late) / expected;
  const clockSkewed = isSkewed(counts);
  const score = Math.max(0, 1 - share - (clockSkewed ? SKEW_PENALTY : 0));
  return {
    score: Math.round(score * 1_000) / 1_000,
    messages,
    gaps,
    late,
    quarantined: refused,
    clockSkewed,
    ...(skewMs === undefined ? {} : { clockSkewMs: skewMs }),
  };
}
