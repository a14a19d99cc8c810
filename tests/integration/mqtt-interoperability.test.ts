/**
 * The cases of Eclipse Paho's interoperability suite for MQTT 3.1.1 (client_test.py of eclipse/paho.mqtt.testing), told
 * again as tests of our own. Integrations pass them all; devices are under a stricter rule, and each case that differs for
 * them names what it is answered with.
 */
import mqtt from 'mqtt';
import mqttPacket from 'mqtt-packet';
import { afterEach, describe, expect, it } from 'vitest';
import type { Broker } from '../../broker/create-broker.ts';
import type { BrokerOptions } from '../../broker/options.ts';
import { exchangeTopicsOf, topicOf } from '../../contract/wire/topics.ts';
import {
  connectPacket,
  DASHBOARD,
  ERP,
  FRIDGE,
  integrationSecretOf,
  publishPacket,
  SPY,
  startBroker,
} from '../support/broker-harness.ts';
import { connectClient, integrationConnect, type MqttClient, namelessConnect } from '../support/mqtt-client.ts';
import { waitFor } from '../support/wait-for.ts';

const started: Broker[] = [];
const clients: MqttClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.cut();
  for (const broker of started.splice(0)) await broker.stop();
});

async function start(options: Partial<BrokerOptions> = {}) {
  const harness = await startBroker(options);
  started.push(harness.broker);
  const open = async (packet: Parameters<typeof connectClient>[1]): Promise<MqttClient> => {
    const client = await connectClient(harness.port, packet);
    clients.push(client);
    return client;
  };
  return {
    ...harness,
    open,
    integration: (changes: Parameters<typeof integrationConnect>[1] = {}) => open(integrationConnect(ERP, changes)),
    device: (changes: Parameters<typeof connectPacket>[1] = {}) => open(connectPacket(FRIDGE, changes)),
  };
}

/** Where the integrations of the tenant may publish. */
const at = (name: string): string => `${exchangeTopicsOf('acme')}${name}`;
const TELEMETRY = topicOf(FRIDGE, 'telemetry');
const QOS = [0, 1, 2] as const;

