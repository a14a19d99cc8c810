/** The faults of a refrigerator: what each does to its physics. The model knows only the wear, not the faults. */
import type { SimulatedFault } from './fault-plan.ts';

/** How worn a refrigerator is. */
export interface RefrigeratorWear {
  /** 0 = good bearing, 1 = vibration at the end-of-life limit. */
  readonly friction: number;
  /** Share of the refrigerant charge that still cools, 0..1. */
  readonly charge: number;
  /** Share of the evaporator fan's nominal speed that is left, 0..1. */
  readonly fan: number;
  /** 0 = tight door, 1 = a gasket that hangs off: warm damp air comes in all the time. */
  readonly gasket: number;
  /** The compressor no longer turns. */
  readonly stalled: boolean;
}

export const NO_WEAR: RefrigeratorWear = { friction: 0, charge: 1, fan: 1, gasket: 0, stalled: false };

/** Which limit ends the life: reached by severity 1, or by the food getting warm. */
export type FailsBy = 'severity' | 'warmFood';

export interface RefrigeratorFault extends SimulatedFault {
  readonly failsBy: FailsBy;
  /** Wear at a severity (0 = none, may pass 1); `failed` = after the end of life. */
  wear(severity: number, failed: boolean): RefrigeratorWear;
}

/** Friction and play of the compressor bearing rise until the motor stalls. */
const compressorBearingWear: RefrigeratorFault = {
  code: 'compressorBearingWear',
  failsBy: 'severity',
  wear: (severity, failed) => ({ ...NO_WEAR, friction: Math.min(1, severity), stalled: failed }),
};

/** Charge at which a cabinet of the middle of the series can no longer keep food below 10 °C in a usual room. */
const CHARGE_AT_END = 0.17;

/**
 * A slow leak. The lost share of charge follows 1 − (1 − s)²: the flow through the hole falls with the pressure.
 * The thermostat hides it behind longer runs until the compressor never rests; then the cabinet warms.
 */
const refrigerantLeak: RefrigeratorFault = {
  code: 'refrigerantLeak',
  failsBy: 'warmFood',
  wear: (severity, failed) => ({ ...NO_WEAR, charge: failed ? 0 : chargeAt(severity) }),
};

function chargeAt(severity: number): number {
  const rest = 1 - Math.min(1, severity);
  const beyond = Math.max(0, severity - 1);
  return Math.max(0, CHARGE_AT_END + (1 - CHARGE_AT_END) * rest * rest - CHARGE_AT_END * 4 * beyond);
}

/** Share of the nominal speed at which the bearing seizes: 800 of 2,400 1/min. */
const SPEED_AT_END = 1 / 3;

/** A dry or iced fan bearing: the fan slows, and stops once it falls below the catalogue's limit. */
const evaporatorFanWear: RefrigeratorFault = {
  code: 'evaporatorFanWear',
  failsBy: 'severity',
  wear: (severity, failed) => ({ ...NO_WEAR, fan: failed ? 0 : 1 - (1 - SPEED_AT_END) * Math.min(1, severity) }),
};

/** A hardened or torn gasket. The machine runs on, longer and longer; only its owner calls that the end. */
const doorGasketLeak: RefrigeratorFault = {
  code: 'doorGasketLeak',
  failsBy: 'severity',
  wear: (severity) => ({ ...NO_WEAR, gasket: Math.min(1, severity) }),
};

export const REFRIGERATOR_FAULTS: readonly RefrigeratorFault[] = [
  compressorBearingWear,
  refrigerantLeak,
  evaporatorFanWear,
  doorGasketLeak,
];
