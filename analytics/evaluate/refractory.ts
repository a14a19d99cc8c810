/**
 * After a hit the score of a single stream is damped for a while: the rows behind an anomaly are still odd, but they are
 * no second anomaly, and a person who was told once need not be told at every row.
 */
import type { SampleOutcome } from '../score-sample.ts';

export interface Refractory {
  damp(surprise: number, kind: SampleOutcome['kind']): number;
}

/** Rows over which a hit fades to 1/e. */
const FADE_ROWS = 100;
/** How much of a hit is taken off what follows. */
const SHARE = 0.9;

/** @param fadeRows the default serves all streams; benches compare it with its neighbours */
export function createRefractory(fadeRows = FADE_ROWS): Refractory {
  let memory = 0;
  return {
    damp(surprise, kind) {
      if (kind !== 'scored') return 0;
      const left = Math.max(0, surprise - SHARE * memory);
      memory = Math.max(memory * Math.exp(-1 / fadeRows), surprise);
      return left;
    },
  };
}
