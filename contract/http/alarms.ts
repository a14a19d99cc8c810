/**
 * Alarms as people work on them (ISA-18.2), what keeps them quiet, which of them belong together, and how the alarm system
 * itself does. Part of HTTP API v1; times are epoch ms of the server unless said otherwise.
 */
import { z } from 'zod';
import { deviceId } from '../kernel/ids.ts';
import { severity } from '../ports/findings.ts';

/**
 * Where an alarm stands. `returned`: cleared, and nobody has acknowledged it. `latched…`: cleared, and waits for a reset.
 * `suppressed`: something else explains it, or it is maintenance time. `normal`: nothing is left to do.
 */
export const ALARM_STATES = [
  'normal',
  'unacknowledged',
  'acknowledged',
  'returned',
  'latchedUnacknowledged',
  'latchedAcknowledged',
  'shelved',
  'suppressed',
  'outOfService',
] as const;
export const alarmState = z.enum(ALARM_STATES);
export type AlarmState = z.infer<typeof alarmState>;

export const SILENCE_KINDS = ['shelve', 'maintenance', 'outOfService'] as const;
export const silenceKind = z.enum(SILENCE_KINDS);
export type SilenceKind = z.infer<typeof silenceKind>;

/** Why an alarm asks nothing of anybody at the moment. `settling`: its parent may be about to explain it. */
export const HOLD_KINDS = ['silence', 'inhibition', 'group', 'settling'] as const;
export type HoldKind = (typeof HOLD_KINDS)[number];

export const ALARM_EVENT_TYPES = [
  'raised',
  'cleared',
  'confirmed',
  'severityRaised',
  'severityLowered',
  'flapping',
  'annunciated',
  'escalated',
  'acknowledged',
  'assigned',
  'commented',
  'shelved',
  'unshelved',
  'latched',
  'reset',
  'suppressed',
  'unsuppressed',
  'held',
  'released',
  'grouped',
  'carried',
  'told',
] as const;
export const alarmEventType = z.enum(ALARM_EVENT_TYPES);
export type AlarmEventType = z.infer<typeof alarmEventType>;

export const alarmEvent = z.object({
  at: z.number(),
  /** `system`, or the user's id. */
  actor: z.string(),
  type: alarmEventType,
  reason: z.string().optional(),
  facts: z.record(z.string(), z.unknown()).optional(),
});
export type AlarmEvent = z.infer<typeof alarmEvent>;

/** What every alert carries beside what analytics said. Not in the answers of older servers. */
export const alarmStanding = z.object({
  /** For `If-Match`, in quotes. */
  version: z.number().int(),
  alarmState,
  acknowledgedAt: z.number().optional(),
  acknowledgedBy: z.string().optional(),
  assignee: z.string().optional(),
  /** Stands until a person resets it. */
  latched: z.boolean(),
  flapping: z.boolean(),
  /** When a person's attention was first asked for; absent = it was watched or kept quiet so far. */
  annunciatedAt: z.number().optional(),
  /** Since when nothing is left to do. */
  closedAt: z.number().optional(),
  /** Id of the open alarm that explains this one. */
  suppressedBy: z.string().optional(),
  group: z.string().optional(),
  silencedBy: z.array(
    z.object({ id: z.string(), kind: silenceKind, reason: z.string(), by: z.string(), until: z.number().optional() }),
  ),
});
export type AlarmStanding = z.infer<typeof alarmStanding>;

/** SQL text holds every character but this one. */
const hasNoNul = (text: string) => !text.includes('\0');
const words = (max: number) => z.string().trim().min(1).max(max).refine(hasNoNul, 'must not hold NUL');
/** A name to look for. */
export const searchName = z.string().min(1).max(64).refine(hasNoNul, 'must not hold NUL');

const reason = words(500);
/** A person's own words, where they may be left out. */
const comment = words(2_000);

export const alarmAcknowledge = z.strictObject({ comment: comment.optional() });
/** `minutes` from now; the policy bounds it. */
export const alarmShelve = z.strictObject({ minutes: z.number().int().min(1).max(525_600), reason });
export const alarmUnshelve = z.strictObject({ reason: reason.optional() });
export const alarmReset = z.strictObject({ reason });
/** `null` = nobody. */
export const alarmAssign = z.strictObject({
  assignee: searchName.nullable(),
  comment: comment.optional(),
});
export const alarmComment = z.strictObject({ comment });

const localTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected a local time such as 22:30');

/**
 * Each week on `days` (1 = Monday … 7 = Sunday) from `from` to `to` in the time zone's own hours; a `to` that is not after
 * `from` lies on the next day. Where the clock is put forward, a time that does not exist is the one an hour later; where it
 * is put back, the window covers both hours of that name.
 */
export const weeklySchedule = z.strictObject({
  timeZone: z.string().min(1).max(64),
  days: z.array(z.number().int().min(1).max(7)).min(1).max(7),
  from: localTime,
  to: localTime,
  /** No window starts after this time. */
  last: z.number().int(),
});
export type WeeklySchedule = z.infer<typeof weeklySchedule>;

/** Exactly one scope. */
const silenceScope = {
  device: deviceId.optional(),
  model: searchName.optional(),
  centre: searchName.optional(),
  /** The whole tenant. */
  all: z.literal(true).optional(),
};
const isoTime = z.iso.datetime({ offset: true });

