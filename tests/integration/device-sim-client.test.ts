/** Devices on a real broker: identity, order and completeness under every mishap. */
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { seededRandom } from '../../contract/kernel/random.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import type { Clock, Logger } from '../../contract/ports/services.ts';
import { birthPayload, PAYLOADS, statePayload } from '../../contract/wire/payloads.ts';
import { birthOf } from '../../device-sim/birth.ts';
import { createDeviceClient, type DeviceClient, type DeviceClientOptions } from '../../device-sim/device-client.ts';
import { createFleet, type Fleet, type FleetDevice } from '../../device-sim/fleet.ts';
import { createNetwork, type NetworkFaults } from '../../device-sim/network.ts';
import { createSampleStream } from '../../device-sim/simulated-device.ts';
import { demoFleet } from '../../device-sim/stories.ts';
import { type OutgoingMessage, telemetryMessages } from '../../device-sim/telemetry-batch.ts';
import {
  type RecordingBroker,
  type RecordingBrokerOptions,
  startRecordingBroker,
} from '../support/recording-broker.ts';
import { waitFor } from '../support/wait-for.ts';

const clock: Clock = { now: Date.now };
const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const open: { stop?(): Promise<void>; close?(): Promise<void> }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await (thing.stop?.() ?? thing.close?.());
});

async function broker(options: RecordingBrokerOptions = {}): Promise<RecordingBroker> {
  const started = await startRecordingBroker(options);
  open.push(started);
  return started;
}

const SECRET = 'a-secret-of-at-least-22-characters';
function device(
  url: string,
  options: Partial<DeviceClientOptions> = {},
  faults?: NetworkFaults,
  seed = 1,
): DeviceClient {
  const client = createDeviceClient(
    {
      clock,
      logger: quiet,
      random: seededRandom(seed),
      ...(faults ? { network: createNetwork(faults, seededRandom(seed)) } : {}),
    },
    {
      brokerUrl: url,
      ref: { tenant: 'acme', device: 'd1' },
      secret: SECRET,
      boot: 'boot-1',
      birth: birthOf('turbofan', 1_000, 'serial'),
    },
    { retry: { firstDelayMs: 5, maxDelayMs: 50, factor: 2 }, resendDelayMs: 5, ...options },
  );
  open.push(client);
  return client;
}

const oneSample = (seq: number): OutgoingMessage => {
  const [message] = telemetryMessages('boot-1', seq, [{ at: 1_000 * seq, signals: { cycle: seq } }]);
  if (!message) throw new Error('no message');
  return message;
};
async function sendAll(client: DeviceClient, count: number): Promise<void> {
  for (let seq = 1; seq <= count; seq++) {
    await client.room();
    client.send(oneSample(seq));
  }
  await client.settled();
}
const telemetryOf = (received: RecordingBroker['received']) =>
  received.filter(({ channel }) => channel === 'telemetry').map(({ payload }) => PAYLOADS.telemetry.parse(payload));
