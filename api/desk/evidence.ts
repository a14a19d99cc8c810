/** What goes into the evidence of a ticket: which signals, over which time. */
import { findModel } from '../../contract/devices/catalogue.ts';
import { HOUR_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { TicketPolicy } from './policy.ts';

const MAX_SIGNALS = 12;
/** Interval of a model that the catalogue does not know. */
const DEFAULT_INTERVAL_MS = HOUR_MS / 12;

/** Signals that raised the alert, then those in which the failure mode shows. */
export function evidenceSignals(alert: Pick<AlertFinding, 'model' | 'faultKey' | 'evidence'>): string[] {
  const mode = findModel(alert.model)?.failureModes.find((one) => one.code === alert.faultKey);
  const names = [
    ...alert.evidence.because.map((line) => line.signal),
    ...(mode?.shows ?? []).map((line) => line.signal),
    ...(mode?.endOfLife ? [mode.endOfLife.signal] : []),
  ];
  return [...new Set(names)].slice(0, MAX_SIGNALS);
}

/** From some samples before the onset, so that normal is seen as well, up to and including the sample that raised it. */
export function evidenceRange(
  alert: Pick<AlertFinding, 'model' | 'onset' | 'at'>,
  policy: TicketPolicy,
): { from: number; to: number } {
  const intervalMs = findModel(alert.model)?.intervalMs ?? DEFAULT_INTERVAL_MS;
  const onset = Math.min(alert.onset, alert.at);
  return { from: Math.max(0, onset - policy.evidenceLeadSamples * intervalMs), to: alert.at + 1 };
}
