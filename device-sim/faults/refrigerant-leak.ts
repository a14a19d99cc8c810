/**
 * A slow leak. The lost share of charge follows 1 − (1 − s)²: the flow through the hole falls with the pressure.
 * The thermostat hides it behind longer runs until the compressor never rests; then the cabinet warms.
 */
import { NO_WEAR, type RefrigeratorFault } from './refrigerator-wear.ts';

/** Charge at which a cabinet of the middle of the series can no longer keep food below 10 °C in a usual room. */
const CHARGE_AT_END = 0.17;

export const refrigerantLeak: RefrigeratorFault = {
  code: 'refrigerantLeak',
  failsBy: 'warmFood',
  wear: (severity, failed) => ({ ...NO_WEAR, charge: failed ? 0 : chargeAt(severity) }),
};

function chargeAt(severity: number): number {
  const rest = 1 - Math.min(1, severity);
  const beyond = Math.max(0, severity - 1);
  return Math.max(0, CHARGE_AT_END + (1 - CHARGE_AT_END) * rest * rest - CHARGE_AT_END * 4 * beyond);
}
