/** The faults of an electric van: what each wears in it. */
import type { WearFault } from '../models/define-simulation.ts';

/** Shares of the way to the catalogue's limits, 0 = healthy, 1 = there. */
export interface VanWear {
  readonly cell: number;
  readonly pump: number;
  readonly insulation: number;
  readonly charger: number;
  readonly auxBattery: number;
  readonly tyre: number;
  /** It neither drives nor charges. */
  readonly stranded: boolean;
}

export const HEALTHY_VAN: VanWear = {
  cell: 0,
  pump: 0,
  insulation: 0,
  charger: 0,
  auxBattery: 0,
  tyre: 0,
  stranded: false,
};

export const VAN_FAULTS: readonly WearFault<VanWear>[] = [
  { code: 'cellWeakness', wear: (severity, stranded) => ({ cell: severity, stranded }) },
  { code: 'coolantPumpWear', wear: (severity, stranded) => ({ pump: severity, stranded }) },
  { code: 'insulationLoss', wear: (severity, stranded) => ({ insulation: severity, stranded }) },
  { code: 'chargerDerating', wear: (severity, stranded) => ({ charger: severity, stranded }) },
  { code: 'auxBatteryAging', wear: (severity, stranded) => ({ auxBattery: severity, stranded }) },
  { code: 'tyreSlowLeak', wear: (severity, stranded) => ({ tyre: severity, stranded }) },
];
