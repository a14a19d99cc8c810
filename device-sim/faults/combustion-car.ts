/** The faults of a car with combustion engine: what each wears in it. */
import type { WearFault } from '../models/define-simulation.ts';

/** Shares of the way to the catalogue's limits, 0 = healthy, 1 = there. */
export interface CarWear {
  readonly thermostat: number;
  readonly waterPump: number;
  readonly airLeak: number;
  readonly fuelPump: number;
  readonly alternator: number;
  readonly ignition: number;
  readonly catalyst: number;
  /** It drives no more. */
  readonly stranded: boolean;
}

export const HEALTHY_CAR: CarWear = {
  thermostat: 0,
  waterPump: 0,
  airLeak: 0,
  fuelPump: 0,
  alternator: 0,
  ignition: 0,
  catalyst: 0,
  stranded: false,
};

export const CAR_FAULTS: readonly WearFault<CarWear>[] = [
  // Cold engine and dirty exhaust are defects, but the car goes on.
  { code: 'thermostatStuckOpen', wear: (severity) => ({ thermostat: severity }) },
  { code: 'waterPumpWear', wear: (severity, stranded) => ({ waterPump: severity, stranded }) },
  { code: 'intakeAirLeak', wear: (severity, stranded) => ({ airLeak: severity, stranded }) },
  { code: 'fuelPumpWear', wear: (severity, stranded) => ({ fuelPump: severity, stranded }) },
  { code: 'alternatorWear', wear: (severity, stranded) => ({ alternator: severity, stranded }) },
  { code: 'ignitionCoilWear', wear: (severity, stranded) => ({ ignition: severity, stranded }) },
  { code: 'catalystAging', wear: (severity) => ({ catalyst: severity }) },
];
