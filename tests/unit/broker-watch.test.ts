/** Which refusals of the broker speak of an attack, and about whom. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Broker } from '../../broker/create-broker.ts';
import { type DeviceRef, userNameOf } from '../../contract/kernel/ids.ts';
import type { SecurityEvent } from '../../contract/ports/broker.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import {
  connectPacket,
  ERP,
  FRIDGE,
  integrationSecretOf,
  logIn,
  OTHER,
  openPeer,
  publishPacket,
  STRANGER,
  startBroker,
  subscribePacket,
} from '../support/broker-harness.ts';

const started: Broker[] = [];
afterEach(async () => {
  for (const broker of started.splice(0)) await broker.stop();
});

async function start() {
  const { broker, lines } = await startBroker();
  started.push(broker);
  const events: SecurityEvent[] = [];
  broker.onSecurityEvent((event) => events.push(event));
  return { broker, events, lines };
}

async function refused(broker: Broker, ref: DeviceRef, changes: object): Promise<void> {
  const peer = openPeer(broker, '192.0.2.9');
  peer.send(connectPacket(ref, changes));
  await peer.closed();
}

describe('an attack', () => {
  it.each([
    ['to another tenant', topicOf(STRANGER, 'telemetry')],
    ['to another device', topicOf(OTHER, 'telemetry')],
    ['to its own commands', topicOf(FRIDGE, 'cmd/req')],
  ])('is a publish %s: once, about the device that did it', async (_what, topic) => {
    const { broker, events } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(topic, 'x'), publishPacket(topic, 'x'));
    await peer.closed();
    const detail = `publish to "${topic}"`;
    expect(events).toEqual([
      { ...FRIDGE, kind: 'MQTT_TOPIC', at: 1_795_392_000_000, remoteAddress: 'memory', detail, proved: true },
    ]);
  });

  it('is a client id that is not the user name: about whose name was claimed, which proves nothing', async () => {
    const { broker, events } = await start();
    await refused(broker, FRIDGE, { clientId: 'umbrella.fridge-1' });
    expect(events).toMatchObject([{ ...STRANGER, kind: 'MQTT_CLIENT_ID', remoteAddress: '192.0.2.9', proved: false }]);
  });

  it('is a takeover from another address, and none from the same', async () => {
    const { broker, events } = await start();
    for (const address of ['192.0.2.1', '192.0.2.1', '192.0.2.2']) {
      const peer = openPeer(broker, address);
      peer.send(connectPacket(FRIDGE));
      await peer.next();
    }
    expect(events).toMatchObject([
      { ...FRIDGE, kind: 'MQTT_MOVED', remoteAddress: '192.0.2.2', detail: 'it was connected from 192.0.2.1' },
    ]);
  });

  it('is a publish of an integration beyond its topics: about its tenant', async () => {
    const { broker, events } = await start();
    const peer = openPeer(broker);
    const password = Buffer.from(integrationSecretOf(ERP));
    peer.send(connectPacket(FRIDGE, { clientId: 'erp-1', username: userNameOf(ERP), password }));
    await peer.next();
    peer.send(publishPacket(topicOf(FRIDGE, 'cmd/req'), 'x'));
    await peer.closed();
    expect(events).toMatchObject([{ tenant: 'acme', kind: 'MQTT_TOPIC', proved: true }]);
    expect(events[0]).not.toHaveProperty('device');
  });
});

describe('a mistake', () => {
  it.each([
    ['a wrong secret', { password: Buffer.from('wrong') }],
    ['a malformed client id', { clientId: 'Not one', username: 'Not one' }],
    ['a malformed client id of an integration', { clientId: '', username: userNameOf(ERP) }],
    ['a persistent session', { clean: false }],
    ['no keep-alive', { keepalive: 0 }],
  ])('is %s: it is counted only', async (_what, changes) => {
    const { broker, events } = await start();
    await refused(broker, FRIDGE, changes);
    expect(events).toEqual([]);
  });

  it('is a subscription that is denied', async () => {
    const { broker, events } = await start();
    const peer = await logIn(broker, FRIDGE);
    peer.send(subscribePacket(topicOf(STRANGER, 'telemetry')));
    expect(await peer.next()).toMatchObject({ cmd: 'suback', granted: [128] });
    expect(events).toEqual([]);
  });
});

it('goes on when a listener throws', async () => {
  const { broker, events, lines } = await start();
  broker.onSecurityEvent(() => {
    throw new Error('full');
  });
  await refused(broker, FRIDGE, { clientId: 'acme.fridge-2' });
  expect(events).toHaveLength(1);
  expect(lines.map(({ message }) => message)).toContain('a listener for security events threw');
  await logIn(broker, FRIDGE);
});
