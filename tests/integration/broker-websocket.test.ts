/** MQTT over WebSocket, with MQTT.js and with raw frames. */
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import mqtt from 'mqtt';
import mqttPacket from 'mqtt-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { createWebSocketStream, WebSocket } from 'ws';
import type { Broker } from '../../broker/create-broker.ts';
import type { BrokerOptions } from '../../broker/options.ts';
import { clientIdOf } from '../../contract/kernel/ids.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import {
  connectPacket,
  FRIDGE,
  peerOn,
  publishPacket,
  secretOf,
  startBroker,
  subscribePacket,
} from '../support/broker-harness.ts';
import { waitFor } from '../support/wait-for.ts';

const started: Broker[] = [];
afterEach(async () => {
  for (const broker of started.splice(0)) await broker.stop();
});

async function start(options: Partial<BrokerOptions> = {}) {
  const harness = await startBroker({ plain: false, webSocket: { host: '127.0.0.1', port: 0 }, ...options });
  started.push(harness.broker);
  const port = harness.broker.ports().ws ?? 0;
  return { ...harness, port, url: `ws://127.0.0.1:${port}/mqtt` };
}

const TELEMETRY = topicOf(FRIDGE, 'telemetry');
const COMMANDS = topicOf(FRIDGE, 'cmd/req');

async function dial(url: string) {
  const webSocket = new WebSocket(url, 'mqtt');
  const peer = peerOn(createWebSocketStream(webSocket));
  await once(webSocket, 'open');
  return { ...peer, webSocket };
}

describe('the WebSocket listener', () => {
  it('serves MQTT.js both ways', async () => {
    const { broker, url, delivered } = await start();
    const client = await mqtt.connectAsync(url, {
      clientId: clientIdOf(FRIDGE),
      username: clientIdOf(FRIDGE),
      password: secretOf(FRIDGE),
    });
    const received: string[] = [];
    client.on('message', (_topic, payload) => received.push(payload.toString()));
    await client.subscribeAsync(COMMANDS, { qos: 1 });
    await client.publishAsync(TELEMETRY, Buffer.alloc(120_000, 'x'), { qos: 1 });
    expect(delivered[0]?.payload.length).toBe(120_000);
    expect(await broker.publishTo(FRIDGE, 'cmd/req', 'read')).toBe('sent');
    await waitFor('the command', () => received[0] === 'read');
    await client.endAsync();
    await waitFor('the end', () => broker.stats().streams === 0);
  });

  it('reads packets however frames cut them', async () => {
    const { url, delivered } = await start();
    const { webSocket, next } = await dial(url);
    const bytes = Buffer.concat(
      [connectPacket(FRIDGE), publishPacket(TELEMETRY, 'one'), subscribePacket(COMMANDS)].map((packet) =>
        mqttPacket.generate(packet),
      ),
    );
    for (let at = 0; at < bytes.length; at += 7) webSocket.send(bytes.subarray(at, at + 7));
    expect(await next()).toMatchObject({ cmd: 'connack', returnCode: 0 });
    expect([await next(), await next()].map((packet) => packet !== 'closed' && packet.cmd).sort()).toEqual([
      'puback',
      'suback',
    ]);
    expect(delivered).toHaveLength(1);
  });

  it.each([
    ['another path', '/', 'mqtt'],
    ['no subprotocol', '/mqtt', undefined],
    ['another subprotocol', '/mqtt', 'mqttv3.1'],
  ])('refuses %s', async (_what, path, protocol) => {
    const { broker, port, metric } = await start();
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocol);
    const [error] = await once(webSocket, 'error');
    expect(String(error)).toMatch(/40[04]|hang up/);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_PROTOCOL' })).toBe(1);
    await waitFor('the end', () => broker.stats().streams === 0);
  });

  it('answers plain HTTP with a hint', async () => {
    const { port } = await start();
    const response = await fetch(`http://127.0.0.1:${port}/mqtt`);
    expect([response.status, await response.text()]).toEqual([426, 'MQTT over WebSocket only\n']);
  });

  it('closes on a text frame', async () => {
    const { url, metric } = await start();
    const { webSocket, closed } = await dial(url);
    webSocket.send('hello');
    await closed();
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_PROTOCOL' })).toBe(1);
  });

  it('closes on a flood of WebSocket pings', async () => {
    const { url, metric } = await start({ controlPacketsPerS: 20, controlPacketsBurst: 100 });
    const { webSocket, closed } = await dial(url);
    for (let i = 0; i < 500; i++) webSocket.ping();
    await closed();
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_RATE' })).toBe(1);
  });

  it('gives nobody memory for a large frame before the login, from its length alone', async () => {
    const { broker, url } = await start();
    const peer = await dial(url);
    // A binary frame of 200,000 bytes is announced and never sent.
    const socket = (peer.webSocket as unknown as { _socket: import('node:net').Socket })._socket;
    socket.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0x03, 0x0d, 0x40, 1, 2, 3, 4]));
    await waitFor('the end', () => broker.stats().streams === 0, 3_000);
  });

  it('closes who says nothing before or after the upgrade, within the login time', async () => {
    const { broker, port, url, metric } = await start({ loginTimeoutMs: 100 });
    const silent = peerOn(connectTcp(port, '127.0.0.1'));
    const upgraded = await dial(url);
    await Promise.all([silent.closed(), upgraded.closed()]);
    await waitFor('everybody to be gone', () => broker.stats().streams === 0);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_LOGIN_TIMEOUT' })).toBe(2);
  });

  it('counts its sockets against the limit of their address', async () => {
    const { url, metric } = await start({ maxConnectionsPerAddress: 1 });
    await dial(url);
    const second = new WebSocket(url, 'mqtt');
    await once(second, 'error');
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_CONNECTION_LIMIT' })).toBe(1);
  });
});
