/**
 * One clock of a ticket as a pure fold: `deadline = f(events, calendar, policy)`. Nothing is kept that the events do not say,
 * so a changed policy or calendar is counted anew from the same events, and a restart changes nothing. A clock has cycles:
 * what was reopened runs again.
 */
import type { TicketState } from '../../../contract/http/resources.ts';
import { type ClockId, effectOn, type ServiceEvent } from './events.ts';
import type { ServiceLevelPolicy } from './policy.ts';
import type { Span, WorkingTime } from './working-time.ts';

/** A stretch of one cycle in which the clock ran, or stood still for a reason. */
export interface Stretch {
  readonly from: number;
  /** Absent: it lasts. */
  readonly until: number | undefined;
  /** Absent: it runs. */
  readonly pausedFor: string | undefined;
}

export interface Cycle {
  readonly startedAt: number;
  /** Absent: it is still open. */
  readonly endedAt: number | undefined;
  readonly ended: 'stopped' | 'cancelled' | undefined;
  /** Without holes from the start to the end. */
  readonly stretches: readonly Stretch[];
  /** Of the calendar's time. */
  readonly targetMs: number;
}

/** Why a piece of time counted towards a target, or did not. */
export interface ListedSpan extends Span {
  readonly counted: boolean;
  /** Why not. */
  readonly reason: string | undefined;
}

interface Pausing {
  readonly reason: string;
  readonly capMs: number;
}

interface OpenCycle {
  startedAt: number;
  targetMs: number;
  stretches: Stretch[];
  /** State of the ticket that pauses the clock, and since when. */
  waiting: { readonly state: TicketState; readonly since: number } | undefined;
  /** End of the last stretch. */
  reached: number;
  /** Pause taken so far, in the calendar's time, by state. */
  readonly paused: Map<TicketState, number>;
}

export interface ClockRules {
  readonly clock: ClockId;
  /** Of the calendar's time; the clock `quote` takes its target from the quote instead. */
  readonly targetMs: number;
  readonly pauses: ServiceLevelPolicy['pauses'];
  readonly time: WorkingTime;
}

/**
 * All cycles of a clock, oldest first; the last one may be open.
 * @param events by time; several of one moment in the order in which they happened
 */
export function foldClock(rules: ClockRules, events: readonly ServiceEvent[]): readonly Cycle[] {
  const pauses = new Map<TicketState, Pausing>(
    rules.pauses.map(({ state, reason, capMs = Number.POSITIVE_INFINITY }) => [state, { reason, capMs }]),
  );
  const done: Cycle[] = [];
  let open: OpenCycle | undefined;
  let waitingIn: TicketState | undefined;
  let started = false;
  for (const event of events) {
    const effect = effectOn(rules.clock, event, started);
    started ||= event.kind === 'accepted' || (event.kind === 'opened' && !event.preemptive);
    waitingIn = waitingAfter(event, waitingIn, pauses);
    if (open && (effect === 'stop' || effect === 'cancel')) {
      done.push(close(open, event.at, effect === 'stop' ? 'stopped' : 'cancelled', pauses, rules.time));
      open = undefined;
    }
    // A clock that runs is not started again: the first promise counts.
    if (!open && effect === 'start') open = begin(rules, event);
    if (open) wait(open, waitingIn, event.at, pauses, rules.time);
  }
  return open ? [...done, view(open, undefined, undefined, pauses, rules.time)] : done;
}

function begin(rules: ClockRules, event: ServiceEvent): OpenCycle {
  const targetMs = event.kind === 'quoteAuthorised' ? event.durationMs : rules.targetMs;
  return { startedAt: event.at, targetMs, stretches: [], waiting: undefined, reached: event.at, paused: new Map() };
}

/** The pausing state that the ticket is in after `event`. A customer who writes is not waited for any more. */
function waitingAfter(
  event: ServiceEvent,
  before: TicketState | undefined,
  pauses: ReadonlyMap<TicketState, Pausing>,
): TicketState | undefined {
  if (event.kind === 'moved') return pauses.has(event.to) ? event.to : undefined;
  if (event.kind === 'customerWrote' && before === 'awaiting_customer') return undefined;
  return before;
}

