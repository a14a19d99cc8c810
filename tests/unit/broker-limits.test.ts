/** What one device, tenant or address may ask of the broker: the arithmetic first, then as a device meets it. */
import { afterEach, describe, expect, it } from 'vitest';
import { book, isHalfFull, newBucket, tryBook } from '../../broker/bucket.ts';
import type { Broker } from '../../broker/create-broker.ts';
import { createAddressLimit, createDeviceLimits, networkOf } from '../../broker/limits.ts';
import { type BrokerOptions, DEFAULT_BROKER_OPTIONS } from '../../broker/options.ts';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import { topicOf } from '../../contract/wire/topics.ts';
import {
  connectPacket,
  FRIDGE,
  type HarnessParts,
  logIn,
  OTHER,
  openPeer,
  type Peer,
  publishPacket,
  STRANGER,
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

describe('a bucket', () => {
  const pace = { perSecond: 10, burst: 5 };

  it('covers its burst at once and then one booking every tenth of a second', () => {
    const bucket = newBucket();
    const waits = [1, 2, 3, 4, 5, 6, 7].map(() => book(bucket, pace, 1_000));
    expect(waits).toEqual([0, 0, 0, 0, 0, 100, 200]);
  });

  it('books nothing that is not covered when it is asked to try', () => {
    const bucket = newBucket();
    expect(tryBook(bucket, pace, 0, 6)).toBe(false);
    expect(tryBook(bucket, pace, 0, 5)).toBe(true);
    expect(tryBook(bucket, pace, 99)).toBe(false);
    expect(tryBook(bucket, pace, 100)).toBe(true);
  });

  it('is half full again after half of the time that its burst takes', () => {
    const bucket = newBucket();
    for (let i = 0; i < 5; i++) book(bucket, pace, 0);
    expect(isHalfFull(bucket, pace, 249)).toBe(false);
    expect(isHalfFull(bucket, pace, 250)).toBe(true);
  });
});

describe('the limits of a device', () => {
  const rates = { ...DEFAULT_BROKER_OPTIONS, deviceMessagesPerS: 10, deviceMessagesBurst: 10, floodCloseMs: 5_000 };
  const create = (changes: Partial<typeof rates> = {}, onForgotten = () => {}) =>
    createDeviceLimits({ ...rates, ...changes }, onForgotten);

  it('let a device at its pace through for ever', () => {
    const limits = create();
    const budget = limits.budgetOf(FRIDGE);
    for (let now = 0; now < 600_000; now += 100) expect(limits.message(budget, now).kind).toBe('now');
  });

  it('make a device that sends faster wait, and call it a flood when it does not rest', () => {
    const limits = create();
    const budget = limits.budgetOf(FRIDGE);
    let now = 0;
    for (;;) {
      const booking = limits.message(budget, now);
      if (booking.kind === 'flood') break;
      if (booking.kind === 'wait') now += booking.ms;
    }
    expect(now).toBeGreaterThan(5_000);
    expect(now).toBeLessThan(5_300);
  });

  it('forgive a burst after a rest', () => {
    const limits = create();
    const budget = limits.budgetOf(FRIDGE);
    for (let round = 0; round < 20; round++) {
      let now = round * 3_000;
      for (let i = 0; i < 20; i++) {
        const booking = limits.message(budget, now);
        expect(booking.kind).not.toBe('flood');
        if (booking.kind === 'wait') now += booking.ms;
      }
    }
  });

  it('slow all devices of a tenant down together and nobody else, and never call that a flood', () => {
    const limits = create({ tenantMessagesPerS: 2 });
    const [one, two, stranger] = [FRIDGE, OTHER, STRANGER].map((ref) => limits.budgetOf(ref));
    if (!one || !two || !stranger) throw new Error('three budgets');
    expect([one, two].map((budget) => limits.message(budget, 0).kind)).toEqual(['now', 'now']);
    expect(limits.message(two, 0)).toEqual({ kind: 'wait', ms: 500, because: 'tenant' });
    expect(limits.message(stranger, 0).kind).toBe('now');
    for (let now = 0; now < 60_000; now += 500) expect(limits.message(one, now).kind).not.toBe('flood');
  });

  it('outlive connections, within a bound', () => {
    let forgotten = 0;
    const limits = create({ maxBudgets: 2 }, () => {
      forgotten += 1;
    });
    const first = limits.budgetOf(FRIDGE);
    expect(limits.budgetOf(FRIDGE)).toBe(first);
    limits.budgetOf(OTHER);
    limits.budgetOf(STRANGER);
    expect(forgotten).toBe(1);
    expect(limits.budgetOf(FRIDGE)).not.toBe(first);
  });
});

describe('the limit of an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['::ffff:192.0.2.1', '192.0.2.1', true],
    ['2001:db8::1', '2001:db8:0:0:ffff::9', true],
    ['2001:db8::1', '2001:db8:0:1::1', false],
    ['unknown', 'unknown', true],
  ])('takes %s and %s for one network: %s', (one, other, same) => {
    expect(networkOf(one) === networkOf(other)).toBe(same);
  });

  it('counts connections that are open', () => {
    const limit = createAddressLimit(2);
    expect([limit.enter('a'), limit.enter('a'), limit.enter('a'), limit.enter('b')]).toEqual([true, true, false, true]);
    limit.leave('a');
    expect(limit.enter('a')).toBe(true);
  });
});

