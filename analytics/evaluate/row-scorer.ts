/**
 * Scores a recording row by row with the code of production: the recording is a device that no catalogue describes.
 * Nothing is known of the rows to come, of their number, or of their smallest and largest value.
 */
import { type AlertPolicy, DEFAULT_POLICY } from '../alerts/policy.ts';
import { type DeviceState, initDevice } from '../device-state.ts';
import { createDeviceScorer } from '../score-device.ts';
import { startRecording } from '../start-recording.ts';
import type { RecordingRow } from './recording.ts';
import { createRefractory } from './refractory.ts';

/** An operating point: how many false alerts may be raised. */
export const PROFILES = { standard: 5, 'low-fp': 1, 'low-fn': 25 } as const;
export type Profile = keyof typeof PROFILES;

export interface RowScore {
  /** 0..1; rises with surprise. */
  readonly score: number;
  /** An episode is open. */
  readonly alert: boolean;
}

export interface RowScorer {
  take(row: RecordingRow): RowScore;
}

const MODEL = 'recording';
const REF = { tenant: 'backtest', device: 'recording' } as const;
/** Surprise whose score is one half: p = 1e-5. */
const HALF_SURPRISE = 5;

export function policyOf(profile: Profile): AlertPolicy {
  // A row is judged by what it shows: that an alert comes and goes matters to people, not to a score.
  return { ...DEFAULT_POLICY, alertsPer1000DeviceDays: PROFILES[profile], flapOpenings: 0 };
}

/** A scorer over a state that was learned before, or a fresh one. The state is used up. */
export function createRowScorer(
  signals: readonly string[],
  profile: Profile,
  state: DeviceState = initDevice(MODEL),
): RowScorer {
  const scorer = createDeviceScorer({ findModel: () => undefined, prognosersFor: () => [], policy: policyOf(profile) });
  const refractory = createRefractory();
  let rows = 0;
  return {
    take(row) {
      const outcome = scorer.score(state, { ...sampleOf(signals, row), identity: String(rows++), position: rows });
      const surprise = signals.length === 1 ? refractory.damp(outcome.novelty, outcome.kind) : outcome.surprise;
      const alert = Object.values(state.episodes).some((episode) => episode.open !== null);
      return { score: surprise / (surprise + HALF_SURPRISE), alert };
    },
  };
}

/** A state for {@link learnRecording}. */
export function initLearned(): DeviceState {
  return initDevice(MODEL);
}

/** Learns one healthy recording into the state; the next one starts its own clock. */
export async function learnRecording(
  state: DeviceState,
  signals: readonly string[],
  rows: AsyncIterable<RecordingRow>,
): Promise<void> {
  const scorer = createDeviceScorer({ findModel: () => undefined, prognosersFor: () => [], policy: DEFAULT_POLICY });
  for await (const row of rows) {
    scorer.score(state, { ...sampleOf(signals, row), identity: '', position: 0, healthy: true });
  }
  startRecording(state);
}

function sampleOf(signals: readonly string[], row: RecordingRow) {
  const values: Record<string, number> = {};
  signals.forEach((name, i) => {
    const value = row.values[i];
    if (value !== undefined) values[name] = value;
  });
  return { ref: REF, observedAt: row.at, signals: values };
}
