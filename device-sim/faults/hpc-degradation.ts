/**
 * Erosion of the high-pressure compressor. The drifts are of the size that the public FD001 recordings show between
 * an engine's first and last flights.
 */
import type { TurbofanFault } from './turbofan-drift.ts';

export const hpcDegradation: TurbofanFault = {
  code: 'hpcDegradation',
  endSignal: 'hpcOutletStaticPressurePsia',
  drift: {
    lpcOutletTempR: 1.3,
    hpcOutletTempR: 15,
    lptOutletTempR: 26,
    hpcOutletPressurePsia: -2.5,
    fanSpeedRpm: 0.17,
    coreSpeedRpm: 40,
    fuelFlowRatio: -2.15,
    correctedFanSpeedRpm: 0.17,
    correctedCoreSpeedRpm: 28,
    bypassRatio: 0.104,
    bleedEnthalpy: 4.05,
    hptCoolantBleed: -0.5,
    lptCoolantBleed: -0.295,
  },
};