function wait(
  cycle: OpenCycle,
  state: TicketState | undefined,
  at: number,
  pauses: ReadonlyMap<TicketState, Pausing>,
  time: WorkingTime,
): void {
  if (cycle.waiting?.state === state) return;
  settle(cycle, at, pauses, time);
  cycle.waiting = state === undefined ? undefined : { state, since: at };
}

/** Writes down what was since the last change: running, or paused up to the cap and running beyond it. */
function settle(cycle: OpenCycle, at: number, pauses: ReadonlyMap<TicketState, Pausing>, time: WorkingTime): void {
  if (at <= cycle.reached) return;
  cycle.stretches.push(...stretchesSince(cycle, at, pauses, time));
  const { waiting } = cycle;
  if (waiting) {
    const used = cycle.paused.get(waiting.state) ?? 0;
    cycle.paused.set(waiting.state, used + time.between(waiting.since, at));
  }
  cycle.reached = at;
}

function stretchesSince(
  { waiting, reached, paused }: OpenCycle,
  until: number | undefined,
  pauses: ReadonlyMap<TicketState, Pausing>,
  time: WorkingTime,
): Stretch[] {
  const pausing = waiting && pauses.get(waiting.state);
  if (!waiting || !pausing) return [{ from: reached, until, pausedFor: undefined }];
  const left = Math.max(0, pausing.capMs - (paused.get(waiting.state) ?? 0));
  const capAt = left === Number.POSITIVE_INFINITY ? undefined : time.after(reached, left);
  if (capAt === undefined || (until !== undefined && capAt >= until)) {
    return [{ from: reached, until, pausedFor: pausing.reason }];
  }
  const running: Stretch = { from: capAt, until, pausedFor: undefined };
  return capAt > reached ? [{ from: reached, until: capAt, pausedFor: pausing.reason }, running] : [running];
}

function close(
  cycle: OpenCycle,
  at: number,
  ended: 'stopped' | 'cancelled',
  pauses: ReadonlyMap<TicketState, Pausing>,
  time: WorkingTime,
): Cycle {
  settle(cycle, at, pauses, time);
  return { startedAt: cycle.startedAt, endedAt: at, ended, stretches: cycle.stretches, targetMs: cycle.targetMs };
}

function view(
  cycle: OpenCycle,
  endedAt: undefined,
  ended: undefined,
  pauses: ReadonlyMap<TicketState, Pausing>,
  time: WorkingTime,
): Cycle {
  const stretches = [...cycle.stretches, ...stretchesSince(cycle, undefined, pauses, time)];
  return { startedAt: cycle.startedAt, endedAt, ended, stretches, targetMs: cycle.targetMs };
}

/** Counted ms of a cycle up to `at`. */
export function elapsedMs(cycle: Cycle, at: number, time: WorkingTime): number {
  return cycle.stretches.reduce((sum, { from, until = at, pausedFor }) => {
    return pausedFor === undefined ? sum + time.between(from, Math.min(until, at)) : sum;
  }, 0);
}

/**
 * The first moment at which `countedMs` have been counted, as things stand. `undefined` when that does not come: the cycle
 * ended before, it stands still, or the calendar has no more working time.
 */
export function momentOf(cycle: Cycle, countedMs: number, time: WorkingTime): number | undefined {
  let left = countedMs;
  for (const { from, until, pausedFor } of cycle.stretches) {
    if (pausedFor !== undefined) continue;
    if (until === undefined) return time.after(from, left);
    const counted = time.between(from, until);
    if (counted >= left) return time.after(from, left);
    left -= counted;
  }
  return undefined;
}

/**
 * Why the target is when it is: every piece of [start, until), counted or not, with the reason. At most `limit` pieces.
 */
export function listSpans(cycle: Cycle, until: number, time: WorkingTime, limit: number): readonly ListedSpan[] {
  const listed: ListedSpan[] = [];
  for (const stretch of cycle.stretches) {
    const from = stretch.from;
    const end = Math.min(stretch.until ?? until, until);
    if (end <= from || listed.length >= limit) continue;
    if (stretch.pausedFor !== undefined) listed.push({ from, until: end, counted: false, reason: stretch.pausedFor });
    else
      for (const { idle, ...span } of time.pieces(from, end, limit - listed.length)) {
        listed.push({ ...span, counted: idle === undefined, reason: idle });
      }
  }
  return listed.slice(0, limit);
}
