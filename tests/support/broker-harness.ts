/** A broker with everything around it faked, and peers that speak MQTT packets to it through streams in memory. */
import { type Duplex, duplexPair } from 'node:stream';
import mqttPacket, { type IConnectPacket, type Packet } from 'mqtt-packet';
import { type Broker, createBroker } from '../../broker/create-broker.ts';
import type { BrokerOptions } from '../../broker/options.ts';
import { clientIdOf, type DeviceRef, type IntegrationRef, userNameOf } from '../../contract/kernel/ids.ts';
import type {
  DeliverPublish,
  DeviceDirectory,
  InboundPublish,
  IntegrationDirectory,
  RegisteredDevice,
} from '../../contract/ports/broker.ts';
import type { Labels, Logger, Metrics } from '../../contract/ports/services.ts';

/** How long a peer waits for what must come. */
const PATIENCE_MS = 5_000;

export const FRIDGE: DeviceRef = { tenant: 'acme', device: 'fridge-1' };
export const OTHER: DeviceRef = { tenant: 'acme', device: 'fridge-2' };
export const STRANGER: DeviceRef = { tenant: 'umbrella', device: 'fridge-1' };

export const secretOf = (ref: DeviceRef): string => `secret of ${clientIdOf(ref)}`;

/** Knows the given devices; secrets as `secretOf` says. */
export function fakeDirectory(devices: readonly DeviceRef[] = [FRIDGE, OTHER, STRANGER]) {
  const known = new Map(devices.map((ref) => [clientIdOf(ref), registered(ref)]));
  const directory: DeviceDirectory = {
    authenticate: async (ref, secret) => (secret === secretOf(ref) ? known.get(clientIdOf(ref)) : undefined),
    identify: async (ref) => known.get(clientIdOf(ref)),
    peek: (ref) => known.get(clientIdOf(ref)),
    declare: () => {},
  };
  return directory;
}

export const ERP: IntegrationRef = { tenant: 'acme', integration: 'erp' };
export const DASHBOARD: IntegrationRef = { tenant: 'acme', integration: 'dashboard' };
/** Of another tenant. */
export const SPY: IntegrationRef = { tenant: 'umbrella', integration: 'erp' };

export const integrationSecretOf = (ref: IntegrationRef): string => `secret of ${userNameOf(ref)}`;

/** Knows the given integrations; secrets as `integrationSecretOf` says. */
export function fakeIntegrations(known: readonly IntegrationRef[] = [ERP, DASHBOARD, SPY]): IntegrationDirectory {
  const users = new Set(known.map(userNameOf));
  return { admits: async (ref, secret) => users.has(userNameOf(ref)) && secret === integrationSecretOf(ref) };
}

function registered(ref: DeviceRef): RegisteredDevice {
  return { ...ref, model: 'refrigerator', declaredSignals: new Map() };
}

/** Metrics that can be read back: `value('presage_mqtt_refused_total', { reason: 'MQTT_WILL' })`. */
export function recordingMetrics() {
  const values = new Map<string, number>();
  const key = (name: string, labels: Labels = {}): string => `${name}${JSON.stringify(labels)}`;
  const metrics: Metrics = {
    count: (name, _help, labels, by = 1) =>
      void values.set(key(name, labels), (values.get(key(name, labels)) ?? 0) + by),
    gauge: (name, _help, value, labels) => void values.set(key(name, labels), value),
  };
  return { metrics, value: (name: string, labels?: Labels): number => values.get(key(name, labels)) ?? 0 };
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [fact: string]: unknown;
}

export function recordingLogger() {
  const lines: LogLine[] = [];
  const at = (level: string) => (facts: object, message: string) => void lines.push({ ...facts, level, message });
  const logger: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  return { logger, lines };
}

export interface HarnessParts {
  readonly directory?: Pick<DeviceDirectory, 'authenticate' | 'identify' | 'peek'>;
  readonly integrations?: IntegrationDirectory;
  readonly deliver?: DeliverPublish;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
}

/** For tests that are not about rates: one device may send thousands of messages. */
const UNHURRIED = {
  deviceMessagesPerS: 1_000_000,
  deviceMessagesBurst: 1_000_000,
  tenantMessagesPerS: 1_000_000,
  loginsPerMinute: 1_000_000,
  wrongLoginsPerMinute: 1_000_000,
  controlPacketsPerS: 1_000_000,
  controlPacketsBurst: 1_000_000,
};

