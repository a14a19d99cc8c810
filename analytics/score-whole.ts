/**
 * The detectors that see all signals of a device at once: asked, taught and restarted here, one state a detector and
 * operating mode. What they find is unexplained: they know how signals hang together, not what a failure mode is.
 */
import type { DeviceDetector, DeviceInput, DeviceLine } from './detectors/device-detector.ts';
import { DEVICE_DETECTORS } from './detectors/registry.ts';
import type { DeviceState, WholeState } from './device-state.ts';
import type { DevicePlan } from './plan.ts';

/** What the most surprised of them says of one sample. */
export interface WholeJudgement {
  readonly input: DeviceInput;
  /** Operating mode of the sample. */
  readonly mode: string;
  readonly surprise: number;
  readonly detector: { readonly name: string; readonly version: string } | undefined;
  readonly lines: readonly DeviceLine[];
}

/** Learning is withheld while a sample is this surprising: p = 0.001. */
const WITHHOLD = 3;
/** A change must also be this many samples long before it is adopted. */
const ADOPT_SAMPLES = 200;

/** Judges one sample; nothing is learned yet. A single signal has no relations: it is left to its own detectors. */
export function judgeWhole(
  state: DeviceState,
  plan: DevicePlan,
  mode: string,
  input: DeviceInput,
): WholeJudgement | undefined {
  if (plan.deviceDetectors.length === 0 || input.names.length < 2) return undefined;
  let judgement: WholeJudgement = { input, mode, surprise: 0, detector: undefined, lines: [] };
  for (const detector of plan.deviceDetectors) {
    const { surprise, lines } = detector.score(stateOf(state, mode, detector), input);
    if (surprise > judgement.surprise) judgement = { input, mode, surprise, detector, lines };
  }
  return judgement;
}

/**
 * Teaches the sample, except where it must not become normal: while it is surprising, and while an episode is open.
 * A change that raised no alert is the new normal after a while.
 */
export function learnWhole(state: DeviceState, plan: DevicePlan, judgement: WholeJudgement): void {
  const whole = wholeOf(state);
  const isOpen = Object.values(state.episodes).some((episode) => episode.open);
  const trusted = !isOpen && judgement.surprise < WITHHOLD;
  for (const detector of plan.deviceDetectors) {
    detector.learn(stateOf(state, judgement.mode, detector), judgement.input, trusted);
  }
  if (trusted) {
    whole.withheldSince = null;
    whole.withheldSamples = 0;
    return;
  }
  whole.withheldSince ??= judgement.input.at;
  whole.withheldSamples++;
  const old =
    whole.withheldSamples >= ADOPT_SAMPLES && judgement.input.at - whole.withheldSince >= plan.policy.adoptAfterMs;
  // An open alert is closed as normal by a person or by its policy, and only then is this forgotten.
  if (old && !isOpen) delete state.whole;
}

/** Learns a sample known to be healthy, however odd it looks. */
export function teachWhole(state: DeviceState, plan: DevicePlan, judgement: WholeJudgement): void {
  for (const detector of plan.deviceDetectors) {
    detector.learn(stateOf(state, judgement.mode, detector), judgement.input, true);
  }
}

/** Between two recordings: what is normal stays known, what was under way is history. */
export function restartWhole(state: DeviceState): void {
  const whole = wholeOf(state);
  whole.withheldSince = null;
  whole.withheldSamples = 0;
  for (const states of Object.values(whole.modes)) {
    for (const detector of DEVICE_DETECTORS) {
      const own = states[keyOf(detector)];
      if (own !== undefined) detector.restart(own);
    }
  }
}

function wholeOf(state: DeviceState): WholeState {
  state.whole ??= { modes: {}, withheldSince: null, withheldSamples: 0 };
  return state.whole;
}

/** A detector of another version starts anew beside the others. */
function stateOf(state: DeviceState, mode: string, detector: DeviceDetector<unknown>): unknown {
  const { modes } = wholeOf(state);
  const states = Object.hasOwn(modes, mode) ? (modes[mode] as Record<string, unknown>) : {};
  modes[mode] = states;
  const key = keyOf(detector);
  states[key] ??= detector.init();
  return states[key];
}

function keyOf(detector: DeviceDetector<unknown>): string {
  return `${detector.name} ${detector.version}`;
}
