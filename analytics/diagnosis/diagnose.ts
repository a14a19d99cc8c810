/**
 * Which failure mode explains the signals that deviate? Evidence for a mode is the weighted, sign-consistent surprise of
 * the signals it shows in; likely causes follow by Bayes' rule from how well each mode's pattern matches.
 */
import type { FailureMode } from '../../contract/devices/device-model.ts';
import type { LikelyCause } from '../../contract/ports/findings.ts';
import type { DeviceLine } from '../detectors/device-detector.ts';
import type { SensorFault } from '../detectors/sensor-health.ts';
import { combineSurprises } from '../stats/combine.ts';

/** What is known about one signal now; surprise carries the sign of the deviation. */
export interface SignalEvidence {
  readonly signal: string;
  readonly surprise: number;
}

/** Fault key of what no failure mode of the catalogue explains. */
export const UNEXPLAINED = 'unexplained';

/** Spread of a mode's pattern from device to device. */
const PATTERN_SIGMA = 0.4;
/** A signal that does not show yet speaks less against a mode than one that deviates the wrong way. */
const NOT_YET = 0.3;
/** How badly "something else" fits: half as badly as a mode that explains nothing. */
const SOMETHING_ELSE = 0.5;

/** Whether `mode` is known to move this signal this way. */
export function explains(mode: FailureMode, evidence: SignalEvidence): boolean {
  const shown = mode.shows.find((show) => show.signal === evidence.signal);
  return shown !== undefined && (shown.direction === 'up') === evidence.surprise > 0;
}

/** Surprise of a mode: its signals combined by their weights, those that deviate the wrong way counting nothing. */
export function modeSurprise(mode: FailureMode, bySignal: ReadonlyMap<string, number>): number {
  const surprises: number[] = [];
  const weights: number[] = [];
  for (const show of mode.shows) {
    const signed = bySignal.get(show.signal);
    if (signed === undefined) continue;
    surprises.push(Math.max(0, show.direction === 'up' ? signed : -signed));
    weights.push(show.weight);
  }
  return combineSurprises(surprises, weights);
}

/** Surprise of all signals together, whatever their direction. */
export function totalSurprise(evidence: readonly SignalEvidence[]): number {
  return combineSurprises(
    evidence.map((one) => Math.abs(one.surprise)),
    evidence.map(() => 1),
  );
}

export interface RankedMode {
  readonly mode: FailureMode;
  /** 0..1; all modes and "something else" sum to 1. */
  readonly probability: number;
}

/**
 * Failure modes by how likely they are the cause, likeliest first. Every mode and "something else" have the same prior.
 * @param threshold surprise that counts as a full deviation
 */
export function rankModes(
  modes: readonly FailureMode[],
  evidence: readonly SignalEvidence[],
  threshold: number,
): readonly RankedMode[] {
  const deviations = evidence.map((one) => Math.max(-1, Math.min(1, one.surprise / threshold)));
  const misfits = modes.map((mode) => patternMisfit(mode, evidence, deviations));
  const otherMisfit = SOMETHING_ELSE * deviations.reduce((sum, deviation) => sum + deviation * deviation, 0);
  const likelihood = (misfit: number): number => Math.exp(-misfit / (2 * PATTERN_SIGMA * PATTERN_SIGMA));
  const total = misfits.reduce((sum, misfit) => sum + likelihood(misfit), likelihood(otherMisfit));
  return modes
    .map((mode, i) => ({ mode, probability: total > 0 ? likelihood(misfits[i] as number) / total : 0 }))
    .sort((a, b) => b.probability - a.probability);
}

function patternMisfit(mode: FailureMode, evidence: readonly SignalEvidence[], deviations: readonly number[]): number {
  let misfit = 0;
  for (let i = 0; i < evidence.length; i++) {
    const shown = mode.shows.find((show) => show.signal === (evidence[i] as SignalEvidence).signal);
    const typical = shown ? (shown.direction === 'up' ? shown.weight : -shown.weight) : 0;
    const deviation = deviations[i] as number;
    const difference = deviation - typical;
    const lagging = typical !== 0 && deviation * typical >= 0 && Math.abs(deviation) < Math.abs(typical);
    // More than typical in the right direction is no contradiction.
    const leading = deviation * typical > 0 && Math.abs(deviation) >= Math.abs(typical);
    misfit += leading ? 0 : (lagging ? NOT_YET : 1) * difference * difference;
  }
  return misfit;
}