/** A started broker on a free port. What is delivered is kept in `delivered` and acknowledged, unless `deliver` is given. */
export async function startBroker(options: Partial<BrokerOptions> = {}, parts: HarnessParts = {}) {
  const delivered: InboundPublish[] = [];
  const recorded = recordingMetrics();
  const log = recordingLogger();
  const clock = { now: () => 1_795_392_000_000 };
  const broker = createBroker(
    {
      directory: parts.directory ?? fakeDirectory(),
      integrations: parts.integrations ?? fakeIntegrations(),
      deliver:
        parts.deliver ??
        ((publish, done) => {
          delivered.push(publish);
          setImmediate(done, undefined);
        }),
      clock,
      logger: parts.logger ?? log.logger,
      metrics: parts.metrics ?? recorded.metrics,
    },
    { port: 0, ...UNHURRIED, ...options },
  );
  await broker.start();
  return { broker, delivered, metric: recorded.value, lines: log.lines, port: broker.ports().mqtt ?? 0 };
}

/** The other end of a connection: sends packets or raw bytes, and receives packets. */
export interface Peer {
  send(...packets: (Packet | Buffer)[]): void;
  /** The next packet, or `closed`. */
  next(): Promise<Packet | 'closed'>;
  /** Resolves once the broker has closed the connection. */
  closed(): Promise<void>;
  isClosed(): boolean;
  /** Packets that came and were not asked for yet. */
  waiting(): readonly Packet[];
  /** Breaks the connection without DISCONNECT. */
  cut(): void;
  readonly stream: Duplex;
}

/** @param stream a socket, or one end of a pair in memory whose other end the broker has accepted */
export function peerOn(stream: Duplex): Peer {
  const parser = mqttPacket.parser({ protocolVersion: 4 });
  const packets: Packet[] = [];
  let closed = false;
  let wake = (): void => {};
  parser.on('packet', (packet) => {
    packets.push(packet);
    wake();
  });
  stream.on('data', (bytes: Buffer) => parser.parse(bytes));
  stream.on('error', () => {}); // A connection that is reset is closed, which is what the tests ask about.
  for (const event of ['close', 'end']) {
    stream.on(event, () => {
      closed = true;
      wake();
    });
  }
  const until = async <Value>(what: string, probe: () => Value | undefined | false): Promise<Value> => {
    const limit = setTimeout(() => wake(), PATIENCE_MS + 10);
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const value = probe();
      if (value !== undefined && value !== false) {
        clearTimeout(limit);
        return value;
      }
      if (performance.now() >= giveUpAt) throw new Error(`waited ${PATIENCE_MS} ms in vain for ${what}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return {
    send(...all) {
      for (const one of all) if (!stream.destroyed) stream.write(Buffer.isBuffer(one) ? one : mqttPacket.generate(one));
    },
    next: () => until<Packet | 'closed'>('a packet', () => packets.shift() ?? (closed && 'closed')),
    closed: async () => void (await until('the connection to close', () => closed)),
    isClosed: () => closed,
    waiting: () => packets,
    cut: () => stream.destroy(),
    stream,
  };
}

/** Two ends of a byte stream in memory; as with a socket, an end that is destroyed takes the other with it. */
function streamPair(): [Duplex, Duplex] {
  const [one, other] = duplexPair({ allowHalfOpen: false });
  one.once('close', () => other.destroy());
  other.once('close', () => one.destroy());
  return [one, other];
}

/** A peer whose bytes the broker has just accepted; nothing is sent yet. */
export function openPeer(broker: Broker, remoteAddress = 'memory'): Peer {
  const [ours, theirs] = streamPair();
  broker.accept(theirs, remoteAddress);
  return peerOn(ours);
}

/** A CONNECT with everything right, and what is given changed. */
export function connectPacket(ref: DeviceRef, changes: Partial<IConnectPacket> = {}): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: clientIdOf(ref),
    username: clientIdOf(ref),
    password: Buffer.from(secretOf(ref)),
    clean: true,
    keepalive: 60,
    ...changes,
  };
}

/** A peer that is logged in. */
export async function logIn(
  broker: Broker,
  ref: DeviceRef,
  changes: Partial<IConnectPacket> = {},
  remoteAddress = 'memory',
): Promise<Peer> {
  const peer = openPeer(broker, remoteAddress);
  peer.send(connectPacket(ref, changes));
  const answer = await peer.next();
  if (answer === 'closed' || answer.cmd !== 'connack' || answer.returnCode !== 0) {
    throw new Error(`not logged in: ${JSON.stringify(answer)}`);
  }
  return peer;
}

export function publishPacket(
  topic: string,
  payload: string | Buffer,
  options: { qos?: 0 | 1 | 2; retain?: boolean; messageId?: number } = {},
): Packet {
  const { qos = 1, retain = false, messageId = 7 } = options;
  return { cmd: 'publish', topic, payload, qos, retain, dup: false, ...(qos > 0 && { messageId }) };
}

export function subscribePacket(...topics: string[]): Packet {
  return { cmd: 'subscribe', messageId: 9, subscriptions: topics.map((topic) => ({ topic, qos: 1 })) };
}
