/** The broker on real sockets, with clients that we did not write: MQTT.js and the Mosquitto programs. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import mqtt from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import type { Broker } from '../../broker/create-broker.ts';
import type { BrokerOptions } from '../../broker/options.ts';
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import { runSwarm, startBareAedes, TEN_SIGNALS } from '../bench/swarm.ts';
import { findBinary } from '../support/binaries.ts';
import {
  connectPacket,
  FRIDGE,
  fakeDirectory,
  type HarnessParts,
  OTHER,
  type Peer,
  peerOn,
  publishPacket,
  secretOf,
  startBroker,
  subscribePacket,
} from '../support/broker-harness.ts';
import { type ProgramRun, runProgram } from '../support/run-program.ts';
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

/** A raw socket that speaks packets. */
async function dial(port: number): Promise<Peer & { readonly stream: Socket }> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return { ...peerOn(socket), stream: socket };
}

async function dialIn(port: number, ref: DeviceRef) {
  const peer = await dial(port);
  peer.send(connectPacket(ref));
  expect(await peer.next()).toMatchObject({ cmd: 'connack', returnCode: 0 });
  return peer;
}

describe('MQTT.js', () => {
  it('publishes, is sent commands and its configuration, and leaves', async () => {
    const { broker, delivered, port } = await start();
    await broker.publishTo(FRIDGE, 'twin/desired', '{"v":1}', { retain: true });
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
      clientId: clientIdOf(FRIDGE),
      username: clientIdOf(FRIDGE),
      password: secretOf(FRIDGE),
    });
    const received: string[] = [];
    client.on('message', (topic, payload) => received.push(`${topic} ${payload}`));
    await client.subscribeAsync([COMMANDS, topicOf(FRIDGE, 'twin/desired')], { qos: 1 });
    await client.publishAsync(TELEMETRY, 'one', { qos: 1 });
    await client.publishAsync(TELEMETRY, 'two', { qos: 0 });
    expect(await broker.publishTo(FRIDGE, 'cmd/req', 'read')).toBe('sent');
    await waitFor('both messages', () => received.length === 2);
    expect(received.sort()).toEqual([`${COMMANDS} read`, `${topicOf(FRIDGE, 'twin/desired')} {"v":1}`]);
    await waitFor('both publishes', () => delivered.length === 2);
    await client.endAsync();
    await waitFor('the end', () => broker.connections().length === 0);
  });
});

const pub = findBinary('mosquitto_pub');
const sub = findBinary('mosquitto_sub');

