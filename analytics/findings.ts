/** Alerts as they leave analytics: an episode's event with its evidence. */
import type { FailureMode } from '../contract/devices/device-model.ts';
import type {
  AlertFinding,
  Clearing,
  Contribution,
  Evidence,
  LikelyCause,
  Prediction,
} from '../contract/ports/findings.ts';
import { bandPoints } from './alerts/bands.ts';
import type { EpisodeEvent, EpisodeState } from './alerts/episode.ts';
import { stableId } from './alerts/identity.ts';
import type { AlertPolicy } from './alerts/policy.ts';
import { DRIFT_DETECTOR, RESIDUAL_DETECTOR } from './detectors/signal-monitor.ts';
import type { DeviceState, LastJudgement } from './device-state.ts';
import {
  type Attribution,
  likelyCauses,
  type RankedMode,
  type SignalEvidence,
  UNEXPLAINED,
} from './diagnosis/diagnose.ts';
import { sensorCauses } from './diagnosis/sensor-faults.ts';
import type { DevicePlan, SensorPlan } from './plan.ts';
import type { SampleToScore } from './scoring/sample.ts';
import { scoreOf } from './stats/combine.ts';

export interface AlertFacts {
  readonly state: DeviceState;
  readonly plan: DevicePlan;
  readonly sample: SampleToScore;
  /** `undefined` = unexplained. */
  readonly mode: FailureMode | undefined;
  /** The sensor that is at fault; `undefined` = none. */
  readonly sensor: SensorPlan | undefined;
  readonly event: EpisodeEvent;
  readonly episode: EpisodeState;
  readonly surprise: number;
  readonly explained: Attribution | undefined;
  /** Failure modes by likelihood in view of all signals. */
  readonly ranked: readonly RankedMode[];
  /** Of this alert; that of the plan when absent. */
  readonly policy?: AlertPolicy;
}

const MAX_LINES = 8;

/** The finding of one event. Its id counts the findings of its episode, so a replay gives it again. */
export function alertFindingOf(facts: AlertFacts): AlertFinding {
  const { sample, plan, mode, sensor, event } = facts;
  const { episode } = event;
  return {
    id: stableId(episode.id, event.kind, episode.findings),
    kind: event.kind,
    tenant: sample.ref.tenant,
    device: sample.ref.device,
    model: plan.modelId,
    at: event.at,
    position: sample.position,
    episode: episode.id,
    faultKey: mode?.code ?? sensor?.faultKey ?? UNEXPLAINED,
    component: mode?.component ?? sensor?.component ?? 'device',
    severity: episode.severity,
    confirmed: episode.confirmed,
    onset: episode.onset,
    evidence: evidenceOf(facts),
    ...(event.kind === 'alertRaised' ? {} : { reason: event.reason }),
  };
}

function evidenceOf(facts: AlertFacts): Evidence {
  const { state, plan, sample, surprise, episode } = facts;
  const because = contributions(facts);
  const { flap } = facts.event.episode;
  const usable = episode.prediction ?? undefined;
  // Whoever reads the evidence is told why remaining life is unknown rather than nothing.
  const prediction = usable ?? episode.unestimated ?? undefined;
  const byPrediction = surprise < plan.threshold && usable !== undefined && episode.due > 0;
  return {
    detector: byPrediction
      ? usable.method
      : facts.explained?.whole?.detector
        ? { name: facts.explained.whole.detector.name, version: facts.explained.whole.detector.version }
        : detectorOf(state, because[0]?.signal),
    ...(plan.ensemble
      ? { ensemble: { ...plan.ensemble, ...(sample.beside ? { beside: [...sample.beside] } : {}) } }
      : {}),
    score: scoreOf(surprise),
    threshold: scoreOf(plan.threshold),
    because,
    likelyCauses: causesOf(facts),
    ...(prediction ? { prediction } : {}),
    bands: Object.fromEntries(
      because.map(({ signal }) => [signal, bandPoints(state.signals[signal]?.band ?? { points: [], count: 0 })]),
    ),
    clears: clearingOf(facts.policy ?? plan.policy, usable),
    ...(flap ? { flapping: { openings: flap.openings, windowMs: plan.policy.flapWindowMs } } : {}),
  };
}

function clearingOf(policy: AlertPolicy, prediction: Prediction | undefined): Clearing {
  const life = prediction?.remainingLife;
  return {
    samples: policy.offSamples,
    ms: policy.offMs,
    ...(life ? { warnHorizon: policy.warnHorizon[life.unit] } : {}),
  };
}

function causesOf({ ranked, sensor, explained }: AlertFacts): LikelyCause[] {
  const modes = likelyCauses(ranked);
  return sensor ? sensorCauses(sensor.name, sensor.label, explained?.sensorFault, modes) : modes;
}

/** Deviating signals of this fault key, or, when it was only foreseen, the signals in which the failure mode shows. */
function contributions(facts: AlertFacts): Contribution[] {
  const { mode, explained } = facts;
  const shown = (mode?.shows ?? []).map((show) => ({ signal: show.signal, surprise: 0 }));
  const deviating = explained?.signals ?? [];
  const lines = [...deviating, ...shown.filter((one) => !deviating.some(({ signal }) => signal === one.signal))];
  const weightOf = (signal: string): number => mode?.shows.find((show) => show.signal === signal)?.weight ?? 1;
  const strength = (one: SignalEvidence): number => Math.abs(one.surprise) * weightOf(one.signal);
  const total = lines.reduce((sum, one) => sum + strength(one), 0);
  return lines
    .sort((a, b) => strength(b) - strength(a))
    .map((one) => contributionOf(facts, one, total > 0 ? strength(one) / total : 0))
    .filter((line) => line !== undefined)
    .slice(0, MAX_LINES);
}

function contributionOf(
  { state, plan, explained }: AlertFacts,
  { signal }: SignalEvidence,
  share: number,
): Contribution | undefined {
  // What the other signals let expect says more than what the signal's own past does.
  const last = explained?.whole?.lines.find((line) => line.signal === signal) ?? strongestMode(state, signal);
  if (!last) return undefined;
  const { value, expected, low, high } = last;
  const known = (one: { readonly name: string }): boolean => one.name === signal;
  const unit = (plan.conditions.find(known) ?? plan.sensors.find(known))?.unit ?? '';
  const since = 'driftSince' in last ? (last.driftSince ?? undefined) : undefined;
  return {
    signal,
    value,
    expected,
    low,
    high,
    unit,
    contribution: share,
    ...(since === undefined ? {} : { since }),
  };
}

function strongestMode(state: DeviceState, signal: string): LastJudgement | undefined {
  let strongest: LastJudgement | undefined;
  for (const { last } of Object.values(state.signals[signal]?.modes ?? {})) {
    if (last && (!strongest || size(last) > size(strongest))) strongest = last;
  }
  return strongest;
}

function size(last: LastJudgement): number {
  return Math.max(Math.abs(last.point), Math.abs(last.drift));
}

function detectorOf(state: DeviceState, signal: string | undefined): Evidence['detector'] {
  const last = signal === undefined ? undefined : strongestMode(state, signal);
  return last && Math.abs(last.drift) > Math.abs(last.point) ? { ...DRIFT_DETECTOR } : { ...RESIDUAL_DETECTOR };
}