/** One-off with `from` (now when absent) and `until`, or `weekly`. Times in ISO 8601 with a zone. */
export const maintenanceCreate = z.strictObject({
  /** Chosen by the client: sending the same again adds nothing. */
  id: z.uuid().optional(),
  ...silenceScope,
  reason,
  from: isoTime.optional(),
  until: isoTime.optional(),
  weekly: z.strictObject({ ...weeklySchedule.shape, last: isoTime }).optional(),
});

/** `until`: absent = until a person puts it back into service. */
export const outOfServiceCreate = z.strictObject({
  id: z.uuid().optional(),
  device: silenceScope.device,
  model: silenceScope.model,
  reason,
  until: isoTime.optional(),
});

export const silenceEnd = z.strictObject({ reason });

/** One alarm that was kept quiet, and what came of it when the silence ended. */
export const silencedAlarm = z.object({
  alert: z.string(),
  device: z.string(),
  faultKey: z.string(),
  severity,
  since: z.number(),
  /** `ticket`: one opened, or reopened; `attached` to one; `cleared` by itself; `annunciated`: it has a ticket, and asks for attention again; `held` on by something else; `watched`: it asks for nothing. */
  outcome: z.enum(['ticket', 'attached', 'annunciated', 'cleared', 'held', 'watched']),
});
export type SilencedAlarm = z.infer<typeof silencedAlarm>;

export const silenceReport = z.object({
  from: z.number(),
  until: z.number(),
  endedBy: z.string(),
  silenced: z.number().int(),
  acted: z.number().int(),
  items: z.array(silencedAlarm),
});
export type SilenceReport = z.infer<typeof silenceReport>;

export const silence = z.object({
  id: z.string(),
  kind: silenceKind,
  device: z.string().optional(),
  model: z.string().optional(),
  centre: z.string().optional(),
  faultKey: z.string().optional(),
  reason: z.string(),
  createdBy: z.string(),
  createdAt: z.number(),
  /** Of the current time, or of the next one. */
  from: z.number(),
  until: z.number().optional(),
  weekly: weeklySchedule.optional(),
  running: z.boolean(),
  endedAt: z.number().optional(),
  endedBy: z.string().optional(),
  endReason: z.string().optional(),
  version: z.number().int(),
});
export type Silence = z.infer<typeof silence>;

/** With what it kept quiet, newest time first; at most the last 50 times. */
export const silenceWithReports = silence.extend({ reports: z.array(silenceReport) });

export const GROUP_DECISIONS = ['tickets', 'campaign'] as const;
export type GroupDecision = (typeof GROUP_DECISIONS)[number];

export const alarmGroup = z.object({
  id: z.string(),
  model: z.string(),
  /** Absent = nobody knows. */
  batch: z.string().optional(),
  firmware: z.string().optional(),
  faultKey: z.string(),
  state: z.enum(['open', 'closed']),
  openedAt: z.number(),
  closedAt: z.number().optional(),
  /** Devices that have, or had, the fault. */
  devices: z.number().int(),
  /** Of which have it now. */
  active: z.number().int(),
  /** Devices in service of that model, batch and firmware when it was opened. */
  exposed: z.number().int(),
  decision: z.enum(GROUP_DECISIONS).optional(),
  decidedBy: z.string().optional(),
  decidedAt: z.number().optional(),
  reason: z.string().optional(),
  decideBy: z.number(),
  version: z.number().int(),
});
export type AlarmGroup = z.infer<typeof alarmGroup>;

/** `tickets`: each member gets its own. `campaign`: the group is worked on as one; no further tickets open for its members. */
export const groupDecide = z.strictObject({ decision: z.enum(GROUP_DECISIONS), reason });

export const kpiQuery = z.strictObject({
  /** ISO 8601 with a zone, inclusive. */
  from: z.iso.datetime({ offset: true }),
  /** Exclusive; at most 31 days later. */
  to: z.iso.datetime({ offset: true }),
  /** People who watch at the same time. */
  operators: z.coerce.number().int().min(1).max(1_000).default(1),
});

const alarmSource = z.object({ device: z.string(), faultKey: z.string() });

/** How the alarm system does, in the sense of ISA-18.2 and EEMUA 191. `undefined` shares are absent, not 0. */
export const alarmKpis = z.object({
  from: z.number(),
  to: z.number(),
  operators: z.number().int(),
  /** Times at which a person's attention was asked for. */
  annunciated: z.number().int(),
  perOperatorHour: z.number(),
  /** Of one operator in any slot of ten minutes. */
  peakPerTenMinutes: z.number(),
  /** More than ten in a slot of ten minutes for one operator; a flood lasts until a slot with fewer than five. */
  floods: z.object({ count: z.number().int(), slots: z.number().int(), shareOfTime: z.number() }),
  /** Active for more than 24 hours at `to`. */
  stale: z.number().int(),
  chattering: z.array(alarmSource.extend({ raised: z.number().int(), flapping: z.boolean() })),
  top: z.array(alarmSource.extend({ annunciated: z.number().int() })),
  topShare: z.number().optional(),
  acknowledged: z.object({
    /** Whose time to be acknowledged was over, or that were. */
    due: z.number().int(),
    withinTarget: z.number().int(),
    share: z.number().optional(),
  }),
  /** Now, not at `to`. */
  shelvedNow: z.number().int(),
  suppressedNow: z.number().int(),
  outOfServiceNow: z.number().int(),
});
export type AlarmKpis = z.infer<typeof alarmKpis>;