describe('an integration', () => {
  it('connects, disconnects, and exchanges messages of QoS 0, 1 and 2 with itself', async () => {
    const { integration } = await start();
    await (await integration()).disconnect();
    const client = await integration();
    expect(client.connack).toMatchObject({ returnCode: 0, sessionPresent: false });
    expect(await client.subscribe([at('TopicA'), 2])).toEqual([2]);
    for (const qos of QOS) await client.publish(at('TopicA'), `qos ${qos}`, qos);
    await client.ping();
    expect(client.messages.map(({ payload, qos }) => [payload, qos])).toEqual(QOS.map((qos) => [`qos ${qos}`, qos]));
    await client.disconnect();
  });

  it('is closed on a second CONNECT and on another protocol name', async () => {
    const { integration, open } = await start();
    const client = await integration();
    client.send(integrationConnect(ERP));
    await client.closed();
    const bytes = mqttPacket.generate(integrationConnect(ERP));
    bytes.write('hjTT', bytes.indexOf('MQTT'));
    expect((await open(bytes)).connack).toBe('closed');
  });

  it('finds retained messages when it subscribes, with the QoS of both, and none once they are cleared', async () => {
    const { integration } = await start();
    const writer = await integration({ clientId: 'writer' });
    for (const qos of QOS) await writer.publish(at(`fromb/qos ${qos}`), 'kept', qos, { retain: true });
    await writer.ping();
    const reader = await integration();
    expect(await reader.subscribe([at('fromb/+'), 1])).toEqual([1]);
    await waitFor('three messages', () => reader.messages.length === 3);
    expect(reader.messages.every(({ retain, payload }) => retain && payload === 'kept')).toBe(true);
    expect(reader.messages.map(({ qos }) => qos)).toEqual([0, 1, 1]);
    for (const qos of QOS) await writer.publish(at(`fromb/qos ${qos}`), '', qos, { retain: true });
    await writer.ping();
    const later = await integration({ clientId: 'later' });
    await later.subscribe([at('fromb/+'), 2]);
    await later.ping();
    expect(later.messages).toEqual([]);
  });

  it('is not told that a message is retained when it comes live', async () => {
    const { integration } = await start();
    const client = await integration();
    await client.subscribe([at('#'), 1]);
    await client.publish(at('TopicA'), 'live', 1, { retain: true });
    await client.ping();
    expect(client.messages).toMatchObject([{ retain: false, payload: 'live' }]);
  });

  it('finds what was published with QoS 1 and 2 while it was away, when its session is not clean', async () => {
    const { integration } = await start();
    const first = await integration({ clean: false });
    await first.subscribe([at('+/+'), 2]);
    await first.disconnect();
    const writer = await integration({ clientId: 'writer' });
    for (const qos of QOS) await writer.publish(at('TopicA/C'), `qos ${qos}`, qos);
    const again = await integration({ clean: false });
    expect(again.connack).toMatchObject({ sessionPresent: true });
    await waitFor('two messages', () => again.messages.length === 2);
    expect(again.messages.map(({ payload, dup }) => [payload, dup])).toEqual([
      ['qos 1', false],
      ['qos 2', false],
    ]);
  });

  it('starts anew with a clean session, which also forgets the one before', async () => {
    const { integration } = await start();
    const first = await integration({ clean: false });
    await first.subscribe([at('#'), 1]);
    await first.disconnect();
    expect((await integration({ clean: true })).connack).toMatchObject({ sessionPresent: false });
    const third = await integration({ clean: false });
    expect(third.connack).toMatchObject({ sessionPresent: false });
    await third.publish(at('TopicA'), 'x', 1);
    await third.ping();
    expect(third.messages).toEqual([]);
  });

  it('is told the last will of one that ends without goodbye, and not of one that says it', async () => {
    const { integration } = await start();
    const watcher = await integration({ clientId: 'watcher', clean: false });
    await watcher.subscribe([at('Topic/C'), 2]);
    const will = { topic: at('Topic/C'), payload: Buffer.from('gone'), qos: 2 as const, retain: false };
    await (await integration({ will })).disconnect();
    (await integration({ will })).cut();
    await waitFor('the will', () => watcher.messages.length > 0);
    await watcher.ping();
    expect(watcher.messages).toMatchObject([{ payload: 'gone', qos: 2 }]);
  });

  it('gets a message once, with the highest QoS, when several of its filters match', async () => {
    const { integration } = await start();
    const client = await integration();
    expect(await client.subscribe([at('TopicA/#'), 2], [at('TopicA/+'), 1])).toEqual([2, 1]);
    await client.publish(at('TopicA/C'), 'overlapping', 2);
    await client.ping();
    expect(client.messages).toMatchObject([{ payload: 'overlapping', qos: 2 }]);
  });

  it('never gets a message with more than the QoS that it asked for, also under a wildcard', async () => {
    const { integration } = await start();
    const client = await integration();
    await client.subscribe([at('TopicA/+'), 1], [at('TopicB/#'), 0]);
    await client.publish(at('TopicA/C'), 'a', 2);
    await client.publish(at('TopicB/C'), 'b', 2);
    await client.ping();
    expect(client.messages.map(({ payload, qos }) => [payload, qos])).toEqual([
      ['a', 1],
      ['b', 0],
    ]);
  });

  it('is closed after one and a half times its keep-alive, and its will is published', async () => {
    const { integration } = await start();
    const watcher = await integration({ clientId: 'watcher', keepalive: 0 });
    await watcher.subscribe([at('#'), 2]);
    const will = { topic: at('gone'), payload: Buffer.from('keep-alive expiry'), qos: 1 as const, retain: false };
    const since = performance.now();
    const silent = await integration({ keepalive: 1, will });
    await silent.closed();
    expect(performance.now() - since).toBeGreaterThan(1_400);
    await waitFor('the will', () => watcher.messages.length > 0);
    expect(watcher.messages).toMatchObject([{ payload: 'keep-alive expiry' }]);
  });

  it('is sent again what it did not acknowledge, marked as sent before, and what it only half acknowledged once', async () => {
    const { integration } = await start();
    const first = await integration({ clean: false });
    await first.subscribe([at('TopicA/#'), 2]);
    first.stopAnswering();
    await first.publish(at('TopicA/B'), 'one', 1);
    await first.publish(at('TopicA/C'), 'two', 2);
    await first.ping();
    await first.disconnect();
    const again = await integration({ clean: false });
    await waitFor('both messages', () => again.messages.length === 2);
    expect(again.messages.map(({ payload, qos, dup }) => [payload, qos, dup])).toEqual([
      ['one', 1, true],
      ['two', 2, true],
    ]);
    // The first answer to QoS 2 came; from then on only the release is repeated.
    again.stopAnswering();
    await again.publish(at('TopicA/C'), 'three', 2);
    await again.ping();
    again.send({ cmd: 'pubrec', messageId: 3 });
    await again.ping();
    await again.disconnect();
    const third = await integration({ clean: false });
    await third.ping();
    expect(third.messages).toEqual([]);
    const fourth = await integration({ clean: false });
    await fourth.ping();
    expect(fourth.messages).toEqual([]);
  });

  it('has a message of QoS 2 that it sends twice published once', async () => {
    const { integration } = await start();
    const client = await integration({ clean: false });
    await client.subscribe([at('#'), 0]);
    client.send(publishPacket(at('TopicA'), 'once', { qos: 2, messageId: 90 }));
    await client.disconnect();
    const again = await integration({ clean: false });
    client.messages.length = 0;
    again.send({
      cmd: 'publish',
      topic: at('TopicA'),
      payload: 'once',
      qos: 2,
      retain: false,
      dup: true,
      messageId: 90,
    });
    await again.ping();
    expect(again.messages).toEqual([]);
    again.send({ cmd: 'pubrel', messageId: 90 });
    again.send(publishPacket(at('TopicA'), 'new', { qos: 2, messageId: 90 }));
    await again.ping();
    expect(again.messages).toMatchObject([{ payload: 'new' }]);
  });

  it('without a client id is given one when its session is clean, and refused with code 2 when it is not', async () => {
    const { integration, open } = await start();
    expect((await open(namelessConnect(integrationConnect(ERP)))).connack).toMatchObject({ returnCode: 2 });
    const [one, other] = [await integration({ clientId: '' }), await integration({ clientId: '' })];
    expect([one.connack, other.connack]).toMatchObject([{ returnCode: 0 }, { returnCode: 0 }]);
    expect(one.isClosed()).toBe(false);
  });

  it.each([
    ['everything', '#'],
    ['everything of its depth', '+/+/+/+/+'],
    ['the tenants', 'presage/v1/+/fridge-1/telemetry'],
    ['another tenant', 'presage/v1/umbrella/#'],
    ['the exchange of another tenant', 'presage/x/umbrella/#'],
    ['the broker itself', '$SYS/#'],
    ['a share', '$share/group/presage/v1/acme/#'],
    ['no filter at all', `${at('a')}#`],
  ])(
    'is answered with 0x80 when it subscribes to %s, and what it may have is granted beside it',
    async (_what, filter) => {
      const { integration, metric } = await start();
      const client = await integration();
      expect(await client.subscribe([filter, 2], [at('TopicA'), 1])).toEqual([128, 1]);
      expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_SUBSCRIPTION' })).toBe(1);
      await client.publish(at('TopicA'), 'mine', 1);
      await client.ping();
      expect(client.messages.length).toBe(1);
    },
  );

  it.each([
    ['a $ topic', '$TopicA/B'],
    ['the telemetry of a device', TELEMETRY],
    ['the commands of a device', topicOf(FRIDGE, 'cmd/req')],
    ['the exchange of another tenant', `${exchangeTopicsOf('umbrella')}TopicA`],
    ['a topic that is not UTF-8', Buffer.concat([Buffer.from(at('')), Buffer.from([0xc3, 0x28])])],
  ])('is closed when it publishes to %s', async (_what, topic) => {
    const { integration, delivered, metric } = await start();
    const client = await integration();
    client.send({
      cmd: 'publish',
      topic: topic as string,
      payload: '1',
      qos: 1,
      messageId: 3,
      retain: false,
      dup: false,
    });
    await client.closed();
    expect(delivered).toEqual([]);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_TOPIC' })).toBe(1);
  });

  it('gets nothing more of what it unsubscribed from', async () => {
    const { integration } = await start();
    const client = await integration();
    await client.subscribe([at('TopicA'), 1], [at('TopicB'), 1]);
    await client.unsubscribe(at('TopicA'), at('never'));
    await client.publish(at('TopicA'), 'a', 1);
    await client.publish(at('TopicB'), 'b', 1);
    await client.ping();
    expect(client.messages).toMatchObject([{ payload: 'b' }]);
  });

  it('works as such for an ordinary client library', async () => {
    const { port, device } = await start();
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
      clientId: 'report',
      username: 'acme/erp',
      password: integrationSecretOf(ERP),
      clean: false,
    });
    const topics: string[] = [];
    client.on('message', (topic) => void topics.push(topic));
    await client.subscribeAsync({ 'presage/v1/acme/+/telemetry': { qos: 2 }, [at('#')]: { qos: 2 } });
    await client.publishAsync(at('TopicA'), 'x', { qos: 2 });
    await (await device()).publish(TELEMETRY, '{}', 1);
    await waitFor('both messages', () => topics.length === 2);
    expect(topics).toEqual([at('TopicA'), TELEMETRY]);
    await client.endAsync();
  });
});

