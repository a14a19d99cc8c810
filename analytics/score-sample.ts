/**
 * One sample of one device through the whole of analytics: detectors, diagnosis, prognosis, alerts. Pure: the same state
 * and sample give the same findings in production, after a restart and in a back-test.
 */
import type { DeviceRef } from '../contract/kernel/ids.ts';
import { clientIdOf } from '../contract/kernel/ids.ts';
import type { Finding, Prediction } from '../contract/ports/findings.ts';
import type { SignalValue } from '../contract/wire/payloads.ts';
import { initBand, recordBand } from './alerts/bands.ts';
import { type EpisodeInput, initEpisode, isIdle, leavesTime, stepEpisode } from './alerts/episode.ts';
import { stableId } from './alerts/identity.ts';
import { isDue } from './alerts/policy.ts';
import { contextFeatures } from './detectors/context.ts';
import type { DetectorInput } from './detectors/detector.ts';
import {
  initMonitor,
  learnMonitor,
  type MonitorResult,
  scoreMonitor,
  teachMonitor,
} from './detectors/signal-monitor.ts';
import { contextOf, type DeviceState, type ModeState, type SignalState } from './device-state.ts';
import {
  type Attribution,
  attribute,
  isPlausible,
  type RankedMode,
  rankModes,
  type SignalEvidence,
  UNEXPLAINED,
} from './diagnosis/diagnose.ts';
import { alertFindingOf } from './findings.ts';
import type { DevicePlan, SignalPlan } from './plan.ts';
import type { PrognosisInput } from './prognosis/prognoser.ts';
import { judgeWhole, learnWhole, teachWhole, type WholeJudgement } from './score-whole.ts';

/** One sample on its way through analytics. */
export interface SampleToScore {
  readonly ref: DeviceRef;
  /** Unique on the device: boot, sequence number and index. */
  readonly identity: string;
  readonly observedAt: number;
  /** Position in the telemetry log. */
  readonly position: number;
  readonly signals: Readonly<Record<string, SignalValue>>;
  /** Known to be healthy: everything in it is learned, nothing is alerted. */
  readonly healthy?: boolean;
}

export interface SampleOutcome {
  readonly kind: 'scored' | 'late' | 'learningInterval';
  readonly findings: readonly Finding[];
  /** Values that a detector has seen. */
  readonly values: number;
  /** Surprise of the strongest fault key, with operating modes seen last. */
  readonly surprise: number;
  /** Rarity of the rarest signal in this very sample; only for devices that no catalogue describes. */
  readonly novelty: number;
}

const MAX_SIGNALS = 200;
const OTHER_MODE = 'other';
/** Learning is withheld while a sample is this surprising: p = 0.001 lasting, p = 0.01 for drift. */
const WITHHOLD_PERSISTED = 3;
const WITHHOLD_DRIFT = 2;
/** A change must also be this many samples long before it is adopted. */
const ADOPT_SAMPLES = 200;
/** What another mode showed counts this long, or for this many intervals. */
const STALE_MS = 12 * 3_600_000;
const STALE_INTERVALS = 24;
const DRIFT_STALE_MS = 3 * 86_400_000;
const QUIET: SampleOutcome = { kind: 'late', findings: [], values: 0, surprise: 0, novelty: 0 };
/** Signals below this surprise are left out of the diagnosis: p = 0.3. */
const ORDINARY = 0.5;

/** One judged value of the sample. */
interface Judged {
  readonly plan: SignalPlan;
  readonly signal: SignalState;
  readonly mode: ModeState;
  readonly value: number;
  readonly input: DetectorInput;
  readonly result: MonitorResult | undefined;
}

/** Takes one sample in; mutates `state`. Samples older than the device's newest are counted and leave all else alone. */
export function scoreSample(state: DeviceState, plan: DevicePlan, sample: SampleToScore): SampleOutcome {
  if (state.samples > 0 && sample.observedAt < state.newestAt) {
    state.late++;
    return QUIET;
  }
  state.newestAt = sample.observedAt;
  state.samples++;
  const judged = judge(state, plan, sample);
  const whole = judgeWhole(state, plan, modeNameOf(plan, sample), {
    at: sample.observedAt,
    names: judged.map((one) => one.plan.name),
    values: judged.map((one) => one.value),
  });
  if (sample.healthy) {
    for (const { mode, input, result } of judged) teachMonitor(mode.monitor, input, result);
    if (whole) teachWhole(state, plan, whole);
    return { kind: 'scored', findings: [], values: judged.length, surprise: 0, novelty: 0 };
  }
  const predictions = prognose(state, plan, sample);
  const findings: Finding[] = predictions.map((one) => one.finding).filter((finding) => finding !== undefined);
  const { surprise, novelty, alerts } = stepAlerts(state, plan, sample, judged, whole, predictions);
  findings.push(...alerts);
  learn(state, plan, sample, judged);
  if (whole) learnWhole(state, plan, whole);
  return { kind: 'scored', findings, values: judged.length, surprise, novelty };
}

