/** The broker as a device meets it: packets in, packets out, over streams in memory. */
import mqttPacket, { type Packet } from 'mqtt-packet';
import { afterEach, describe, expect, it } from 'vitest';
import type { Broker } from '../../broker/create-broker.ts';
import type { BrokerOptions } from '../../broker/options.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { seededRandom } from '../../contract/kernel/random.ts';
import type { InboundPublish, PresenceChange } from '../../contract/ports/broker.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import {
  connectPacket,
  FRIDGE,
  fakeDirectory,
  type HarnessParts,
  logIn,
  OTHER,
  openPeer,
  publishPacket,
  STRANGER,
  secretOf,
  startBroker,
  subscribePacket,
} from '../support/broker-harness.ts';
import { waitFor } from '../support/wait-for.ts';

const started: Broker[] = [];
afterEach(async () => {
  for (const broker of started.splice(0)) await broker.stop();
});

async function start(options: Partial<BrokerOptions> = {}, parts: HarnessParts = {}) {
  const harness = await startBroker(options, parts);
  started.push(harness.broker);
  return harness;
}

const TELEMETRY = topicOf(FRIDGE, 'telemetry');
const COMMANDS = topicOf(FRIDGE, 'cmd/req');
const DESIRED = topicOf(FRIDGE, 'twin/desired');
const stateWill = {
  topic: topicOf(FRIDGE, 'state'),
  payload: Buffer.from('{"state":"offline"}'),
  qos: 1,
  retain: true,
} as const;

describe('logging in', () => {
  it('lets a registered device in and says who is connected, since when and from where', async () => {
    const { broker, metric } = await start();
    const peer = openPeer(broker, '10.1.2.3');
    peer.send(connectPacket(FRIDGE));
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 0, sessionPresent: false });
    expect(broker.connections()).toEqual([{ ...FRIDGE, since: 1_795_392_000_000, remoteAddress: '10.1.2.3' }]);
    expect(metric('presage_mqtt_connections')).toBe(1);
  });

  it.each([
    ['a wrong secret', { password: Buffer.from('wrong') }, 4, 'MQTT_CREDENTIALS'],
    ['an unknown device', { clientId: 'acme.ghost', username: 'acme.ghost' }, 4, 'MQTT_CREDENTIALS'],
    ['no user name', { username: undefined, password: undefined }, 4, 'MQTT_CREDENTIALS'],
    ['the client id of another', { clientId: 'acme.fridge-2' }, 2, 'MQTT_CLIENT_ID'],
    ['an empty client id', { clientId: '' }, 2, 'MQTT_CLIENT_ID'],
    ['a persistent session', { clean: false }, 5, 'MQTT_SESSION'],
    ['keep-alive 0', { keepalive: 0 }, 5, 'MQTT_KEEPALIVE'],
    ['a will on a foreign topic', { will: { ...stateWill, topic: topicOf(OTHER, 'state') } }, 5, 'MQTT_WILL'],
  ] as const)('tells %s its return code and closes', async (_what, changes, returnCode, reason) => {
    const { broker, metric } = await start();
    const peer = openPeer(broker);
    peer.send(connectPacket(FRIDGE, changes as object));
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode });
    await peer.closed();
    expect(metric('presage_mqtt_refused_total', { reason })).toBe(1);
    expect(broker.connections()).toEqual([]);
  });

  it('refuses a will with QoS 3, which would disconnect whoever it reaches', async () => {
    const { broker } = await start();
    const peer = openPeer(broker);
    peer.send(connectPacket(FRIDGE, { will: { ...stateWill, qos: 3 as 2 } }));
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 5 });
  });

  it('tells an MQTT 5 client that the version is not acceptable', async () => {
    const { broker } = await start();
    const peer = openPeer(broker);
    peer.send(connectPacket(FRIDGE, { protocolVersion: 5 }));
    expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 1 });
    await peer.closed();
  });

  it('answers 3 when the directory fails, by error or by throw', async () => {
    for (const fail of [
      () => Promise.reject(new Error('no database')),
      () => {
        throw new Error('no database');
      },
    ]) {
      const { broker, metric } = await start({}, { directory: { ...fakeDirectory(), authenticate: fail } });
      const peer = openPeer(broker);
      peer.send(connectPacket(FRIDGE));
      expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 3 });
      expect(metric('presage_mqtt_refused_total', { reason: 'INTERNAL' })).toBe(1);
    }
  });

  it('closes who says nothing, who says it too slowly, and who waits for a directory that does not answer', async () => {
    const { broker, metric } = await start(
      { loginTimeoutMs: 50 },
      { directory: { ...fakeDirectory(), authenticate: () => new Promise(() => {}) } },
    );
    const [silent, slow, waiting] = [openPeer(broker), openPeer(broker), openPeer(broker)];
    slow.send(Buffer.from([0x10, 60, 0]));
    waiting.send(connectPacket(FRIDGE));
    await Promise.all([silent.closed(), slow.closed(), waiting.closed()]);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_LOGIN_TIMEOUT' })).toBe(3);
    expect(broker.stats().streams).toBe(0);
  });

  it('does not close who is logged in when the login time is over', async () => {
    const { broker } = await start({ loginTimeoutMs: 30 });
    const [peer, silent] = [await logIn(broker, FRIDGE), openPeer(broker)];
    await silent.closed();
    expect(peer.isClosed()).toBe(false);
  });

  it('holds no more connections than it may', async () => {
    const { broker, metric } = await start({ maxConnections: 1 });
    const first = await logIn(broker, FRIDGE);
    await openPeer(broker).closed();
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_CONNECTION_LIMIT' })).toBe(1);
    first.cut();
    await waitFor('room', () => broker.stats().streams === 0);
    await logIn(broker, OTHER);
  });
});

