/**
 * Passenger car with a 1.4 l port-injected petrol engine, seen through OBD-II (SAE J1979): the signals are parameters that every
 * such car offers, beside fuel-rail pressure and misfire counts. Magnitudes as workshop manuals give them: coolant 85–105 °C when
 * warm, fuel trims within ±10 %, 13.5–14.7 V while the engine runs and 12.2–12.8 V at rest, 380 kPa of fuel pressure, a rear
 * oxygen sensor that hardly switches. Fault codes are those of SAE J2012.
 */
import { DAY_MS, SECOND_MS } from '../kernel/time.ts';
import type { DeviceModel, SignalSpec } from './device-model.ts';

const number = (
  role: SignalSpec['role'],
  component: string,
  name: string,
  label: string,
  unit: string,
  low: number,
  high: number,
): SignalSpec => ({ name, label, unit, kind: 'number', range: [low, high], component, role });

export const combustionCar: DeviceModel = {
  id: 'combustionCar',
  name: 'Car with combustion engine',
  kind: 'vehicle',
  intervalMs: 30 * SECOND_MS,
  lifeUnit: 'h',
  seasonMs: DAY_MS,
  modes: [
    { id: 'parked', name: 'Engine off' },
    { id: 'warmingUp', name: 'First minutes after a start' },
    { id: 'driving', name: 'Drives, engine warm' },
    { id: 'idling', name: 'Stands, engine runs' },
  ],
  signals: [
    { name: 'mode', label: 'Operating mode', unit: '', kind: 'text', component: 'vehicle', role: 'mode' },
    number('counter', 'vehicle', 'odometerKm', 'Odometer', 'km', 0, 2_000_000),
    number('context', 'vehicle', 'vehicleSpeedKmH', 'Speed (PID 0D)', 'km/h', 0, 255),
    number('context', 'engine', 'engineSpeedRpm', 'Engine speed (PID 0C)', '1/min', 0, 16_384),
    number('context', 'engine', 'engineLoadPercent', 'Calculated load (PID 04)', '%', 0, 100),
    number('context', 'vehicle', 'ambientTempC', 'Ambient air (PID 46)', '°C', -50, 100),
    number('context', 'airIntake', 'intakeAirTempC', 'Intake air (PID 0F)', '°C', -50, 150),
    number('condition', 'cooling', 'coolantTempC', 'Coolant (PID 05)', '°C', -50, 215),
    number('condition', 'airIntake', 'massAirFlowGPerS', 'Air flow (PID 10)', 'g/s', 0, 655),
    number('condition', 'airIntake', 'longTermFuelTrimPercent', 'Long-term fuel trim (PID 07)', '%', -100, 100),
    number('condition', 'airIntake', 'shortTermFuelTrimPercent', 'Short-term fuel trim (PID 06)', '%', -100, 100),
    number('condition', 'fuelPump', 'fuelRailPressureKPa', 'Fuel rail pressure (PID 0A)', 'kPa', 0, 765),
    number('condition', 'charging', 'moduleVoltageV', 'Control module voltage (PID 42)', 'V', 0, 20),
    number('condition', 'ignition', 'misfiresPer1000', 'Misfires in 1,000 revolutions', '', 0, 1_000),
    number('condition', 'catalyst', 'oxygenSwitchRatio', 'Rear to front oxygen sensor switching', '', 0, 2),
  ],
  failureModes: [
    {
      code: 'thermostatStuckOpen',
      name: 'Thermostat stuck open',
      component: 'cooling',
      cause: 'Worn wax element or broken spring: coolant always passes the radiator',
      effect: 'The engine stays too cold: more fuel, more wear, a cold cabin',
      severity: 'minor',
      parts: [{ number: 'THM-0088', name: 'Thermostat 88 °C', quantity: 1 }],
      shows: [{ signal: 'coolantTempC', direction: 'down', weight: 1 }],
      endOfLife: { signal: 'coolantTempC', direction: 'down', limit: 68, mode: 'driving' },
    },
    {
      code: 'waterPumpWear',
      name: 'Water pump wear',
      component: 'cooling',
      cause: 'Corroded impeller or leaking seal of the water pump: too little coolant flows',
      effect: 'The engine overheats',
      severity: 'critical',
      parts: [
        { number: 'WPM-1400', name: 'Water pump', quantity: 1 },
        { number: 'CLT-0005', name: 'Coolant 5 l', quantity: 1 },
      ],
      shows: [{ signal: 'coolantTempC', direction: 'up', weight: 1 }],
      endOfLife: { signal: 'coolantTempC', direction: 'up', limit: 114, mode: 'driving' },
    },
    {
      code: 'intakeAirLeak',
      name: 'Intake air leak',
      component: 'airIntake',
      cause: 'Cracked hose or gasket behind the air-flow meter: unmetered air leans the mixture',
      effect: 'Rough idle, at last stalling; the catalyst suffers',
      severity: 'major',
      parts: [{ number: 'GSK-1402', name: 'Intake manifold gasket set', quantity: 1 }],
      shows: [
        { signal: 'longTermFuelTrimPercent', direction: 'up', weight: 1 },
        { signal: 'massAirFlowGPerS', direction: 'down', weight: 0.6 },
        { signal: 'shortTermFuelTrimPercent', direction: 'up', weight: 0.4 },
      ],
      endOfLife: { signal: 'longTermFuelTrimPercent', direction: 'up', limit: 25, mode: 'driving' },
    },
    {
      code: 'fuelPumpWear',
      name: 'Fuel pump wear',
      component: 'fuelPump',
      cause: 'Worn brushes and vanes of the pump in the tank, or a clogged strainer',
      effect: 'The engine lacks power, then stalls and does not start',
      severity: 'major',
      parts: [{ number: 'FPM-0380', name: 'Fuel pump module', quantity: 1 }],
      shows: [
        { signal: 'fuelRailPressureKPa', direction: 'down', weight: 1 },
        { signal: 'longTermFuelTrimPercent', direction: 'up', weight: 0.4 },
      ],
      endOfLife: { signal: 'fuelRailPressureKPa', direction: 'down', limit: 250, mode: 'driving' },
    },
    {
      code: 'alternatorWear',
      name: 'Alternator wear',
      component: 'charging',
      cause: 'Worn brushes, slipping belt or a failed diode of the alternator',
      effect: 'The battery is drained; the car stops and does not start',
      severity: 'major',
      parts: [{ number: 'ALT-0110', name: 'Alternator 110 A', quantity: 1 }],
      shows: [{ signal: 'moduleVoltageV', direction: 'down', weight: 1 }],
      endOfLife: { signal: 'moduleVoltageV', direction: 'down', limit: 12.3, mode: 'driving' },
    },
    {
      code: 'ignitionCoilWear',
      name: 'Ignition coil wear',
      component: 'ignition',
      cause: 'Cracked insulation of an ignition coil or a worn spark plug',
      effect: 'The engine misfires and shakes; unburnt fuel destroys the catalyst',
      severity: 'major',
      parts: [
        { number: 'COI-0412', name: 'Ignition coil', quantity: 1 },
        { number: 'SPK-0004', name: 'Spark plugs, set of 4', quantity: 1 },
      ],
      shows: [
        { signal: 'misfiresPer1000', direction: 'up', weight: 1 },
        { signal: 'shortTermFuelTrimPercent', direction: 'up', weight: 0.3 },
      ],
      endOfLife: { signal: 'misfiresPer1000', direction: 'up', limit: 30, mode: 'driving' },
    },
    {
      code: 'catalystAging',
      name: 'Catalyst aged',
      component: 'catalyst',
      cause: 'Sintered or poisoned catalyst stores little oxygen',
      effect: 'Emissions pass the limit; the car fails its inspection',
      severity: 'minor',
      parts: [{ number: 'CAT-1400', name: 'Catalytic converter', quantity: 1 }],
      shows: [{ signal: 'oxygenSwitchRatio', direction: 'up', weight: 1 }],
      endOfLife: { signal: 'oxygenSwitchRatio', direction: 'up', limit: 0.8, mode: 'driving' },
    },
  ],
  faultCodes: [
    {
      code: 'P0128',
      text: 'Coolant below thermostat temperature',
      severity: 'minor',
      hintsAt: ['thermostatStuckOpen'],
    },
    { code: 'P0217', text: 'Engine overtemperature', severity: 'critical', hintsAt: ['waterPumpWear'] },
    { code: 'P0171', text: 'System too lean, bank 1', severity: 'major', hintsAt: ['intakeAirLeak', 'fuelPumpWear'] },
    { code: 'P0087', text: 'Fuel rail pressure too low', severity: 'major', hintsAt: ['fuelPumpWear'] },
    { code: 'P0562', text: 'System voltage low', severity: 'major', hintsAt: ['alternatorWear'] },
    { code: 'P0300', text: 'Random or multiple misfire', severity: 'major', hintsAt: ['ignitionCoilWear'] },
    { code: 'P0420', text: 'Catalyst efficiency below threshold', severity: 'minor', hintsAt: ['catalystAging'] },
  ],
};
