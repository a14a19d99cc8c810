/** What every way of foreseeing a failure has in common. State is plain JSON; the same input gives the same answer. */
import type { Prediction } from '../../contract/ports/findings.ts';

/** The numbers of one sample, with the place in the device's life where that is known. */
export interface PrognosisInput {
  /** Device time, epoch ms. */
  readonly at: number;
  /** Operating cycle, for models whose life is counted in cycles. */
  readonly cycle?: number;
  readonly mode?: string;
  readonly signals: Readonly<Record<string, number>>;
}

export interface Prognoser<State> {
  readonly name: string;
  readonly version: string;
  init(): State;
  /** Takes one sample into the state, O(1). Mutates and returns `state`. */
  update(state: State, input: PrognosisInput): State;
  /** What is foreseen now, one prediction a failure mode it covers; `reason` instead of `remainingLife` when it cannot estimate. */
  predict(state: State): readonly Prediction[];
}