describe('publishing', () => {
  it('delivers a publish with its device, channel, payload and time, and acknowledges it', async () => {
    const { broker, delivered } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(TELEMETRY, '{"v":1}', { messageId: 42 }));
    expect(await peer.next()).toMatchObject({ cmd: 'puback', messageId: 42 });
    expect(delivered).toHaveLength(1);
    const [publish] = delivered as [InboundPublish];
    expect(publish).toMatchObject({ device: FRIDGE, channel: 'telemetry', receivedAt: 1_795_392_000_000 });
    expect(Buffer.from(publish.payload).toString()).toBe('{"v":1}');
  });

  it('acknowledges only after the delivery called back', async () => {
    const open: (() => void)[] = [];
    const { broker } = await start({}, { deliver: (_publish, done) => open.push(() => done(undefined)) });
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(TELEMETRY, 'x'));
    await waitFor('the delivery', () => open.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect([peer.waiting(), broker.stats().inFlight]).toEqual([[], 1]);
    open[0]?.();
    expect(await peer.next()).toMatchObject({ cmd: 'puback' });
    expect(broker.stats().inFlight).toBe(0);
  });

  it('keeps the order of acknowledgements of one device', async () => {
    const { broker } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(...[1, 2, 3, 4, 5].map((messageId) => publishPacket(TELEMETRY, 'x', { messageId })));
    const acknowledged: (number | undefined)[] = [];
    for (let i = 0; i < 5; i++) acknowledged.push(((await peer.next()) as Packet).messageId);
    expect(acknowledged).toEqual([1, 2, 3, 4, 5]);
  });

  it('keeps the order of what is published before the CONNACK', async () => {
    const { broker, delivered } = await start();
    for (const split of [1, 2, 7, 1_000]) {
      const peer = openPeer(broker);
      const packets = Array.from({ length: 30 }, (_, i) => publishPacket(TELEMETRY, `${i}`, { messageId: i + 1 }));
      const bytes = Buffer.concat([connectPacket(FRIDGE), ...packets].map((packet) => mqttPacket.generate(packet)));
      // In pieces of several sizes, so that they are read before, during and after the login.
      for (let at = 0; at < bytes.length; at += split * 40) peer.send(bytes.subarray(at, at + split * 40));
      await waitFor('all publishes', () => delivered.length === 30);
      const order = delivered.splice(0).map((publish) => Number(Buffer.from(publish.payload).toString()));
      expect(order).toEqual(packets.map((_, i) => i));
      peer.cut();
    }
  });

  it('handles nothing before the login is decided', async () => {
    const asked: (() => void)[] = [];
    const directory = fakeDirectory();
    const authenticate = async (...args: Parameters<typeof directory.authenticate>) => {
      await new Promise<void>((resolve) => asked.push(resolve));
      return directory.authenticate(...args);
    };
    for (const secret of ['wrong', secretOf(FRIDGE)]) {
      const { broker, delivered } = await start({}, { directory: { ...directory, authenticate } });
      const peer = openPeer(broker);
      peer.send(connectPacket(FRIDGE, { password: Buffer.from(secret) }));
      peer.send(publishPacket(TELEMETRY, 'early'));
      peer.send(subscribePacket(COMMANDS));
      await waitFor('the question', () => asked.length > 0);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect([delivered.length, peer.waiting()]).toEqual([0, []]);
      asked.shift()?.();
      expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: secret === 'wrong' ? 4 : 0 });
      if (secret === 'wrong') expect(await peer.next()).toBe('closed');
      else
        expect([await peer.next(), await peer.next()].map((packet) => (packet as Packet).cmd).sort()).toEqual([
          'puback',
          'suback',
        ]);
      expect(delivered).toHaveLength(secret === 'wrong' ? 0 : 1);
    }
  });

  it.each([
    [
      'calls back with an error',
      ((_publish, done) => done(new AppError('LOG_FULL'))) as HarnessParts['deliver'],
      'LOG_FULL',
    ],
    [
      'throws',
      (() => {
        throw new Error('boom');
      }) as HarnessParts['deliver'],
      'INTERNAL',
    ],
  ])('closes without a PUBACK when the delivery %s', async (_what, deliver, reason) => {
    const { broker, metric } = await start({}, deliver ? { deliver } : {});
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(TELEMETRY, 'x'));
    expect(await peer.next()).toBe('closed');
    expect(metric('presage_mqtt_refused_total', { reason })).toBe(1);
    await logIn(broker, FRIDGE);
  });

  it.each([
    ['another device', topicOf(OTHER, 'telemetry'), 1, 'MQTT_TOPIC'],
    ['another tenant', topicOf(STRANGER, 'telemetry'), 1, 'MQTT_TOPIC'],
    ['its own command topic', COMMANDS, 1, 'MQTT_TOPIC'],
    ['$SYS', '$SYS/x', 0, 'MQTT_TOPIC'],
    ['its own topic with QoS 2', TELEMETRY, 2, 'MQTT_QOS2'],
  ] as const)('closes who publishes to %s', async (_what, topic, qos, reason) => {
    const { broker, delivered, metric } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(topic, 'x', { qos }));
    expect(await peer.next()).toBe('closed');
    expect([delivered, metric('presage_mqtt_refused_total', { reason })]).toEqual([[], 1]);
  });

  it('acknowledges and delivers a payload over 128 KiB, so that it is quarantined once and not sent for ever', async () => {
    const { broker, delivered } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(TELEMETRY, Buffer.alloc(200 * 1024)));
    expect(await peer.next()).toMatchObject({ cmd: 'puback' });
    expect(delivered[0]?.payload.length).toBe(200 * 1024);
  });

  it('keeps the retain flag only where the contract says so', async () => {
    const { broker, metric } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(
      publishPacket(TELEMETRY, 'x', { retain: true }),
      publishPacket(topicOf(FRIDGE, 'birth'), 'y', { retain: true }),
    );
    await peer.next();
    await peer.next();
    // Retaining follows the acknowledgement.
    await waitFor('the retained message', () => broker.stats().retained === 1);
    expect(broker.stats()).toMatchObject({ retainedBytes: 1, retainStripped: 1 });
    expect(metric('presage_mqtt_retain_stripped_total')).toBe(1);
  });

  it('counts what it received by channel', async () => {
    const { broker, metric } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(
      publishPacket(TELEMETRY, 'x'),
      publishPacket(topicOf(FRIDGE, 'event'), 'y'),
      publishPacket(TELEMETRY, 'z'),
    );
    await waitFor('the counts', () => metric('presage_mqtt_received_total', { channel: 'telemetry' }) === 2);
    expect(metric('presage_mqtt_received_total', { channel: 'event' })).toBe(1);
  });

  it('delivers with what the directory knows now, not at login', async () => {
    const directory = fakeDirectory();
    const grown = { ...FRIDGE, model: 'turbofan', declaredSignals: new Map([['extra', 'number' as const]]) };
    const { broker, delivered } = await start({}, { directory: { ...directory, peek: () => grown } });
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(TELEMETRY, 'x'));
    await peer.next();
    expect(delivered[0]?.device).toBe(grown);
  });
});

