/** What a ticket's clocks look like over HTTP. Fields of a clock are called as Jira Service Management calls them. */
import { z } from 'zod';

const durationMs = z.number();

export const completedCycle = z.object({
  startTime: z.number(),
  stopTime: z.number(),
  breached: z.boolean(),
  /** Neither met nor missed. */
  cancelled: z.boolean(),
  goalDuration: durationMs,
  elapsedTime: durationMs,
  /** Negative: over the goal. */
  remainingTime: durationMs,
});

export const ongoingCycle = z.object({
  startTime: z.number(),
  /** As things stand; absent while the clock stands still without a cap. */
  breachTime: z.number().optional(),
  breached: z.boolean(),
  /** Why it stands still now; absent when it runs. */
  paused: z.string().optional(),
  withinCalendarHours: z.boolean(),
  goalDuration: durationMs,
  elapsedTime: durationMs,
  remainingTime: durationMs,
});

export const clockView = z.object({
  name: z.string(),
  time: z.enum(['business', 'wall']),
  ongoingCycle: ongoingCycle.optional(),
  completedCycles: z.array(completedCycle),
  /** The calendar knows the holidays of only a part of that time. */
  beyondKnownCalendar: z.boolean(),
});

/** Somebody was or will be told that so much of a target has passed. */
export const escalationView = z.object({
  clock: z.string(),
  cycle: z.number().int(),
  share: z.number(),
  notify: z.string(),
  dueAt: z.number(),
  /** Absent: still ahead. */
  firedAt: z.number().optional(),
});

/** A piece of time that counted towards a target, or why it did not. */
export const listedSpan = z.object({
  from: z.number(),
  until: z.number(),
  counted: z.boolean(),
  reason: z.string().optional(),
});

export const serviceLevelsView = z.object({
  at: z.number(),
  /** 0 = the promises that the program ships with. */
  policyVersion: z.number().int(),
  calendar: z.object({ name: z.string(), zone: z.string() }),
  clocks: z.array(clockView),
  escalations: z.array(escalationView),
  /** For the clock that was asked about. */
  why: z.array(listedSpan).optional(),
});
export type ServiceLevelsView = z.infer<typeof serviceLevelsView>;

/** What passed between customer and desk. */
export const contactNote = z.strictObject({
  kind: z.enum(['accepted', 'answered', 'customerWrote', 'arrived', 'followedUp']),
  note: z.string().min(1).max(500),
});