const seqsOf = (received: RecordingBroker['received']) => telemetryOf(received).map(({ seq }) => seq);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe('a device', () => {
  it('announces itself, sends in order, and says goodbye', async () => {
    const server = await broker({ password: SECRET });
    const client = device(server.url);
    await client.start();
    await sendAll(client, 50);
    await client.stop();
    await client.stop();
    expect(seqsOf(server.received)).toEqual(upTo(50));
    const birth = server.received.find(({ channel }) => channel === 'birth');
    expect(birthPayload.parse(birth?.payload)).toMatchObject({ boot: 'boot-1', model: 'turbofan', serial: 'serial' });
    const states = server.received.filter(({ channel }) => channel === 'state');
    expect(states.map(({ payload }) => statePayload.parse(payload).state)).toEqual(['online', 'offline']);
    for (const { retain } of [birth, ...states].filter((message) => message !== undefined)) expect(retain).toBe(true);
    expect(client.stats()).toMatchObject({ messages: 50, ackedMessages: 50, samples: 50, ackedSamples: 50, resent: 0 });
    expect(client.ackedThrough()).toMatchObject({ seq: 50, lastSampleAt: 50_000 });
  });

  it('sends telemetry only after its birth is acknowledged', async () => {
    const server = await broker();
    const client = device(server.url);
    client.send(oneSample(1));
    await client.start();
    await client.settled();
    const channels = server.received.map(({ channel }) => channel).filter((channel) => channel !== 'state');
    expect(channels).toEqual(['birth', 'telemetry']);
  });

  it('leaves a last will that names its boot', async () => {
    const server = await broker();
    const client = device(server.url, { retry: { firstDelayMs: 600_000, maxDelayMs: 600_000, factor: 1 } });
    await client.start();
    server.breakConnections();
    const offline = await waitFor('the will', () =>
      server.received.find(
        ({ channel, payload }) => channel === 'state' && statePayload.parse(payload).state === 'offline',
      ),
    );
    expect(offline.payload).toEqual({ v: 1, boot: 'boot-1', state: 'offline' });
  });

  it('resends what a broken connection left unacknowledged, same identity, in order', async () => {
    const server = await broker();
    const client = device(server.url, { maxInFlight: 4, maxPending: 10 });
    await client.start();
    server.stalled = true;
    for (const seq of upTo(10)) client.send(oneSample(seq));
    expect(client.hasRoom()).toBe(false);
    expect(() => client.send(oneSample(11))).toThrow(RangeError);
    server.stalled = false;
    server.breakConnections();
    await client.settled();
    expect(seqsOf(server.received)).toEqual(upTo(10));
    expect(client.stats()).toMatchObject({ ackedMessages: 10, reconnects: 1 });
    expect(client.stats().resent).toBeGreaterThan(0);
    expect(client.stats().resent).toBeLessThanOrEqual(4);
  });

  it('outlives a broker that is killed and comes back', async () => {
    let count = 0;
    const server = await broker({
      onReceived() {
        count++;
        if (count === 100 || count === 250) void server.kill().then(() => server.restart());
      },
    });
    const client = device(server.url);
    await client.start();
    await sendAll(client, 400);
    expect([...new Set(seqsOf(server.received))].sort((a, b) => a - b)).toEqual(upTo(400));
    expect(client.stats().reconnects).toBeGreaterThanOrEqual(2);
  });

  it.each([1, 2, 3])('loses nothing under loss, duplicates, reordering and disconnects (seed %d)', async (seed) => {
    const server = await broker();
    const client = device(
      server.url,
      { maxPending: 8 },
      { loss: 0.1, duplicate: 0.1, reorder: 0.1, disconnect: 0.02 },
      seed,
    );
    await client.start();
    await sendAll(client, 500);
    const seqs = seqsOf(server.received);
    expect([...new Set(seqs)].sort((a, b) => a - b)).toEqual(upTo(500));
    const stats = client.stats();
    for (const count of [stats.lost, stats.duplicated, stats.reordered, stats.disconnected])
      expect(count).toBeGreaterThan(0);
    expect(seqs.length).toBeGreaterThan(500);
    expect(seqs).not.toEqual([...seqs].sort((a, b) => a - b));
    const contents = new Map<number, string>();
    for (const { payload } of server.received.filter(({ channel }) => channel === 'telemetry')) {
      const { seq } = PAYLOADS.telemetry.parse(payload);
      expect(contents.get(seq) ?? JSON.stringify(payload)).toBe(JSON.stringify(payload));
      contents.set(seq, JSON.stringify(payload));
    }
  });

  it('gives up when its password is wrong, and says who', async () => {
    const server = await broker({ password: 'another one' });
    const client = device(server.url, { maxRefusals: 2 });
    await expect(client.start()).rejects.toMatchObject({
      code: 'MQTT_CREDENTIALS',
      message: expect.stringContaining('acme.d1'),
    });
    await expect(client.room()).rejects.toMatchObject({ code: 'MQTT_CREDENTIALS' });
  });

  it('gives up when there is no broker within its time', async () => {
    const server = await broker();
    await server.close();
    const client = device(server.url, { firstConnectionMs: 100 });
    await expect(client.start()).rejects.toMatchObject({
      code: 'NOT_READY',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('leaves no timer behind when it is stopped, with a broker or without', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    const server = await broker();
    const online = device(server.url);
    await online.start();
    await online.stop();
    await server.close();
    const offline = device(server.url);
    const starting = offline.start().catch(() => undefined);
    await waitFor('a try to fail', () => offline.stats().failedConnections > 0);
    await offline.stop();
    await starting;
    await waitFor('all timers to end', () => timers() <= before + 1, 5_000);
  });

  it('rejects those who wait when it is stopped', async () => {
    const server = await broker();
    const client = device(server.url, { maxPending: 1 });
    await client.start();
    server.stalled = true;
    client.send(oneSample(1));
    const waiting = client.room();
    const seen = expect(waiting).rejects.toThrow(/stopped/);
    await client.stop();
    await seen;
    expect(client.pending()).toBe(1);
  });
});

describe('a fleet', () => {
  const END = Date.UTC(2026, 2, 12);
  const withSecrets = (seed: number, count: number, start: number): FleetDevice[] =>
    demoFleet(seed, 'acme', start)
      .slice(0, count)
      .map((one) => ({ ...one, secret: SECRET }));

  async function fleetOf(
    server: RecordingBroker,
    devices: readonly FleetDevice[],
    options: Partial<Parameters<typeof createFleet>[1]>,
  ): Promise<Fleet> {
    const fleet = createFleet(
      { brokerUrl: server.url, devices, clock, logger: quiet },
      { end: END, speed: 'max', ...options },
    );
    open.push(fleet);
    return fleet;
  }

  it('sends exactly the samples of its generators, nothing twice, nothing from the future', async () => {
    const server = await broker({ password: SECRET });
    const start = END - 3 * DAY_MS;
    const devices = withSecrets(1, 20, start);
    const fleet = await fleetOf(server, devices, { start });
    await fleet.start();
    const summary = await fleet.done;
    expect(summary.complete).toBe(true);
    let total = 0;
    for (const one of devices) {
      const messages = telemetryOf(server.received.filter((message) => message.device === one.ref.device));
      expect(messages.map(({ seq }) => seq)).toEqual(upTo(messages.length));
      expect(new Set(messages.map(({ boot }) => boot)).size).toBe(1);
      const sent = messages.flatMap(({ t, s }) => s.map(([offset, signals]) => ({ at: t + offset, signals })));
      expect(sent).toEqual(createSampleStream(one, start).take(END));
      expect(Math.max(...sent.map(({ at }) => at))).toBeLessThanOrEqual(END);
      total += sent.length;
    }
    expect(summary).toMatchObject({ devices: 20, samplesSent: total, samplesAcked: total, messagesResent: 0 });
    for (const { bytes } of server.received) expect(bytes).toBeLessThanOrEqual(128 * 1024);
  });

  it('keeps its devices together and its memory bounded when the server stalls', async () => {
    const server = await broker();
    const start = END - 10 * DAY_MS;
    const fleet = await fleetOf(server, withSecrets(2, 14, start), {
      start,
      client: { maxPending: 3, maxInFlight: 2 },
    });
    await fleet.start();
    await waitFor('the run to be under way', () => fleet.progress().samplesAcked > 500);
    server.stalled = true;
    const still = await waitFor('nothing to move', async () => {
      const before = fleet.progress();
      await new Promise((resolve) => setImmediate(resolve));
      const after = fleet.progress();
      return before.samplesSent === after.samplesSent && after.samplesSent > after.samplesAcked ? after : undefined;
    });
    expect(still.samplesSent - still.samplesAcked).toBeLessThanOrEqual(14 * 3 * 60);
    server.stalled = false;
    server.breakConnections();
    expect((await fleet.done).complete).toBe(true);
    const order = telemetryOf(server.received).map(({ t }) => t);
    const frame = 48 * 5 * 60_000;
    let newest = 0;
    for (const t of order) {
      newest = Math.max(newest, t);
      expect(newest - t).toBeLessThanOrEqual(2 * frame);
    }
  });

  it('loses nothing under a bad network', async () => {
    const server = await broker();
    const start = END - 2 * DAY_MS;
    const devices = withSecrets(3, 20, start);
    const fleet = await fleetOf(server, devices, {
      start,
      frameMs: 3_600_000,
      network: { loss: 0.05, duplicate: 0.1, reorder: 0.1, disconnect: 0.01 },
      networkSeed: 7,
      client: { retry: { firstDelayMs: 5, maxDelayMs: 50, factor: 2 }, resendDelayMs: 5 },
    });
    await fleet.start();
    expect((await fleet.done).complete).toBe(true);
    for (const one of devices) {
      const bySeq = new Map(
        telemetryOf(server.received.filter((message) => message.device === one.ref.device)).map((m) => [m.seq, m]),
      );
      const sent = [...bySeq.values()]
        .sort((a, b) => a.seq - b.seq)
        .flatMap(({ t, s }) => s.map(([offset, signals]) => ({ at: t + offset, signals })));
      expect(sent).toEqual(createSampleStream(one, start).take(END));
    }
  });

  it('keeps to its pace and can be stopped', async () => {
    const server = await broker();
    const start = END - DAY_MS;
    const fleet = await fleetOf(server, withSecrets(4, 3, start), { start, speed: 3_600 });
    await fleet.start();
    await waitFor('the first frames', () => fleet.progress().samplesAcked > 0);
    expect(fleet.progress().share).toBeLessThan(0.5);
    await fleet.stop();
    await fleet.stop();
    const summary = await fleet.done;
    expect(summary.complete).toBe(false);
    expect(z.number().parse(summary.samplesSent)).toBeLessThan(3 * 288);
    await waitFor('all connections to end', () => server.connections() === 0);
  });

  it('never sends what the wall clock has not reached', async () => {
    const server = await broker();
    let now = END - DAY_MS / 2;
    const fleet = createFleet(
      { brokerUrl: server.url, devices: withSecrets(5, 4, END - DAY_MS), clock: { now: () => now }, logger: quiet },
      { start: END - DAY_MS, end: END, speed: 'max', frameMs: 3_600_000 },
    );
    open.push(fleet);
    await fleet.start();
    await waitFor('half a day', () => fleet.progress().simulatedTime === END - DAY_MS / 2);
    const newest = Math.max(...telemetryOf(server.received).flatMap(({ t, s }) => s.map(([offset]) => t + offset)));
    expect(newest).toBeLessThanOrEqual(now);
    now = END;
    await fleet.stop();
  });

  it('fails as a whole, with a reason, when a device is refused', async () => {
    const server = await broker({ password: 'not this one' });
    const fleet = await fleetOf(server, withSecrets(6, 2, END - DAY_MS), {
      start: END - DAY_MS,
      client: { maxRefusals: 1 },
    });
    await expect(fleet.start()).rejects.toMatchObject({ code: 'MQTT_CREDENTIALS' });
    await waitFor('all connections to end', () => server.connections() === 0);
  });
});
