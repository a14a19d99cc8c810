/**
 * The MQTT door: Aedes with our identity, topic, size and session rules in front of it. A publish is acknowledged only
 * after `deliver` called back without an error, because `authorizePublish` is the one hook of Aedes that runs before
 * the PUBACK. Rules are pure (`login.ts`, `topic-rules.ts`); this file joins them with Aedes.
 */
import type { Duplex } from 'node:stream';
import { Aedes, type Client } from 'aedes';
import type { IConnectPacket, Packet } from 'mqtt-packet';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef, type IntegrationRef, userNameOf } from '../contract/kernel/ids.ts';
import type { DeliverPublish, DeviceDirectory, IntegrationDirectory } from '../contract/ports/broker.ts';
import type { Clock, Logger, Metrics, Service } from '../contract/ports/services.ts';
import { asAppError, reasonOf, refusalOf } from './aedes-errors.ts';
import { tryBook } from './bucket.ts';
import { closeStreams } from './close-streams.ts';
import type { Connection } from './connection.ts';
import { createDoorLog } from './door-log.ts';
import { createDownlink, type PublishTo } from './downlink.ts';
import { createEntrance } from './entrance.ts';
import { guardParser, type PacketParser } from './guard-parser.ts';
import { createGuessLimit } from './guess-limit.ts';
import { inspectPacket } from './inspect-packet.ts';
import { createIntegrations, type Integrations } from './integrations/create-integrations.ts';
import { DEFAULT_INTEGRATION_OPTIONS } from './integrations/options.ts';
import { createDeviceLimits } from './limits.ts';
import type { Door, Handover, Listener } from './listener.ts';
import { type ConnectFields, judgeLogin, type Refused, refuse } from './login.ts';
import { unbreakableLogger, unbreakableMetrics } from './never-throw.ts';
import { type BrokerOptions, DEFAULT_BROKER_OPTIONS } from './options.ts';
import { createPacer } from './pacer.ts';
import { type ConnectionInfo, createPresence, type PresenceListener } from './presence.ts';
import { createRetainedStore } from './retained-store.ts';
import { createSecretCheck } from './secret-check.ts';
import { createSessionlessPersistence } from './sessionless-persistence.ts';
import { createTcpListener } from './tcp-listener.ts';
import { createTlsListener } from './tls-listener.ts';
import { createTopicBus } from './topic-bus.ts';
import { createTraffic } from './traffic.ts';
import { createUplink } from './uplink.ts';
import { createWatch, type SecurityListener } from './watch.ts';
import { createWebSocketListener } from './websocket-listener.ts';

