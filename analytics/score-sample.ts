/**
 * One sample of one device through the whole of analytics: detectors, diagnosis, prognosis, alerts. Pure: the same state
 * and sample give the same findings in production, after a restart and in a back-test. The steps are in scoring/.
 */
import type { Finding } from '../contract/ports/findings.ts';
import { teachMonitor } from './detectors/signal-monitor.ts';
import type { DeviceState } from './device-state.ts';
import type { DevicePlan } from './plan.ts';
import { judgeWhole, learnWhole, teachWhole } from './score-whole.ts';
import { learnRows } from './scoring/baseline-rows.ts';
import { judgeSignals, modeNameOf } from './scoring/judge-signals.ts';
import { learnSignals } from './scoring/learn-signals.ts';
import { renewPredictions } from './scoring/renew-predictions.ts';
import type { SampleOutcome, SampleToScore } from './scoring/sample.ts';
import { stepAlerts } from './scoring/step-alerts.ts';
import { watchSensors } from './scoring/watch-sensors.ts';

export type { SampleOutcome, SampleToScore } from './scoring/sample.ts';

const QUIET: SampleOutcome = { kind: 'late', findings: [], values: 0, surprise: 0, novelty: 0 };

/** Takes one sample in; mutates `state`. Samples older than the device's newest are counted and leave all else alone. */
export function scoreSample(state: DeviceState, plan: DevicePlan, sample: SampleToScore): SampleOutcome {
  if (state.samples > 0 && sample.observedAt < state.newestAt) {
    state.late++;
    return QUIET;
  }
  state.stepMs = observedMs(state, plan, sample.observedAt);
  state.newestAt = sample.observedAt;
  state.samples++;
  const modeName = modeNameOf(plan, sample);
  const sensors = watchSensors(state, plan, sample, modeName);
  const judged = judgeSignals(state, plan, sample, sensors.lying);
  const whole = judgeWhole(state, plan, modeName, {
    at: sample.observedAt,
    names: judged.map((one) => one.plan.name),
    values: judged.map((one) => one.value),
  });
  if (sample.healthy) {
    for (const { mode, input, result } of judged) teachMonitor(mode.monitor, input, result);
    learnRows(state, plan, modeName, judged);
    if (whole) teachWhole(state, plan, whole);
    return { kind: 'scored', findings: [], values: judged.length, surprise: 0, novelty: 0 };
  }
  const predictions = renewPredictions(state, plan, sample);
  const findings: Finding[] = predictions.map((one) => one.finding).filter((finding) => finding !== undefined);
  const { surprise, novelty, alerts } = stepAlerts(state, plan, sample, judged, whole, predictions, sensors);
  findings.push(...alerts);
  learnRows(state, plan, modeName, learnSignals(state, plan, sample, judged, sensors.lying));
  if (whole) learnWhole(state, plan, whole);
  return { kind: 'scored', findings, values: judged.length, surprise, novelty };
}

/** Time since the newest sample, as far as samples came: of a silence no more than one interval counts. */
function observedMs(state: DeviceState, plan: DevicePlan, at: number): number {
  const passedMs = state.samples > 0 ? at - state.newestAt : 0;
  const silentMs = Math.max(plan.policy.leastSilenceMs, plan.policy.missedBeats * plan.intervalMs);
  return passedMs > silentMs ? Math.min(passedMs, plan.intervalMs) : passedMs;
}
