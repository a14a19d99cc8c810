/** A fleet that comes back at once, and those who would hold up its TLS handshakes. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { initCa, issue } from '../../app/ca/certificate-authority.ts';
import type { Broker } from '../../broker/create-broker.ts';
import type { BrokerOptions } from '../../broker/options.ts';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import {
  connectPacket,
  FRIDGE,
  fakeDirectory,
  type Peer,
  peerOn,
  recordingMetrics,
  startBroker,
} from '../support/broker-harness.ts';
import { waitFor } from '../support/wait-for.ts';

let directory: string;
let greeting: Buffer;
const file = (name: string): string => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'presage-storm-'));
  await initCa(file('ca'), 'Test devices', Date.now());
  const server = { name: 'server', server: ['localhost', '127.0.0.1'], days: 1, out: directory };
  await issue(file('ca'), server, Date.now());
  greeting = await captureGreeting();
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const started: Broker[] = [];
const peers: Peer[] = [];
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.cut();
  for (const broker of started.splice(0)) await broker.stop();
});

/** The ClientHello of Node's own TLS. */
async function captureGreeting(): Promise<Buffer> {
  const [ours, theirs] = duplexPair();
  const client = connect({ socket: theirs, servername: 'localhost' });
  client.on('error', () => {}); // Nobody answers it.
  const [bytes] = (await once(ours, 'data')) as [Buffer];
  client.destroy();
  return bytes;
}

const FLEET: DeviceRef[] = Array.from({ length: 150 }, (_, i) => ({ tenant: 'acme', device: `van-${i}` }));

async function start(options: Partial<BrokerOptions> = {}) {
  const recorded = recordingMetrics();
  let most = 0;
  const metrics = {
    ...recorded.metrics,
    gauge(name: string, help: string, value: number) {
      if (name === 'presage_mqtt_handshakes') most = Math.max(most, value);
      recorded.metrics.gauge(name, help, value);
    },
  };
  const tls = {
    port: 0,
    certFile: file('server.crt'),
    keyFile: file('server.key'),
    clientCertificate: 'optional',
  } as const;
  const harness = await startBroker(
    { plain: false, tls: { host: '127.0.0.1', ...tls }, ...options },
    { directory: fakeDirectory([FRIDGE, ...FLEET]), metrics },
  );
  started.push(harness.broker);
  return {
    broker: harness.broker,
    port: harness.broker.ports().mqtts ?? 0,
    metric: recorded.value,
    refused: (reason: string) => recorded.value('presage_mqtt_refused_total', { reason }),
    underWay: () => recorded.value('presage_mqtt_handshakes'),
    waiting: () => recorded.value('presage_mqtt_handshakes_waiting'),
    mostUnderWay: () => most,
  };
}

const kept = <P extends Peer>(peer: P): P => {
  peers.push(peer);
  return peer;
};

/** A device that logs in as soon as its handshake is through. */
function device(port: number, ref: DeviceRef = FRIDGE): Peer {
  const ca = readFileSync(join(file('ca'), 'ca.crt'));
  const peer = kept(peerOn(connect({ host: '127.0.0.1', port, ca })));
  peer.send(connectPacket(ref));
  return peer;
}

/** Somebody who sends these bytes and then nothing. */
function stalled(port: number, bytes: Buffer = greeting, localAddress = '127.0.0.1'): Peer {
  const peer = kept(peerOn(connectTcp({ host: '127.0.0.1', port, localAddress })));
  // What comes back is TLS, not MQTT.
  peer.stream.removeAllListeners('data').resume();
  peer.send(bytes);
  return peer;
}

const ELSEWHERE = '127.0.0.2';
const LOGGED_IN = { cmd: 'connack', returnCode: 0 };

