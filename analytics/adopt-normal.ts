/**
 * What an alert showed becomes normal: the detectors behind it start anew at the level that is there now. This happens when
 * a person closes the alert as normal, or a policy does; never by itself while an alert is open.
 */
import type { OpenEpisode } from './alerts/episode.ts';
import type { DeviceState, SignalState } from './device-state.ts';
import { UNEXPLAINED } from './diagnosis/diagnose.ts';
import type { DevicePlan } from './plan.ts';

/** Forgets what was normal for the signals of a closed episode. */
export function adoptEpisode(state: DeviceState, plan: DevicePlan, faultKey: string, episode: OpenEpisode): void {
  const mode = plan.modes.find((one) => one.code === faultKey);
  const sensor = plan.sensors.find((one) => one.faultKey === faultKey);
  const shown = (mode?.shows ?? []).map((show) => show.signal);
  const signals = new Set([...episode.signals, ...shown, ...(sensor ? [sensor.name] : [])]);
  for (const name of signals) {
    const signal = Object.hasOwn(state.signals, name) ? state.signals[name] : undefined;
    if (signal) adoptSignal(signal);
  }
  if (sensor && state.sensors) delete state.sensors[sensor.name];
  // How the signals hang together is one thing: it cannot be forgotten for some of them.
  if (faultKey === UNEXPLAINED) delete state.whole;
}

export function adoptSignal(signal: SignalState): void {
  for (const name of Object.keys(signal.modes)) delete signal.modes[name];
  signal.withheldSince = null;
  signal.withheldSamples = 0;
}
