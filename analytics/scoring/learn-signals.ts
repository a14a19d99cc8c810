/** What the detectors of single signals may learn from a sample, once the alerts are decided. */

import { adoptSignal } from '../adopt-normal.ts';
import { learnMonitor } from '../detectors/signal-monitor.ts';
import type { DeviceState } from '../device-state.ts';
import type { DevicePlan } from '../plan.ts';
import { contextLies, type Judged } from './judge-signals.ts';
import type { SampleToScore } from './sample.ts';

/** Learning is withheld while a sample is this surprising: p = 0.001 lasting, p = 0.01 for drift. */
const WITHHOLD_PERSISTED = 3;
export const WITHHOLD_DRIFT = 2;
/** A change must also be this many samples long before it is adopted. */
const ADOPT_SAMPLES = 200;

/** Teaches the detectors the sample, except where it must not become normal. @returns what was learned as normal */
export function learnSignals(
  state: DeviceState,
  plan: DevicePlan,
  sample: SampleToScore,
  judged: readonly Judged[],
  lying: ReadonlySet<string>,
): readonly Judged[] {
  const implicated = implicatedSignals(state, plan);
  const learned: Judged[] = [];
  const blind = contextLies(plan, lying);
  for (const one of judged) {
    const { plan: signalPlan, signal, mode, input, result } = one;
    const anomalous =
      result !== undefined && (result.rarity >= WITHHOLD_PERSISTED || Math.abs(result.drift) >= WITHHOLD_DRIFT);
    const trusted = !anomalous && !implicated.has(signalPlan.name) && !blind && !lying.has(signalPlan.name);
    learnMonitor(mode.monitor, input, result, trusted);
    if (trusted) {
      learned.push(one);
      signal.withheldSince = null;
      signal.withheldSamples = 0;
      continue;
    }
    signal.withheldSince ??= sample.observedAt;
    signal.withheldSamples++;
    const old =
      signal.withheldSamples >= ADOPT_SAMPLES && sample.observedAt - signal.withheldSince >= plan.policy.adoptAfterMs;
    // A lasting change is the new normal, unless an alert is open about it: that one a person or its policy closes as normal.
    if (old && !implicated.has(signalPlan.name)) adoptSignal(signal);
  }
  return learned;
}

/** Signals behind open episodes. */
function implicatedSignals(state: DeviceState, plan: DevicePlan): ReadonlySet<string> {
  const implicated = new Set<string>();
  for (const key in state.episodes) {
    const open = state.episodes[key]?.open;
    if (!open) continue;
    const mode = plan.modes.find((one) => one.code === key);
    for (const show of mode?.shows ?? []) implicated.add(show.signal);
    if (!mode) for (const signal of open.signals) implicated.add(signal);
  }
  return implicated;
}
