/** The faults of a turbofan: how far each has moved the signals at its end of life, relative to the healthy engine. */
import type { SimulatedFault } from './fault-plan.ts';

export interface TurbofanFault extends SimulatedFault {
  /** The signal whose limit ends the life: at severity 1 it stands exactly there, whatever the unit. */
  readonly endSignal: string;
  /** Change at severity 1, by signal, in the signal's unit. */
  readonly drift: Readonly<Record<string, number>>;
}

/**
 * Erosion of the high-pressure compressor. The drifts are of the size that the public FD001 recordings show between
 * an engine's first and last flights.
 */
const hpcDegradation: TurbofanFault = {
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

/** Erosion of the fan blades: less flow through the bypass, so fan and core turn faster for the same thrust. */
const fanDegradation: TurbofanFault = {
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

export const TURBOFAN_FAULTS: readonly TurbofanFault[] = [hpcDegradation, fanDegradation];
