/**
 * Orders about one device: an alert that a person closes as normal, a device that leaves the fleet, another machine that
 * sends under its name. They end episodes from outside; everything follows from the state and the order's place in the log.
 */
import type { DeviceRef } from '../contract/kernel/ids.ts';
import type { AlertFinding, AlertReason } from '../contract/ports/findings.ts';
import type { DeviceOrder } from '../contract/ports/orders.ts';
import type { Position } from '../contract/ports/telemetry-log.ts';
import { adoptEpisode } from './adopt-normal.ts';
import { closeEpisode } from './alerts/episode.ts';
import type { DeviceState } from './device-state.ts';
import { alertFindingOf } from './findings.ts';
import type { DevicePlan } from './plan.ts';
import { endSilence, type SilenceSubject } from './silence/no-data.ts';

/** A device with all that is needed to say something about it. */
export interface OrderedDevice {
  readonly ref: DeviceRef;
  readonly state: DeviceState;
  /** `undefined` = nothing is known of it yet, so nothing is open but its silence. */
  readonly plan: DevicePlan | undefined;
  readonly subject: SilenceSubject;
}

/** What became of an order: its findings, empty when there was nothing left to end. Mutates the state. */
export function takeDeviceOrder(
  device: OrderedDevice,
  order: DeviceOrder,
  position: Position,
): readonly AlertFinding[] {
  const { id, actor: by, why } = order;
  const ended =
    order.kind === 'acceptAsNormal'
      ? endOne(device, order.episode, position)
      : endAll(device, 'decommissioned', position);
  return ended.map((finding) => ({ ...finding, order: { id, by, why } }));
}

/** Ends all that is open on the device. Faults go before silence, each by name, so that every replay says it in one order. */
export function endAll(
  device: OrderedDevice,
  reason: 'decommissioned' | 'replaced',
  position: Position,
): readonly AlertFinding[] {
  const ended = Object.keys(device.state.episodes)
    .sort()
    .map((faultKey) => end(device, faultKey, reason, position));
  const { silence } = device.state;
  ended.push(silence && endSilence(silence, reason, device.subject));
  return ended.filter((finding) => finding !== undefined);
}

function endOne(device: OrderedDevice, episode: string, position: Position): readonly AlertFinding[] {
  const { episodes, silence } = device.state;
  if (silence?.episode.open?.id === episode) {
    const finding = endSilence(silence, 'accepted', device.subject);
    return finding ? [finding] : [];
  }
  const faultKey = Object.keys(episodes).find((key) => episodes[key]?.open?.id === episode);
  const finding = faultKey === undefined ? undefined : end(device, faultKey, 'accepted', position);
  return finding ? [finding] : [];
}

function end(
  { ref, state, plan }: OrderedDevice,
  faultKey: string,
  reason: AlertReason,
  position: Position,
): AlertFinding | undefined {
  const episode = state.episodes[faultKey];
  const event = plan && episode && closeEpisode(episode, state.newestAt, reason);
  if (!event) return undefined;
  if (reason === 'accepted') adoptEpisode(state, plan, faultKey, event.episode);
  return alertFindingOf({
    state,
    plan,
    sample: { ref, identity: '', observedAt: state.newestAt, position, signals: {} },
    mode: plan.modes.find((one) => one.code === faultKey),
    sensor: plan.sensors.find((one) => one.faultKey === faultKey),
    event,
    episode,
    surprise: 0,
    explained: undefined,
    ranked: [],
  });
}
