/** Messages to devices: one that is connected and listens, or a retained one that it finds when it subscribes. */
import type { Aedes } from 'aedes';
import { AppError } from '../contract/kernel/errors.ts';
import type { DeviceRef } from '../contract/kernel/ids.ts';
import { MAX_PAYLOAD_BYTES } from '../contract/wire/payloads.ts';
import { type DownstreamChannel, RETAINED_CHANNELS, topicOf } from '../contract/wire/topics.ts';
import type { Connection } from './connection.ts';
import type { Presence } from './presence.ts';
import type { RetainedStore } from './retained-store.ts';
import type { TopicBus } from './topic-bus.ts';

/**
 * What became of a message to a device. `sent` = its socket took it; `closed` = its connection closed meanwhile, so that
 * it may or may not have arrived; `retained` = kept for when it subscribes; `notReading` = refused, because too much
 * waits for it already; `noRoom` = refused, because the store of retained messages is full.
 */
export type PublishOutcome =
  | 'sent'
  | 'closed'
  | 'retained'
  | 'notConnected'
  | 'notSubscribed'
  | 'notReading'
  | 'noRoom';

export type PublishTo = (
  ref: DeviceRef,
  channel: DownstreamChannel,
  payload: Uint8Array | string,
  options?: { readonly retain?: boolean },
) => Promise<PublishOutcome>;

interface DownlinkNeeds {
  readonly aedes: Pick<Aedes, 'publish'>;
  readonly bus: TopicBus;
  readonly presence: Presence;
  readonly retained: RetainedStore;
}

export function createDownlink(needs: DownlinkNeeds, limits: { readonly maxPendingPerDevice: number }): PublishTo {
  const { aedes, bus, presence, retained } = needs;

  const send = async (connection: Connection | undefined, topic: string, payload: Buffer): Promise<PublishOutcome> => {
    if (!connection) return 'notConnected';
    if (!bus.hasListener(topic)) return 'notSubscribed';
    if (connection.pending >= limits.maxPendingPerDevice) return 'notReading';
    connection.pending += 1;
    return new Promise((resolve) => {
      // Aedes calls back once the socket took it, or when the connection is closed because it did not.
      aedes.publish({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false }, () => {
        connection.pending -= 1;
        resolve(connection.stream.destroyed ? 'closed' : 'sent');
      });
    });
  };

  return async (ref, channel, message, { retain = false } = {}) => {
    const topic = topicOf(ref, channel);
    const payload = Buffer.from(message);
    if (payload.length > MAX_PAYLOAD_BYTES) throw new AppError('PAYLOAD_TOO_LARGE', `${payload.length} bytes`);
    if (retain && !RETAINED_CHANNELS.has(channel)) {
      throw new AppError('REQUEST_NOT_ALLOWED', `${channel} is never retained`);
    }
    if (retain && retained.store({ topic, payload, qos: 1 }) === 'noRoom') return 'noRoom';
    const outcome = await send(presence.current(ref), topic, payload);
    return retain && outcome !== 'sent' ? 'retained' : outcome;
  };
}