describe('a fleet that comes back at once over TLS', () => {
  it('gets in, every device at its first attempt, with only a few handshakes under way at a time', async () => {
    const { port, broker, mostUnderWay, underWay, waiting } = await start({
      ...{ maxHandshakes: 4, maxHandshakesPerAddress: 1_000, handshakeTimeoutMs: 60_000, handshakeWaitMs: 60_000 },
      loginTimeoutMs: 60_000,
    });
    // Those who came first hold every turn until the whole fleet stands in line.
    const first = Array.from({ length: 4 }, () => stalled(port));
    await waitFor('the first', () => underWay() === 4);
    const fleet = FLEET.map((ref) => device(port, ref));
    await waitFor('the line', () => waiting() === FLEET.length);
    for (const peer of first) peer.cut();
    await waitFor('the fleet', () => broker.stats().connections === FLEET.length);
    for (const peer of fleet) expect(await peer.next()).toMatchObject(LOGGED_IN);
    expect(mostUnderWay()).toBe(4);
    expect([underWay(), waiting()]).toEqual([0, 0]);
    expect(broker.stats().refused).toBe(0);
  });

  it('has its whole login time from its turn on, however long that took', async () => {
    const { port, waiting } = await start({
      ...{ maxHandshakes: 1, maxHandshakesPerAddress: 1 },
      ...{ loginTimeoutMs: 1_500, handshakeTimeoutMs: 1_000 },
    });
    for (let i = 0; i < 2; i++) {
      stalled(port);
      await waitFor('its place', () => waiting() === i);
    }
    const askedAt = performance.now();
    expect(await device(port).next()).toMatchObject(LOGGED_IN);
    expect(performance.now() - askedAt).toBeGreaterThan(1_500);
  });

  it('is told to come later when it would wait too long, or too many wait', async () => {
    const { port, waiting, underWay, refused, metric } = await start({
      ...{ maxHandshakes: 1, maxHandshakesWaiting: 1, handshakeWaitMs: 300, handshakeTimeoutMs: 60_000 },
      loginTimeoutMs: 60_000,
    });
    stalled(port);
    await waitFor('the first', () => underWay() === 1);
    const second = device(port);
    await waitFor('the second', () => waiting() === 1);
    const third = device(port);
    await third.closed();
    expect(refused('MQTT_HANDSHAKES')).toBe(1);
    await second.closed();
    expect(refused('MQTT_HANDSHAKES')).toBe(2);
    await waitFor('an empty line', () => waiting() === 0);
    expect(metric('presage_mqtt_handshakes_given_up_total')).toBe(0);
  });

  it('costs no handshake for a device that gave up while it waited', async () => {
    const { port, waiting, underWay, metric, mostUnderWay } = await start({
      maxHandshakes: 1,
      handshakeTimeoutMs: 400,
    });
    stalled(port);
    await waitFor('the first', () => underWay() === 1);
    const impatient = stalled(port);
    await waitFor('its place', () => waiting() === 1);
    const patient = device(port);
    await waitFor('both', () => waiting() === 2);
    impatient.cut();
    await waitFor('one to be gone', () => waiting() === 1);
    expect(metric('presage_mqtt_handshakes_given_up_total')).toBe(1);
    expect(await patient.next()).toMatchObject(LOGGED_IN);
    expect(mostUnderWay()).toBe(1);
  });
});

describe('who does not go on with a handshake', () => {
  it('cannot hold the turns of other addresses', async () => {
    const { port, underWay, waiting } = await start({
      ...{ maxHandshakes: 3, maxHandshakesPerAddress: 2 },
      ...{ handshakeTimeoutMs: 60_000, handshakeWaitMs: 60_000, loginTimeoutMs: 60_000 },
    });
    for (let i = 0; i < 6; i++) stalled(port, greeting, ELSEWHERE);
    await waitFor('their turns', () => underWay() === 2 && waiting() === 4);
    expect(await device(port).next()).toMatchObject(LOGGED_IN);
    expect([underWay(), waiting()]).toEqual([2, 4]);
  });

  it('loses its turn when its time is over, and the next one of its address has it', async () => {
    const { port, underWay, refused } = await start({
      ...{ maxHandshakes: 2, maxHandshakesPerAddress: 1 },
      ...{ handshakeTimeoutMs: 300, loginTimeoutMs: 60_000 },
    });
    const slow = stalled(port);
    await waitFor('its turn', () => underWay() === 1);
    expect(await device(port).next()).toMatchObject(LOGGED_IN);
    await slow.closed();
    expect(refused('MQTT_LOGIN_TIMEOUT')).toBe(1);
  });

  it('has no turn before its greeting is complete, and is closed when that takes too long', async () => {
    const { port, underWay, refused } = await start({
      maxHandshakes: 1,
      maxHandshakesPerAddress: 1,
      loginTimeoutMs: 3_000,
    });
    const slow = [Buffer.alloc(0), greeting.subarray(0, 3), greeting.subarray(0, -1)].map((part) =>
      stalled(port, part),
    );
    expect(await device(port).next()).toMatchObject(LOGGED_IN);
    expect(slow.some((peer) => peer.isClosed())).toBe(false);
    expect(underWay()).toBe(0);
    await Promise.all(slow.map((peer) => peer.closed()));
    expect(refused('MQTT_LOGIN_TIMEOUT')).toBe(3);
  });

  it('has its turn when its greeting comes in pieces', async () => {
    const { port, underWay } = await start();
    const peer = stalled(port, greeting.subarray(0, 4));
    peer.send(greeting.subarray(4, 20));
    peer.send(greeting.subarray(20));
    await waitFor('its turn', () => underWay() === 1);
  });

  it('is closed when it sends on while it waits, and memory is bounded', async () => {
    const { port, underWay, refused } = await start({
      maxHandshakes: 1,
      handshakeTimeoutMs: 60_000,
      loginTimeoutMs: 60_000,
    });
    stalled(port);
    await waitFor('the first', () => underWay() === 1);
    await stalled(port, Buffer.concat([greeting, Buffer.alloc(64 * 1024)])).closed();
    expect(refused('MQTT_PACKET_SIZE')).toBe(1);
  });
});
