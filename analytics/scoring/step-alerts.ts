/** The episodes of one device: what a sample shows is spread over the fault keys, and each key's state machine takes a step. */
import { clientIdOf } from '../../contract/kernel/ids.ts';
import type { Finding, Prediction } from '../../contract/ports/findings.ts';
import { adoptEpisode } from '../adopt-normal.ts';
import { type EpisodeInput, initEpisode, isIdle, leavesTime, stepEpisode } from '../alerts/episode.ts';
import { policyOf } from '../alerts/exceptions.ts';
import { stableId } from '../alerts/identity.ts';
import { isDue } from '../alerts/policy.ts';
import type { DeviceState } from '../device-state.ts';
import {
  type Attribution,
  attribute,
  isPlausible,
  type RankedMode,
  rankModes,
  type SignalEvidence,
  UNEXPLAINED,
} from '../diagnosis/diagnose.ts';
import { loneSensor, sensorOf } from '../diagnosis/sensor-faults.ts';
import { alertFindingOf } from '../findings.ts';
import type { DevicePlan } from '../plan.ts';
import type { WholeJudgement } from '../score-whole.ts';
import { evidenceOf, NO_EVIDENCE, notable } from './evidence.ts';
import { type Judged, modeNameOf } from './judge-signals.ts';
import { WITHHOLD_DRIFT } from './learn-signals.ts';
import type { Renewed } from './renew-predictions.ts';
import type { SampleToScore } from './sample.ts';
import type { SensorWatch } from './watch-sensors.ts';

export interface AlertStep {
  readonly surprise: number;
  readonly novelty: number;
  readonly alerts: readonly Finding[];
}

/** Moves every fault key of the device that this sample concerns by one step. */
export function stepAlerts(
  state: DeviceState,
  plan: DevicePlan,
  sample: SampleToScore,
  judged: readonly Judged[],
  whole: WholeJudgement | undefined,
  predictions: readonly Renewed[],
  sensors: SensorWatch,
): AlertStep {
  const novelty = judged.reduce((top, one) => Math.max(top, one.result?.novelty ?? 0), 0);
  // The signals of a device that no catalogue describes are judged together, where there are several.
  const evidence = whole && !plan.model ? NO_EVIDENCE : evidenceOf(state, plan, sample.observedAt, sensors.lying);
  const open = openKeys(state);
  const busy = predictions.length > 0 || Object.values(state.episodes).some((episode) => !isIdle(episode));
  const strongest = Math.max(
    whole?.surprise ?? 0,
    ...evidence.held.map((one) => Math.abs(one.surprise)),
    ...sensors.found.map((one) => one.surprise),
  );
  // Nearly every sample of a healthy device ends here.
  if (!busy && strongest < plan.threshold * plan.policy.clearShare)
    return { surprise: Math.max(evidence.strongest, whole?.surprise ?? 0), novelty, alerts: [] };

  const explain = (shown: readonly SignalEvidence[]): readonly Attribution[] => {
    const found = attribute(plan.modes, open, notable(shown), plan.threshold);
    return [...withWhole(plan.model ? loneSensor(found, plan.conditions.length) : found, whole), ...sensors.found];
  };
  const fresh = explain(evidence.fresh);
  const held = explain(evidence.held);
  const keys = new Set([...Object.keys(state.episodes), ...fresh.map((one) => one.faultKey)]);
  for (const { prediction } of predictions) keys.add(prediction.faultKey);
  const ranked = rankModes(plan.modes, notable(evidence.held), plan.threshold);
  const alerts: Finding[] = [];
  let surprise = 0;
  // What is unexplained comes last: it is inhibited once a known mode has opened.
  const order = [...keys].sort((a, b) => Number(a === UNEXPLAINED) - Number(b === UNEXPLAINED) || (a < b ? -1 : 1));
  for (const faultKey of order) {
    const inhibited = faultKey === UNEXPLAINED && hasKnownOpen(state);
    const attribution = inhibited ? undefined : strongestOf(fresh, faultKey);
    surprise = Math.max(surprise, attribution?.surprise ?? 0);
    const finding = stepKey(state, plan, sample, {
      faultKey,
      attribution,
      held: inhibited ? undefined : strongestOf(held, faultKey),
      prediction: predictions.find((one) => one.prediction.faultKey === faultKey)?.prediction,
      ranked,
    });
    if (finding) alerts.push(finding);
  }
  return { surprise, novelty, alerts };
}

/** A sensor may be doubted for two reasons at once. */
function strongestOf(found: readonly Attribution[], faultKey: string): Attribution | undefined {
  let top: Attribution | undefined;
  for (const one of found) if (one.faultKey === faultKey && (!top || one.surprise > top.surprise)) top = one;
  return top;
}

