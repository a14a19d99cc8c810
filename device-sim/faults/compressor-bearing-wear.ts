/** Friction and play of the compressor bearing rise until the motor stalls. */
import { NO_WEAR, type RefrigeratorFault } from './refrigerator-wear.ts';

export const compressorBearingWear: RefrigeratorFault = {
  code: 'compressorBearingWear',
  failsBy: 'severity',
  wear: (severity, failed) => ({ ...NO_WEAR, friction: Math.min(1, severity), stalled: failed }),
};
