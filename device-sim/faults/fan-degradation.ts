/** Erosion of the fan blades: less flow through the bypass, so fan and core turn faster for the same thrust. */
import type { TurbofanFault } from './turbofan-drift.ts';

export const fanDegradation: TurbofanFault = {
  code: 'fanDegradation',
  endSignal: 'bypassDuctPressurePsia',
  drift: {
    lpcOutletTempR: 0.5,
    hpcOutletTempR: 6,
    lptOutletTempR: 12,
    hpcOutletPressurePsia: 1.6,
    fanSpeedRpm: 0.24,
    coreSpeedRpm: 22,
    hpcOutletStaticPressurePsia: 0.12,
    fuelFlowRatio: 1.4,
    correctedFanSpeedRpm: 0.24,
    correctedCoreSpeedRpm: 14,
    bypassRatio: -0.11,
    bleedEnthalpy: 1.4,
  },
};
