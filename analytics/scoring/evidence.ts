/** What the signals of a device say now, over all its operating modes: the ground on which alerts are decided. */
import type { DeviceState, ModeState, SignalState } from '../device-state.ts';
import type { SignalEvidence } from '../diagnosis/diagnose.ts';
import type { DevicePlan } from '../plan.ts';

/** What another mode showed counts this long, or for this many intervals. */
const STALE_MS = 12 * 3_600_000;
const STALE_INTERVALS = 24;
const DRIFT_STALE_MS = 3 * 86_400_000;
/** Signals below this surprise are left out of the diagnosis: p = 0.3. */
const ORDINARY = 0.5;

export const NO_EVIDENCE: Evidence = { fresh: [], held: [], strongest: 0 };

/** Strongest evidence of each signal over its modes. */
export interface Evidence {
  /** By this sample's mode and by drift: may open an episode. */
  readonly fresh: SignalEvidence[];
  /** Also by what other modes showed last: keeps one open. */
  readonly held: SignalEvidence[];
  /** Strongest fresh signal, without its sign. */
  strongest: number;
}

/** @param lying signals whose sensors do not measure: they say nothing about the machine */
export function evidenceOf(state: DeviceState, plan: DevicePlan, now: number, lying: ReadonlySet<string>): Evidence {
  const evidence: Evidence = { fresh: [], held: [], strongest: 0 };
  const staleMs = Math.max(STALE_MS, STALE_INTERVALS * plan.intervalMs);
  const driftStaleMs = Math.max(DRIFT_STALE_MS, STALE_INTERVALS * plan.intervalMs);
  for (const name in state.signals) {
    const signal = state.signals[name] as SignalState;
    if (lying.has(name)) continue;
    let fresh = 0;
    let held = 0;
    for (const modeName in signal.modes) {
      const last = (signal.modes[modeName] as ModeState).last;
      if (!last) continue;
      const drift = now - last.at <= driftStaleMs ? last.drift : 0;
      const point = now - last.at <= staleMs ? last.point : 0;
      if (Math.abs(drift) > Math.abs(fresh)) fresh = drift;
      if (last.at === now && Math.abs(point) > Math.abs(fresh)) fresh = point;
      if (Math.abs(drift) > Math.abs(held)) held = drift;
      if (Math.abs(point) > Math.abs(held)) held = point;
    }
    evidence.fresh.push({ signal: name, surprise: fresh });
    evidence.held.push({ signal: name, surprise: held });
    evidence.strongest = Math.max(evidence.strongest, Math.abs(fresh));
  }
  return evidence;
}

/** The signals that take part in the diagnosis. */
export function notable(evidence: readonly SignalEvidence[]): readonly SignalEvidence[] {
  return evidence.filter((one) => Math.abs(one.surprise) >= ORDINARY);
}
