/** What the detectors of single signals may learn from a sample, once the alerts are decided. */
import { learnMonitor } from '../detectors/signal-monitor.ts';
import type { DeviceState, SignalState } from '../device-state.ts';
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
    const by = implicated.get(signalPlan.name);
    const trusted = !anomalous && by === undefined && !blind && !lying.has(signalPlan.name);
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
    // A known failure mode is never taught as normal; a lasting change that nobody can explain is the new normal.
    if (old && by !== 'known') adopt(signal);
  }
  return learned;
}

/** Signals behind open episodes: `known` when a failure mode of the catalogue explains them. */
function implicatedSignals(state: DeviceState, plan: DevicePlan): ReadonlyMap<string, 'known' | 'unexplained'> {
  const implicated = new Map<string, 'known' | 'unexplained'>();
  for (const key in state.episodes) {
    const open = state.episodes[key]?.open;
    if (!open) continue;
    const mode = plan.modes.find((one) => one.code === key);
    for (const show of mode?.shows ?? []) implicated.set(show.signal, 'known');
    if (mode) continue;
    for (const signal of open.signals) if (!implicated.has(signal)) implicated.set(signal, 'unexplained');
  }
  return implicated;
}

function adopt(signal: SignalState): void {
  for (const name of Object.keys(signal.modes)) delete signal.modes[name];
  signal.withheldSince = null;
  signal.withheldSamples = 0;
}