export interface BrokerNeeds {
  readonly directory: Pick<DeviceDirectory, 'authenticate' | 'identify' | 'peek'>;
  /** Who may read along; absent = no integration gets in. */
  readonly integrations?: IntegrationDirectory;
  /** Calls back when the publish is durable. An error closes the connection without a PUBACK: the device resends. */
  readonly deliver: DeliverPublish;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface BrokerStats {
  /** Devices that are logged in. */
  readonly connections: number;
  /** Open streams, logged in or not. */
  readonly streams: number;
  /** Publishes that were allowed and handed on. */
  readonly received: number;
  /** Of these, handed on and not called back yet. */
  readonly inFlight: number;
  readonly refused: number;
  readonly retainStripped: number;
  readonly retained: number;
  readonly retainedBytes: number;
  readonly takeovers: number;
  /** Publishes that had to wait because of a limit. */
  readonly throttled: number;
  readonly logLinesSuppressed: number;
  readonly integrations: ReturnType<Integrations['stats']>;
}

export interface Broker extends Service {
  /** Port of each listener, by its name. */
  ports(): Readonly<Record<string, number>>;
  stats(): BrokerStats;
  /** Who is connected, since when and from where. */
  connections(): ConnectionInfo[];
  /** Tells of every device that comes or goes. Returns how to stop listening. */
  onPresence(listener: PresenceListener): () => void;
  /** Tells of what speaks of an attack. The listener must return at once. Returns how to stop listening. */
  onSecurityEvent(listener: SecurityListener): () => void;
  /** Closes every connection of a device, also one that is logging in. Returns how many. */
  disconnect(ref: DeviceRef): number;
  /** Closes every connection of an integration, also one that is logging in, and forgets its sessions. Returns how many. */
  disconnectIntegration(ref: IntegrationRef): number;
  /**
   * Sends a message to a device with QoS 1 at most. Nothing waits for an absent device unless it is retained.
   * @throws AppError PAYLOAD_TOO_LARGE, or REQUEST_NOT_ALLOWED when the channel is never retained
   */
  publishTo: PublishTo;
  /** Reads the files of the TLS listener again now, not only when they are next looked at. Never fails: see the log. */
  reloadCertificates(): Promise<void>;
  /** Takes over a byte stream as a connection: what listeners do, and tests with streams in memory. */
  accept(stream: Duplex, remoteAddress: string): void;
}

/** How long `stop` lets peers take what was written before it cuts them off. */
const CLOSE_GRACE_MS = 500;

/** Private parts of Aedes' client that we use; guard-parser.ts checks that they are there. */
type ClientInternals = Client & { readonly _parser: PacketParser; readonly _nextBatch: () => void };

/** For limits: a wall clock that is set must not open or close the door. */
const monotonicMs = (): number => performance.now();

/** What a packet costs of the budget for control packets. */
function costOf(packet: Packet): number {
  if (packet.cmd === 'subscribe') return packet.subscriptions.length;
  return packet.cmd === 'unsubscribe' ? packet.unsubscriptions.length : 1;
}

/** Where devices come in. */
function createListeners(options: BrokerOptions, tools: { logger: Logger; metrics: Metrics }): readonly Listener[] {
  const listeners: Listener[] = [];
  if (options.plain !== false) listeners.push(createTcpListener(options));
  if (options.tls) listeners.push(createTlsListener(options.tls, options, tools));
  if (options.webSocket) listeners.push(createWebSocketListener(options.webSocket, options));
  return listeners;
}

export function createBroker(needs: BrokerNeeds, overrides: Partial<BrokerOptions> = {}): Broker {
  const { directory, deliver, clock } = needs;
  const logger = unbreakableLogger(needs.logger);
  const metrics = unbreakableMetrics(needs.metrics);
  const options: BrokerOptions = { ...DEFAULT_BROKER_OPTIONS, ...overrides };

  const watch = createWatch(clock, (error) =>
    logger.error({ error: errorText(error) }, 'a listener for security events threw'),
  );
  const door = createDoorLog({ clock, logger, metrics, watch }, options);
  const traffic = createTraffic(metrics);
  const presence = createPresence(clock, (error) =>
    logger.error({ error: errorText(error) }, 'a presence listener threw'),
  );
  const bus = createTopicBus();
  const retained = createRetainedStore(
    { maxMessages: options.maxRetained, maxBytes: options.maxRetainedBytes },
    traffic.retainedOverflow,
  );
  const listeners = createListeners(options, { logger, metrics });
  /** by listener name */
  const ports: Record<string, number> = {};
  const connectionOf = new WeakMap<Client, Connection>();
  const guesses = createGuessLimit(options, traffic.budgetForgotten);
  const integrations = createIntegrations(
    { directory: needs.integrations, retained, door, metrics, guesses },
    { ...DEFAULT_INTEGRATION_OPTIONS, drainTimeoutMs: options.drainTimeoutMs, ...options.integrations },
  );
  let stopping = false;
  let stopped: Promise<void> | undefined;

  const aedes = new Aedes({
    mq: bus,
    persistence: createSessionlessPersistence(retained),
    // Our own login timer also covers the time that the directory takes; Aedes' ends with the CONNECT.
    connectTimeout: options.loginTimeoutMs * 2,
    drainTimeout: options.drainTimeoutMs,
    maxClientsIdLength: 64,
    maxTopicLevels: 16,
    preConnect(client, packet, done) {
      safely(
        client,
        (error) => done(error, false),
        () => {
          const connection = known(client);
          if (integrations.claims(packet)) {
            divert(client as ClientInternals, connection, packet);
            return;
          }
          connection.gate?.hold();
          const verdict = judgeLogin(packet as ConnectFields, options, connection.peer);
          connection.verdict = verdict;
          connection.ref = verdict.kind === 'plausible' ? verdict.ref : undefined;
          // A refusal waits for `authenticate`: only there can a return code be given.
          done(null, true);
        },
      );
    },
    authenticate(client, _username, _password, done) {
      decideLogin(client)
        .catch((error: unknown) => refuse('INTERNAL', 'unavailable', errorText(error)))
        .then((refused) => done(refused ? refusalOf(refused) : null, refused === undefined))
        .catch((error: unknown) => client.conn.destroy(asAppError(error)));
    },
    authorizePublish(client, packet, done) {
      // No answer while stopping: what is under way is still acknowledged on this connection before it is closed, what
      // comes now is sent again later, and wills that our own stop sets off are no news of the devices.
      if (stopping) return;
      if (client) safely(client, done, () => uplink(known(client), packet, done));
      else done(new AppError('MQTT_TOPIC', 'published by nobody'));
    },
    authorizeSubscribe(client, subscription, done) {
      safely(client, done, () => {
        const connection = known(client);
        if (connection.rules?.downstream.has(subscription.topic)) return done(null, subscription);
        door.deny(connection, 'MQTT_SUBSCRIPTION', `subscribe to ${JSON.stringify(subscription.topic.slice(0, 128))}`);
        // Not an error, which would close the connection: null makes SUBACK 0x80 (MQTT 3.1.1, 3.9.3).
        done(null, null);
      });
    },
    authorizeForward(client, packet) {
      // The last line: whatever was subscribed, and however, a device is sent its own topics only.
      return connectionOf.get(client)?.rules?.downstream.has(packet.topic) ? packet : null;
    },
  });

  aedes.on('client', (client) =>
    safely(
      client,
      () => {},
      () => enter(known(client)),
    ),
  );
  aedes.on('connackSent', (packet, client) => {
    const connection = connectionOf.get(client);
    if (!connection || (packet as { returnCode?: number }).returnCode !== 0) return;
    connection.loggedIn = true;
    connection.onLogin?.();
  });
  // In a microtask: Aedes works off what came with the CONNECT right after it has emitted this.
  aedes.on('clientReady', (client) => queueMicrotask(() => connectionOf.get(client)?.gate?.release()));
  aedes.on('clientError', closedByError);
  aedes.on('connectionError', closedByError);
  // Without a listener an 'error' of Aedes would end the process.
  (aedes as NodeJS.EventEmitter).on('error', (error: unknown) =>
    logger.error({ error: errorText(error) }, 'the MQTT broker reported an error'),
  );

  const limits = createDeviceLimits(options, traffic.budgetForgotten);
  const checkSecret = createSecretCheck({ directory, limits, guesses, now: monotonicMs }, options);
  const entrance = createEntrance({ door, onClosed: leave }, options);
  const { end } = entrance;
  const controlPace = { perSecond: options.controlPacketsPerS, burst: options.controlPacketsBurst };
  const pacer = createPacer(limits, monotonicMs, { waits: traffic.throttled, floods: closeFlood });
  const uplink = createUplink({ directory, deliver, clock, door, traffic, pacer, readAlong: integrations.offer });
  const publishTo = createDownlink({ aedes, bus, presence, retained }, options);

  /** Aedes never gets an answer about an integration: it reads no further, and only closes with the stream. */
  function divert(client: ClientInternals, connection: Connection, connect: IConnectPacket): void {
    client.conn.removeListener('readable', client._nextBatch);
    integrations.serve({ connection, parser: client._parser, connect });
  }

  function known(client: Client): Connection {
    const connection = connectionOf.get(client);
    if (!connection) throw new AppError('INTERNAL', 'a client without a connection');
    return connection;
  }

  /** Runs a hook. A throw inside one would be an uncaught exception: it becomes the end of this connection instead. */
  function safely(client: Client, fail: (error: AppError) => void, hook: () => void): void {
    try {
      hook();
    } catch (error) {
      const failure = asAppError(error);
      const connection = connectionOf.get(client);
      if (connection) door.refuse(connection, failure.code, failure.message);
      fail(failure);
      connection?.stream.destroy();
    }
  }

  /** The refusal, or `undefined` when the connection may go on. */
  async function decideLogin(client: Client): Promise<Refused | undefined> {
    const connection = known(client);
    const { verdict } = connection;
    connection.verdict = undefined;
    const refused =
      verdict && !stopping
        ? await checkSecret(connection, verdict)
        : refuse('NOT_READY', 'unavailable', 'the broker is stopping');
    if (refused?.suspect) connection.suspect = { ref: refused.suspect };
    if (refused) door.refuse(connection, refused.reason, refused.detail);
    return refused;
  }

  /** Aedes registered the client: from here on it speaks for its device. */
  function enter(connection: Connection): void {
    if (!connection.ref || connection.stream.destroyed) return;
    const previous = presence.enter(connection, connection.ref);
    traffic.connected(presence.size());
    if (!previous) return;
    const sameAddress = previous.remoteAddress === connection.remoteAddress;
    traffic.takenOver(sameAddress);
    if (!sameAddress) reportMove(connection, connection.ref, previous.remoteAddress);
    // Aedes closes the one that it knows; this also holds when its table lost it.
    previous.ended = true;
    previous.stream.destroy();
  }

  function leave(connection: Connection): void {
    pacer.drop(connection);
    presence.leave(connection);
    traffic.connected(presence.size());
  }

  /** Phones and vehicles move; a machine that does is perhaps two. At most as often as a device may log in. */
  function reportMove(connection: Connection, ref: DeviceRef, previousAddress: string): void {
    const facts = { clientId: clientIdOf(ref), remoteAddress: connection.remoteAddress, previousAddress };
    logger.warn(facts, 'a device that was connected came from another address: it moved, or its secret is used twice');
    watch.moved(connection, previousAddress);
  }

  function closedByError(client: Client, error: Error): void {
    const connection = connectionOf.get(client);
    const reason = reasonOf(error);
    if (connection && reason) door.refuse(connection, reason, error.message);
  }

  function closeFlood(connection: Connection, overMs: number): void {
    const detail = `over ${options.deviceMessagesPerS} messages/s for ${Math.round(overMs / 1_000)} s`;
    end(connection, 'MQTT_RATE', detail);
  }

  /** Counts what is not a publish. Answers cannot be held back as with publishes, so too many end the connection. */
  function countControl(connection: Connection, packet: Packet): void {
    if (packet.cmd === 'publish' || packet.cmd === 'puback') return;
    // Of QoS 2, which only they have: as many as there are publishes.
    if (connection.integration !== undefined && packet.cmd.startsWith('pub')) return;
    if (tryBook(connection.controls, controlPace, monotonicMs(), costOf(packet))) return;
    throw new AppError('MQTT_RATE', `more than ${controlPace.perSecond} control packets or filters a second`);
  }

  function take(connection: Connection, stream: Duplex, { peer, onLogin }: Handover = {}): void {
    connection.stream = stream;
    connection.peer = peer;
    connection.onLogin = onLogin;
    const client = aedes.handle(stream) as ClientInternals;
    connectionOf.set(client, connection);
    connection.gate = guardParser(client._parser, {
      limitBytes: () => (connection.loggedIn ? options.maxPacketBytes : options.maxPacketBytesBeforeLogin),
      onOversize: (bytes) => end(connection, 'MQTT_PACKET_SIZE', `a packet of ${bytes} bytes`),
      onPacket(packet) {
        countControl(connection, packet);
        inspectPacket(packet);
      },
      onThrow: (error) => end(connection, error instanceof AppError ? error.code : 'MQTT_PROTOCOL', errorText(error)),
    });
  }

  function closeSerials(revoked: ReadonlySet<string>): number {
    const own = [...entrance.open()].filter((connection) => connection.peer && revoked.has(connection.peer.serial));
    for (const connection of own) end(connection, 'MQTT_CERTIFICATE', 'the certificate was revoked');
    return own.length;
  }

  function disconnect(ref: DeviceRef): number {
    const clientId = clientIdOf(ref);
    const own = [...entrance.open()].filter((connection) => connection.ref && clientIdOf(connection.ref) === clientId);
    for (const connection of own) connection.stream.destroy();
    return own.length;
  }

  function disconnectIntegration(ref: IntegrationRef): number {
    const own = [...entrance.open()].filter((connection) => connection.integration === userNameOf(ref));
    for (const connection of own) connection.stream.destroy();
    integrations.forget(ref);
    return own.length;
  }

  async function stop(): Promise<void> {
    for (const listener of listeners) listener.stop();
    stopping = true;
    entrance.close();
    integrations.stop();
    // What waits for its turn was not acknowledged and is sent again.
    for (const connection of entrance.open()) pacer.drop(connection);
    const left = await traffic.idle(options.stopTimeoutMs);
    if (left > 0) logger.warn({ unacknowledged: left }, 'stopped with publishes that were not acknowledged');
    await closeStreams(
      [...entrance.open()].map((connection) => connection.stream),
      CLOSE_GRACE_MS,
    );
    await new Promise<void>((resolve) => aedes.close(resolve));
    traffic.stop();
  }

  const forListeners: Door = {
    admit: entrance.admit,
    beginLogin: entrance.beginLogin,
    take,
    refuse: end,
    closeSerials,
  };

  function stopOnce(): Promise<void> {
    stopped ??= stop();
    return stopped;
  }

  return {
    async start() {
      traffic.start();
      integrations.start();
      await aedes.listen();
      try {
        for (const listener of listeners) ports[listener.name] = await listener.start(forListeners);
      } catch (error) {
        await stopOnce();
        throw error;
      }
    },
    stop: stopOnce,
    ports: () => ({ ...ports }),
    stats: () => ({
      connections: presence.size(),
      streams: entrance.size(),
      ...traffic.stats(),
      refused: door.stats().refused,
      logLinesSuppressed: door.stats().suppressed,
      retained: retained.size(),
      retainedBytes: retained.bytes(),
      integrations: integrations.stats(),
    }),
    connections: presence.connections,
    onPresence: presence.subscribe,
    onSecurityEvent: watch.subscribe,
    disconnect,
    disconnectIntegration,
    publishTo,
    async reloadCertificates() {
      for (const listener of listeners) await listener.reload?.();
    },
    accept(stream, remoteAddress) {
      const connection = entrance.admit(stream, remoteAddress);
      if (connection) take(connection, stream);
    },
  };
}