/** Adds what the detectors of the whole device found to what is unexplained, where it says more. */
function withWhole(found: readonly Attribution[], whole: WholeJudgement | undefined): readonly Attribution[] {
  if (!whole || whole.surprise === 0) return found;
  return found.map((one) => {
    if (one.faultKey !== UNEXPLAINED || whole.surprise <= one.surprise) return one;
    const signals = whole.lines.map(({ signal, surprise, direction }) => ({
      signal,
      surprise: direction === 'up' ? surprise : -surprise,
    }));
    return { faultKey: UNEXPLAINED, surprise: whole.surprise, signals, whole };
  });
}

function hasKnownOpen(state: DeviceState): boolean {
  return [...openKeys(state)].some((key) => key !== UNEXPLAINED && sensorOf(key) === undefined);
}

function openKeys(state: DeviceState): ReadonlySet<string> {
  const open = new Set<string>();
  for (const key in state.episodes) if (state.episodes[key]?.open) open.add(key);
  return open;
}

interface KeyStep {
  readonly faultKey: string;
  readonly attribution: Attribution | undefined;
  readonly held: Attribution | undefined;
  readonly prediction: Prediction | undefined;
  readonly ranked: readonly RankedMode[];
}

function stepKey(state: DeviceState, plan: DevicePlan, sample: SampleToScore, step: KeyStep): Finding | undefined {
  const mode = plan.modes.find((one) => one.code === step.faultKey);
  const sensor = plan.sensors.find((one) => one.name === sensorOf(step.faultKey));
  // A prediction for a failure mode that the catalogue does not know has no component to work on.
  if (!mode && !sensor && step.faultKey !== UNEXPLAINED) return undefined;
  const surprise = step.attribution?.surprise ?? 0;
  const held = Math.max(surprise, step.held?.surprise ?? 0);
  let episode = Object.hasOwn(state.episodes, step.faultKey) ? state.episodes[step.faultKey] : undefined;
  if (!episode) {
    if (surprise < plan.threshold && !step.prediction) return undefined;
    episode = initEpisode();
    state.episodes[step.faultKey] = episode;
  }
  const signals = (step.attribution?.signals ?? []).filter((one) => Math.abs(one.surprise) >= WITHHOLD_DRIFT);
  const input: EpisodeInput = {
    at: sample.observedAt,
    observedMs: state.stepMs ?? 0,
    sample: sample.identity,
    surprise,
    held,
    threshold: plan.threshold,
    since: earliestDrift(state, signals),
    prediction: step.prediction,
    leavesTime: componentHasTime(state, plan, mode?.component),
    plausible: isPlausible(step.faultKey, step.ranked),
    otherConfirmed: plan.modes.some((other) => other.code !== step.faultKey && isConfirmed(state, other.code)),
    signals: signals.map((one) => one.signal),
  };
  const { policy, severity } = policyOf(plan.policy, {
    ...sample.ref,
    model: plan.modelId,
    faultKey: step.faultKey,
    severity: mode?.severity ?? 'minor',
    mode: modeNameOf(plan, sample),
  });
  const event = stepEpisode(episode, input, policy, severity, (onsetSample) =>
    stableId(clientIdOf(sample.ref), step.faultKey, onsetSample),
  );
  if (!event) return undefined;
  if (event.kind === 'alertCleared' && event.reason === 'adopted') {
    adoptEpisode(state, plan, step.faultKey, event.episode);
  }
  const explained = step.attribution ?? step.held;
  return alertFindingOf({
    state,
    plan,
    sample,
    mode,
    sensor,
    event,
    surprise,
    explained,
    ranked: step.ranked,
    episode,
    policy,
  });
}

function isConfirmed(state: DeviceState, faultKey: string): boolean {
  return Object.hasOwn(state.episodes, faultKey) && state.episodes[faultKey]?.open?.confirmed === true;
}

function earliestDrift(state: DeviceState, signals: readonly SignalEvidence[]): number | undefined {
  let earliest: number | undefined;
  for (const { signal, surprise } of signals) {
    for (const mode of Object.values(state.signals[signal]?.modes ?? {})) {
      const since = mode.last?.driftSince;
      if (since === null || since === undefined || (mode.last as { drift: number }).drift * surprise <= 0) continue;
      if (Math.abs((mode.last as { drift: number }).drift) < WITHHOLD_DRIFT) continue;
      if (earliest === undefined || since < earliest) earliest = since;
    }
  }
  return earliest;
}

/** Whether some prediction for this component leaves more time than the horizon and none says otherwise. */
function componentHasTime(state: DeviceState, plan: DevicePlan, component: string | undefined): boolean {
  if (component === undefined) return false;
  let hasTime = false;
  for (const mode of plan.modes) {
    const episode = mode.component === component ? state.episodes[mode.code] : undefined;
    if (!episode?.prediction?.remainingLife) continue;
    if (isDue(episode.prediction.remainingLife, plan.policy)) return false;
    hasTime ||= leavesTime(episode, plan.policy);
  }
  return hasTime;
}