export interface Attribution {
  readonly faultKey: string;
  readonly surprise: number;
  /** Signals that count for this fault key. */
  readonly signals: readonly SignalEvidence[];
  /** What is wrong with the sensor, for the fault key of a sensor. */
  readonly sensorFault?: SensorFault | 'off';
  /** Present when a detector of the whole device, or of a sensor, found it. */
  readonly whole?: {
    readonly detector: { readonly name: string; readonly version: string } | undefined;
    readonly lines: readonly DeviceLine[];
  };
}

/**
 * Spreads the deviating signals over fault keys: first over the modes in `open` (an open episode keeps what it explains),
 * then over the likeliest mode that explains the most surprising signal left, and so on; what nobody explains goes to
 * {@link UNEXPLAINED}. A signal counts for one key only, so one fault does not raise several alerts. While a known
 * failure mode is open, what else deviates is taken for its consequence: a second mode must be likely in view of all
 * signals, and nothing is called unexplained (inhibition).
 */
export function attribute(
  modes: readonly FailureMode[],
  open: ReadonlySet<string>,
  evidence: readonly SignalEvidence[],
  threshold: number,
): readonly Attribution[] {
  const found: Attribution[] = [];
  let left = evidence;
  const give = (mode: FailureMode): void => {
    const signals = left.filter((one) => explains(mode, one));
    const bySignal = new Map(left.map((one) => [one.signal, one.surprise]));
    found.push({ faultKey: mode.code, surprise: modeSurprise(mode, bySignal), signals });
    left = left.filter((one) => !signals.includes(one));
  };
  const openModes = modes.filter((mode) => open.has(mode.code));
  for (const mode of openModes) give(mode);
  const likely = openModes.length > 0 ? likelyBeside(modes, evidence, threshold) : modes;
  const tried = new Set(openModes);
  const strongestFirst = [...left].sort((a, b) => Math.abs(b.surprise) - Math.abs(a.surprise));
  for (const top of strongestFirst) {
    if (Math.abs(top.surprise) < MIN_SURPRISE) break;
    const candidates = left.includes(top) ? likely.filter((mode) => !tried.has(mode) && explains(mode, top)) : [];
    const best = rankModes(candidates, left, threshold)[0];
    // A signal that no mode explains must not keep the others from theirs.
    if (!best) continue;
    tried.add(best.mode);
    give(best.mode);
  }
  if (openModes.length === 0) found.push({ faultKey: UNEXPLAINED, surprise: totalSurprise(left), signals: left });
  return found;
}

/** Whether a fault key is a likely cause in view of all signals; what nobody explains always is. */
export function isPlausible(faultKey: string, ranked: readonly RankedMode[]): boolean {
  const own = ranked.find(({ mode }) => mode.code === faultKey);
  return own === undefined || own.probability >= LIKELY_BESIDE;
}

function likelyBeside(
  modes: readonly FailureMode[],
  evidence: readonly SignalEvidence[],
  threshold: number,
): readonly FailureMode[] {
  return rankModes(modes, evidence, threshold)
    .filter(({ probability }) => probability >= LIKELY_BESIDE)
    .map(({ mode }) => mode);
}

/** Chance from which a failure mode is believed beside another that is open. */
const LIKELY_BESIDE = 0.25;
/** Below this a signal is ordinary: p = 0.1. */
const MIN_SURPRISE = 1;

/** The ranked modes as findings carry them; those below 2 % are left out. */
export function likelyCauses(ranked: readonly RankedMode[]): LikelyCause[] {
  return ranked
    .filter(({ probability }) => probability >= 0.02)
    .map(({ mode, probability }) => ({
      faultKey: mode.code,
      cause: mode.cause,
      probability,
      parts: mode.parts.map((part) => ({ ...part })),
    }));
}
