/**
 * When the desk opens a ticket by itself: one document a tenant, validated where it enters (seed, settings). Every
 * figure has a default with its reason, and a ticket remembers the version it was opened under.
 */
import { z } from 'zod';
import { AppError } from '../../contract/kernel/errors.ts';
import { fnv1a } from '../../contract/kernel/ids.ts';
import { severity } from '../../contract/ports/findings.ts';
import { alarmPolicy } from './alarm-policy.ts';

export const ticketPolicy = z.strictObject({
  /** Lesser alerts are watched, not visited: a visit costs more than they do. */
  minSeverity: severity.default('major'),
  /** A ticket opens once the 90 % lower bound of remaining life is at most this: time to get part and technician there. */
  horizon: z
    .strictObject({
      h: z
        .number()
        .positive()
        .default(14 * 24),
      cycle: z.number().positive().default(30),
    })
    .prefault({}),
  /** Signals before the onset that go into the evidence, in samples of the model's interval: what normal looked like. */
  evidenceLeadSamples: z.number().int().min(10).max(10_000).default(200),
  /** The webhook waits at most this long for complete evidence. */
  evidenceWaitMs: z.number().int().min(0).max(600_000).default(15_000),
  /** At most one prediction of a device and fault key goes into the ledger in this span of device time. */
  predictionHistoryMs: z
    .number()
    .int()
    .min(0)
    .default(60 * 60_000),
  /** The same component again within so long after a repair is a repeat: the repair did not last. */
  repeatWithinDays: z.number().int().min(0).max(365).default(30),
  alarms: alarmPolicy.prefault({}),
});
export type TicketPolicy = z.infer<typeof ticketPolicy>;

/** @throws AppError CONFIG_INVALID naming the field */
export function parsePolicy(overrides: Readonly<Record<string, unknown>>): TicketPolicy {
  const parsed = ticketPolicy.safeParse(overrides);
  if (parsed.success) return parsed.data;
  const first = parsed.error.issues[0];
  throw new AppError('CONFIG_INVALID', `policy.${first?.path.join('.') ?? ''}: ${first?.message ?? 'invalid'}`);
}

/** Short name of a policy's content: two tickets opened under the same rules carry the same version. */
export function policyVersion(policy: TicketPolicy): string {
  return fnv1a(JSON.stringify(policy)).toString(16).padStart(8, '0');
}
