/** A tiny real MQTT broker for tests of devices: it notes what it acknowledges, and can refuse, stall, break and restart. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes, type Client } from 'aedes';
import { parseTopic } from '../../contract/wire/topics.ts';

export interface ReceivedMessage {
  readonly device: string;
  readonly channel: string;
  readonly payload: unknown;
  readonly bytes: number;
  readonly retain: boolean;
}

export interface RecordingBrokerOptions {
  /** Password of every device; default: everyone may in. */
  readonly password?: string;
  /** Called for each publish that will be acknowledged. */
  readonly onReceived?: (message: ReceivedMessage) => void;
}

export interface RecordingBroker {
  readonly url: string;
  readonly port: number;
  /** Acknowledged publishes in order of arrival, repetitions included. */
  readonly received: ReceivedMessage[];
  /** While true no telemetry is acknowledged. */
  stalled: boolean;
  connections(): number;
  /** Breaks all connections without goodbye. */
  breakConnections(): void;
  /** Like kill -9: no goodbye, nothing remembered but `received`. */
  kill(): Promise<void>;
  /** Comes back on the same port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function startRecordingBroker(options: RecordingBrokerOptions = {}): Promise<RecordingBroker> {
  const received: ReceivedMessage[] = [];
  const state = { stalled: false };
  let running = await listen(await createAedes(received, state, options), 0);
  const port = running.port;
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    received,
    get stalled() {
      return state.stalled;
    },
    set stalled(value) {
      state.stalled = value;
    },
    connections: () => running.sockets.size,
    breakConnections: () => destroyAll(running.sockets),
    kill: () => running.close(),
    async restart() {
      running = await listen(await createAedes(received, state, options), port);
    },
    close: () => running.close(),
  };
}

async function createAedes(received: ReceivedMessage[], state: { stalled: boolean }, options: RecordingBrokerOptions) {
  const aedes = await Aedes.createBroker({ drainTimeout: 2_000, concurrency: 1_000 });
  aedes.authenticate = (_client: Client, _user, password, done) => {
    if (options.password === undefined || password?.toString() === options.password) done(null, true);
    else done(Object.assign(new Error('wrong password'), { returnCode: 4 as never }), false);
  };
  aedes.authorizePublish = (_client, packet, done) => {
    const topic = parseTopic(packet.topic);
    if (!topic) return done(new Error(`not a topic of the contract: ${packet.topic}`));
    if (state.stalled && topic.channel === 'telemetry') return; // Never acknowledged; the connection is cut later.
    const text = packet.payload.toString();
    const message = {
      device: topic.device,
      channel: topic.channel,
      payload: JSON.parse(text) as unknown,
      bytes: text.length,
      retain: packet.retain,
    };
    received.push(message);
    options.onReceived?.(message);
    done();
  };
  return aedes;
}

async function listen(aedes: Aedes, port: number) {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // Connections are cut on purpose here.
    aedes.handle(socket);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the broker has no port');
  let closed = false;
  return {
    port: address.port,
    sockets,
    async close(): Promise<void> {
      if (closed) return;
      closed = true;
      destroyAll(sockets);
      server.close();
      await once(server, 'close');
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
    },
  };
}

function destroyAll(sockets: ReadonlySet<Socket>): void {
  for (const socket of sockets) socket.destroy();
}
