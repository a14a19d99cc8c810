/**
 * Split heat pump and air conditioner of 3.5 kW, air to air, with an inverter-driven scroll or rotary compressor on R32 and an
 * electronic expansion valve. Magnitudes are those of service manuals of this class: superheat 4–8 K, subcooling 3–8 K,
 * discharge 55–90 °C, 0.3–1.6 kW electric, outdoor fan 800–900 1/min. The fault codes are examples of vendors' codes.
 */
import { DAY_MS, MINUTE_MS } from '../kernel/time.ts';
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

export const heatPump: DeviceModel = {
  id: 'heatPump',
  name: 'Heat pump and air conditioner',
  kind: 'appliance',
  intervalMs: 2 * MINUTE_MS,
  lifeUnit: 'h',
  seasonMs: DAY_MS,
  modes: [
    { id: 'idle', name: 'Compressor rests' },
    { id: 'heating', name: 'Heats the room' },
    { id: 'cooling', name: 'Cools the room' },
    { id: 'defrost', name: 'Defrosts the outdoor coil' },
  ],
  signals: [
    { name: 'mode', label: 'Operating mode', unit: '', kind: 'text', component: 'controller', role: 'mode' },
    number('counter', 'controller', 'energyKWh', 'Energy used', 'kWh', 0, 1_000_000),
    number('context', 'controller', 'outdoorTempC', 'Outdoor air', '°C', -50, 60),
    number('context', 'controller', 'roomTempC', 'Room', '°C', -20, 60),
    number('context', 'controller', 'setTempC', 'Set point', '°C', 5, 35),
    number('context', 'compressor', 'compressorSpeedHz', 'Compressor speed', 'Hz', 0, 150),
    number('context', 'supply', 'supplyVoltageV', 'Supply voltage', 'V', 0, 400),
    number('condition', 'refrigerantCircuit', 'superheatK', 'Suction superheat', 'K', -10, 50),
    number('condition', 'refrigerantCircuit', 'subcoolingK', 'Liquid subcooling', 'K', -10, 40),
    number('condition', 'refrigerantCircuit', 'expansionValvePercent', 'Opening of the expansion valve', '%', 0, 100),
    number('condition', 'refrigerantCircuit', 'dischargeTempC', 'Discharge gas', '°C', -50, 150),
    number('condition', 'outdoorCoil', 'outdoorCoilApproachK', 'Outdoor coil to air', 'K', 0, 60),
    number('condition', 'indoorUnit', 'indoorCoilTempC', 'Indoor coil', '°C', -30, 80),
    number('condition', 'indoorUnit', 'filterPressurePa', 'Pressure drop of the air filter', 'Pa', 0, 500),
    number('condition', 'outdoorFan', 'outdoorFanRpm', 'Outdoor fan speed', '1/min', 0, 2_000),
    number('condition', 'compressor', 'electricPowerW', 'Electric power', 'W', 0, 6_000),
    number('condition', 'compressor', 'compressorVibrationMmPerS', 'Compressor vibration', 'mm/s', 0, 50),
  ],
  failureModes: [
    {
      code: 'refrigerantLoss',
      name: 'Loss of refrigerant',
      component: 'refrigerantCircuit',
      cause: 'Leaking flare joint or coil: too little charge, so the valve opens wide and the suction gas overheats',
      effect: 'Capacity is lost; the compressor runs hot and trips',
      severity: 'major',
      parts: [
        { number: 'FLR-0625', name: 'Flare joint set', quantity: 1 },
        { number: 'R32-900', name: 'Refrigerant charge R32 0.9 kg', quantity: 1 },
      ],
      shows: [
        { signal: 'superheatK', direction: 'up', weight: 1 },
        { signal: 'subcoolingK', direction: 'down', weight: 0.9 },
        { signal: 'expansionValvePercent', direction: 'up', weight: 0.8 },
        { signal: 'dischargeTempC', direction: 'up', weight: 0.7 },
      ],
      endOfLife: { signal: 'superheatK', direction: 'up', limit: 20, mode: 'heating' },
    },
    {
      code: 'outdoorCoilFouling',
      name: 'Outdoor coil fouled',
      component: 'outdoorCoil',
      cause: 'Leaves, pollen and dust between the fins of the outdoor coil',
      effect: 'Less heat from outside, more defrosts, at last pressure trips',
      severity: 'major',
      parts: [{ number: 'CLN-0300', name: 'Coil cleaning set', quantity: 1 }],
      shows: [
        { signal: 'outdoorCoilApproachK', direction: 'up', weight: 1 },
        { signal: 'electricPowerW', direction: 'up', weight: 0.5 },
        { signal: 'dischargeTempC', direction: 'up', weight: 0.4 },
      ],
      endOfLife: { signal: 'outdoorCoilApproachK', direction: 'up', limit: 16, mode: 'heating' },
    },
    {
      code: 'airFilterClog',
      name: 'Air filter clogged',
      component: 'indoorUnit',
      cause: 'Dust in the filter of the indoor unit',
      effect: 'Little air and little heat in the room; the indoor coil gets too hot or freezes',
      severity: 'minor',
      parts: [{ number: 'FIL-3520', name: 'Air filter', quantity: 2 }],
      shows: [
        { signal: 'filterPressurePa', direction: 'up', weight: 1 },
        { signal: 'indoorCoilTempC', direction: 'up', weight: 0.5 },
      ],
      endOfLife: { signal: 'filterPressurePa', direction: 'up', limit: 120, mode: 'heating' },
    },
    {
      code: 'scrollCompressorWear',
      name: 'Compressor wear',
      component: 'compressor',
      cause: 'Worn bearings and scroll flanks: friction, play and inner leakage',
      effect: 'More power for less heat, then a blocked compressor',
      severity: 'major',
      parts: [{ number: 'CMP-3500', name: 'Inverter compressor', quantity: 1 }],
      shows: [
        { signal: 'compressorVibrationMmPerS', direction: 'up', weight: 1 },
        { signal: 'electricPowerW', direction: 'up', weight: 0.7 },
        { signal: 'dischargeTempC', direction: 'up', weight: 0.6 },
      ],
      endOfLife: { signal: 'compressorVibrationMmPerS', direction: 'up', limit: 9, mode: 'heating' },
    },
    {
      code: 'outdoorFanWear',
      name: 'Outdoor fan wear',
      component: 'outdoorFan',
      cause: 'Dry bearing or weak capacitor of the outdoor fan motor',
      effect: 'The outdoor coil starves of air; the unit trips',
      severity: 'major',
      parts: [{ number: 'FAN-0850', name: 'Outdoor fan motor', quantity: 1 }],
      shows: [
        { signal: 'outdoorFanRpm', direction: 'down', weight: 1 },
        { signal: 'outdoorCoilApproachK', direction: 'up', weight: 0.7 },
      ],
      endOfLife: { signal: 'outdoorFanRpm', direction: 'down', limit: 350, mode: 'heating' },
    },
  ],
  faultCodes: [
    { code: 'U0', text: 'Too little refrigerant', severity: 'major', hintsAt: ['refrigerantLoss'] },
    {
      code: 'F3',
      text: 'Discharge gas too hot',
      severity: 'major',
      hintsAt: ['refrigerantLoss', 'scrollCompressorWear', 'outdoorCoilFouling'],
    },
    { code: 'E7', text: 'Outdoor fan does not turn as it should', severity: 'major', hintsAt: ['outdoorFanWear'] },
    { code: 'L5', text: 'Overcurrent of the inverter', severity: 'critical', hintsAt: ['scrollCompressorWear'] },
    { code: 'A5', text: 'Indoor coil too hot or too cold', severity: 'minor', hintsAt: ['airFilterClog'] },
  ],
};