describe('packet sizes', () => {
  const endless = (length: number): Buffer =>
    Buffer.from([0x30, (length & 127) | 128, ((length >> 7) & 127) | 128, length >> 14]);

  it('closes on a packet over 4 KiB before the login, from its length alone', async () => {
    const { broker, metric } = await start();
    const peer = openPeer(broker);
    peer.send(Buffer.from([0x10, 0x81, 0x20]));
    await peer.closed();
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_PACKET_SIZE' })).toBe(1);
  });

  it('takes 256 KiB after the login and closes on one byte more', async () => {
    const { broker, delivered, metric } = await start();
    const peer = await logIn(broker, FRIDGE);
    const overhead = 2 + TELEMETRY.length + 2;
    peer.send(publishPacket(TELEMETRY, Buffer.alloc(256 * 1024 - overhead)));
    expect(await peer.next()).toMatchObject({ cmd: 'puback' });
    peer.send(endless(256 * 1024 + 1));
    await peer.closed();
    expect([delivered.length, metric('presage_mqtt_refused_total', { reason: 'MQTT_PACKET_SIZE' })]).toEqual([1, 1]);
  });

  it('keeps the small limit for what comes with the CONNECT', async () => {
    const { broker } = await start();
    const peer = openPeer(broker);
    peer.send(Buffer.concat([mqttPacket.generate(connectPacket(FRIDGE)), endless(100_000)]));
    await peer.closed();
  });

  it('takes no more than one read from who has not been let in yet', async () => {
    const never = { ...fakeDirectory(), authenticate: () => new Promise<undefined>(() => {}) };
    const { broker, metric } = await start({}, { directory: never });
    const peer = openPeer(broker);
    peer.send(connectPacket(FRIDGE));
    for (let i = 0; i < 5; i++) peer.send(Buffer.alloc(64 * 1024));
    await waitFor('the end or the pause', () => peer.isClosed() || peer.stream.writableLength >= 64 * 1024);
    expect(metric('presage_mqtt_received_total', { channel: 'telemetry' })).toBe(0);
  });
});