describe('an integration reads along', () => {
  it('with the devices of its tenant, once their messages are durable', async () => {
    let settle: ((error: Error | undefined) => void) | undefined;
    const harness = await startBroker(
      {},
      {
        deliver: (_publish, done) => {
          settle = done;
        },
      },
    );
    started.push(harness.broker);
    const reader = await connectClient(harness.port, integrationConnect(ERP));
    const device = await connectClient(harness.port, connectPacket(FRIDGE));
    clients.push(reader, device);
    await reader.subscribe(['presage/v1/acme/#', 1]);
    const published = device.publish(TELEMETRY, '{"v":1}', 1);
    await waitFor('the publish', () => settle);
    await reader.ping();
    expect(reader.messages).toEqual([]);
    settle?.(undefined);
    await published;
    await waitFor('the message', () => reader.messages.length === 1);
    expect(reader.messages).toMatchObject([{ topic: TELEMETRY, payload: '{"v":1}', qos: 1 }]);
  });

  it('not with commands, configurations and log chunks, nor with another tenant', async () => {
    const { integration, open, device, broker } = await start();
    const reader = await integration();
    const spy = await open(integrationConnect(SPY));
    await reader.subscribe(['presage/v1/acme/#', 2], ['presage/v1/acme/fridge-1/cmd/req', 1]);
    expect(await spy.subscribe(['presage/v1/umbrella/#', 2], ['presage/v1/acme/#', 2])).toEqual([2, 128]);
    const fridge = await device();
    await fridge.subscribe([topicOf(FRIDGE, 'cmd/req'), 1]);
    await broker.publishTo(FRIDGE, 'cmd/req', 'open');
    await broker.publishTo(FRIDGE, 'twin/desired', '{"version":1}', { retain: true });
    await fridge.publish(topicOf(FRIDGE, 'log'), 'private', 1);
    await fridge.publish(topicOf(FRIDGE, 'state'), 'on', 1, { retain: true });
    const later = await integration({ clientId: 'later' });
    await later.subscribe(['presage/v1/acme/+/#', 1]);
    await Promise.all([reader.ping(), spy.ping(), later.ping()]);
    expect(reader.messages.map(({ topic }) => topic)).toEqual([topicOf(FRIDGE, 'state')]);
    expect(later.messages).toMatchObject([{ topic: topicOf(FRIDGE, 'state'), retain: true }]);
    expect(spy.messages).toEqual([]);
  });

  it('and holds nobody up when it stops reading: it loses its oldest messages, counted, and then its connection', async () => {
    const { integration, device, broker, metric } = await start({
      drainTimeoutMs: 300,
      integrations: { maxQueuedMessages: 20 },
    });
    const frozen = await integration({ clean: false });
    await frozen.subscribe(['presage/v1/acme/#', 1]);
    frozen.freeze();
    const fridge = await device();
    const payload = Buffer.alloc(60_000, 'x');
    let slowestMs = 0;
    for (let count = 0; count < 300; count++) {
      const since = performance.now();
      await fridge.publish(TELEMETRY, payload, 1);
      slowestMs = Math.max(slowestMs, performance.now() - since);
    }
    expect(slowestMs).toBeLessThan(250);
    await waitFor('the frozen one to be closed', () => broker.stats().integrations.connected === 0);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_NOT_READING' })).toBe(1);
    const { waiting, dropped } = broker.stats().integrations;
    expect(waiting).toBeLessThanOrEqual(20 + 100);
    expect(dropped).toBeGreaterThan(0);
  });

  it('only as much as fits waits for one that is away, the newest, and not for ever', async () => {
    const { integration, device, broker } = await start({
      integrations: { maxQueuedMessages: 5, maxQueuedBytes: 100_000, sessionExpiryMs: 50 },
    });
    const first = await integration({ clean: false });
    await first.subscribe(['presage/v1/acme/#', 1]);
    await first.disconnect();
    const fridge = await device();
    for (let seq = 1; seq <= 8; seq++) await fridge.publish(TELEMETRY, `${seq}`, 1);
    expect(broker.stats().integrations).toMatchObject({ sessions: 1, waiting: 5, dropped: 3 });
    const again = await integration({ clean: false });
    await waitFor('five messages', () => again.messages.length === 5);
    expect(again.messages.map(({ payload }) => payload)).toEqual(['4', '5', '6', '7', '8']);
    await again.ping();
    await again.disconnect();
    for (const size of [60_000, 60_000]) await fridge.publish(TELEMETRY, Buffer.alloc(size), 1);
    expect(broker.stats().integrations).toMatchObject({ waiting: 1, dropped: 4 });
    await waitFor('the session to be forgotten', () => broker.stats().integrations.sessions === 0);
  });
});

