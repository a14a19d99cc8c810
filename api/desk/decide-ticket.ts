/** Whether an alert asks for a preemptive ticket. One rule, in one place, with its reason. */
import type { TicketState } from '../../contract/http/resources.ts';
import {
  type AlertFinding,
  compareSeverity,
  type RemainingLife,
  type Severity,
} from '../../contract/ports/findings.ts';
import type { TicketPolicy } from './policy.ts';

/** The part of an alert that decides. */
export interface DecisionAlert {
  readonly episode: string;
  readonly state: 'open' | 'cleared';
  readonly severity: Severity;
  readonly confirmed: boolean;
  readonly remainingLife?: RemainingLife | undefined;
}

/** The ticket that is not terminal yet for the alert's component. */
export interface OpenTicket {
  readonly key: string;
  readonly state: TicketState;
}

export type TicketDecision =
  | { readonly kind: 'open'; readonly reason: 'horizon' | 'confirmed' }
  /** `reopen`: the repair was reported as done, and the fault shows again. */
  | { readonly kind: 'attach'; readonly ticketKey: string; readonly reopen: boolean }
  | { readonly kind: 'none'; readonly reason: 'alreadyAttached' | 'cleared' | 'severity' | 'watching' };

/**
 * An alert belongs to the open ticket of its component. Without one it opens a ticket when it is severe enough and
 * either the lower bound of remaining life has come within the policy's horizon or the anomaly is confirmed.
 * An episode never leads to a second ticket: `attachedTo` names the one it has led to before.
 */
export function decideTicket(
  alert: DecisionAlert,
  attachedTo: string | undefined,
  openTicket: OpenTicket | undefined,
  policy: TicketPolicy,
): TicketDecision {
  if (attachedTo !== undefined) return { kind: 'none', reason: 'alreadyAttached' };
  if (alert.state === 'cleared') return { kind: 'none', reason: 'cleared' };
  const asks = asksForTicket(alert, policy);
  if (openTicket) {
    const done = openTicket.state === 'resolved' || openTicket.state === 'confirmed';
    return { kind: 'attach', ticketKey: openTicket.key, reopen: done && asks.kind === 'open' };
  }
  return asks;
}

/** Whether the alert is one to act on at all, whatever tickets there are. */
export function asksForTicket(
  alert: DecisionAlert,
  policy: TicketPolicy,
): Extract<TicketDecision, { kind: 'open' | 'none' }> {
  if (compareSeverity(alert.severity, policy.minSeverity) < 0) return { kind: 'none', reason: 'severity' };
  const life = alert.remainingLife;
  if (life && life.lower <= policy.horizon[life.unit]) return { kind: 'open', reason: 'horizon' };
  return alert.confirmed ? { kind: 'open', reason: 'confirmed' } : { kind: 'none', reason: 'watching' };
}

/** What decides, taken from a finding. */
export function decisionAlertOf(finding: AlertFinding): DecisionAlert {
  return {
    episode: finding.episode,
    state: finding.kind === 'alertCleared' ? 'cleared' : 'open',
    severity: finding.severity,
    confirmed: finding.confirmed,
    remainingLife: finding.evidence.prediction?.remainingLife,
  };
}