describe('subscribing', () => {
  it('grants the own downstream topics and nothing else, also in one packet', async () => {
    const { broker, metric } = await start();
    const peer = await logIn(broker, FRIDGE);
    const denied = [
      '#',
      '+/+/+/+/#',
      'presage/v1/acme/fridge-1/#',
      topicOf(OTHER, 'cmd/req'),
      '$SYS/#',
      `$share/g/${COMMANDS}`,
      TELEMETRY,
    ];
    peer.send(subscribePacket(COMMANDS, ...denied, DESIRED));
    expect(await peer.next()).toMatchObject({ cmd: 'suback', granted: [1, ...denied.map(() => 0x80), 1] });
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_SUBSCRIPTION' })).toBe(denied.length);
    expect(peer.isClosed()).toBe(false);
  });

  it('gives a device what is sent to it, and nothing of another', async () => {
    const { broker } = await start();
    const [mine, theirs] = [await logIn(broker, FRIDGE), await logIn(broker, OTHER)];
    mine.send(subscribePacket(COMMANDS, topicOf(OTHER, 'cmd/req')));
    theirs.send(subscribePacket(topicOf(OTHER, 'cmd/req')));
    await mine.next();
    await theirs.next();
    expect(await broker.publishTo(OTHER, 'cmd/req', 'for the other')).toBe('sent');
    expect(await broker.publishTo(FRIDGE, 'cmd/req', 'for me')).toBe('sent');
    expect(await mine.next()).toMatchObject({ topic: COMMANDS, qos: 1, retain: false, payload: Buffer.from('for me') });
    expect(await theirs.next()).toMatchObject({ payload: Buffer.from('for the other') });
    expect(mine.waiting()).toEqual([]);
  });

  it('says what became of a message to a device', async () => {
    const { broker } = await start();
    expect(await broker.publishTo(FRIDGE, 'cmd/req', 'x')).toBe('notConnected');
    const peer = await logIn(broker, FRIDGE);
    expect(await broker.publishTo(FRIDGE, 'cmd/req', 'x')).toBe('notSubscribed');
    peer.send(subscribePacket(COMMANDS));
    await peer.next();
    expect(await broker.publishTo(FRIDGE, 'cmd/req', 'x')).toBe('sent');
    await expect(broker.publishTo(FRIDGE, 'cmd/req', 'x', { retain: true })).rejects.toThrow('never retained');
    await expect(broker.publishTo(FRIDGE, 'cmd/req', Buffer.alloc(131_073))).rejects.toThrow('payload');
  });

  it('never queues a command for an absent device, but keeps its configuration for it', async () => {
    const { broker } = await start();
    await broker.publishTo(FRIDGE, 'cmd/req', 'lost');
    expect(await broker.publishTo(FRIDGE, 'twin/desired', 'version 1', { retain: true })).toBe('retained');
    expect(await broker.publishTo(FRIDGE, 'twin/desired', 'version 2', { retain: true })).toBe('retained');
    const peer = await logIn(broker, FRIDGE);
    peer.send(subscribePacket(COMMANDS, DESIRED));
    expect(await peer.next()).toMatchObject({ cmd: 'suback' });
    expect(await peer.next()).toMatchObject({ topic: DESIRED, retain: true, payload: Buffer.from('version 2') });
    expect(await broker.publishTo(FRIDGE, 'twin/desired', 'version 3', { retain: true })).toBe('sent');
    expect(await peer.next()).toMatchObject({ topic: DESIRED, retain: false, payload: Buffer.from('version 3') });
    expect(peer.waiting()).toEqual([]);
  });

  it('refuses more messages to one device than may wait for it', async () => {
    const { broker } = await start({ maxPendingPerDevice: 3 });
    const peer = await logIn(broker, FRIDGE);
    peer.send(subscribePacket(COMMANDS));
    await peer.next();
    const outcomes = await Promise.all([1, 2, 3, 4, 5].map((n) => broker.publishTo(FRIDGE, 'cmd/req', `${n}`)));
    expect(outcomes).toEqual(['sent', 'sent', 'sent', 'notReading', 'notReading']);
  });

  it('forgets a subscription with its connection', async () => {
    const { broker } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(subscribePacket(COMMANDS));
    await peer.next();
    peer.cut();
    await waitFor('the end', () => broker.connections().length === 0);
    await logIn(broker, FRIDGE);
    expect(await broker.publishTo(FRIDGE, 'cmd/req', 'x')).toBe('notSubscribed');
  });
});