/** Scores every condition signal of the sample; nothing is learned yet. */
function judge(state: DeviceState, plan: DevicePlan, sample: SampleToScore): Judged[] {
  const context = contextFeatures(
    contextOf(state, plan),
    plan.contexts.map((spec) => numberOf(sample.signals[spec.name])),
  );
  const modeName = modeNameOf(plan, sample);
  const judged: Judged[] = [];
  for (const signalPlan of plansOf(state, plan, sample)) {
    const value = sample.signals[signalPlan.name];
    if (typeof value !== 'number') continue;
    if (signalPlan.range && (value < signalPlan.range[0] || value > signalPlan.range[1])) {
      state.outOfRange++;
      continue;
    }
    const signal = signalOf(state, signalPlan.name);
    if (!signal) continue;
    if (!plan.model && countsOnly(signal, value)) continue;
    const mode = modeOf(signal, modeName, signalPlan);
    const input: DetectorInput = { at: sample.observedAt, value, context };
    const result = scoreMonitor(mode.monitor, input);
    if (result) {
      note(mode, input.at, value, result);
      recordBand(signal.band, input.at, bandSlotMs(plan), result.expected, result.low, result.high);
    }
    judged.push({ plan: signalPlan, signal, mode, value, input, result });
  }
  return judged;
}

const COUNTER_RISES = 20;
const COUNTER_FALL_SHARE = 0.01;

/** Whether the signal of an unknown device only rises, apart from a reset now and then: mileage or hours, not a condition. */
function countsOnly(signal: SignalState, value: number): boolean {
  if (signal.last !== null && value > signal.last) signal.rises++;
  if (signal.last !== null && value < signal.last) signal.falls++;
  signal.last = value;
  const counts = signal.rises >= COUNTER_RISES && signal.falls <= COUNTER_FALL_SHARE * signal.rises;
  // What was seen before it was recognised says nothing either.
  if (counts) for (const name of Object.keys(signal.modes)) delete signal.modes[name];
  return counts;
}

function bandSlotMs(plan: DevicePlan): number {
  return Math.max(2 * 3_600_000, plan.intervalMs);
}

function plansOf(state: DeviceState, plan: DevicePlan, sample: SampleToScore): readonly SignalPlan[] {
  if (plan.model) return plan.conditions;
  const plans: SignalPlan[] = [];
  const alone = Object.keys(sample.signals).length === 1;
  for (const name in sample.signals) {
    if (typeof sample.signals[name] === 'number') plans.push(plan.planSignal(name, alone));
    if (plans.length >= MAX_SIGNALS) {
      state.overflow++;
      break;
    }
  }
  return plans;
}

function numberOf(value: SignalValue | undefined): number | undefined {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return typeof value === 'number' ? value : undefined;
}

function signalOf(state: DeviceState, name: string): SignalState | undefined {
  const known = Object.hasOwn(state.signals, name) ? state.signals[name] : undefined;
  if (known) return known;
  if (Object.keys(state.signals).length >= MAX_SIGNALS) {
    state.overflow++;
    return undefined;
  }
  const signal: SignalState = {
    modes: {},
    band: initBand(),
    withheldSince: null,
    withheldSamples: 0,
    last: null,
    rises: 0,
    falls: 0,
  };
  state.signals[name] = signal;
  return signal;
}

/** The mode's name when the catalogue has it, '' when the sample names none, else one name for all others. */
function modeNameOf(plan: DevicePlan, sample: SampleToScore): string {
  const value = plan.modeSignal ? sample.signals[plan.modeSignal] : undefined;
  if (value === undefined) return '';
  return typeof value === 'string' && plan.modeIds.has(value) ? value : OTHER_MODE;
}

function modeOf(signal: SignalState, name: string, plan: SignalPlan): ModeState {
  const known = Object.hasOwn(signal.modes, name) ? signal.modes[name] : undefined;
  if (known) return known;
  const mode: ModeState = { monitor: initMonitor(plan.params), last: null };
  signal.modes[name] = mode;
  return mode;
}

function note(mode: ModeState, at: number, value: number, result: MonitorResult): void {
  const { expected, low, high } = result;
  mode.last = {
    at,
    value,
    expected,
    low,
    high,
    point: result.persisted,
    drift: result.drift,
    driftSince: result.driftSince ?? null,
  };
}

