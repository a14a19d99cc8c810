/**
 * What the technician found: the outcome that closes a ticket, and the label that detectors and predictions are judged by. Short
 * enough to be filled in at the door of the next customer.
 */
import { z } from 'zod';
import { deviceId } from '../kernel/ids.ts';

/**
 * `confirmed`: the fault that the ticket names. `other_cause`: a fault, but another one. `no_fault_found`: looked, and found none.
 * `not_visited`: nobody looked, so nothing is known.
 */
export const OUTCOMES = ['confirmed', 'other_cause', 'no_fault_found', 'not_visited'] as const;

export const fittedPart = z.strictObject({
  number: z.string().min(1).max(64),
  quantity: z.number().int().min(1).max(100).default(1),
  /** Serial number of what was taken out, and of what was put in. */
  oldSerial: z.string().min(1).max(64).optional(),
  newSerial: z.string().min(1).max(64).optional(),
});

export const outcomeReport = z.strictObject({
  result: z.enum(OUTCOMES),
  /** Failure mode that was found, from the model's catalogue; for `other_cause`, unless `cause` says it in words. */
  faultKey: z.string().min(1).max(100).optional(),
  cause: z.string().min(1).max(500).optional(),
  parts: z.array(fittedPart).max(50).default([]),
  /** Whether the customer had noticed the fault before the desk called. */
  noticedBefore: z.boolean().optional(),
  note: z.string().min(1).max(1_000).optional(),
});
export type OutcomeReport = z.infer<typeof outcomeReport>;

/** A report with its provenance. Later reports correct earlier ones; the newest counts, all are kept. */
export const ticketOutcome = outcomeReport.extend({
  version: z.number().int(),
  at: z.number(),
  /** User id. */
  by: z.string(),
});
export type TicketOutcome = z.infer<typeof ticketOutcome>;

/** One judged alarm, for whoever evaluates or trains: what was foreseen by what, and what was found. */
export const label = z.object({
  ticket: z.string(),
  device: deviceId.optional(),
  model: z.string(),
  component: z.string(),
  source: z.string(),
  /** What the ticket said. */
  predictedFaultKey: z.string(),
  /** Detector, and model of the prediction, that said it. */
  detector: z.object({ name: z.string(), version: z.string() }).optional(),
  method: z.object({ name: z.string(), version: z.string() }).optional(),
  /** Device time at which the deviation began. */
  onset: z.number().optional(),
  openedAt: z.number(),
  alerts: z.array(z.string()),
  outcome: ticketOutcome,
});
export type Label = z.infer<typeof label>;
