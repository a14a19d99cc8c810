/** An MQTT 3.1.1 client on a real socket that answers as it should, and can be told not to. */
import { once } from 'node:events';
import { connect } from 'node:net';
import mqttPacket, { type IConnackPacket, type IConnectPacket, type IPublishPacket, type Packet } from 'mqtt-packet';
import { type IntegrationRef, userNameOf } from '../../contract/kernel/ids.ts';
import { integrationSecretOf } from './broker-harness.ts';

const PATIENCE_MS = 10_000;

export type Qos = 0 | 1 | 2;

export interface Received {
  readonly topic: string;
  readonly payload: string;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly dup: boolean;
}

export interface MqttClient {
  readonly connack: IConnackPacket | 'closed';
  readonly messages: Received[];
  isClosed(): boolean;
  closed(): Promise<void>;
  /** The granted QoS of each filter; 128 = refused. */
  subscribe(...filters: (readonly [filter: string, qos: Qos])[]): Promise<readonly number[]>;
  unsubscribe(...filters: string[]): Promise<void>;
  /** Resolves when the whole exchange is done; rejects when the connection closes first. */
  publish(topic: string, payload: string | Buffer, qos: Qos, options?: { retain?: boolean }): Promise<void>;
  ping(): Promise<void>;
  send(packet: Packet | Buffer): void;
  /** From here on nothing that comes is answered. */
  stopAnswering(): void;
  /** From here on nothing is read. */
  freeze(): void;
  disconnect(): Promise<void>;
  /** Ends without goodbye. */
  cut(): void;
}

/** A CONNECT of an integration, with what is given changed. */
export function integrationConnect(ref: IntegrationRef, changes: Partial<IConnectPacket> = {}): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: 'one',
    username: userNameOf(ref),
    password: Buffer.from(integrationSecretOf(ref)),
    clean: true,
    keepalive: 60,
    ...changes,
  };
}

/** A CONNECT without a client id for a session that is kept: `mqtt-packet` refuses to write one. */
export function namelessConnect(packet: IConnectPacket): Buffer {
  const bytes = mqttPacket.generate({ ...packet, clientId: '', clean: true });
  const flagsAt = bytes.indexOf('MQTT') + 5;
  bytes.writeUInt8(bytes.readUInt8(flagsAt) & ~0b10, flagsAt);
  return bytes;
}

/** Connects, and resolves with the answer or the end. */
export async function connectClient(port: number, packet: IConnectPacket | Buffer): Promise<MqttClient> {
  const socket = connect(port, '127.0.0.1');
  const parser = mqttPacket.parser({ protocolVersion: 4 });
  const messages: Received[] = [];
  /** Answers by command and packet id, each taken once. */
  const answers: Packet[] = [];
  let answering = true;
  let closed = false;
  let nextId = 1;
  /** Called when something came. */
  const watchers = new Set<() => void>();

  async function until(what: string, holds: () => boolean): Promise<void> {
    const limit = performance.now() + PATIENCE_MS;
    while (!holds()) {
      if (performance.now() > limit) throw new Error(`waited ${PATIENCE_MS} ms in vain for ${what}`);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          watchers.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, PATIENCE_MS);
        watchers.add(wake);
      });
    }
  }

  const wakeAll = (): void => {
    for (const wake of [...watchers]) wake();
  };

  const send = (one: Packet | Buffer): void => {
    if (!socket.destroyed) socket.write(Buffer.isBuffer(one) ? one : mqttPacket.generate(one));
  };

  function takePublish({ topic, payload, qos, retain, dup, messageId = 0 }: IPublishPacket): void {
    if (!answering) return;
    messages.push({ topic, payload: payload.toString(), qos, retain, dup });
    if (qos === 1) send({ cmd: 'puback', messageId });
    if (qos === 2) send({ cmd: 'pubrec', messageId });
  }

  parser.on('packet', (one: Packet) => {
    if (one.cmd === 'publish') takePublish(one);
    else if (one.cmd === 'pubrel') answering && send({ cmd: 'pubcomp', messageId: one.messageId ?? 0 });
    else answers.push(one);
    wakeAll();
  });
  socket.on('data', (bytes) => parser.parse(bytes));
  socket.on('error', () => {}); // Closed is what the tests ask about.
  socket.on('close', () => {
    closed = true;
    wakeAll();
  });

  async function answer(cmd: Packet['cmd'], messageId?: number): Promise<Packet> {
    const isIt = (one: Packet): boolean => one.cmd === cmd && (messageId === undefined || one.messageId === messageId);
    await until(cmd, () => closed || answers.some(isIt));
    const at = answers.findIndex(isIt);
    const [found] = at < 0 ? [] : answers.splice(at, 1);
    if (!found) throw new Error(`closed before ${cmd}`);
    return found;
  }

  await once(socket, 'connect');
  send(packet);
  const connack = await answer('connack').catch(() => 'closed' as const);
  return {
    connack: connack as IConnackPacket | 'closed',
    messages,
    isClosed: () => closed,
    closed: () => until('the end of the connection', () => closed),
    send,
    async subscribe(...filters) {
      const messageId = nextId++;
      send({ cmd: 'subscribe', messageId, subscriptions: filters.map(([topic, qos]) => ({ topic, qos })) });
      return ((await answer('suback', messageId)) as { granted: number[] }).granted;
    },
    async unsubscribe(...unsubscriptions) {
      const messageId = nextId++;
      send({ cmd: 'unsubscribe', messageId, unsubscriptions });
      await answer('unsuback', messageId);
    },
    async publish(topic, payload, qos, { retain = false } = {}) {
      const messageId = nextId++;
      send({ cmd: 'publish', topic, payload, qos, retain, dup: false, ...(qos > 0 && { messageId }) });
      if (qos === 1) await answer('puback', messageId);
      if (qos !== 2) return;
      await answer('pubrec', messageId);
      send({ cmd: 'pubrel', messageId });
      await answer('pubcomp', messageId);
    },
    async ping() {
      send({ cmd: 'pingreq' });
      await answer('pingresp');
    },
    stopAnswering() {
      answering = false;
    },
    freeze: () => void socket.pause(),
    async disconnect() {
      send({ cmd: 'disconnect' });
      await until('the end of the connection', () => closed);
    },
    cut: () => void socket.destroy(),
  };
}