describe('an integration is refused', () => {
  it.each([
    ['with a wrong secret: code 4', { password: Buffer.from('guessed') }, 4],
    ['without a password: code 4', { password: undefined as unknown as Buffer }, 4],
    ['when nobody registered it: code 4', { username: 'acme/nobody' }, 4],
    ['under the name of another tenant: code 4', { username: 'umbrella/dashboard' }, 4],
    [
      'with a last will for a device: code 5',
      { will: { topic: TELEMETRY, payload: Buffer.from('1'), qos: 1 as const, retain: false } },
      5,
    ],
    [
      'with a last will over 4 KiB: the packet is too long, closed',
      { will: { topic: at('w'), payload: Buffer.alloc(4_097), qos: 1 as const, retain: false } },
      undefined,
    ],
    ['with a client id of other characters: code 2', { clientId: 'a b' }, 2],
    ['with MQTT 5: code 1', { protocolVersion: 5 as const }, 1],
  ])('%s', async (_what, changes, returnCode) => {
    const { integration, broker } = await start();
    const { connack } = await integration(changes);
    if (returnCode === undefined) expect(connack).toBe('closed');
    else expect(connack).toMatchObject({ returnCode });
    expect(broker.stats().integrations.sessions).toBe(0);
  });

  it('when it has more sessions than it may: code 3, and the others stay', async () => {
    const { integration } = await start({ integrations: { maxSessionsPerIntegration: 1 } });
    const first = await integration({ clientId: 'one' });
    expect((await integration({ clientId: 'two' })).connack).toMatchObject({ returnCode: 3 });
    await first.ping();
  });

  it('from the moment it is blocked: its connections end, and its sessions are gone', async () => {
    const { integration, open, broker } = await start();
    const client = await integration({ clean: false });
    const other = await open(integrationConnect(DASHBOARD));
    await client.subscribe(['presage/v1/acme/#', 1]);
    expect(broker.disconnectIntegration(ERP)).toBe(1);
    await client.closed();
    await other.ping();
    expect((await integration({ clean: false })).connack).toMatchObject({ sessionPresent: false });
  });

  it('more than its pace: what it publishes faster is read later', async () => {
    const { integration } = await start({ integrations: { pace: { perSecond: 20, burst: 1 } } });
    const client = await integration();
    const since = performance.now();
    for (let count = 0; count < 11; count++) await client.publish(at('flood'), 'x', 1);
    expect(performance.now() - since).toBeGreaterThan(400);
  });
});

