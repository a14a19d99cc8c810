/** The faults of a heat pump: what each wears in it. */
import type { WearFault } from '../models/define-simulation.ts';

/** Shares of the way to the catalogue's limits, 0 = healthy, 1 = there. */
export interface HeatPumpWear {
  readonly chargeLost: number;
  readonly fouling: number;
  readonly filterClog: number;
  readonly compressor: number;
  readonly fan: number;
  /** A safety device keeps it off. */
  readonly locked: boolean;
}

export const HEALTHY_HEAT_PUMP: HeatPumpWear = {
  chargeLost: 0,
  fouling: 0,
  filterClog: 0,
  compressor: 0,
  fan: 0,
  locked: false,
};

export const HEAT_PUMP_FAULTS: readonly WearFault<HeatPumpWear>[] = [
  { code: 'refrigerantLoss', wear: (severity, locked) => ({ chargeLost: severity, locked }) },
  { code: 'outdoorCoilFouling', wear: (severity, locked) => ({ fouling: severity, locked }) },
  { code: 'airFilterClog', wear: (severity, locked) => ({ filterClog: severity, locked }) },
  { code: 'scrollCompressorWear', wear: (severity, locked) => ({ compressor: severity, locked }) },
  { code: 'outdoorFanWear', wear: (severity, locked) => ({ fan: severity, locked }) },
];
