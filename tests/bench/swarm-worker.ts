/**
 * The thread in which the swarm publishes. CONNECT comes from mqtt-packet; PUBLISH is written and PUBACK read by hand,
 * because the swarm shares two cores with the server it measures and must not be the slower of both.
 */
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import mqttPacket from 'mqtt-packet';
import { createLatencyHistogram } from './latency-histogram.ts';
import type { BuildPayload, SwarmDevice, SwarmOptions, SwarmResult } from './swarm.ts';
import { dial } from './swarm-dial.ts';

const PUBACK = 4;
const MAX_MESSAGE_ID = 65_535;
/** How long an open loop waits for acknowledgements after its last publish. */
const DRAIN_MS = 20_000;

const options = workerData as SwarmOptions;
const latency = createLatencyHistogram();
const lateness = createLatencyHistogram();
const totals = { sent: 0, acknowledged: 0, closed: 0 };
let overrun = false;
let lastAckAt = 0;

/** PUBLISH with QoS 1 (MQTT 3.1.1, 3.3). */
function publishPacket(topic: Buffer, messageId: number, payload: string | Uint8Array): Buffer {
  const payloadBytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
  const remaining = 2 + topic.length + 2 + payloadBytes;
  const lengthBytes = remaining < 128 ? 1 : remaining < 16_384 ? 2 : 3;
  const packet = Buffer.allocUnsafe(1 + lengthBytes + remaining);
  let at = packet.writeUInt8(0x32, 0);
  for (let rest = remaining, i = 0; i < lengthBytes; i++, rest >>= 7) {
    at = packet.writeUInt8((rest & 127) | (i < lengthBytes - 1 ? 128 : 0), at);
  }
  at = packet.writeUInt16BE(topic.length, at);
  at += topic.copy(packet, at);
  at = packet.writeUInt16BE(messageId, at);
  if (typeof payload === 'string') packet.write(payload, at);
  else packet.set(payload, at);
  return packet;
}

interface Publisher {
  /** Publishes these in one write; latencies count from `since`. */
  publish(since: readonly number[]): void;
  inFlight(): number;
  /** Called with the number of acknowledgements that came in one read. */
  onAcks: (count: number) => void;
  onClose: () => void;
  readonly sent: number;
  end(): void;
}

function createPublisher(socket: Socket, device: SwarmDevice, index: number, build: BuildPayload): Publisher {
  const topic = Buffer.from(device.topic);
  /** When the publish with this message id was due. */
  const dueAt = new Float64Array(MAX_MESSAGE_ID + 1);
  let sequence = 0;
  let acknowledged = 0;
  let partial: Buffer = Buffer.alloc(0);
  let ended = false;

  const readAcks = (bytes: Buffer): number => {
    const all = partial.length > 0 ? Buffer.concat([partial, bytes]) : bytes;
    const now = performance.now();
    let at = 0;
    for (; at + 4 <= all.length; at += 4) {
      if ((all[at] ?? 0) >> 4 !== PUBACK) throw new Error(`expected a PUBACK, got byte ${all[at]}`);
      latency.record(now - (dueAt[all.readUInt16BE(at + 2)] ?? now));
    }
    partial = all.subarray(at);
    lastAckAt = now;
    return at / 4;
  };

  const publisher: Publisher = {
    publish(since) {
      const packets = since.map((at) => {
        sequence += 1;
        const messageId = ((sequence - 1) % MAX_MESSAGE_ID) + 1;
        dueAt[messageId] = at;
        return publishPacket(topic, messageId, build(index, sequence));
      });
      totals.sent += packets.length;
      if (packets.length > 0) socket.write(packets.length === 1 ? (packets[0] as Buffer) : Buffer.concat(packets));
    },
    inFlight: () => sequence - acknowledged,
    onAcks: () => {},
    onClose: () => {},
    get sent() {
      return sequence;
    },
    end() {
      ended = true;
      socket.end(mqttPacket.generate({ cmd: 'disconnect' }));
    },
  };
  socket.on('data', (bytes: Buffer) => {
    const count = readAcks(bytes);
    acknowledged += count;
    totals.acknowledged += count;
    publisher.onAcks(count);
  });
  socket.once('close', () => {
    if (!ended) totals.closed += 1;
    publisher.onClose();
  });
  return publisher;
}