const NO_EVIDENCE: Evidence = { fresh: [], held: [], strongest: 0 };

/** Strongest evidence of each signal over its modes. */
interface Evidence {
  /** By this sample's mode and by drift: may open an episode. */
  readonly fresh: SignalEvidence[];
  /** Also by what other modes showed last: keeps one open. */
  readonly held: SignalEvidence[];
  /** Strongest fresh signal, without its sign. */
  strongest: number;
}

function evidenceOf(state: DeviceState, plan: DevicePlan, now: number): Evidence {
  const evidence: Evidence = { fresh: [], held: [], strongest: 0 };
  const staleMs = Math.max(STALE_MS, STALE_INTERVALS * plan.intervalMs);
  const driftStaleMs = Math.max(DRIFT_STALE_MS, STALE_INTERVALS * plan.intervalMs);
  for (const name in state.signals) {
    const signal = state.signals[name] as SignalState;
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

interface AlertStep {
  readonly surprise: number;
  readonly novelty: number;
  readonly alerts: readonly Finding[];
}

function stepAlerts(
  state: DeviceState,
  plan: DevicePlan,
  sample: SampleToScore,
  judged: readonly Judged[],
  whole: WholeJudgement | undefined,
  predictions: readonly Renewed[],
): AlertStep {
  const novelty = judged.reduce((top, one) => Math.max(top, one.result?.novelty ?? 0), 0);
  // The signals of a device that no catalogue describes are judged together, where there are several.
  const evidence = whole && !plan.model ? NO_EVIDENCE : evidenceOf(state, plan, sample.observedAt);
  const open = openKeys(state);
  const busy = predictions.length > 0 || Object.values(state.episodes).some((episode) => !isIdle(episode));
  const strongest = evidence.held.reduce((top, one) => Math.max(top, Math.abs(one.surprise)), whole?.surprise ?? 0);
  // Nearly every sample of a healthy device ends here.
  if (!busy && strongest < plan.threshold * plan.policy.clearShare)
    return { surprise: Math.max(evidence.strongest, whole?.surprise ?? 0), novelty, alerts: [] };

  const fresh = withWhole(attribute(plan.modes, open, notable(evidence.fresh), plan.threshold), whole);
  const held = withWhole(attribute(plan.modes, open, notable(evidence.held), plan.threshold), whole);
  const keys = new Set([...Object.keys(state.episodes), ...fresh.map((one) => one.faultKey)]);
  for (const { prediction } of predictions) keys.add(prediction.faultKey);
  const ranked = rankModes(plan.modes, notable(evidence.held), plan.threshold);
  const alerts: Finding[] = [];
  let surprise = 0;
  // What is unexplained comes last: it is inhibited once a known mode has opened.
  const order = [...keys].sort((a, b) => Number(a === UNEXPLAINED) - Number(b === UNEXPLAINED) || (a < b ? -1 : 1));
  for (const faultKey of order) {
    const inhibited = faultKey === UNEXPLAINED && hasKnownOpen(state);
    const attribution = inhibited ? undefined : fresh.find((one) => one.faultKey === faultKey);
    surprise = Math.max(surprise, attribution?.surprise ?? 0);
    const finding = stepKey(state, plan, sample, {
      faultKey,
      attribution,
      held: inhibited ? undefined : held.find((one) => one.faultKey === faultKey),
      prediction: predictions.find((one) => one.prediction.faultKey === faultKey)?.prediction,
      ranked,
    });
    if (finding) alerts.push(finding);
  }
  return { surprise, novelty, alerts };
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

function notable(evidence: readonly SignalEvidence[]): readonly SignalEvidence[] {
  return evidence.filter((one) => Math.abs(one.surprise) >= ORDINARY);
}

function hasKnownOpen(state: DeviceState): boolean {
  return [...openKeys(state)].some((key) => key !== UNEXPLAINED);
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
  // A prediction for a failure mode that the catalogue does not know has no component to work on.
  if (!mode && step.faultKey !== UNEXPLAINED) return undefined;
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
  const severity = mode?.severity ?? 'minor';
  const event = stepEpisode(episode, input, plan.policy, severity, (onsetSample) =>
    stableId(clientIdOf(sample.ref), step.faultKey, onsetSample),
  );
  if (!event) return undefined;
  const explained = step.attribution ?? step.held;
  return alertFindingOf({ state, plan, sample, mode, event, surprise, explained, ranked: step.ranked, episode });
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

interface Renewed {
  readonly prediction: Prediction;
  /** Present when it is news. */
  readonly finding: Finding | undefined;
}

/** Feeds the prognosers and, when it is time, renews the predictions: one a fault key, the first usable one. */
function prognose(state: DeviceState, plan: DevicePlan, sample: SampleToScore): readonly Renewed[] {
  if (plan.prognosers.length === 0) return [];
  const input = prognosisInput(plan, sample);
  alignPrognosers(state, plan);
  plan.prognosers.forEach((prognoser, i) => {
    const own = state.prognosers[i];
    if (own) own.state = prognoser.update(own.state, input);
  });
  if (state.samples % plan.predictEverySamples !== 0) return [];
  /** by fault key */
  const best = new Map<string, { prediction: Prediction; index: number }>();
  plan.prognosers.forEach((prognoser, index) => {
    for (const prediction of prognoser.predict(state.prognosers[index]?.state)) {
      const known = best.get(prediction.faultKey);
      if (!known || (!known.prediction.remainingLife && prediction.remainingLife)) {
        best.set(prediction.faultKey, { prediction, index });
      }
    }
  });
  return [...best.values()].map(({ prediction }) => ({
    prediction,
    finding: predictionNews(state, plan, sample, prediction),
  }));
}

function prognosisInput(plan: DevicePlan, sample: SampleToScore): PrognosisInput {
  const signals: Record<string, number> = {};
  for (const name in sample.signals) {
    const value = sample.signals[name];
    if (typeof value === 'number') signals[name] = value;
  }
  const cycle = plan.model?.cycleSignal ? signals[plan.model.cycleSignal] : undefined;
  const mode = plan.modeSignal ? sample.signals[plan.modeSignal] : undefined;
  return {
    at: sample.observedAt,
    signals,
    ...(cycle === undefined ? {} : { cycle }),
    ...(mode === undefined ? {} : { mode: String(mode) }),
  };
}

/** States follow the list of prognosers: another name or version starts anew, the others go on. */
function alignPrognosers(state: DeviceState, plan: DevicePlan): void {
  const same =
    state.prognosers.length === plan.prognosers.length &&
    plan.prognosers.every(
      (one, i) => state.prognosers[i]?.name === one.name && state.prognosers[i]?.version === one.version,
    );
  if (same) return;
  const old = state.prognosers.splice(0);
  for (const one of plan.prognosers) {
    const known = old.find((before) => before.name === one.name && before.version === one.version);
    state.prognosers.push(known ?? { name: one.name, version: one.version, state: one.init(), reported: {} });
  }
}

/** A median that moved by this share is worth a finding. */
const PREDICTION_NEWS_SHARE = 0.05;
const REPORT_EVERY_SAMPLES = 24;

function predictionNews(
  state: DeviceState,
  plan: DevicePlan,
  sample: SampleToScore,
  prediction: Prediction,
): Finding | undefined {
  const reported = state.prognosers[0]?.reported as PrognosisReports;
  const median = prediction.remainingLife?.median ?? null;
  const due = prediction.remainingLife !== undefined && isDue(prediction.remainingLife, plan.policy);
  const before = Object.hasOwn(reported, prediction.faultKey) ? reported[prediction.faultKey] : undefined;
  const moved =
    !before ||
    before.due !== due ||
    (before.median === null) !== (median === null) ||
    (median !== null && Math.abs(median - (before.median ?? 0)) > PREDICTION_NEWS_SHARE * (before.median ?? 0)) ||
    state.samples - before.sample >= REPORT_EVERY_SAMPLES * plan.predictEverySamples;
  if (!moved) return undefined;
  reported[prediction.faultKey] = { median, due, sample: state.samples };
  return {
    id: stableId(clientIdOf(sample.ref), prediction.faultKey, 'prediction', sample.identity),
    kind: 'prediction',
    tenant: sample.ref.tenant,
    device: sample.ref.device,
    model: plan.modelId,
    at: sample.observedAt,
    position: sample.position,
    prediction,
  };
}

type PrognosisReports = Record<string, { median: number | null; due: boolean; sample: number }>;

/** Teaches the detectors the sample, except where it must not become normal. */
function learn(state: DeviceState, plan: DevicePlan, sample: SampleToScore, judged: readonly Judged[]): void {
  const implicated = implicatedSignals(state, plan);
  for (const { plan: signalPlan, signal, mode, input, result } of judged) {
    const anomalous =
      result !== undefined &&
      (Math.abs(result.persisted) >= WITHHOLD_PERSISTED || Math.abs(result.drift) >= WITHHOLD_DRIFT);
    const by = implicated.get(signalPlan.name);
    const trusted = !anomalous && by === undefined;
    learnMonitor(mode.monitor, input, result, trusted);
    if (trusted) {
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
