/**
 * Whether an outcome can be true: the rules that keep labels worth learning from. An outcome names a fault exactly when one was
 * found, and the fault is one of the catalogue wherever it can be.
 */
import type { OutcomeReport } from '../../contract/http/outcomes.ts';
import type { TicketState } from '../../contract/http/resources.ts';
import { isTerminal } from './transitions.ts';

export interface OutcomeSubject {
  readonly state: TicketState;
  readonly faultKey: string;
  /** Failure modes of the device's model; empty when no catalogue describes it. */
  readonly failureModes: readonly string[];
  /** Somebody was there, or had it on the bench. */
  readonly wasInRepair: boolean;
}

export type OutcomeDecision =
  | { readonly kind: 'accepted' }
  /** The ticket is not at its end yet. */
  | { readonly kind: 'tooEarly'; readonly reason: string }
  | { readonly kind: 'contradiction'; readonly field: string; readonly reason: string };

const contradiction = (field: string, reason: string): OutcomeDecision => ({ kind: 'contradiction', field, reason });

export function decideOutcome(report: OutcomeReport, subject: OutcomeSubject): OutcomeDecision {
  const { state } = subject;
  if (state !== 'resolved' && state !== 'confirmed' && !isTerminal(state)) {
    return { kind: 'tooEarly', reason: `a ticket that is ${state} has no outcome yet` };
  }
  switch (report.result) {
    case 'confirmed':
      if (report.faultKey !== undefined && report.faultKey !== subject.faultKey) {
        return contradiction('faultKey', `confirmed means ${subject.faultKey}; another fault is other_cause`);
      }
      break;
    case 'other_cause':
      return otherCause(report, subject);
    case 'no_fault_found':
    case 'not_visited':
      return nothingFound(report, subject);
  }
  return { kind: 'accepted' };
}

function otherCause(report: OutcomeReport, subject: OutcomeSubject): OutcomeDecision {
  const { faultKey, cause } = report;
  if (faultKey === undefined && cause === undefined) {
    return contradiction('faultKey', 'say what it was: a failure mode of the model, or the cause in words');
  }
  if (faultKey === subject.faultKey) {
    return contradiction('faultKey', `${faultKey} is what the ticket says: that is confirmed`);
  }
  if (faultKey !== undefined && !subject.failureModes.includes(faultKey)) {
    const known = subject.failureModes.length > 0 ? subject.failureModes.join(', ') : 'none';
    return contradiction('faultKey', `the model has no failure mode ${faultKey}; it has ${known}`);
  }
  return { kind: 'accepted' };
}

function nothingFound(report: OutcomeReport, subject: OutcomeSubject): OutcomeDecision {
  if (report.faultKey !== undefined) return contradiction('faultKey', `${report.result} names no fault`);
  if (report.cause !== undefined) return contradiction('cause', `${report.result} names no cause`);
  if (report.result === 'no_fault_found') return { kind: 'accepted' };
  if (subject.wasInRepair) return contradiction('result', 'the history says that it was in repair');
  if (report.parts.length > 0) return contradiction('parts', 'nobody was there to fit them');
  return { kind: 'accepted' };
}
