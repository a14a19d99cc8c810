/**
 * Sensor faults as fault keys of their own, apart from faults of the machine: `sensor:<signal>`. A signal whose sensor does
 * not measure any more says nothing about the machine; and a single signal that deviates in a way that no failure mode of
 * the catalogue knows, while all others are as usual, is more likely a sensor that is off than an unknown fault.
 */
import type { LikelyCause } from '../../contract/ports/findings.ts';
import type { DeviceLine } from '../detectors/device-detector.ts';
import { SENSOR_DETECTOR, type SensorFault, type SensorVerdict } from '../detectors/sensor-health.ts';
import { type Attribution, type SignalEvidence, UNEXPLAINED } from './diagnose.ts';

const PREFIX = 'sensor:';
/** All other signals must be this much less surprising. */
const ALONE_SHARE = 1 / 3;

/** @example sensorFaultKey('freezerTempC') // => 'sensor:freezerTempC' */
export function sensorFaultKey(signal: string): string {
  return `${PREFIX}${signal}`;
}

/** The signal of a sensor fault's key; `undefined` for every other key. */
export function sensorOf(faultKey: string): string | undefined {
  return faultKey.startsWith(PREFIX) ? faultKey.slice(PREFIX.length) : undefined;
}

/** What one sensor shows, as evidence for its fault key. */
export function sensorAttribution(signal: string, verdict: SensorVerdict, line: DeviceLine): Attribution {
  return {
    faultKey: sensorFaultKey(signal),
    surprise: verdict.surprise,
    signals: [{ signal, surprise: line.direction === 'up' ? verdict.surprise : -verdict.surprise }],
    whole: { detector: SENSOR_DETECTOR, lines: [line] },
    sensorFault: verdict.fault,
  };
}

/** Takes a signal that alone is unexplained out of what is unexplained, as a sensor that is off. */
export function loneSensor(found: readonly Attribution[], signalCount: number): readonly Attribution[] {
  const own = found.find(({ faultKey }) => faultKey === UNEXPLAINED);
  if (!own || own.whole) return found;
  const everything = found.flatMap(({ signals }) => signals);
  const top = strongest(own.signals);
  if (!top) return found;
  const size = Math.abs(top.surprise);
  const alone = everything.every((one) => one === top || Math.abs(one.surprise) < ALONE_SHARE * size);
  if (!alone) return found;
  // Any of the sensors might have been the one: Bonferroni.
  const surprise = Math.max(0, size - Math.log10(Math.max(1, signalCount)));
  return [
    ...found.filter((one) => one !== own),
    { faultKey: sensorFaultKey(top.signal), surprise, signals: [top], sensorFault: 'off' },
    { faultKey: UNEXPLAINED, surprise: 0, signals: [] },
  ];
}

function strongest(signals: readonly SignalEvidence[]): SignalEvidence | undefined {
  let top: SignalEvidence | undefined;
  for (const one of signals) if (!top || Math.abs(one.surprise) > Math.abs(top.surprise)) top = one;
  return top;
}

const WORDS: Readonly<Record<SensorFault | 'off', string>> = {
  stuck: 'always reads the same value',
  missing: 'does not deliver all its values',
  noisy: 'jumps from sample to sample',
  off: 'reads what no known failure explains while all other signals are as usual',
};
/** Chance given to the sensor; the rest is left to the failure modes. */
const SENSOR_CHANCE = 0.8;

/** Likely causes of a sensor fault: the sensor first. */
export function sensorCauses(
  signal: string,
  label: string,
  fault: SensorFault | 'off' | undefined,
  others: readonly LikelyCause[],
): LikelyCause[] {
  const cause = `Sensor fault: “${label}” ${WORDS[fault ?? 'off']}`;
  return [
    { faultKey: sensorFaultKey(signal), cause, probability: SENSOR_CHANCE, parts: [] },
    ...others.map((one) => ({ ...one, probability: one.probability * (1 - SENSOR_CHANCE) })),
  ];
}
