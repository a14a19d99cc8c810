import { describe, expect, it } from 'vitest';
import { DEVICE_MODELS, findModel, signalsOf } from '../../contract/devices/catalogue.ts';
import { CMAPSS_SIGNALS } from '../../contract/devices/turbofan.ts';
import { checkDeviceModel } from '../checks/device-model.checks.ts';

for (const model of DEVICE_MODELS) checkDeviceModel(model);

describe('device catalogue', () => {
  it('finds a model by id and its signals by name', () => {
    expect(findModel('turbofan')?.lifeUnit).toBe('cycle');
    expect(signalsOf('refrigerator').get('freezerTempC')?.unit).toBe('°C');
  });

  it('has no signals for a model it does not know', () => {
    expect(findModel('toaster')).toBeUndefined();
    expect(signalsOf('toaster').size).toBe(0);
  });

  it('names the 24 value columns of a C-MAPSS file', () => {
    expect(CMAPSS_SIGNALS).toHaveLength(24);
  });
});
