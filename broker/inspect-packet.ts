/** Packets that MQTT 3.1.1 tells a server to close on, and Aedes with its parser lets through. */
import type { Packet } from 'mqtt-packet';
import { AppError } from '../contract/kernel/errors.ts';

/**
 * What the parser makes of bytes that are not UTF-8, and NUL. A text that truly holds U+FFFD looks the same, but no
 * filter that we grant does.
 */
const ILL_FORMED = /[\0\uFFFD]/;

/** @throws AppError MQTT_PROTOCOL naming the clause */
export function inspectPacket(packet: Packet): void {
  if ('messageId' in packet && packet.messageId === 0) throw new AppError('MQTT_PROTOCOL', 'packet id 0 (2.3.1)');
  const filters = filtersOf(packet);
  if (!filters) return;
  if (filters.length === 0) throw new AppError('MQTT_PROTOCOL', `${packet.cmd} without filters (3.8.3, 3.10.3)`);
  if (filters.some((filter) => ILL_FORMED.test(filter))) {
    throw new AppError('MQTT_PROTOCOL', 'a filter that is not UTF-8 or holds NUL (1.5.3)');
  }
}

function filtersOf(packet: Packet): readonly string[] | undefined {
  if (packet.cmd === 'subscribe') return packet.subscriptions.map((subscription) => subscription.topic);
  return packet.cmd === 'unsubscribe' ? packet.unsubscriptions : undefined;
}
