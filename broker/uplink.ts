/** What devices publish, on its way to ingest: rules first, then `deliver`, and only then the acknowledgement. */
import type { IPublishPacket } from 'mqtt-packet';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import type { DeliverPublish, DeviceDirectory, RegisteredDevice } from '../contract/ports/broker.ts';
import type { Clock } from '../contract/ports/services.ts';
import type { UpstreamChannel } from '../contract/wire/topics.ts';
import { asAppError } from './aedes-errors.ts';
import type { Connection } from './connection.ts';
import type { DoorLog } from './door-log.ts';
import type { Integrations } from './integrations/create-integrations.ts';
import type { Pacer } from './pacer.ts';
import { judgePublish } from './topic-rules.ts';
import type { Traffic } from './traffic.ts';

/** An error ends the connection without an acknowledgement. */
export type Answer = (error: Error | null) => void;

/** Takes a publish, or a last will that fires: the same rules hold. */
export type Uplink = (connection: Connection, packet: IPublishPacket, answer: Answer) => void;

interface UplinkNeeds {
  readonly directory: Pick<DeviceDirectory, 'peek'>;
  readonly deliver: DeliverPublish;
  readonly clock: Clock;
  readonly door: DoorLog;
  readonly traffic: Traffic;
  readonly pacer: Pick<Pacer, 'run'>;
  /** Copies what is durable to whoever reads along; never waits for them. */
  readonly readAlong: Integrations['offer'];
}

export function createUplink({ directory, deliver, clock, door, traffic, pacer, readAlong }: UplinkNeeds): Uplink {
  return (connection, packet, answer) => {
    const { device, rules, budget } = connection;
    if (!device || !rules || !budget) {
      answer(new AppError('MQTT_PROTOCOL', 'a publish before the login'));
      return;
    }
    const verdict = judgePublish(rules, packet);
    if (verdict.kind === 'refused') {
      door.refuse(connection, verdict.reason, verdict.detail);
      answer(new AppError(verdict.reason, verdict.detail));
      return;
    }
    if (verdict.stripRetain) {
      packet.retain = false;
      traffic.retainStripped();
    }
    const act = (): void => hand(connection, device, verdict.channel, packet, answer);
    // A last will comes when its connection is closed: there is nothing to slow down, and logins are limited.
    if (connection.stream.destroyed) act();
    else pacer.run(connection, budget, act);
  };

  function hand(
    connection: Connection,
    device: RegisteredDevice,
    channel: UpstreamChannel,
    packet: IPublishPacket,
    answer: Answer,
  ): void {
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
    const settled = traffic.receive(channel, (error) => {
      if (error) door.refuse(connection, asAppError(error).code, `not delivered: ${errorText(error)}`);
      else readAlong(device.tenant, packet.topic, payload, packet.qos);
      answer(error ? asAppError(error) : null);
    });
    try {
      // A birth that came after the login has changed what the directory knows.
      const current = directory.peek(device) ?? device;
      deliver({ device: current, channel, payload, receivedAt: clock.now() }, settled);
    } catch (error) {
      settled(asAppError(error));
    }
  }
}
