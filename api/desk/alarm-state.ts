/**
 * The life of an alarm after ISA-18.2 as one pure machine: active or cleared × acknowledged or not, latched, and what keeps
 * it quiet. Analytics says when it is raised and cleared; everything else is done by people, or by time and order, through
 * here. An alarm is over only when nothing is left to do about it.
 */
import type { AlarmEventType, AlarmState } from '../../contract/http/alarms.ts';
import { assertNever } from '../../contract/kernel/errors.ts';
import { compareSeverity, type Severity } from '../../contract/ports/findings.ts';
import type { AlarmPolicy } from './alarm-policy.ts';

/** What decides where an alarm stands. */
export interface Alarm {
  readonly active: boolean;
  readonly severity: Severity;
  /** An alarm that never was is only watched: nobody has to acknowledge it. */
  readonly confirmed: boolean;
  readonly acknowledged: boolean;
  readonly latched: boolean;
  readonly flapping: boolean;
}

/** What keeps it quiet at the moment. */
export interface Quiet {
  readonly shelved: boolean;
  /** By design: another alarm explains it, or it is maintenance time. */
  readonly suppressed: boolean;
  readonly outOfService: boolean;
}

export const LOUD: Quiet = { shelved: false, suppressed: false, outOfService: false };

export function needsAcknowledgement(
  alarm: Pick<Alarm, 'severity' | 'confirmed'>,
  policy: Pick<AlarmPolicy, 'acknowledgeFrom'>,
): boolean {
  return alarm.confirmed && compareSeverity(alarm.severity, policy.acknowledgeFrom) >= 0;
}

/** Nothing is left to do: it is history. */
export function isOver(alarm: Alarm, policy: Pick<AlarmPolicy, 'acknowledgeFrom'>): boolean {
  return !alarm.active && !alarm.latched && (alarm.acknowledged || !needsAcknowledgement(alarm, policy));
}

/**
 * The state's name. What a person or the plan decided about a device outranks what the alarm itself does.
 * @param over by {@link isOver}, under the policy of its time
 */
export function alarmStateOf(
  alarm: Pick<Alarm, 'active' | 'acknowledged' | 'latched'>,
  quiet: Quiet,
  over: boolean,
): AlarmState {
  if (over) return 'normal';
  if (quiet.outOfService) return 'outOfService';
  if (quiet.shelved) return 'shelved';
  if (quiet.suppressed) return 'suppressed';
  if (alarm.active) return alarm.acknowledged ? 'acknowledged' : 'unacknowledged';
  if (alarm.latched) return alarm.acknowledged ? 'latchedAcknowledged' : 'latchedUnacknowledged';
  return 'returned';
}

export type AlarmAct =
  | { readonly kind: 'acknowledge' }
  | { readonly kind: 'shelve'; readonly minutes: number }
  | { readonly kind: 'unshelve' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'assign' }
  | { readonly kind: 'comment' };

export type ActDecision =
  | { readonly kind: 'done'; readonly alarm: Alarm; readonly over: boolean }
  /** It is so already; doing it again is harmless and leaves no trace. */
  | { readonly kind: 'unchanged'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** Whether a person may do this to the alarm, and what it is afterwards. */
export function decideAct(
  alarm: Alarm,
  quiet: Pick<Quiet, 'shelved'>,
  act: AlarmAct,
  policy: Pick<AlarmPolicy, 'acknowledgeFrom' | 'shelveMaxMinutes'>,
): ActDecision {
  const done = (after: Alarm): ActDecision => ({ kind: 'done', alarm: after, over: isOver(after, policy) });
  const over = isOver(alarm, policy);
  switch (act.kind) {
    case 'acknowledge':
      if (alarm.acknowledged) return { kind: 'unchanged', reason: 'it is acknowledged already' };
      return over ? refused('the alarm is over') : done({ ...alarm, acknowledged: true });
    case 'shelve':
      if (over) return refused('the alarm is over');
      if (act.minutes > policy.shelveMaxMinutes) {
        return refused(`an alarm may be shelved for ${policy.shelveMaxMinutes} minutes at most`);
      }
      return done(alarm);
    case 'unshelve':
      return quiet.shelved ? done(alarm) : { kind: 'unchanged', reason: 'it is not shelved' };
    case 'reset':
      if (!alarm.latched) return refused('the alarm is not latched');
      if (alarm.active) return refused('the fault is still there: an alarm is reset after it has cleared');
      return done({ ...alarm, latched: false });
    case 'assign':
      return over ? refused('the alarm is over') : done(alarm);
    case 'comment':
      return done(alarm);
    default:
      return assertNever(act);
  }
}

const refused = (reason: string): ActDecision => ({ kind: 'refused', reason });

/** What analytics says of an episode now. */
export type Condition = Pick<Alarm, 'active' | 'severity' | 'confirmed' | 'flapping'>;

export interface Followed {
  readonly alarm: Alarm;
  /** In the order in which they happened; empty = nothing that a person could see. */
  readonly changes: readonly AlarmEventType[];
  /** It got worse than what was acknowledged and shelved: both are over, and attention is asked for again. */
  readonly worsened: boolean;
}

/**
 * The alarm after news from analytics. What was acknowledged was the severity that people saw; a worse one is new to them.
 * @param safety whether its failure mode must be looked at before it may be forgotten
 */
export function followCondition(before: Alarm | undefined, now: Condition, safety: boolean): Followed {
  const changes: AlarmEventType[] = before ? [] : ['raised'];
  const rank = before ? compareSeverity(now.severity, before.severity) : 0;
  const worsened = rank > 0;
  if (worsened) changes.push('severityRaised');
  if (rank < 0) changes.push('severityLowered');
  if (now.confirmed && before && !before.confirmed) changes.push('confirmed');
  if (now.flapping && !before?.flapping) changes.push('flapping');
  const latches = safety && now.active && now.confirmed && !before?.latched;
  if (latches) changes.push('latched');
  if (!now.active && (before?.active ?? true)) changes.push('cleared');
  return {
    alarm: {
      ...now,
      acknowledged: (before?.acknowledged ?? false) && !worsened,
      latched: (before?.latched ?? false) || latches,
    },
    changes,
    worsened,
  };
}
