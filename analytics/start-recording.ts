/** The end of one recording and the beginning of the next on the same device state. */
import { restartSensor } from './detectors/sensor-health.ts';
import { restartMonitor } from './detectors/signal-monitor.ts';
import type { DeviceState } from './device-state.ts';
import { restartWhole } from './score-whole.ts';

/** Ends a recording: what was learned stays, the clock and open questions start anew. */
export function startRecording(state: DeviceState): void {
  state.newestAt = 0;
  for (const key of Object.keys(state.episodes)) delete state.episodes[key];
  for (const signal of Object.values(state.signals)) {
    signal.band.points.length = 0;
    signal.withheldSince = null;
    signal.withheldSamples = 0;
    signal.last = null;
    for (const mode of Object.values(signal.modes)) {
      mode.last = null;
      restartMonitor(mode.monitor);
    }
  }
  for (const sensor of Object.values(state.sensors ?? {})) restartSensor(sensor);
  restartWhole(state);
}