describe.skipIf(!pub || !sub)('Mosquitto clients', () => {
  const as = (ref: DeviceRef, port: number, secret = secretOf(ref)): string[] => [
    ...['-h', '127.0.0.1', '-p', `${port}`, '-V', 'mqttv311'],
    ...['-i', clientIdOf(ref), '-u', clientIdOf(ref), '-P', secret],
  ];
  const publish = (args: readonly string[], input?: Buffer): Promise<ProgramRun> =>
    runProgram(pub ?? '', args, { limitMs: 4_000, ...(input && { input }) });

  it('are acknowledged with the right credentials', async () => {
    const { delivered, port } = await start();
    const run = await publish([...as(FRIDGE, port), '-q', '1', '-t', TELEMETRY, '-m', '{"v":1}', '-d']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toContain('received PUBACK');
    expect(delivered.map((one) => Buffer.from(one.payload).toString())).toEqual(['{"v":1}']);
  });

  it.each([
    ['a wrong password', (port: number) => as(FRIDGE, port, 'wrong'), 'bad user name or password', 4],
    ['a foreign client id', (port: number) => [...as(OTHER, port), '-i', clientIdOf(FRIDGE)], 'identifier rejected', 2],
    ['a malformed client id', (port: number) => [...as(FRIDGE, port), '-i', 'fridge'], 'identifier rejected', 2],
    ['a persistent session', (port: number) => [...as(FRIDGE, port), '-c'], 'not authorised', 5],
    ['a keep-alive of 3,600 s', (port: number) => [...as(FRIDGE, port), '-k', '3600'], 'not authorised', 5],
    [
      'a last will on a foreign topic',
      (port: number) => [...as(FRIDGE, port), '--will-topic', topicOf(OTHER, 'state'), '--will-payload', 'x'],
      'not authorised',
      5,
    ],
  ])('are refused with %s', async (_what, args, text, code) => {
    const { delivered, port } = await start();
    const run = await publish([...args(port), '-q', '1', '-t', TELEMETRY, '-m', 'x']);
    expect(run.code).toBe(code);
    expect(run.stderr).toContain(text);
    expect(delivered).toEqual([]);
  });

  it.each([
    ['a foreign topic', ['-q', '1', '-t', topicOf(OTHER, 'telemetry'), '-m', 'x'], undefined, 'MQTT_TOPIC'],
    ['QoS 2', ['-q', '2', '-t', TELEMETRY, '-m', 'x'], undefined, 'MQTT_QOS2'],
    ['300 KiB', ['-q', '1', '-t', TELEMETRY, '-s'], Buffer.alloc(300 * 1024), 'MQTT_PACKET_SIZE'],
  ])('are cut off, and not acknowledged, when they publish %s', async (_what, args, input, reason) => {
    const { delivered, metric, port } = await start();
    const run = await publish([...as(FRIDGE, port), ...args, '-d'], input);
    expect(run.code).not.toBe(0);
    expect(run.stdout).not.toMatch(/received PUB(ACK|REC|COMP)/);
    expect(metric('presage_mqtt_refused_total', { reason })).toBeGreaterThan(0);
    expect(delivered).toEqual([]);
  });

  it('are acknowledged with a payload over 128 KiB, which goes to quarantine', async () => {
    const { delivered, port } = await start();
    const run = await publish([...as(FRIDGE, port), '-q', '1', '-t', TELEMETRY, '-s'], Buffer.alloc(200 * 1024));
    expect(run.code).toBe(0);
    expect(delivered[0]?.payload.length).toBe(200 * 1024);
  });

  it('receive what is sent to the device, and are denied everything else', async () => {
    const { broker, port } = await start();
    const listening = runProgram(sub ?? '', [...as(FRIDGE, port), '-q', '1', '-t', COMMANDS, '-C', '1', '-W', '8']);
    // It leaves as soon as it has its message: the broker may see that before it knows that the message was taken.
    const taken = async () => ['sent', 'closed'].includes(await broker.publishTo(FRIDGE, 'cmd/req', 'read'));
    await waitFor('the subscription', taken);
    expect(await listening).toMatchObject({ code: 0, stdout: 'read\n' });
    const denied = await runProgram(sub ?? '', [...as(OTHER, port), '-t', '#', '-t', COMMANDS, '-W', '8']);
    expect(denied.stdout + denied.stderr).toContain('denied');
  });
});

describe('MQTT 5 clients', () => {
  const pub = findBinary('mosquitto_pub');
  it.runIf(pub)('mosquitto_pub says that the version is not supported', async () => {
    const { port } = await start();
    const who = ['-i', clientIdOf(FRIDGE), '-u', clientIdOf(FRIDGE), '-P', secretOf(FRIDGE)];
    const run = await runProgram(pub ?? '', ['-V', '5', '-p', String(port), ...who, '-t', TELEMETRY, '-m', 'x']);
    expect(run.code).not.toBe(0);
    expect(run.stderr).toContain('Unsupported Protocol Version');
  });

  it('MQTT.js says that the version is not acceptable', async () => {
    const { port } = await start();
    const client = mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, reconnectPeriod: 0 }, false);
    await expect(client).rejects.toThrow(/Unacceptable protocol version/);
  });
});

describe('a connection that stops reading', () => {
  const BACKLOG_MESSAGES = 600;

  /** Subscribes, stops reading, and is sent more than the sockets' buffers hold. */
  async function freeze(broker: Broker, port: number) {
    const frozen = await dialIn(port, FRIDGE);
    frozen.send(subscribePacket(COMMANDS));
    await frozen.next();
    frozen.stream.pause();
    const sent = { settled: 0 };
    for (let i = 0; i < BACKLOG_MESSAGES; i++) {
      void broker.publishTo(FRIDGE, 'cmd/req', Buffer.alloc(64 * 1024)).then(() => {
        sent.settled += 1;
      });
    }
    await waitFor('a backlog', () => sent.settled > 0);
    return { frozen, sent };
  }

  it('does not stop the others: they publish thousands of messages while it stands', async () => {
    const refs = Array.from({ length: 20 }, (_, i) => ({ tenant: 'acme', device: `d${i}` }));
    const { broker, port } = await start(
      { drainTimeoutMs: 60_000, maxPendingPerDevice: BACKLOG_MESSAGES },
      { directory: fakeDirectory([FRIDGE, ...refs]), deliver: (_publish, done) => setImmediate(done, undefined) },
    );
    const { sent } = await freeze(broker, port);
    const result = await runSwarm({
      port,
      connections: 20,
      window: 20,
      messagesPerConnection: 500,
      payload: TEN_SIGNALS,
      devices: refs.map((ref) => ({
        clientId: clientIdOf(ref),
        secret: secretOf(ref),
        topic: topicOf(ref, 'telemetry'),
      })),
    });
    expect(result).toMatchObject({ sent: 10_000, acknowledged: 10_000, closed: 0 });
    // It stood all the time, with a backlog that it has not taken.
    expect(broker.connections().some((one) => one.device === FRIDGE.device)).toBe(true);
    expect(sent.settled).toBeLessThan(BACKLOG_MESSAGES);
  });

  it('is closed after the drain timeout, and what waited for it is given up', async () => {
    const { broker, metric, port } = await start({ drainTimeoutMs: 200, maxPendingPerDevice: BACKLOG_MESSAGES });
    const { sent } = await freeze(broker, port);
    await waitFor('the end', () => broker.connections().length === 0);
    await waitFor('every message to be settled', () => sent.settled === BACKLOG_MESSAGES);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_NOT_READING' })).toBe(1);
  });

  it('cannot be made to queue more than it may', async () => {
    const { broker, port } = await start({ drainTimeoutMs: 300 });
    const frozen = await dialIn(port, FRIDGE);
    frozen.send(subscribePacket(COMMANDS));
    await frozen.next();
    frozen.stream.pause();
    const outcomes = await Promise.all(
      Array.from({ length: 1_000 }, () => broker.publishTo(FRIDGE, 'cmd/req', Buffer.alloc(1_024))),
    );
    expect(outcomes.filter((outcome) => outcome === 'notReading').length).toBeGreaterThanOrEqual(1_000 - 64);
  });
});