describe('presence', () => {
  const watch = (broker: Broker): string[] => {
    const seen: string[] = [];
    broker.onPresence((change: PresenceChange) => seen.push(`${change.device} ${change.connected ? 'on' : 'off'}`));
    return seen;
  };

  it('tells who comes and goes', async () => {
    const { broker, metric } = await start();
    const seen = watch(broker);
    const peer = await logIn(broker, FRIDGE);
    peer.send({ cmd: 'disconnect' });
    await waitFor('the end', () => seen.length === 2);
    expect(seen).toEqual(['fridge-1 on', 'fridge-1 off']);
    expect(metric('presage_mqtt_connections')).toBe(0);
  });

  it.each([[[]], [[COMMANDS, DESIRED]]])('stays connected through a takeover (subscriptions: %j)', async (topics) => {
    const { broker } = await start();
    const seen = watch(broker);
    const old = await logIn(broker, FRIDGE);
    if (topics.length > 0) {
      old.send(subscribePacket(...topics));
      await old.next();
    }
    const fresh = await logIn(broker, FRIDGE);
    await old.closed();
    await waitFor('the streams to settle', () => broker.stats().streams === 1);
    expect(seen).toEqual(['fridge-1 on', 'fridge-1 on']);
    expect(broker.stats()).toMatchObject({ connections: 1, takeovers: 1 });
    const newest = await logIn(broker, FRIDGE);
    await fresh.closed();
    newest.cut();
    await waitFor('the end', () => seen.at(-1) === 'fridge-1 off');
    expect(seen).toHaveLength(4);
  });

  it('leaves one connection when many of the same device arrive at once', async () => {
    const { broker } = await start();
    const seen = watch(broker);
    const peers = Array.from({ length: 20 }, () => openPeer(broker));
    for (const peer of peers) peer.send(connectPacket(FRIDGE));
    await waitFor('one to be left', () => seen.length > 0 && broker.stats().streams === 1);
    expect(broker.connections()).toHaveLength(1);
    expect(seen.at(-1)).toBe('fridge-1 on');
  });

  it('does not let a foreign device take a connection over', async () => {
    const { broker } = await start();
    const victim = await logIn(broker, FRIDGE);
    const thief = openPeer(broker);
    thief.send(connectPacket(OTHER, { clientId: 'acme.fridge-1' }));
    await thief.closed();
    victim.send(publishPacket(TELEMETRY, 'x'));
    expect(await victim.next()).toMatchObject({ cmd: 'puback' });
  });

  it('closes every connection of a device on demand, also one that is logging in', async () => {
    let answer = (): void => {};
    const directory = fakeDirectory();
    const authenticate = async (...args: Parameters<typeof directory.authenticate>) => {
      if (args[0].device === OTHER.device)
        await new Promise<void>((resolve) => {
          answer = resolve;
        });
      return directory.authenticate(...args);
    };
    const { broker } = await start({}, { directory: { ...directory, authenticate } });
    const [connected, loggingIn] = [await logIn(broker, FRIDGE), openPeer(broker)];
    loggingIn.send(connectPacket(OTHER));
    await new Promise((resolve) => setImmediate(resolve));
    expect(broker.disconnect(FRIDGE)).toBe(1);
    await connected.closed();
    await waitFor('the login to begin', () => broker.disconnect(OTHER) === 1);
    answer();
    await loggingIn.closed();
    expect(broker.connections()).toEqual([]);
    expect(broker.disconnect(STRANGER)).toBe(0);
  });

  it('delivers the last will when a connection breaks, and not after DISCONNECT', async () => {
    const { broker, delivered } = await start();
    const polite = await logIn(broker, FRIDGE, { will: stateWill });
    polite.send({ cmd: 'disconnect' });
    await polite.closed();
    const broken = await logIn(broker, FRIDGE, { will: stateWill });
    broken.cut();
    await waitFor('the will', () => delivered.length === 1);
    expect(delivered[0]).toMatchObject({ device: FRIDGE, channel: 'state' });
    await waitFor('the will to be retained', () => broker.stats().retained === 1);
  });
});