const TELEMETRY = topicOf(FRIDGE, 'telemetry');

/** Publishes with QoS 1 and waits for the PUBACK; how many ms that took. */
async function publishAndWait(peer: Peer, ref: DeviceRef): Promise<number> {
  const sentAt = performance.now();
  peer.send(publishPacket(topicOf(ref, 'telemetry'), 'x'));
  expect(await peer.next()).toMatchObject({ cmd: 'puback' });
  return performance.now() - sentAt;
}

describe('a device that sends too much', () => {
  it('is read only at its pace, acknowledged in order, and loses nothing', async () => {
    const { broker, delivered, metric } = await start({ deviceMessagesPerS: 100, deviceMessagesBurst: 10 });
    const peer = await logIn(broker, FRIDGE);
    const startedAt = performance.now();
    for (let id = 1; id <= 40; id++) peer.send(publishPacket(TELEMETRY, `${id}`, { messageId: id }));
    for (let id = 1; id <= 40; id++) expect(await peer.next()).toMatchObject({ cmd: 'puback', messageId: id });
    // Ten at once, the other thirty at 100 a second.
    expect(performance.now() - startedAt).toBeGreaterThan(280);
    expect(delivered.map(({ payload }) => Number(Buffer.from(payload).toString()))).toEqual(
      Array.from({ length: 40 }, (_, i) => i + 1),
    );
    // All thirty, unless a timer fires so late that the next one is due as well.
    const throttled = metric('presage_mqtt_throttled_total', { because: 'device' });
    expect(throttled).toBeGreaterThan(0);
    expect(broker.stats().throttled).toBe(throttled);
  });

  it('is not read any further: what it sends stays on its side of the socket', async () => {
    const { broker, delivered } = await start({ deviceMessagesPerS: 1, deviceMessagesBurst: 1 });
    const flooding = await logIn(broker, FRIDGE);
    const payload = Buffer.alloc(16_000);
    for (let i = 0; i < 500; i++) flooding.send(publishPacket(TELEMETRY, payload, { qos: 0 }));
    const good = await logIn(broker, OTHER);
    await publishAndWait(good, OTHER);
    expect(delivered.filter(({ device }) => device.device === FRIDGE.device).length).toBeLessThanOrEqual(2);
    // 8 MB were sent; the broker has taken a few reads of 64 KiB.
    expect(flooding.stream.writableLength).toBeGreaterThan(7_000_000);
  });

  it('is closed when it does not stop, and the others are served as if it were not there', async () => {
    const { broker, metric, lines } = await start({
      deviceMessagesPerS: 50,
      deviceMessagesBurst: 50,
      floodCloseMs: 400,
    });
    const good = await logIn(broker, OTHER);
    const flooding = await logIn(broker, FRIDGE);
    const flood = setInterval(() => {
      for (let i = 0; i < 100; i++) flooding.send(publishPacket(TELEMETRY, 'x', { qos: 0 }));
    }, 5);
    const waits: number[] = [];
    while (!flooding.isClosed()) waits.push(await publishAndWait(good, OTHER).finally(pause20Ms));
    clearInterval(flood);
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_RATE' })).toBe(1);
    expect(lines.at(-1)).toMatchObject({ reason: 'MQTT_RATE', clientId: 'acme.fridge-1' });
    // Half of its publishes; unloaded 1 ms.
    expect(waits.sort((a, b) => a - b)[Math.floor(waits.length / 2)]).toBeLessThan(100);
    expect(good.isClosed()).toBe(false);
    // Of the thousands that the other one sent.
    expect(broker.stats().received).toBeLessThan(400);
  });

  it('does not get a fresh allowance by connecting again', async () => {
    const { broker, metric } = await start({ deviceMessagesPerS: 1, deviceMessagesBurst: 2 });
    const first = await logIn(broker, FRIDGE);
    first.send(publishPacket(TELEMETRY, '1', { messageId: 1 }), publishPacket(TELEMETRY, '2', { messageId: 2 }));
    await first.next();
    await first.next();
    first.cut();
    const second = await logIn(broker, FRIDGE);
    second.send(publishPacket(TELEMETRY, '3', { messageId: 3 }));
    await waitFor('the third to wait', () => metric('presage_mqtt_throttled_total', { because: 'device' }) === 1);
    expect(second.waiting()).toEqual([]);
  });

  it('is forgotten with what waits when it is closed or the broker stops', async () => {
    const { broker, delivered } = await start({ deviceMessagesPerS: 0.001, deviceMessagesBurst: 1 });
    const peer = await logIn(broker, FRIDGE);
    peer.send(publishPacket(TELEMETRY, '1'), publishPacket(TELEMETRY, '2', { messageId: 8 }));
    expect(await peer.next()).toMatchObject({ cmd: 'puback' });
    await broker.stop();
    expect(delivered).toHaveLength(1);
    expect(broker.stats().inFlight).toBe(0);
  });
});