describe('memory', () => {
  it('is not taken by huge packets, before or after the login', async () => {
    const { broker, metric, port } = await start();
    const header = Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]);
    const chunk = Buffer.alloc(64 * 1024);
    const attack = async (peer: Peer, first: Buffer): Promise<void> => {
      peer.send(first);
      while (!peer.isClosed()) {
        peer.send(chunk);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 10; round++) {
      await Promise.all([
        attack(await dial(port), header),
        attack(await dial(port), header),
        attack(await dialIn(port, FRIDGE), Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])),
      ]);
    }
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_PACKET_SIZE' })).toBe(30);
    // 30 packets of 256 MiB were announced. The bound leaves room for a garbage collector that has not run.
    expect((process.memoryUsage().rss - before) / 1024 / 1024).toBeLessThan(40);
    const good = await dialIn(port, OTHER);
    good.send(publishPacket(topicOf(OTHER, 'telemetry'), 'x'));
    expect(await good.next()).toMatchObject({ cmd: 'puback' });
    expect(broker.stats().streams).toBe(1);
  });

  it('does not grow with connections that came and went', async () => {
    const refs = Array.from({ length: 200 }, (_, i) => ({ tenant: 'acme', device: `d${i}` }));
    const { broker, port } = await start({}, { directory: fakeDirectory(refs) });
    for (const ref of refs) {
      const peer = await dialIn(port, ref);
      peer.send(subscribePacket(topicOf(ref, 'cmd/req')), publishPacket(topicOf(ref, 'birth'), 'x', { retain: true }));
      await peer.next();
      await peer.next();
      peer.cut();
    }
    await waitFor('all to be gone', () => broker.stats().streams === 0);
    await waitFor('all to be retained', () => broker.stats().retained === 200);
    expect(broker.stats()).toMatchObject({ connections: 0, retained: 200, retainedBytes: 200 });
  });
});

describe('listening', () => {
  it('fails to start on a port that is taken, and leaves nothing behind', async () => {
    const { port } = await start();
    await expect(startBroker({ port })).rejects.toThrow(/EADDRINUSE/);
  });

  it('closes everybody and the port when it is stopped, within a second', async () => {
    const { broker, port } = await start();
    const peer = await dialIn(port, FRIDGE);
    peer.stream.pause();
    const before = performance.now();
    await broker.stop();
    expect(performance.now() - before).toBeLessThan(2_000);
    await expect(dial(port)).rejects.toThrow(/ECONNREFUSED/);
  });

  it('closes a socket that says nothing', async () => {
    const { port, metric } = await start({ loginTimeoutMs: 100 });
    await (await dial(port)).closed();
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_LOGIN_TIMEOUT' })).toBe(1);
  });
});

describe('the swarm of the benches', () => {
  it('counts what a bare Aedes acknowledges', async () => {
    const bare = await startBareAedes();
    const devices = [1, 2, 3].map((i) => ({ clientId: `c${i}`, secret: 'x', topic: `t/${i}` }));
    const options = { port: bare.port, connections: 3, window: 5, messagesPerConnection: 100, devices };
    const result = await runSwarm({ ...options, payload: TEN_SIGNALS });
    await bare.close();
    expect(result).toMatchObject({ sent: 300, acknowledged: 300, closed: 0 });
    expect(result.latencyMs.p50).toBeGreaterThan(0);
    expect(result.latencyMs.max).toBeGreaterThanOrEqual(result.latencyMs.p99);
  });

  it('counts connections that are refused or closed', async () => {
    const { port } = await start();
    const devices = [
      { clientId: clientIdOf(FRIDGE), secret: secretOf(FRIDGE), topic: TELEMETRY },
      { clientId: clientIdOf(OTHER), secret: secretOf(OTHER), topic: TELEMETRY },
      { clientId: 'acme.ghost', secret: 'x', topic: TELEMETRY },
    ];
    const options = { port, connections: 3, window: 2, messagesPerConnection: 10, devices };
    expect(await runSwarm({ ...options, payload: TEN_SIGNALS })).toMatchObject({ acknowledged: 10, closed: 2 });
  });
});
