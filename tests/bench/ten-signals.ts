/** Payload of the benches: one sample of ten signals of a refrigerator, about 300 bytes. */
import { randomBytes } from 'node:crypto';
import type { BuildPayload } from './swarm.ts';

/** New for each swarm: every swarm counts from 1. */
const boot = `b${randomBytes(6).toString('hex')}`;

export const tenSignals: BuildPayload = (connection, sequence) => {
  // Cheap and never the same twice, so that neither side profits from repetition.
  const wave = ((sequence * 7 + connection * 13) % 1_000) / 1_000;
  const at = Date.now();
  return (
    `{"v":1,"boot":"${boot}","seq":${sequence},"t":${at},"s":[[0,{"freshFoodTempC":${4 + wave},` +
    `"freezerTempC":${-18 - wave},"evaporatorTempC":${-24 + wave},"compressorCurrentA":${1 + wave},` +
    `"compressorDutyRatio":${wave},"compressorVibrationMmPerS":${1.5 + wave},"evaporatorFanRpm":${2_400 + wave},` +
    `"supplyVoltageV":${230 + wave},"ambientTempC":${21 + wave},"doorOpen":false}]]}`
  );
};
