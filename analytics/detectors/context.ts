/**
 * Context signals (load, weather, voltage) as regression features of about unit size, whatever their unit. One scaler a
 * device, shared by all its signals. A context that is missing from a sample keeps its last value.
 */

/** Plain JSON. */
export interface ContextState {
  readonly centre: number[];
  readonly scale: number[];
  /** Welford's sum of squared deviations while the scale is being found. */
  readonly squares: number[];
  readonly seen: number[];
  readonly last: number[];
}

export interface ContextSpec {
  readonly name: string;
  readonly range?: readonly [number, number];
}

/** Values from which the scale of a context without a physical range is found. */
const SCALE_SAMPLES = 30;
/** A twentieth of the physical range is a change that matters. */
const RANGE_PARTS = 20;
const LIMIT = 10;

export function initContext(specs: readonly ContextSpec[]): ContextState {
  return {
    centre: specs.map(({ range }) => (range ? (range[0] + range[1]) / 2 : 0)),
    scale: specs.map(({ range }) => (range ? (range[1] - range[0]) / RANGE_PARTS : 0)),
    squares: specs.map(() => 0),
    seen: specs.map(({ range }) => (range ? SCALE_SAMPLES : 0)),
    last: specs.map(() => 0),
  };
}

/** Takes the context of one sample in and gives its features, each within ±10; 0 while a scale is still being found. */
export function contextFeatures(state: ContextState, values: readonly (number | undefined)[]): number[] {
  return values.map((value, i) => {
    if (value !== undefined && Number.isFinite(value)) {
      state.last[i] = value;
      if ((state.seen[i] as number) < SCALE_SAMPLES) findScale(state, i, value);
    }
    const scale = state.scale[i] as number;
    if (scale === 0) return 0;
    const feature = ((state.last[i] as number) - (state.centre[i] as number)) / scale;
    return Math.max(-LIMIT, Math.min(LIMIT, feature));
  });
}

function findScale(state: ContextState, i: number, value: number): void {
  const seen = (state.seen[i] as number) + 1;
  const before = value - (state.centre[i] as number);
  const centre = (state.centre[i] as number) + before / seen;
  state.seen[i] = seen;
  state.centre[i] = centre;
  state.squares[i] = (state.squares[i] as number) + before * (value - centre);
  if (seen < SCALE_SAMPLES) return;
  // A context that stood still gets a coarse scale, so that its noise stays small.
  state.scale[i] = Math.max(Math.sqrt((state.squares[i] as number) / (seen - 1)), 0.01 * Math.abs(centre), 1e-3);
}
