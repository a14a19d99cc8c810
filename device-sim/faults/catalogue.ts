/** All simulated faults, listed by hand: adding one is one file and one line here. */
import { compressorBearingWear } from './compressor-bearing-wear.ts';
import { evaporatorFanWear } from './evaporator-fan-wear.ts';
import { fanDegradation } from './fan-degradation.ts';
import { hpcDegradation } from './hpc-degradation.ts';
import { refrigerantLeak } from './refrigerant-leak.ts';
import type { RefrigeratorFault } from './refrigerator-wear.ts';
import type { TurbofanFault } from './turbofan-drift.ts';

export const REFRIGERATOR_FAULTS: readonly RefrigeratorFault[] = [
  compressorBearingWear,
  refrigerantLeak,
  evaporatorFanWear,
];
export const TURBOFAN_FAULTS: readonly TurbofanFault[] = [hpcDegradation, fanDegradation];

/** Model id of each fault code that can be simulated. */
export const FAULT_MODELS: ReadonlyMap<string, string> = new Map([
  ...REFRIGERATOR_FAULTS.map((fault) => [fault.code, 'refrigerator'] as const),
  ...TURBOFAN_FAULTS.map((fault) => [fault.code, 'turbofan'] as const),
]);
