/** What devices say beside samples, as rules see it: faults, events, and which firmware they run. And what rules report. */
import type { Metrics } from '../../contract/ports/services.ts';
import type { LoggedEntry } from '../../contract/ports/telemetry-log.ts';
import { birthPayload, eventPayload, type FaultReport } from '../../contract/wire/payloads.ts';
import type { RuleInput } from './evaluate.ts';
import type { RuleStats } from './ruled-devices.ts';

export interface DeviceReport {
  readonly firmware?: string;
  readonly input?: RuleInput;
}

/** @throws SyntaxError and the like when the body is not what ingest writes */
export function reportOf(entry: LoggedEntry): DeviceReport {
  const body: unknown = JSON.parse(new TextDecoder().decode(entry.body));
  if (entry.kind === 'birth') {
    const { firmware } = birthPayload.parse(body);
    return firmware === undefined ? {} : { firmware };
  }
  const { boot, seq, t, faults = [], events = [] } = eventPayload.parse(body);
  const reports: Record<string, boolean> = {};
  for (const fault of faults) reports[`fault:${fault.code}`] = stands(fault);
  for (const { name } of events) reports[`event:${name}`] = true;
  const { receivedAt, position } = entry;
  return {
    input: { identity: `${boot}:event:${seq}`, seq, index: 0, at: t, receivedAt, position, signals: {}, reports },
  };
}

/** Whether a reported fault stands: as its status says, where it has one (ISO 14229: testFailed is the state of now). */
function stands({ status }: FaultReport): boolean {
  return status?.testFailed ?? status?.active ?? status?.confirmed ?? true;
}

export function reportRules(metrics: Metrics, { rules, late, replaced, waiting, refused, overflow }: RuleStats): void {
  metrics.gauge('presage_rules_running', 'Rules of all tenants that run', rules);
  metrics.gauge('presage_rules_late_samples', 'Samples that came too late for the rules of their device', late);
  metrics.gauge('presage_rules_replaced_samples', 'Late samples that rules took in their place', replaced);
  metrics.gauge('presage_rules_waiting_devices', 'Devices whose rules wait for time to pass', waiting);
  metrics.gauge('presage_rules_refused_devices', 'Times that a device found no room to wait in', refused);
  metrics.gauge('presage_rules_overflow', 'Rules left out because their device has too many', overflow);
}
