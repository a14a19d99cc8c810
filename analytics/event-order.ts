/**
 * Puts the samples of one device back into the order of its own clock before they are scored. A sample waits on the
 * server's clock for as long as this device has lately needed to bring a straggler: a device that keeps its order waits
 * not at all, so its alerts come no later. All that counts stands in the log, so a replay decides the same.
 */
import type { SignalValue } from '../contract/wire/payloads.ts';

/** A sample that may have to wait; plain JSON. */
export interface OrderedSample {
  /** Unique on the device: boot, sequence number and index. */
  readonly identity: string;
  readonly seq: number;
  readonly index: number;
  /** Device clock. */
  readonly observedAt: number;
  /** Server clock. */
  readonly receivedAt: number;
  /** Position in the telemetry log. */
  readonly position: number;
  readonly signals: Readonly<Record<string, SignalValue>>;
}

export interface OrderLimits {
  /** Every sample of every device waits at least so long. */
  readonly minBoundMs: number;
  /** Stragglers that come later than this are given up: nobody waits longer. */
  readonly maxBoundMs: number;
  /** Without a straggler of at least half the bound for so long, the bound is halved. */
  readonly calmMs: number;
  /** Samples of one device that wait; beyond, the oldest are scored at once. */
  readonly maxWaiting: number;
}

export const DEFAULT_ORDER: OrderLimits = {
  minBoundMs: 0,
  maxBoundMs: 60_000,
  calmMs: 24 * 3_600_000,
  maxWaiting: 128,
};

/** What is remembered of a device's order; plain JSON. */
export interface OrderState {
  /** How long a sample waits for what should have come before it. */
  boundMs: number;
  /** Server time since when no straggler has needed the bound. */
  calmSince: number;
  /** Pairs [server time, newest device time that came from then on]: when was a straggler overtaken? */
  readonly marks: number[];
  /** Oldest first. */
  readonly waiting: OrderedSample[];
}

export interface Arrival {
  /** To be scored now, in this order. Those older than what was scored before came too late; the scorer counts them. */
  readonly ready: readonly OrderedSample[];
  /** Samples behind a newer one that still find their place. */
  readonly reordered: number;
  /** Samples of `ready` that should have waited longer: there were too many. */
  readonly hurried: number;
}

/** So many marks cover a little more than the longest bound. */
const MAX_MARKS = 16;
/** What one straggler needed, the next may exceed. */
const MARGIN = 1.5;
/** A bound below this is given up rather than halved. */
const LEAST_BOUND_MS = 1_000;

export function initOrder(limits: OrderLimits, now: number): OrderState {
  return { boundMs: limits.minBoundMs, calmSince: now, marks: [], waiting: [] };
}

/**
 * Takes in the samples of one message, in any order, received at `now`; says what is to be scored. `scoredUpTo` is the
 * device time of the newest scored sample, −Infinity when there is none.
 */
export function arrive(
  order: OrderState,
  samples: readonly OrderedSample[],
  now: number,
  scoredUpTo: number,
  limits: OrderLimits,
): Arrival {
  const newest = order.marks.at(-1) ?? Number.NEGATIVE_INFINITY;
  const sorted = samples.length > 1 ? [...samples].sort(byEventTime) : samples;
  const last = sorted.at(-1);
  if (last) mark(order.marks, now, Math.max(newest, last.observedAt), limits);
  const isOrderly = order.boundMs === 0 && order.waiting.length === 0;
  // Nearly every message ends here.
  if (isOrderly && (sorted[0]?.observedAt ?? newest) >= Math.max(newest, scoredUpTo)) {
    return { ready: sorted, reordered: 0, hurried: 0 };
  }
  const ready = takeDue(order, now);
  let upTo = ready.at(-1)?.observedAt ?? scoredUpTo;
  calmDown(order, now, limits);
  let reordered = 0;
  for (const sample of sorted) {
    const straggles = sample.observedAt < newest;
    if (straggles) noteStraggler(order, sample.observedAt, now, limits);
    if (sample.observedAt < upTo) {
      ready.push(sample);
    } else if (order.boundMs === 0 && order.waiting.length === 0) {
      ready.push(sample);
      upTo = sample.observedAt;
    } else {
      insert(order.waiting, sample);
      if (straggles) reordered++;
    }
  }
  const hurried = Math.max(0, order.waiting.length - limits.maxWaiting);
  if (hurried > 0) ready.push(...order.waiting.splice(0, hurried));
  return { ready, reordered, hurried };
}

/**
 * Takes out what has waited long enough at `now`, oldest first. With `slackMs` the answer does not depend on when it is
 * asked: a message that is received within the bound and logged within the slack still comes in time.
 */
export function takeDue(order: OrderState, now: number, slackMs = 0): OrderedSample[] {
  const { waiting, boundMs } = order;
  // Everything older than a sample whose time is up goes before it. A server clock that was set back ends the wait too.
  for (let i = waiting.length - 1; i >= 0; i--) {
    if (Math.abs(now - (waiting[i] as OrderedSample).receivedAt) > boundMs + slackMs) return waiting.splice(0, i + 1);
  }
  return [];
}

/** By device time, then by the device's own count: arrival plays no part. */
function byEventTime(a: OrderedSample, b: OrderedSample): number {
  return (
    a.observedAt - b.observedAt ||
    a.seq - b.seq ||
    a.index - b.index ||
    (a.identity < b.identity ? -1 : Number(a.identity > b.identity))
  );
}

function insert(waiting: OrderedSample[], sample: OrderedSample): void {
  let at = waiting.length;
  while (at > 0 && byEventTime(waiting[at - 1] as OrderedSample, sample) > 0) at--;
  waiting.splice(at, 0, sample);
}

/** Raises the bound to what this straggler would have needed, unless that is more than anybody waits. */
function noteStraggler(order: OrderState, observedAt: number, now: number, limits: OrderLimits): void {
  const { marks } = order;
  let i = 0;
  while (i < marks.length && (marks[i + 1] as number) <= observedAt) i += 2;
  const overtakenMs = now - (marks[i] ?? now);
  // Old data after an outage, or replayed with its old receive time: waiting would not have helped, nothing is learned.
  if (overtakenMs < 0 || overtakenMs > limits.maxBoundMs) return;
  const needed = Math.min(limits.maxBoundMs, Math.max(LEAST_BOUND_MS, Math.ceil(overtakenMs * MARGIN)));
  if (needed < order.boundMs / 2) return;
  order.boundMs = Math.max(order.boundMs, needed);
  order.calmSince = now;
}

function calmDown(order: OrderState, now: number, limits: OrderLimits): void {
  if (order.boundMs <= limits.minBoundMs || now - order.calmSince < limits.calmMs) return;
  const halved = order.boundMs / 2 < LEAST_BOUND_MS ? 0 : order.boundMs / 2;
  order.boundMs = Math.max(limits.minBoundMs, halved);
  order.calmSince = now;
}

/** Marks lie so far apart that they span the longest bound; one keeps the newest time that came until the next. */
function mark(marks: number[], now: number, newest: number, limits: OrderLimits): void {
  const spacingMs = limits.maxBoundMs / (MAX_MARKS - 2);
  const since = now - (marks.at(-2) ?? Number.NEGATIVE_INFINITY);
  if (since >= 0 && since < spacingMs) {
    marks[marks.length - 1] = newest;
    return;
  }
  marks.push(now, newest);
  if (marks.length > 2 * MAX_MARKS) marks.splice(0, 2);
}
