/** From what a person asks for to what is stored: scope, time and bounds of a maintenance window, or of out of service. */
import type { z } from 'zod';
import type { maintenanceCreate, outOfServiceCreate, WeeklySchedule } from '../../contract/http/alarms.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../contract/kernel/time.ts';
import { isTimeZone } from '../../contract/kernel/zone.ts';
import type { AlarmPolicy } from '../desk/alarm-policy.ts';
import { longestSpanMs, nextSpan, type Span } from '../desk/schedule.ts';
import { invalidField } from '../plugins/problems.ts';

export interface SilencePlan {
  readonly device: string | null;
  readonly model: string | null;
  readonly centre: string | null;
  readonly faultKey: null;
  readonly reason: string;
  readonly from: number;
  readonly until: number | null;
  readonly weekly: WeeklySchedule | null;
  readonly settleAt: number | null;
}

type Maintenance = z.output<typeof maintenanceCreate>;
type OutOfService = z.output<typeof outOfServiceCreate>;

/** A window that began before this is a mistake, not a plan. */
const MAX_PAST_MS = 5 * MINUTE_MS;

/** @throws AppError REQUEST_INVALID naming the field, REQUEST_NOT_ALLOWED beyond the policy's bounds */
export function planMaintenance(body: Maintenance, policy: AlarmPolicy, now: number): SilencePlan {
  const scope = scopeOf({ device: body.device, model: body.model, centre: body.centre, all: body.all });
  const weekly = body.weekly ? weeklyOf(body, policy, now) : null;
  const span = weekly ? firstOf(weekly, now) : oneOff(body, policy, now);
  return { ...scope, reason: body.reason, ...span, weekly, settleAt: span.until };
}

/** @throws AppError REQUEST_INVALID naming the field */
export function planOutOfService(body: OutOfService, now: number): SilencePlan {
  const scope = scopeOf({ device: body.device, model: body.model });
  const until = body.until === undefined ? null : Date.parse(body.until);
  if (until !== null && until <= now) throw invalidField('body.until', 'must be in the future');
  return { ...scope, reason: body.reason, from: now, until, weekly: null, settleAt: until };
}

function scopeOf(scope: Readonly<Record<string, string | true | undefined>>) {
  const named = Object.entries(scope).filter(([, value]) => value !== undefined);
  if (named.length !== 1) {
    throw invalidField('body', `name exactly one of ${Object.keys(scope).join(', ')}`);
  }
  const textOf = (name: string) => (typeof scope[name] === 'string' ? scope[name] : null);
  return { device: textOf('device'), model: textOf('model'), centre: textOf('centre'), faultKey: null };
}

function oneOff(body: Maintenance, policy: AlarmPolicy, now: number): Span {
  if (body.until === undefined) throw invalidField('body.until', 'a window needs an end, or `weekly`');
  const from = body.from === undefined ? now : Date.parse(body.from);
  const until = Date.parse(body.until);
  if (from < now - MAX_PAST_MS) throw invalidField('body.from', 'lies in the past');
  if (until <= from || until <= now) throw invalidField('body.until', 'must be after `from` and in the future');
  refuseTooLong(until - from, policy);
  return { from, until };
}

function refuseTooLong(lengthMs: number, { maintenanceMaxHours }: AlarmPolicy): void {
  if (lengthMs <= maintenanceMaxHours * HOUR_MS) return;
  throw new AppError('REQUEST_NOT_ALLOWED', `a window lasts ${maintenanceMaxHours} hours at most`);
}

function weeklyOf(body: Maintenance, policy: AlarmPolicy, now: number): WeeklySchedule {
  if (body.from !== undefined || body.until !== undefined) {
    throw invalidField('body.weekly', 'a weekly window has its own times; leave `from` and `until` out');
  }
  if (!body.weekly) throw invalidField('body.weekly', 'is missing');
  const { timeZone } = body.weekly;
  if (!isTimeZone(timeZone)) {
    const problem = `there is no time zone ${timeZone}; expected a name such as Europe/Berlin, or UTC`;
    throw invalidField('body.weekly.timeZone', problem);
  }
  const last = Date.parse(body.weekly.last);
  if (last > now + policy.recurrenceMaxDays * DAY_MS) {
    throw new AppError('REQUEST_NOT_ALLOWED', `a weekly window ends after ${policy.recurrenceMaxDays} days at most`);
  }
  refuseTooLong(longestSpanMs(body.weekly) - HOUR_MS, policy);
  return { ...body.weekly, days: [...new Set(body.weekly.days)].sort(), last };
}

function firstOf(weekly: WeeklySchedule, now: number): Span {
  const span = nextSpan(weekly, now);
  if (!span) throw invalidField('body.weekly.last', 'no time of the window starts before it');
  return span;
}