/** Keeps the window full; resolves when the last acknowledgement is there or the server closed the connection. */
function closedLoop(publisher: Publisher, until: number): Promise<void> {
  const maxMessages = options.messagesPerConnection ?? Number.POSITIVE_INFINITY;
  const publish = (count: number): void => {
    const now = performance.now();
    const wanted = Math.min(count, maxMessages - publisher.sent);
    if (wanted > 0) publisher.publish(Array.from({ length: wanted }, () => now));
  };
  return new Promise((resolve) => {
    publisher.onClose = resolve;
    publisher.onAcks = (count) => {
      if (performance.now() < until) publish(count);
      if (publisher.inFlight() > 0) return;
      publisher.end();
      resolve();
    };
    publish(options.window);
  });
}

/** Publishes by the schedule, one connection after the other, then waits for what is in flight. */
async function openLoop(publishers: readonly Publisher[], ratePerSecond: number, durationMs: number): Promise<void> {
  const startedAt = performance.now();
  const total = Math.round((ratePerSecond * durationMs) / 1_000);
  const dueAt = (index: number): number => startedAt + (index * 1_000) / ratePerSecond;
  const isStopped = (): boolean => options.stopFlag !== undefined && Atomics.load(options.stopFlag, 0) === 1;
  for (let next = 0; next < total && !overrun && !isStopped(); ) {
    const now = performance.now();
    const due = Math.min(total, Math.floor(((now - startedAt) * ratePerSecond) / 1_000) + 1);
    next = publishDue(publishers, next, due, dueAt, now);
    await pause(1);
  }
  const giveUpAt = performance.now() + DRAIN_MS;
  while (totals.acknowledged < totals.sent && totals.closed === 0 && performance.now() < giveUpAt) await pause(5);
  for (const publisher of publishers) publisher.end();
}

/** Publishes numbers `from` to `to` of the schedule, as one write a connection; returns where to go on. */
function publishDue(
  publishers: readonly Publisher[],
  from: number,
  to: number,
  dueAt: (index: number) => number,
  now: number,
): number {
  const batches = new Map<Publisher, number[]>();
  for (let index = from; index < to; index++) {
    const publisher = publishers[index % publishers.length] as Publisher;
    const at = dueAt(index);
    lateness.record(now - at);
    const batch = batches.get(publisher);
    if (batch) batch.push(at);
    else batches.set(publisher, [at]);
  }
  for (const [publisher, batch] of batches) {
    if (publisher.inFlight() + batch.length > options.window) overrun = true;
    else publisher.publish(batch);
  }
  return to;
}

async function main(): Promise<SwarmResult> {
  const { [options.payload.export]: build } = (await import(options.payload.module)) as Record<string, BuildPayload>;
  if (!build) throw new Error(`${options.payload.module} exports no ${options.payload.export}`);
  if (options.devices.length < options.connections) throw new Error('there are fewer devices than connections');
  const devices = options.devices.slice(0, options.connections);
  const dialled = await Promise.all(
    devices.map(async (device, index) => {
      const socket = await dial(options, device);
      return socket && createPublisher(socket, device, index, build);
    }),
  );
  const publishers = dialled.flatMap((publisher) => publisher ?? []);
  if (publishers.length === 0) throw new Error('no connection was accepted');
  const { ratePerSecond, durationMs } = options;
  const startedAt = performance.now();
  const until = durationMs === undefined ? Number.POSITIVE_INFINITY : startedAt + durationMs;
  if (ratePerSecond === undefined) await Promise.all(publishers.map((publisher) => closedLoop(publisher, until)));
  else await openLoop(publishers, ratePerSecond, durationMs ?? 0);
  const seconds = Math.max(lastAckAt - startedAt, 0.001) / 1_000;
  return {
    ...totals,
    closed: options.connections - publishers.length + totals.closed,
    seconds,
    perSecond: totals.acknowledged / seconds,
    overrun,
    behindMs: lateness.quantile(0.99),
    latencyMs: {
      p50: latency.quantile(0.5),
      p95: latency.quantile(0.95),
      p99: latency.quantile(0.99),
      max: latency.max(),
    },
  };
}

parentPort?.postMessage(await main());
