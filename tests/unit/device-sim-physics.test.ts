/** Healthy machines behave as their manuals say; what they say is in the heads of the catalogue's files. */
import { describe, expect, it } from 'vitest';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import { type RecordingRequest, recordDevice } from '../../device-sim/record-device.ts';

const SPRING = Date.UTC(2026, 2, 2);
const SUMMER = Date.UTC(2026, 6, 6);
const SEEDS = [1, 2, 3, 4, 5];

function samplesOf(model: string, seed: number, start = SPRING, more: Partial<RecordingRequest> = {}) {
  const { rows } = recordDevice({ model, seed, start, durationMs: 14 * DAY_MS, ...more });
  return {
    rows,
    /** Values of a signal, in one mode when it is given. */
    values: (signal: string, mode?: string): number[] =>
      rows.filter((row) => mode === undefined || row.signals.mode === mode).map((row) => Number(row.signals[signal])),
  };
}
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
/** Shares of the values below and above which one in a hundred lies. */
const span = (values: readonly number[]): [number, number] => {
  const sorted = [...values].sort((a, b) => a - b);
  return [sorted[Math.floor(sorted.length * 0.01)] ?? 0, sorted[Math.floor(sorted.length * 0.99)] ?? 0];
};
function expectWithin(values: readonly number[], low: number, high: number): void {
  const [least, most] = span(values);
  expect(values.length).toBeGreaterThan(0);
  expect(least).toBeGreaterThanOrEqual(low);
  expect(most).toBeLessThanOrEqual(high);
}

describe('a washing machine', () => {
  it.each(SEEDS)('washes once to three times a day, with the heat, water and speed of its class (seed %d)', (seed) => {
    const { values } = samplesOf('washingMachine', seed);
    const cycles = values('washCycles');
    const washes = Math.max(...cycles) - Math.min(...cycles);
    expect(washes).toBeGreaterThanOrEqual(13);
    expect(washes).toBeLessThanOrEqual(42);
    expectWithin(values('heaterPowerW', 'heating'), 1_800, 2_200);
    expectWithin(values('heatingRateKPerMin', 'heating'), 1, 2.3);
    expectWithin(values('fillRateLPerMin', 'filling'), 5.5, 11);
    expectWithin(values('drainRateLPerMin', 'draining'), 12, 20);
    expectWithin(values('drumSpeedRpm', 'spinning'), 900, 1_450);
    expect(Math.max(...values('waterTempC'))).toBeLessThan(63);
    expectWithin(values('vibrationMmPerS', 'spinning'), 1, 9);
  });
});

describe('a heat pump', () => {
  it.each(SEEDS)('keeps the room comfortable in March and July, and defrosts only in the cold (seed %d)', (seed) => {
    const spring = samplesOf('heatPump', seed);
    const summer = samplesOf('heatPump', seed, SUMMER);
    expectWithin([...spring.values('roomTempC'), ...summer.values('roomTempC')], 17.5, 26.5);
    expect(summer.values('mode', 'defrost')).toEqual([]);
    expect(Math.max(...spring.values('outdoorTempC', 'defrost'))).toBeLessThan(8);
    expectWithin(spring.values('superheatK', 'heating'), 3.5, 8.5);
    expectWithin(spring.values('subcoolingK', 'heating'), 2.5, 8);
    expectWithin(spring.values('electricPowerW', 'heating'), 200, 1_700);
    expect(Math.max(...spring.values('dischargeTempC'))).toBeLessThan(95);
  });
});

describe('an electric van', () => {
  it.each(SEEDS)('uses what vans use, charges at 11 kW, and comes home with charge left (seed %d)', (seed) => {
    const { rows, values } = samplesOf('electricVan', seed);
    const km = values('odometerKm');
    const driven = Math.max(...km) - Math.min(...km);
    expect(driven).toBeGreaterThan(800);
    const kWh = rows
      .filter(({ signals }) => signals.mode === 'driving')
      .reduce((sum, { signals }) => sum + (Number(signals.packCurrentA) * Number(signals.packVoltageV)) / 60_000, 0);
    expect((100 * kWh) / driven).toBeGreaterThan(22);
    expect((100 * kWh) / driven).toBeLessThan(40);
    expect(Math.min(...values('socPercent'))).toBeGreaterThan(8);
    expectWithin(values('chargePowerKW', 'charging'), 10, 11.2);
    expectWithin(values('auxVoltageV'), 12.2, 14.7);
    expectWithin(values('cellSpreadMv', 'driving'), 5, 30);
    expectWithin(values('tyrePressureKPa'), 430, 500);
  });

  it('loses about two percent of its capacity a year', () => {
    const atDay = (day: number): number =>
      mean(
        samplesOf('electricVan', 3, SPRING, { durationMs: day * DAY_MS, stepMs: HOUR_MS })
          .values('stateOfHealthPercent')
          .slice(-100),
      );
    expect(atDay(20) - atDay(202)).toBeCloseTo(1, 0);
  });
});

describe('a car with combustion engine', () => {
  it.each(SEEDS)('runs at 85–105 °C when warm, within its trims, pressures and voltages (seed %d)', (seed) => {
    for (const start of [SPRING, SUMMER]) {
      const { values } = samplesOf('combustionCar', seed, start);
      expectWithin(values('coolantTempC', 'driving'), 85, 105);
      expectWithin(values('longTermFuelTrimPercent', 'driving'), -10, 10);
      expectWithin(values('moduleVoltageV', 'driving'), 13.5, 14.7);
      expectWithin(values('moduleVoltageV', 'parked'), 12.2, 12.8);
      expectWithin(values('massAirFlowGPerS', 'idling'), 1.2, 5);
      expectWithin(values('massAirFlowGPerS', 'driving'), 5, 60);
      expectWithin(values('fuelRailPressureKPa', 'driving'), 355, 400);
      const km = values('odometerKm');
      expect(Math.max(...km) - Math.min(...km)).toBeGreaterThan(250);
    }
  });

  it('warms up in about ten minutes, later in the cold', () => {
    const minutesToWarm = (start: number): number => {
      const { rows } = samplesOf('combustionCar', 2, start);
      const starts = rows.filter(
        (row, i) => row.signals.mode === 'warmingUp' && rows[i - 1]?.signals.mode === 'parked',
      );
      const cold = starts.filter(({ signals }) => Number(signals.coolantTempC) < Number(signals.ambientTempC) + 8);
      const times = cold.map(({ at }) => {
        const warm = rows.find((row) => row.at >= at && Number(row.signals.coolantTempC) >= 80);
        return ((warm?.at ?? at) - at) / 60_000;
      });
      return mean(times);
    };
    expect(minutesToWarm(SPRING)).toBeGreaterThan(minutesToWarm(SUMMER));
    expect(minutesToWarm(SUMMER)).toBeGreaterThan(3);
    expect(minutesToWarm(SPRING)).toBeLessThan(15);
  });
});
