/**
 * One connection of an integration, from its CONNECT on: our own MQTT 3.1.1 server on Aedes' guarded parser. Not Aedes
 * itself, because there a reader that is behind holds publishers up, filters with wildcards are delivered with a higher
 * QoS than was granted, and nothing that waits has a bound.
 */
import type { Duplex } from 'node:stream';
import mqttPacket, {
  type IConnectPacket,
  type IPublishPacket,
  type ISubscribePacket,
  type IUnsubscribePacket,
  type Packet,
} from 'mqtt-packet';
import { AppError } from '../../contract/kernel/errors.ts';
import { book, newBucket, type Pace } from '../bucket.ts';
import { faultOfPublish, grantedFilter } from './rules.ts';
import type { Link, Message, Qos, Session } from './session.ts';

/** MQTT 3.1.1, 3.9.3. */
const SUBSCRIBE_FAILURE = 0x80;

export interface LinkLimits {
  readonly maxFilters: number;
  /** QoS 2 publishes of one client that are not released. */
  readonly maxIncoming: number;
  readonly drainTimeoutMs: number;
  readonly pace: Pace;
}

/** What a link tells and asks. */
export interface LinkEvents {
  /** The client published: hand it to all who read it. */
  published(message: { topic: string; payload: Uint8Array | string; qos: Qos; retain: boolean }): void;
  /** Filters changed. */
  subscribed(): void;
  /** Retained messages under a new filter. */
  replays(filter: { levels: readonly string[]; qos: Qos }): Message[];
  denied(filter: string): void;
  /** The socket took nothing for too long. */
  stuck(): void;
  /** The client said goodbye: no last will. */
  farewell(): void;
}

export interface IntegrationLink extends Link {
  /** A packet of the client; throws AppError where it ends the connection. */
  take(packet: Packet): void;
  /** Ms until more may be read. */
  owedMs(): number;
  close(): void;
}

export function createLink(
  stream: Duplex,
  { tenant, session }: { readonly tenant: string; readonly session: Session },
  limits: LinkLimits,
  events: LinkEvents,
): IntegrationLink {
  const budget = newBucket();
  let stuckTimer: NodeJS.Timeout | undefined;
  let owed = 0;

  const drained = (): void => {
    clearTimeout(stuckTimer);
    stuckTimer = undefined;
    session.pump();
  };
  stream.on('drain', drained);

  function send(packet: Packet): void {
    if (stream.destroyed || stream.write(mqttPacket.generate(packet))) return;
    stuckTimer ??= setTimeout(events.stuck, limits.drainTimeoutMs).unref();
  }

  function publish(packet: IPublishPacket): void {
    const fault = faultOfPublish(tenant, packet);
    if (fault) throw new AppError('MQTT_TOPIC', fault);
    owed = book(budget, limits.pace, performance.now());
    const { topic, payload, qos, retain, messageId = 0 } = packet;
    if (qos === 2 && session.incoming.has(messageId)) {
      send({ cmd: 'pubrec', messageId });
      return;
    }
    if (qos === 2) {
      if (session.incoming.size >= limits.maxIncoming) throw new AppError('MQTT_RATE', 'too many unreleased publishes');
      session.incoming.add(messageId);
    }
    events.published({ topic, payload, qos, retain });
    if (qos === 1) send({ cmd: 'puback', messageId });
    if (qos === 2) send({ cmd: 'pubrec', messageId });
  }

  function grant(topic: string, qos: Qos): number {
    const levels = grantedFilter(tenant, topic);
    const hasRoom = session.filters.has(topic) || session.filters.size < limits.maxFilters;
    if (!levels || !hasRoom) {
      events.denied(topic);
      return SUBSCRIBE_FAILURE;
    }
    session.filters.set(topic, { levels, qos });
    return qos;
  }

  function subscribe({ messageId = 0, subscriptions }: ISubscribePacket): void {
    const granted = subscriptions.map(({ topic, qos }) => grant(topic, qos));
    events.subscribed();
    send({ cmd: 'suback', messageId, granted });
    // 3.8.4: also for a filter that was there before. Once for each, although it may be given twice.
    for (const topic of new Set(subscriptions.map((one) => one.topic))) {
      const filter = session.filters.get(topic);
      if (filter) session.replay(events.replays(filter));
    }
  }

  function take(packet: Packet): void {
    if (packet.cmd === 'publish') publish(packet);
    else if (packet.cmd === 'subscribe') subscribe(packet);
    else if (packet.cmd === 'unsubscribe') unsubscribe(packet);
    else if (packet.cmd === 'pingreq') send({ cmd: 'pingresp' });
    else if (packet.cmd === 'disconnect') {
      events.farewell();
      stream.end();
    } else takeReceipt(packet);
  }

  /** The rest of QoS 1 and 2 (4.3). What is not known is answered all the same: the client lost our answer. */
  function takeReceipt(packet: Packet): void {
    const messageId = packet.messageId ?? 0;
    if (packet.cmd === 'puback' || packet.cmd === 'pubcomp') {
      session.acknowledged(messageId);
    } else if (packet.cmd === 'pubrec') {
      session.received(messageId);
      send({ cmd: 'pubrel', messageId });
    } else if (packet.cmd === 'pubrel') {
      session.incoming.delete(messageId);
      send({ cmd: 'pubcomp', messageId });
    } else {
      throw new AppError('MQTT_PROTOCOL', `a ${packet.cmd} of a client that is logged in`);
    }
  }

  function unsubscribe({ messageId = 0, unsubscriptions }: IUnsubscribePacket): void {
    for (const filter of unsubscriptions) session.filters.delete(filter);
    events.subscribed();
    // `granted` is of MQTT 5; the types ask for it.
    send({ cmd: 'unsuback', messageId, granted: [] });
  }

  return {
    send,
    take,
    isReady: () => !stream.destroyed && !stream.writableNeedDrain,
    owedMs: () => owed,
    close() {
      clearTimeout(stuckTimer);
      stream.off('drain', drained);
    },
  };
}

/** The last will of a CONNECT, as a publish. */
export function willOf(packet: IConnectPacket): Parameters<LinkEvents['published']>[0] | undefined {
  const { will } = packet;
  return will && { topic: will.topic, payload: will.payload, qos: will.qos ?? 0, retain: will.retain ?? false };
}
