/**
 * Front-loading household washing machine, 8 kg, 1,400 1/min, with a direct view of each phase. Magnitudes are those of data
 * sheets and service manuals of this class: heater 2 kW, 6–9 l/min from the tap, a 30 W drain pump that lifts 15–18 l/min,
 * a 500 W motor. The fault codes are examples of the kind such machines show.
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

export const washingMachine: DeviceModel = {
  id: 'washingMachine',
  name: 'Washing machine',
  kind: 'appliance',
  intervalMs: 30 * SECOND_MS,
  lifeUnit: 'h',
  seasonMs: DAY_MS,
  modes: [
    { id: 'idle', name: 'Off or waiting' },
    { id: 'filling', name: 'Water comes in' },
    { id: 'heating', name: 'Heats and tumbles' },
    { id: 'washing', name: 'Tumbles' },
    { id: 'draining', name: 'Pumps water out' },
    { id: 'spinning', name: 'Spins' },
  ],
  signals: [
    { name: 'mode', label: 'Operating mode', unit: '', kind: 'text', component: 'controller', role: 'mode' },
    number('counter', 'controller', 'washCycles', 'Wash cycles', '', 0, 100_000),
    number('context', 'drum', 'loadKg', 'Laundry, dry', 'kg', 0, 12),
    number('context', 'drum', 'drumSpeedRpm', 'Drum speed', '1/min', 0, 1_800),
    number('context', 'tub', 'waterTempC', 'Water in the tub', '°C', 0, 100),
    number('context', 'supply', 'supplyVoltageV', 'Supply voltage', 'V', 0, 400),
    number('condition', 'tub', 'waterLevelMm', 'Water level', 'mm', 0, 400),
    number('condition', 'inletValve', 'fillRateLPerMin', 'Water inflow', 'l/min', 0, 20),
    number('condition', 'heater', 'heaterPowerW', 'Heater power', 'W', 0, 3_500),
    number('condition', 'heater', 'heatingRateKPerMin', 'Warming of the water', 'K/min', -2, 8),
    number('condition', 'drive', 'motorCurrentA', 'Motor current', 'A', 0, 16),
    number('condition', 'drive', 'driveSlipPercent', 'Slip between motor and drum', '%', 0, 100),
    number('condition', 'drum', 'vibrationMmPerS', 'Tub vibration', 'mm/s', 0, 60),
    number('condition', 'drainPump', 'drainRateLPerMin', 'Water outflow', 'l/min', 0, 40),
    number('condition', 'drainPump', 'pumpCurrentA', 'Drain pump current', 'A', 0, 2),
  ],
  failureModes: [
    {
      code: 'drumBearingWear',
      name: 'Drum bearing wear',
      component: 'drum',
      cause: 'Water passed the shaft seal and washed the grease out of the drum bearing',
      effect: 'Loud spin, then a seized drum; the shaft can break through the tub',
      severity: 'major',
      parts: [
        { number: 'BRG-6305', name: 'Drum bearing set', quantity: 1 },
        { number: 'SEA-2040', name: 'Shaft seal', quantity: 1 },
      ],
      shows: [
        { signal: 'vibrationMmPerS', direction: 'up', weight: 1 },
        { signal: 'motorCurrentA', direction: 'up', weight: 0.6 },
      ],
      endOfLife: { signal: 'vibrationMmPerS', direction: 'up', limit: 14, mode: 'spinning' },
    },
    {
      code: 'heaterScaling',
      name: 'Scaled heater',
      component: 'heater',
      cause:
        'Limescale around the heating element keeps the heat in: its guard switches it off more and more, until it burns out',
      effect: 'Programmes take hours or stay cold',
      severity: 'major',
      parts: [{ number: 'HTR-2000', name: 'Heating element 2 kW with sensor', quantity: 1 }],
      shows: [
        { signal: 'heatingRateKPerMin', direction: 'down', weight: 1 },
        { signal: 'heaterPowerW', direction: 'down', weight: 0.9 },
      ],
      endOfLife: { signal: 'heatingRateKPerMin', direction: 'down', limit: 0.47, mode: 'heating' },
    },
    {
      code: 'drainPumpClog',
      name: 'Drain pump clogged or worn',
      component: 'drainPump',
      cause: 'Lint and small parts around the impeller, or a worn pump shaft',
      effect: 'Water stays in the tub; the programme stops before it spins',
      severity: 'major',
      parts: [{ number: 'PMP-0300', name: 'Drain pump', quantity: 1 }],
      shows: [
        { signal: 'drainRateLPerMin', direction: 'down', weight: 1 },
        { signal: 'pumpCurrentA', direction: 'up', weight: 0.7 },
      ],
      endOfLife: { signal: 'drainRateLPerMin', direction: 'down', limit: 4, mode: 'draining' },
    },
    {
      code: 'inletValveClog',
      name: 'Inlet valve clogged',
      component: 'inletValve',
      cause: 'Sand and scale in the strainer of the inlet valve',
      effect: 'Filling takes too long; the programme stops at its beginning',
      severity: 'major',
      parts: [{ number: 'VLV-0180', name: 'Inlet valve with strainer', quantity: 1 }],
      shows: [{ signal: 'fillRateLPerMin', direction: 'down', weight: 1 }],
      endOfLife: { signal: 'fillRateLPerMin', direction: 'down', limit: 2, mode: 'filling' },
    },
    {
      code: 'driveBeltWear',
      name: 'Drive belt wear',
      component: 'drive',
      cause: 'Stretched and glazed belt slips under load',
      effect: 'The drum no longer reaches its speed, then stands still',
      severity: 'major',
      parts: [{ number: 'BLT-1195', name: 'Drive belt', quantity: 1 }],
      shows: [
        { signal: 'driveSlipPercent', direction: 'up', weight: 1 },
        { signal: 'motorCurrentA', direction: 'down', weight: 0.4 },
      ],
      endOfLife: { signal: 'driveSlipPercent', direction: 'up', limit: 14, mode: 'spinning' },
    },
    {
      code: 'tubLeak',
      name: 'Leak of tub or door seal',
      component: 'tub',
      cause: 'Torn door seal or cracked hose',
      effect: 'Water under the machine; the leak guard ends the programme',
      severity: 'critical',
      parts: [{ number: 'SEA-7710', name: 'Door seal', quantity: 1 }],
      shows: [{ signal: 'waterLevelMm', direction: 'down', weight: 1 }],
    },
  ],
  faultCodes: [
    { code: 'E10', text: 'Filling takes too long', severity: 'major', hintsAt: ['inletValveClog'] },
    { code: 'E20', text: 'Draining takes too long', severity: 'major', hintsAt: ['drainPumpClog'] },
    { code: 'E40', text: 'Speed of the drum not reached', severity: 'major', hintsAt: ['driveBeltWear'] },
    { code: 'E41', text: 'Drum turns with difficulty', severity: 'major', hintsAt: ['drumBearingWear'] },
    { code: 'E60', text: 'Water does not get warm', severity: 'major', hintsAt: ['heaterScaling'] },
    { code: 'EF1', text: 'Water under the machine', severity: 'critical', hintsAt: ['tubLeak'] },
  ],
};