describe('a device is refused what an integration may', () => {
  const denied = { reason: 'MQTT_SUBSCRIPTION' };

  it.each([['TopicA'], ['#'], ['+/+'], [`presage/v1/acme/fridge-1/#`], ['$SYS/#'], [TELEMETRY]])(
    'a subscription to %s: SUBACK 0x80, the connection stays',
    async (filter) => {
      const { device, metric } = await start();
      const client = await device();
      expect(await client.subscribe([filter, 2])).toEqual([128]);
      expect(metric('presage_mqtt_refused_total', denied)).toBe(1);
      await client.ping();
    },
  );

  it('a session that is not clean: CONNACK 5', async () => {
    const { device, metric } = await start();
    expect((await device({ clean: false })).connack).toMatchObject({ returnCode: 5 });
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_SESSION' })).toBe(1);
  });

  it('QoS 2: closed without PUBREC', async () => {
    const { device, delivered } = await start();
    const client = await device();
    await expect(client.publish(TELEMETRY, '1', 2)).rejects.toThrow('closed before pubrec');
    expect(delivered).toEqual([]);
  });

  it.each([
    ['TopicA', 'TopicA'],
    ['a $ topic', '$TopicA/B'],
    ['the exchange of its tenant', at('TopicA')],
  ])('a publish to %s: closed without PUBACK', async (_what, topic) => {
    const { device, delivered } = await start();
    await expect((await device()).publish(topic, '1', 1)).rejects.toThrow('closed before puback');
    expect(delivered).toEqual([]);
  });

  it('a retained message on telemetry: acknowledged, and not kept', async () => {
    const { device, broker, metric } = await start();
    await (await device()).publish(TELEMETRY, '{}', 1, { retain: true });
    expect(broker.stats().retained).toBe(0);
    expect(metric('presage_mqtt_retain_stripped_total')).toBe(1);
  });

  it('a last will on a topic that is not its state: CONNACK 5', async () => {
    const { device } = await start();
    const will = { topic: at('Topic/C'), payload: Buffer.from('gone'), qos: 1 as const, retain: false };
    expect((await device({ will })).connack).toMatchObject({ returnCode: 5 });
  });

  it.each([0, 4, 1_201])('a keep-alive of %i s: CONNACK 5', async (keepalive) => {
    const { device } = await start();
    expect((await device({ keepalive })).connack).toMatchObject({ returnCode: 5 });
  });

  it('an empty client id, whether the session is clean or not: CONNACK 2', async () => {
    const { device, open } = await start();
    expect((await device({ clientId: '' })).connack).toMatchObject({ returnCode: 2 });
    expect((await open(namelessConnect(connectPacket(FRIDGE)))).connack).toMatchObject({ returnCode: 2 });
  });

  it('MQTT 5: CONNACK 1', async () => {
    const { device } = await start();
    expect((await device({ protocolVersion: 5 })).connack).toMatchObject({ returnCode: 1 });
  });

  it('messages for an absent device: none waits but the retained configuration', async () => {
    const { device, broker } = await start();
    expect(await broker.publishTo(FRIDGE, 'cmd/req', 'open')).toBe('notConnected');
    expect(await broker.publishTo(FRIDGE, 'twin/desired', '{"version":1}', { retain: true })).toBe('retained');
    const client = await device();
    await client.subscribe([topicOf(FRIDGE, 'cmd/req'), 1], [topicOf(FRIDGE, 'twin/desired'), 1]);
    await waitFor('the configuration', () => client.messages.length > 0);
    await client.ping();
    expect(client.messages).toMatchObject([{ payload: '{"version":1}', retain: true }]);
  });
});
