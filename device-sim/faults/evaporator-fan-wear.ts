/** A dry or iced fan bearing: the fan slows, and stops once it falls below the catalogue's limit. */
import { NO_WEAR, type RefrigeratorFault } from './refrigerator-wear.ts';

/** Share of the nominal speed at which the bearing seizes: 800 of 2,400 1/min. */
const SPEED_AT_END = 1 / 3;

export const evaporatorFanWear: RefrigeratorFault = {
  code: 'evaporatorFanWear',
  failsBy: 'severity',
  wear: (severity, failed) => ({ ...NO_WEAR, fan: failed ? 0 : 1 - (1 - SPEED_AT_END) * Math.min(1, severity) }),
};
