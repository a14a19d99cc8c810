/**
 * What a service centre promises: targets by severity, tier, kind and mode, what pauses a clock and for how long at most, and
 * who is told when. One versioned document; a ticket keeps the version under which it was opened.
 */
import { z } from 'zod';
import { CUSTOMER_TIERS, SERVICE_KINDS, SERVICE_MODES } from '../../../contract/http/service-terms.ts';
import { AppError } from '../../../contract/kernel/errors.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../../contract/kernel/time.ts';
import { severity } from '../../../contract/ports/findings.ts';
import { CLOCK_IDS } from './events.ts';

export const PAUSING_STATES = ['awaiting_customer', 'awaiting_parts'] as const;
export const ESCALATION_ROLES = ['owner', 'team', 'manager'] as const;

const spanMs = z
  .number()
  .int()
  .positive()
  .max(10 * 365 * DAY_MS);

const target = z.strictObject({
  clock: z.enum(CLOCK_IDS),
  /** What is not named matches everything. */
  severity: z.array(severity).min(1).optional(),
  tier: z.array(z.enum(CUSTOMER_TIERS)).min(1).optional(),
  kind: z.array(z.enum(SERVICE_KINDS)).min(1).optional(),
  mode: z.array(z.enum(SERVICE_MODES)).min(1).optional(),
  targetMs: spanMs,
  /** `business` counts the responsible calendar's hours, `wall` every hour. */
  time: z.enum(['business', 'wall']),
});
export type ClockTarget = z.infer<typeof target>;

const pause = z.strictObject({
  state: z.enum(PAUSING_STATES),
  /** Words for the reader of a deadline. */
  reason: z.string().min(1).max(200),
  /** Time of the calendar for which it may stand still in one cycle; then the clock runs on. */
  capMs: spanMs.optional(),
});

const escalation = z.strictObject({
  /** Of the target. */
  share: z.number().positive().max(10),
  notify: z.enum(ESCALATION_ROLES),
});
export type Escalation = z.infer<typeof escalation>;

/** Business time: a day of eight hours. */
const WORKING_DAY_MS = 8 * HOUR_MS;

export const serviceLevelPolicy = z.strictObject({
  version: z.string().min(1).max(64).default('default-1'),
  /** The first that matches counts; without one a clock does not exist on the ticket. */
  targets: z
    .array(target)
    .max(500)
    .default([
      { clock: 'firstResponse', severity: ['critical'], targetMs: 30 * MINUTE_MS, time: 'wall' },
      { clock: 'firstResponse', targetMs: WORKING_DAY_MS, time: 'business' },
      { clock: 'classification', targetMs: 2 * HOUR_MS, time: 'business' },
      { clock: 'arrival', severity: ['critical'], mode: ['on_site', 'mobile'], targetMs: 8 * HOUR_MS, time: 'wall' },
      { clock: 'arrival', mode: ['on_site', 'mobile'], targetMs: 2 * WORKING_DAY_MS, time: 'business' },
      { clock: 'resolution', severity: ['critical'], targetMs: DAY_MS, time: 'wall' },
      { clock: 'resolution', tier: ['priority', 'key'], targetMs: 3 * WORKING_DAY_MS, time: 'business' },
      { clock: 'resolution', targetMs: 5 * WORKING_DAY_MS, time: 'business' },
      { clock: 'followUp', targetMs: DAY_MS, time: 'wall' },
      // What an offer of a preemptive visit is worth ends with the prediction: a week is time to ask twice.
      { clock: 'offer', targetMs: 5 * WORKING_DAY_MS, time: 'business' },
    ]),
  pauses: z
    .array(pause)
    .max(PAUSING_STATES.length)
    .refine((pauses) => new Set(pauses.map((one) => one.state)).size === pauses.length, 'one line a state')
    .default([
      { state: 'awaiting_customer', reason: 'waiting for the customer', capMs: 10 * WORKING_DAY_MS },
      { state: 'awaiting_parts', reason: 'waiting for parts', capMs: 15 * WORKING_DAY_MS },
    ]),
  escalations: z
    .array(escalation)
    .max(10)
    .default([
      { share: 0.75, notify: 'owner' },
      { share: 1, notify: 'team' },
      { share: 1.5, notify: 'manager' },
    ]),
});
export type ServiceLevelPolicy = z.infer<typeof serviceLevelPolicy>;

/** What targets are chosen by. */
export interface TicketFacts {
  readonly severity: z.infer<typeof severity>;
  readonly tier: (typeof CUSTOMER_TIERS)[number];
  readonly kind: (typeof SERVICE_KINDS)[number];
  readonly mode: (typeof SERVICE_MODES)[number];
}

/** @throws AppError CONFIG_INVALID naming the field */
export function parseServiceLevels(document: unknown): ServiceLevelPolicy {
  const parsed = serviceLevelPolicy.safeParse(document);
  if (parsed.success) return parsed.data;
  const first = parsed.error.issues[0];
  throw new AppError('CONFIG_INVALID', `serviceLevels.${first?.path.join('.') ?? ''}: ${first?.message ?? 'invalid'}`);
}

export function targetOf(
  policy: ServiceLevelPolicy,
  clock: ClockTarget['clock'],
  facts: TicketFacts,
): ClockTarget | undefined {
  const fits = <T>(allowed: readonly T[] | undefined, value: T) => allowed === undefined || allowed.includes(value);
  return policy.targets.find(
    (one) =>
      one.clock === clock &&
      fits(one.severity, facts.severity) &&
      fits(one.tier, facts.tier) &&
      fits(one.kind, facts.kind) &&
      fits(one.mode, facts.mode),
  );
}
