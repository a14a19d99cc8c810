/** What the faults of a refrigerator do to its physics; the model knows only these numbers, not the faults. */
export interface RefrigeratorWear {
  /** 0 = good bearing, 1 = vibration at the end-of-life limit. */
  readonly friction: number;
  /** Share of the refrigerant charge that still cools, 0..1. */
  readonly charge: number;
  /** Share of the evaporator fan's nominal speed that is left, 0..1. */
  readonly fan: number;
  /** The compressor no longer turns. */
  readonly stalled: boolean;
}

export const NO_WEAR: RefrigeratorWear = { friction: 0, charge: 1, fan: 1, stalled: false };

/** Which limit ends the life: reached by severity 1, or by the food getting warm. */
export type FailsBy = 'severity' | 'warmFood';

export interface RefrigeratorFault {
  readonly code: string;
  readonly failsBy: FailsBy;
  /** Wear at a severity (0 = none, may pass 1); `failed` = after the end of life. */
  wear(severity: number, failed: boolean): RefrigeratorWear;
}
