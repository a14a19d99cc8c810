/** What every device model of the catalogue must satisfy. */
import { describe, expect, it } from 'vitest';
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import { SIGNAL_PATTERN } from '../../contract/kernel/ids.ts';
import { MAX_SIGNALS_PER_MODEL } from '../../contract/wire/payloads.ts';

export function checkDeviceModel(model: DeviceModel): void {
  describe(`device model ${model.id}`, () => {
    const names = model.signals.map((signal) => signal.name);
    const components = new Set(model.signals.map((signal) => signal.component));
    const modes = model.modes.map((mode) => mode.id);

    it('has valid, distinct signal names within the limit', () => {
      expect(new Set(names).size).toBe(names.length);
      expect(names.length).toBeLessThanOrEqual(MAX_SIGNALS_PER_MODEL);
      expect(names.filter((name) => !SIGNAL_PATTERN.test(name))).toEqual([]);
    });

    it('has ranges that hold at least one value', () => {
      expect(model.signals.filter((signal) => signal.range && signal.range[0] >= signal.range[1])).toEqual([]);
    });

    it('counts cycles with a counter of its own when its life is counted in cycles', () => {
      const counter = model.signals.find((signal) => signal.name === model.cycleSignal);
      expect(counter?.role).toBe(model.lifeUnit === 'cycle' ? 'counter' : undefined);
    });

    it.each(model.failureModes.map((mode) => [mode.code, mode] as const))(
      '%s names its own signals, modes, parts and component',
      (_code, mode) => {
        const used = [
          ...mode.shows.map((symptom) => symptom.signal),
          ...(mode.endOfLife ? [mode.endOfLife.signal] : []),
        ];
        expect(used.filter((signal) => !names.includes(signal))).toEqual([]);
        expect(mode.endOfLife?.mode === undefined || modes.includes(mode.endOfLife.mode)).toBe(true);
        expect(mode.parts.length).toBeGreaterThan(0);
        expect(mode.shows.every((symptom) => symptom.weight > 0 && symptom.weight <= 1)).toBe(true);
        expect(components).toContain(mode.component);
      },
    );

    it('has distinct fault codes that hint at its own failure modes', () => {
      const codes = model.failureModes.map((mode) => mode.code);
      expect(new Set(codes).size).toBe(codes.length);
      expect(model.faultCodes.flatMap((fault) => fault.hintsAt).filter((code) => !codes.includes(code))).toEqual([]);
    });
  });
}