describe('faults', () => {
  it('survives a presence listener, a logger and metrics that throw', async () => {
    const boom = (): never => {
      throw new Error('boom');
    };
    const { broker } = await start(
      {},
      { logger: { debug: boom, info: boom, warn: boom, error: boom }, metrics: { count: boom, gauge: boom } },
    );
    broker.onPresence(boom);
    const bad = openPeer(broker);
    bad.send(connectPacket(FRIDGE, { clean: false }));
    await bad.closed();
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(TELEMETRY, 'x'));
    expect(await peer.next()).toMatchObject({ cmd: 'puback' });
  });

  it('survives a directory whose peek throws', async () => {
    const peek = (): never => {
      throw new Error('boom');
    };
    const { broker } = await start({}, { directory: { ...fakeDirectory(), peek } });
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(TELEMETRY, 'x'));
    expect(await peer.next()).toBe('closed');
  });

  it('writes at most five lines about a connection that sends one bad filter after the other', async () => {
    const { broker, lines, metric } = await start();
    const peer = await logIn(broker, FRIDGE);
    for (let i = 0; i < 50; i++) peer.send(subscribePacket(`bad/${i}`));
    await waitFor('all refusals', () => broker.stats().refused === 50);
    expect(lines).toHaveLength(5);
    expect(metric('presage_mqtt_log_lines_suppressed_total')).toBe(45);
  });

  it.each([1, 2, 3])('survives 300 connections that send garbage (seed %i)', async (seed) => {
    const random = seededRandom(seed);
    const { broker, lines } = await start({ maxLogLinesPerSecond: 1e9 });
    const peers = Array.from({ length: 300 }, (_, i) => {
      const peer = openPeer(broker);
      // Half of them log in first: what comes after the login is another part of the parser.
      if (i % 2 === 0) peer.send(connectPacket({ tenant: 'acme', device: `fridge-${1 + (i % 4 === 0 ? 1 : 0)}` }));
      const bytes = Buffer.from(
        Array.from({ length: 1 + Math.floor(random() * 400) }, () => Math.floor(random() * 256)),
      );
      // A plausible first byte and length, so that more than the header is read.
      bytes[0] = (1 + Math.floor(random() * 14)) << 4;
      if (bytes.length > 2) bytes[1] = Math.min(127, bytes.length - 2);
      peer.send(bytes);
      return peer;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (const peer of peers) peer.cut();
    await waitFor('all to be gone', () => broker.stats().streams === 0);
    const perConnection = lines.length / peers.length;
    expect(perConnection).toBeLessThanOrEqual(5);
    const good = await logIn(broker, FRIDGE);
    good.send(publishPacket(TELEMETRY, 'x'));
    expect(await good.next()).toMatchObject({ cmd: 'puback' });
  });

  it('acknowledges what is under way when it is stopped, and takes nothing new', async () => {
    const open: (() => void)[] = [];
    const { broker } = await start({}, { deliver: (_publish, done) => open.push(() => done(undefined)) });
    const peer = await logIn(broker, FRIDGE, { will: stateWill });
    peer.send(publishPacket(TELEMETRY, 'x', { messageId: 5 }));
    await waitFor('the delivery', () => open.length === 1);
    const stopped = broker.stop();
    peer.send(publishPacket(TELEMETRY, 'y', { messageId: 6 }));
    setTimeout(() => open[0]?.(), 20);
    await stopped;
    expect(await peer.next()).toMatchObject({ cmd: 'puback', messageId: 5 });
    expect(await peer.next()).toBe('closed');
    // Neither the late publish nor the will of a connection that we closed was delivered.
    expect(open).toHaveLength(1);
  });
});

describe('where Aedes departs from MQTT 3.1.1, as docs/broker.md says', () => {
  it('answers a filter that is given twice once', async () => {
    const { broker } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(subscribePacket(COMMANDS, COMMANDS));
    expect(await peer.next()).toMatchObject({ cmd: 'suback', granted: [1] });
  });

  it('closes on an unknown protocol level without a CONNACK', async () => {
    const { broker } = await start();
    const peer = openPeer(broker);
    const bytes = mqttPacket.generate(connectPacket(FRIDGE));
    bytes[8] = 6;
    peer.send(bytes);
    expect(await peer.next()).toBe('closed');
  });

  it.each([
    [42, 'connack'],
    [43, 'closed'],
  ])('with %i packets behind the CONNECT in one read: %s', async (count, outcome) => {
    const { broker } = await start();
    const peer = openPeer(broker);
    const pings = Array.from({ length: count }, () => mqttPacket.generate({ cmd: 'pingreq' }));
    peer.send(Buffer.concat([mqttPacket.generate(connectPacket(FRIDGE)), ...pings]));
    const answer = await peer.next();
    expect(answer === 'closed' ? answer : answer.cmd).toBe(outcome);
  });
});
