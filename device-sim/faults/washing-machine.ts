/** The faults of a washing machine: what each wears in it. */
import type { WearFault } from '../models/define-simulation.ts';

/** Shares of the way to the catalogue's limits, 0 = healthy, 1 = there. */
export interface WasherWear {
  readonly bearing: number;
  readonly scale: number;
  readonly pumpClog: number;
  readonly valveClog: number;
  readonly beltSlip: number;
  /** The part that no longer works at all. */
  readonly dead?: 'drum' | 'heater' | 'pump' | 'valve';
}

export const HEALTHY_WASHER: WasherWear = {
  bearing: 0,
  scale: 0,
  pumpClog: 0,
  valveClog: 0,
  beltSlip: 0,
};

const dead = (part: NonNullable<WasherWear['dead']>, failed: boolean): Partial<WasherWear> =>
  failed ? { dead: part } : {};

export const WASHER_FAULTS: readonly WearFault<WasherWear>[] = [
  // Rust and play grow with every spin until the drum no longer turns.
  { code: 'drumBearingWear', wear: (severity, failed) => ({ bearing: severity, ...dead('drum', failed) }) },
  // The overheat guard lets less and less mean power through, until the element burns out.
  { code: 'heaterScaling', wear: (severity, failed) => ({ scale: severity, ...dead('heater', failed) }) },
  { code: 'drainPumpClog', wear: (severity, failed) => ({ pumpClog: severity, ...dead('pump', failed) }) },
  { code: 'inletValveClog', wear: (severity, failed) => ({ valveClog: severity, ...dead('valve', failed) }) },
  { code: 'driveBeltWear', wear: (severity, failed) => ({ beltSlip: severity, ...dead('drum', failed) }) },
];
