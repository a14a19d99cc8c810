/**
 * The thread in which the swarm publishes. CONNECT comes from mqtt-packet; PUBLISH is written and PUBACK read by hand,
 * because the swarm shares two cores with the server it measures and must not be the slower of both.
 */
import { connect, type Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import mqttPacket from 'mqtt-packet';
import { createLatencyHistogram } from './latency-histogram.ts';
import type { BuildPayload, SwarmDevice, SwarmOptions, SwarmResult } from './swarm.ts';

const PUBACK = 4;
const CONNACK = 2;

const options = workerData as SwarmOptions;
const latency = createLatencyHistogram();
const totals = { sent: 0, acknowledged: 0, closed: 0 };
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
  /** Begins to publish; resolves when the last acknowledgement is there or the server closed the connection. */
  run(until: number): Promise<void>;
}

/** Logs one device in. Resolves with `undefined` when it is refused. */
function logIn(device: SwarmDevice, index: number, build: BuildPayload): Promise<Publisher | undefined> {
  const socket = connect({ host: options.host ?? '127.0.0.1', port: options.port, noDelay: true });
  const { clientId, secret } = device;
  socket.write(
    mqttPacket.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId,
      username: clientId,
      password: Buffer.from(secret),
      clean: true,
      keepalive: 1_200,
    }),
  );
  return new Promise((resolve) => {
    socket.on('error', () => {}); // Counted as closed; what it was does not change the result.
    socket.once('close', () => resolve(undefined));
    socket.once('data', (answer) => {
      const accepted = answer[0] === CONNACK << 4 && answer[3] === 0;
      if (accepted) resolve(createPublisher(socket, device, index, build));
      else socket.destroy();
    });
  });
}

function createPublisher(socket: Socket, device: SwarmDevice, index: number, build: BuildPayload): Publisher {
  const topic = Buffer.from(device.topic);
  const maxMessages = options.messagesPerConnection ?? Number.POSITIVE_INFINITY;
  /** When the publish with this message id was sent. */
  const sentAt = new Float64Array(65_536);
  let sequence = 0;
  let acknowledged = 0;
  let partial: Buffer = Buffer.alloc(0);

  const publish = (count: number): void => {
    const packets: Buffer[] = [];
    for (let i = 0; i < count && sequence < maxMessages; i++) {
      sequence += 1;
      const messageId = ((sequence - 1) % 65_535) + 1;
      sentAt[messageId] = performance.now();
      packets.push(publishPacket(topic, messageId, build(index, sequence)));
    }
    totals.sent += packets.length;
    if (packets.length > 0) socket.write(Buffer.concat(packets));
  };

  const readAcks = (bytes: Buffer): number => {
    const all = partial.length > 0 ? Buffer.concat([partial, bytes]) : bytes;
    const now = performance.now();
    let at = 0;
    for (; at + 4 <= all.length; at += 4) {
      if ((all[at] ?? 0) >> 4 !== PUBACK) throw new Error(`expected a PUBACK, got byte ${all[at]}`);
      latency.record(now - (sentAt[all.readUInt16BE(at + 2)] ?? now));
    }
    partial = all.subarray(at);
    lastAckAt = now;
    return at / 4;
  };

  return {
    run(until) {
      return new Promise((resolve) => {
        let finished = false;
        socket.once('close', () => {
          if (!finished) totals.closed += 1;
          resolve();
        });
        socket.on('data', (bytes: Buffer) => {
          const count = readAcks(bytes);
          acknowledged += count;
          totals.acknowledged += count;
          if (performance.now() < until) publish(count);
          if (acknowledged === sequence) {
            finished = true;
            socket.end(mqttPacket.generate({ cmd: 'disconnect' }));
            resolve();
          }
        });
        publish(options.window);
      });
    },
  };
}

async function main(): Promise<SwarmResult> {
  const { [options.payload.export]: build } = (await import(options.payload.module)) as Record<string, BuildPayload>;
  if (!build) throw new Error(`${options.payload.module} exports no ${options.payload.export}`);
  if (options.devices.length < options.connections) throw new Error('there are fewer devices than connections');
  const devices = options.devices.slice(0, options.connections);
  const publishers = (await Promise.all(devices.map((device, index) => logIn(device, index, build)))).flatMap(
    (publisher) => publisher ?? [],
  );
  if (publishers.length === 0) throw new Error('no connection was accepted');
  const startedAt = performance.now();
  const until = options.durationMs === undefined ? Number.POSITIVE_INFINITY : startedAt + options.durationMs;
  await Promise.all(publishers.map((publisher) => publisher.run(until)));
  const seconds = Math.max(lastAckAt - startedAt, 0.001) / 1_000;
  return {
    ...totals,
    closed: options.connections - publishers.length + totals.closed,
    seconds,
    perSecond: totals.acknowledged / seconds,
    latencyMs: {
      p50: latency.quantile(0.5),
      p95: latency.quantile(0.95),
      p99: latency.quantile(0.99),
      max: latency.max(),
    },
  };
}

parentPort?.postMessage(await main());
