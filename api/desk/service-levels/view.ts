/**
 * A ticket's clocks as people and other tools read them. Fields are called as Jira Service Management calls them
 * (`ongoingCycle`, `completedCycles`, `breachTime`, `goalDuration` …), so that boards made for it can show ours; times are epoch
 * ms and durations ms.
 */
import { type Cycle, elapsedMs, foldClock, type ListedSpan, listSpans, momentOf } from './clock.ts';
import { CLOCK_IDS, type ClockId, type ServiceEvent } from './events.ts';
import { type Escalation, type ServiceLevelPolicy, type TicketFacts, targetOf } from './policy.ts';
import { WALL_CLOCK, type WorkingTime } from './working-time.ts';

export interface CompletedCycle {
  readonly startTime: number;
  readonly stopTime: number;
  readonly breached: boolean;
  /** Cancelled cycles are neither met nor missed. */
  readonly cancelled: boolean;
  readonly goalDuration: number;
  readonly elapsedTime: number;
  /** Negative: over the goal. */
  readonly remainingTime: number;
}

export interface OngoingCycle {
  readonly startTime: number;
  /** As things stand; absent while the clock stands still without a cap. */
  readonly breachTime: number | undefined;
  readonly breached: boolean;
  /** Why it stands still now; absent when it runs. */
  readonly paused: string | undefined;
  readonly withinCalendarHours: boolean;
  readonly goalDuration: number;
  readonly elapsedTime: number;
  readonly remainingTime: number;
}

export interface ClockView {
  readonly name: ClockId;
  readonly time: 'business' | 'wall';
  readonly ongoingCycle: OngoingCycle | undefined;
  readonly completedCycles: readonly CompletedCycle[];
  /** Counted with a calendar whose holidays are not known that far: the week alone decided. */
  readonly beyondKnownCalendar: boolean;
}

/** Somebody is to be told that so much of a target has passed. */
export interface DueEscalation extends Escalation {
  readonly clock: ClockId;
  /** Number of the cycle, from 0: with clock and share it says which escalation this is, once and for all. */
  readonly cycle: number;
  readonly at: number;
}

export interface ServiceLevels {
  /** @param now for what has elapsed */
  clocks(now: number): readonly ClockView[];
  /** Of all clocks, by time. Those that a stop or a cancellation prevented are not among them. */
  escalations(): readonly DueEscalation[];
  /** Why a clock's newest target is when it is. Nothing when the ticket has no such clock. */
  why(clock: ClockId, now: number, limit: number): readonly ListedSpan[];
}

interface Folded {
  readonly name: ClockId;
  readonly kind: 'business' | 'wall';
  readonly time: WorkingTime;
  readonly cycles: readonly Cycle[];
}

/**
 * @param events by time; several of one moment in the order in which they happened
 * @param business working time of the responsible calendar
 */
export function serviceLevelsOf(
  events: readonly ServiceEvent[],
  facts: TicketFacts,
  policy: ServiceLevelPolicy,
  business: WorkingTime,
): ServiceLevels {
  const clocks = CLOCK_IDS.map((name) => fold(name, events, facts, policy, business)).filter(
    (one) => one !== undefined,
  );
  return {
    clocks: (now) => clocks.filter((one) => one.cycles.length > 0).map((one) => viewOf(one, now)),
    escalations: () => clocks.flatMap((one) => escalationsOf(one, policy)).sort((a, b) => a.at - b.at),
    why(name, now, limit) {
      const found = clocks.find((one) => one.name === name);
      const cycle = found?.cycles.at(-1);
      return found && cycle ? listSpans(cycle, horizonOf(cycle, now, found.time), found.time, limit) : [];
    },
  };
}

function fold(
  name: ClockId,
  events: readonly ServiceEvent[],
  facts: TicketFacts,
  policy: ServiceLevelPolicy,
  business: WorkingTime,
): Folded | undefined {
  const target = targetOf(policy, name, facts);
  // A quote brings its own target.
  if (!target && name !== 'quote') return undefined;
  const kind = target?.time ?? 'business';
  const time = kind === 'wall' ? WALL_CLOCK : business;
  const rules = { clock: name, targetMs: target?.targetMs ?? 0, pauses: policy.pauses, time };
  return { name, kind, time, cycles: foldClock(rules, events) };
}

function viewOf({ name, kind, time, cycles }: Folded, now: number): ClockView {
  const completedCycles: CompletedCycle[] = [];
  let ongoingCycle: OngoingCycle | undefined;
  for (const cycle of cycles) {
    if (cycle.endedAt === undefined) ongoingCycle = ongoing(cycle, now, time);
    else completedCycles.push(completed(cycle, cycle.endedAt, time));
  }
  const until = Math.max(now, ongoingCycle?.breachTime ?? 0);
  return { name, time: kind, ongoingCycle, completedCycles, beyondKnownCalendar: !time.isKnown(until) };
}

function completed(cycle: Cycle, stopTime: number, time: WorkingTime): CompletedCycle {
  const elapsedTime = elapsedMs(cycle, stopTime, time);
  const cancelled = cycle.ended === 'cancelled';
  return {
    startTime: cycle.startedAt,
    stopTime,
    breached: elapsedTime > cycle.targetMs,
    cancelled,
    goalDuration: cycle.targetMs,
    elapsedTime,
    remainingTime: cycle.targetMs - elapsedTime,
  };
}

function ongoing(cycle: Cycle, now: number, time: WorkingTime): OngoingCycle {
  const elapsedTime = elapsedMs(cycle, now, time);
  const current = cycle.stretches.find(({ from, until }) => from <= now && (until === undefined || now < until));
  return {
    startTime: cycle.startedAt,
    breachTime: momentOf(cycle, cycle.targetMs, time),
    breached: elapsedTime >= cycle.targetMs,
    paused: current?.pausedFor,
    withinCalendarHours: time.isWorking(now),
    goalDuration: cycle.targetMs,
    elapsedTime,
    remainingTime: cycle.targetMs - elapsedTime,
  };
}

function escalationsOf({ name, time, cycles }: Folded, policy: ServiceLevelPolicy): DueEscalation[] {
  return cycles.flatMap((cycle, index) =>
    policy.escalations.flatMap((one) => {
      const at = momentOf(cycle, one.share * cycle.targetMs, time);
      // Reached at the very moment of the stop: kept.
      if (at === undefined || (cycle.endedAt !== undefined && at >= cycle.endedAt)) return [];
      return [{ ...one, clock: name, cycle: index, at }];
    }),
  );
}

/** How far a listing goes: to the end, or to the target when it lies ahead. */
function horizonOf(cycle: Cycle, now: number, time: WorkingTime): number {
  return cycle.endedAt ?? Math.max(now, momentOf(cycle, cycle.targetMs, time) ?? now);
}