/** Sends at the good device's own, moderate pace. */
const pause20Ms = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('a device that connects too often', () => {
  it('is told to come later, and whoever is connected stays', async () => {
    const { broker, metric } = await start({ loginsPerMinute: 2 });
    await logIn(broker, FRIDGE);
    const second = await logIn(broker, FRIDGE);
    const third = openPeer(broker);
    third.send(connectPacket(FRIDGE));
    expect(await third.next()).toMatchObject({ cmd: 'connack', returnCode: 3 });
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_RATE' })).toBe(1);
    expect(second.isClosed()).toBe(false);
    await logIn(broker, OTHER);
  });

  it('cannot be locked out by somebody without its secret', async () => {
    const { broker } = await start({ loginsPerMinute: 1 });
    for (let i = 0; i < 5; i++) {
      const guess = openPeer(broker);
      guess.send(connectPacket(FRIDGE, { password: Buffer.from(`guess ${i}`) }));
      expect(await guess.next()).toMatchObject({ cmd: 'connack', returnCode: 4 });
    }
    await logIn(broker, FRIDGE);
  });
});

describe('connections of one address', () => {
  it('are limited, and others still get in', async () => {
    const { broker, metric } = await start({ maxConnectionsPerAddress: 2 });
    const first = openPeer(broker, '192.0.2.1');
    openPeer(broker, '192.0.2.1');
    await openPeer(broker, '192.0.2.1').closed();
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_CONNECTION_LIMIT' })).toBe(1);
    expect(openPeer(broker, '192.0.2.2').isClosed()).toBe(false);
    first.cut();
    await waitFor('room', () => broker.stats().streams === 2);
    expect(openPeer(broker, '192.0.2.1').isClosed()).toBe(false);
  });
});

describe('control packets', () => {
  it.each([
    ['2,000 filters in one SUBSCRIBE', [subscribePacket(...Array.from({ length: 2_000 }, (_, i) => `t/${i}`))]],
    ['one SUBSCRIBE after the other', Array.from({ length: 200 }, () => subscribePacket(topicOf(FRIDGE, 'cmd/req')))],
    ['thousands of pings', Array.from({ length: 3_000 }, () => ({ cmd: 'pingreq' }) as const)],
  ])('close the connection when there are too many: %s', async (_what, packets) => {
    const { broker, metric } = await start({ controlPacketsPerS: 20, controlPacketsBurst: 100 });
    const peer = await logIn(broker, FRIDGE);
    peer.send(...packets);
    await peer.closed();
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_RATE' })).toBe(1);
    // Filters beyond the limit were never looked at.
    expect(metric('presage_mqtt_refused_total', { reason: 'MQTT_SUBSCRIPTION' })).toBe(0);
  });
});
