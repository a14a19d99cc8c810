/** When many units with the same fault become one candidate for a campaign, and which of them wait for its decision. */
import type { GroupDecision } from '../../contract/http/alarms.ts';
import { compareSeverity, type Severity } from '../../contract/ports/findings.ts';
import type { AlarmPolicy } from './alarm-policy.ts';

type GroupPolicy = AlarmPolicy['group'];

export type GroupingDecision =
  | { readonly kind: 'open' }
  | { readonly kind: 'none'; readonly reason: 'excluded' | 'tooFew' | 'smallShare' };

/**
 * @param units devices with the fault within the window, this one included
 * @param exposed devices in service of the same model, batch and firmware
 */
export function decideGroup(faultKey: string, units: number, exposed: number, policy: GroupPolicy): GroupingDecision {
  if (policy.exclude.includes(faultKey)) return { kind: 'none', reason: 'excluded' };
  if (units < policy.minUnits) return { kind: 'none', reason: 'tooFew' };
  // Units may have left since: a share is at most 1.
  if (units < policy.minShare * Math.max(units, exposed)) return { kind: 'none', reason: 'smallShare' };
  return { kind: 'open' };
}

/** Whether a member of an open group gets no ticket of its own for now. */
export function waitsForGroup(
  severity: Severity,
  group: { readonly decision: GroupDecision | null; readonly decideBy: number },
  now: number,
  policy: GroupPolicy,
): boolean {
  if (severity === 'critical') return false;
  if (group.decision !== null) return group.decision === 'campaign';
  if (compareSeverity(severity, policy.holdBelow) >= 0) return false;
  return now < group.decideBy;
}
