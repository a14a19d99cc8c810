/** Judges a demo run against the simulator's ground truth. Pure. */

import type { Alert, EvidenceSnapshot, Ticket, WebhookBody } from '../../contract/http/resources.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { GroundTruth } from '../../device-sim/simulated-device.ts';

/** Alerts that 1,000 healthy devices may raise a day. The alert thresholds are set from the same number. */
export const FALSE_ALERTS_PER_1000_DEVICE_DAYS = 5;

export interface StoryOutcome {
  readonly device: string;
  readonly faultKey: string;
  readonly onsetAt: number;
  readonly failsAt: number | undefined;
  readonly ticketKey: string | undefined;
  /** Counted at the failure. */
  readonly tickets: number;
  /** Simulated time between the ticket's sample and the failure. */
  readonly leadMs: number | undefined;
  readonly causeNamed: boolean;
  readonly evidenceComplete: boolean;
  readonly webhookReceived: boolean;
}

export interface Verdict {
  readonly stories: readonly StoryOutcome[];
  /** Alerts on devices without a fault, and tickets among them. */
  readonly falseAlerts: number;
  readonly falseTickets: number;
  readonly healthyDeviceDays: number;
  /** What the budget allows for that many device-days. */
  readonly allowedFalseAlerts: number;
  /** At least one story was foreseen with all its evidence, and the healthy devices stayed within the budget. */
  readonly passed: boolean;
}

export interface RunFacts {
  readonly truth: readonly GroundTruth[];
  readonly devices: readonly string[];
  readonly period: { readonly start: number; readonly end: number };
  readonly alerts: readonly Alert[];
  readonly tickets: readonly Ticket[];
  readonly webhooks: readonly WebhookBody[];
}

export function judge(facts: RunFacts): Verdict {
  const faulty = new Set(facts.truth.map((truth) => truth.device));
  const healthy = facts.devices.filter((device) => !faulty.has(device));
  const stories = facts.truth.map((truth) => outcomeOf(truth, facts));
  const falseAlerts = facts.alerts.filter((alert) => healthy.includes(alert.device)).length;
  const falseTickets = facts.tickets.filter(({ device }) => device !== undefined && healthy.includes(device)).length;
  const healthyDeviceDays = (healthy.length * (facts.period.end - facts.period.start)) / DAY_MS;
  const allowedFalseAlerts = (healthyDeviceDays * FALSE_ALERTS_PER_1000_DEVICE_DAYS) / 1_000;
  return {
    stories,
    falseAlerts,
    falseTickets,
    healthyDeviceDays,
    allowedFalseAlerts,
    passed: stories.some(isForeseen) && falseAlerts <= allowedFalseAlerts,
  };
}

/** One ticket, before the failure, with evidence, and the centre was told. */
export function isForeseen(story: StoryOutcome): boolean {
  return (
    story.tickets === 1 &&
    story.leadMs !== undefined &&
    story.leadMs > 0 &&
    story.evidenceComplete &&
    story.webhookReceived
  );
}

function outcomeOf(truth: GroundTruth, facts: RunFacts): StoryOutcome {
  const failsAt = truth.failsAt ?? Number.POSITIVE_INFINITY;
  // A machine that has failed is a machine like no other: what is raised about it afterwards is no prediction.
  const own = facts.tickets
    .filter((ticket) => ticket.device === truth.device && ticket.observedAt <= failsAt)
    .sort((a, b) => a.createdAt - b.createdAt);
  const first = own[0];
  return {
    device: truth.device,
    faultKey: truth.faultKey,
    onsetAt: truth.onsetAt,
    failsAt: truth.failsAt,
    ticketKey: first?.key,
    tickets: own.length,
    leadMs: first && truth.failsAt !== undefined ? truth.failsAt - first.observedAt : undefined,
    causeNamed: first?.evidence?.evidence.likelyCauses[0]?.faultKey === truth.faultKey,
    evidenceComplete: first?.evidence !== undefined && isComplete(first.evidence),
    webhookReceived: facts.webhooks.some(
      (body) => body.type === 'ticket.opened' && body.data.ticket.key === first?.key,
    ),
  };
}

/** Signals pinned, causes named, and remaining life or the reason why it cannot be estimated. */
function isComplete({ complete, series, evidence }: EvidenceSnapshot): boolean {
  const { prediction, likelyCauses } = evidence;
  const lifeTold = prediction?.remainingLife !== undefined || prediction?.reason !== undefined;
  return complete && series.length > 0 && likelyCauses.length > 0 && lifeTold;
}
