/** The policy of one alert: the common one with the exceptions that fit its device, model and fault key. */
import { compareSeverity, type Severity } from '../../contract/ports/findings.ts';
import { UNEXPLAINED } from '../diagnosis/diagnose.ts';
import type { AlertPolicy, ExceptionCondition, PolicyException } from './policy.ts';

/** What is known of an alert when its policy is looked up. */
export interface AlertSubject {
  readonly tenant: string;
  readonly device: string;
  readonly model: string;
  readonly faultKey: string;
  /** Of the failure mode in the catalogue. */
  readonly severity: Severity;
  /** Operating mode of the sample; '' where there is none. */
  readonly mode: string;
}

export interface SubjectPolicy {
  readonly policy: AlertPolicy;
  readonly severity: Severity;
}

/** Nobody has said what it is: that is not worth more. */
const UNEXPLAINED_AT_MOST: Severity = 'minor';

/** Nearly always without exceptions; then the known policy itself comes back, and nothing is copied. */
export function policyOf(policy: AlertPolicy, subject: AlertSubject): SubjectPolicy {
  const unexplained = subject.faultKey === UNEXPLAINED;
  const own = unexplained ? { ...policy, acceptAfterMs: policy.acceptAfterMs ?? policy.adoptAfterMs } : policy;
  const fitting = policy.exceptions.filter((one) => fits(one.when, subject));
  const severity = fitting.reduce((known, { set }) => set.severity ?? known, subject.severity);
  return {
    policy: fitting.reduce(apply, own),
    severity: unexplained && compareSeverity(severity, UNEXPLAINED_AT_MOST) > 0 ? UNEXPLAINED_AT_MOST : severity,
  };
}

function fits(when: ExceptionCondition, subject: AlertSubject): boolean {
  const asks = (wanted: string | undefined, is: string): boolean => wanted === undefined || wanted === is;
  return (
    asks(when.tenant, subject.tenant) &&
    asks(when.device, subject.device) &&
    asks(when.model, subject.model) &&
    asks(when.faultKey, subject.faultKey) &&
    asks(when.severity, subject.severity) &&
    asks(when.mode, subject.mode)
  );
}

function apply(policy: AlertPolicy, { set: { severity: _, ...settings } }: PolicyException): AlertPolicy {
  return { ...policy, ...settings };
}
