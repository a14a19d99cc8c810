/** What MQTT 3.1.1 asks of a server and Aedes leaves out, mended at our edge; clause numbers are those of the standard. */
import mqttPacket, { type Packet } from 'mqtt-packet';
import { afterEach, describe, expect, it } from 'vitest';
import type { Broker } from '../../broker/create-broker.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import {
  connectPacket,
  FRIDGE,
  logIn,
  openPeer,
  publishPacket,
  startBroker,
  subscribePacket,
} from '../support/broker-harness.ts';
import { waitFor } from '../support/wait-for.ts';

const started: Broker[] = [];
afterEach(async () => {
  for (const broker of started.splice(0)) await broker.stop();
});

async function start() {
  const harness = await startBroker();
  started.push(harness.broker);
  return harness;
}

const TELEMETRY = topicOf(FRIDGE, 'telemetry');
const DESIRED = topicOf(FRIDGE, 'twin/desired');
const COMMANDS = topicOf(FRIDGE, 'cmd/req');

/** The packet with its two bytes of packet id set to 0. */
function withoutId(packet: Packet, idAt: number): Buffer {
  const bytes = mqttPacket.generate(packet);
  bytes.writeUInt16BE(0, idAt);
  return bytes;
}

/** A SUBSCRIBE whose only filter has these bytes. */
function subscribeTo(filter: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x82, filter.length + 5, 0, 9, 0, filter.length]), filter, Buffer.from([1])]);
}

describe('a connection is closed', () => {
  const publish = publishPacket(TELEMETRY, '', { messageId: 1 });
  it.each([
    ['PUBLISH with packet id 0 (2.3.1)', withoutId(publish, mqttPacket.generate(publish).length - 2)],
    ['SUBSCRIBE with packet id 0 (2.3.1)', withoutId(subscribePacket(COMMANDS), 2)],
    ['UNSUBSCRIBE without filters (3.10.3)', Buffer.from([0xa2, 2, 0, 5])],
    ['SUBSCRIBE without filters (3.8.3)', Buffer.from([0x82, 2, 0, 5])],
    ['a filter that is not UTF-8 (1.5.3)', subscribeTo(Buffer.from([0x61, 0xc3, 0x28]))],
    ['a filter with half of a surrogate pair (1.5.3)', subscribeTo(Buffer.from([0xed, 0xa0, 0x80]))],
    ['a filter with NUL (1.5.3)', subscribeTo(Buffer.from([0x61, 0]))],
    ['a second CONNECT (3.1.0)', mqttPacket.generate(connectPacket(FRIDGE))],
  ])('on %s', async (_what, bytes) => {
    const { broker, metric } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(bytes);
    expect(await peer.next()).toBe('closed');
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_PROTOCOL' })).toBe(1);
  });

  it.each([
    ['that is not UTF-8', Buffer.from([0xc3, 0x28])],
    ['with NUL', Buffer.from([0])],
    ['with a line break', Buffer.from('\n')],
    ['with an escape sequence', Buffer.from('\u001b[2J')],
  ])('on a topic %s, and the log gets no such bytes', async (_what, tail) => {
    const { broker, lines, delivered } = await start();
    const peer = await logIn(broker, FRIDGE);
    const topic = Buffer.concat([Buffer.from(TELEMETRY), tail]);
    peer.send(Buffer.concat([Buffer.from([0x30, topic.length + 2, 0, topic.length]), topic]));
    expect(await peer.next()).toBe('closed');
    expect(delivered).toEqual([]);
    expect(lines).toHaveLength(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(String(lines[0]?.detail)).not.toMatch(/[\u0000-\u001f]/);
  });
});

describe('a client id', () => {
  it.each([
    ['that is empty, without a clean session (3.1.3.1)', Buffer.alloc(0), false],
    ['that is empty, with one', Buffer.alloc(0), true],
    ['that is not UTF-8', Buffer.from([0x61, 0x2e, 0xff]), true],
    ['with NUL', Buffer.from('acme.fridge-1\0'), true],
    ['with a line break', Buffer.from('acme.fridge-1\n'), true],
  ])('%s is answered with code 2', async (_what, id, clean) => {
    const { broker } = await start();
    const peer = openPeer(broker);
    const packet = { ...connectPacket(FRIDGE), clientId: 'x', username: 'x', clean };
    const bytes = mqttPacket.generate(packet);
    // Fixed header 2, protocol name and level 7, flags 1, keep-alive 2; then the client id of one byte.
    const at = 12;
    const changed = Buffer.concat([bytes.subarray(0, at), lengthOf(id), id, bytes.subarray(at + 3)]);
    changed[1] = changed.length - 2;
    peer.send(changed);
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 2, sessionPresent: false });
    await peer.closed();
  });
});

function lengthOf(bytes: Buffer): Buffer {
  return Buffer.from([bytes.length >> 8, bytes.length & 0xff]);
}

describe('messages to a device', () => {
  it.each([0, 1, 2] as const)(
    'retained come with RETAIN and the lower QoS of both, here at most %i (3.8.4)',
    async (qos) => {
      const { broker } = await start();
      await broker.publishTo(FRIDGE, 'twin/desired', '{"v":1}', { retain: true });
      const peer = await logIn(broker, FRIDGE);
      peer.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: DESIRED, qos }] });
      const packets = [await peer.next(), await peer.next()] as Packet[];
      expect(packets.find((packet) => packet.cmd === 'publish')).toMatchObject({
        retain: true,
        dup: false,
        qos: Math.min(qos, 1),
      });
    },
  );

  it('that are live come without RETAIN (3.3.1.3), first with DUP off (3.3.1.1)', async () => {
    const { broker } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(subscribePacket(DESIRED));
    expect(await peer.next()).toMatchObject({ cmd: 'suback' });
    await broker.publishTo(FRIDGE, 'twin/desired', '{"v":2}', { retain: true });
    expect(await peer.next()).toMatchObject({ cmd: 'publish', retain: false, dup: false, qos: 1 });
  });

  it('and were not acknowledged are not sent again: there is no session to redeliver them with DUP (4.4)', async () => {
    const { broker } = await start();
    const first = await logIn(broker, FRIDGE);
    first.send(subscribePacket(COMMANDS));
    await first.next();
    await broker.publishTo(FRIDGE, 'cmd/req', 'once');
    expect(await first.next()).toMatchObject({ cmd: 'publish' });
    first.cut();
    await waitFor('the end', () => broker.connections().length === 0);
    const second = await logIn(broker, FRIDGE);
    second.send(subscribePacket(COMMANDS), { cmd: 'pingreq' });
    const answers = [await second.next(), await second.next()] as Packet[];
    expect(answers.map((packet) => packet.cmd).sort()).toEqual(['pingresp', 'suback']);
  });
});

describe('a device that is connected from two places', () => {
  it('is reported when the second comes from another address: it may be a copy', async () => {
    const { broker, lines, metric } = await start();
    for (const address of ['192.0.2.1', '192.0.2.1', '192.0.2.2']) {
      const peer = openPeer(broker, address);
      peer.send(connectPacket(FRIDGE));
      await peer.next();
    }
    expect(metric('presage_mqtt_takeovers_total', { from: 'same address' })).toBe(1);
    expect(metric('presage_mqtt_takeovers_total', { from: 'other address' })).toBe(1);
    expect(lines.filter((line) => line.level === 'warn')).toMatchObject([
      { clientId: 'acme.fridge-1', remoteAddress: '192.0.2.2', previousAddress: '192.0.2.1' },
    ]);
  });
});
