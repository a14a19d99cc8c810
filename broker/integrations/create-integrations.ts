/**
 * Integrations: programs of a tenant that read what its devices send, over MQTT 3.1.1 with wildcards, sessions that
 * outlive connections, and QoS 2. They come in by the same listeners as devices; their user name `{tenant}/{name}` tells
 * them apart. What devices publish is copied to them after it is durable, and never waits for them.
 */
import { randomUUID } from 'node:crypto';
import mqttPacket, { type IConnectPacket, type Packet } from 'mqtt-packet';
import { AppError, type ErrorCode, errorText } from '../../contract/kernel/errors.ts';
import { type IntegrationRef, userNameOf } from '../../contract/kernel/ids.ts';
import type { IntegrationDirectory } from '../../contract/ports/broker.ts';
import type { Metrics } from '../../contract/ports/services.ts';
import { asAppError } from '../aedes-errors.ts';
import { type Bucket, newBucket, tryBook } from '../bucket.ts';
import type { Connection } from '../connection.ts';
import type { DoorLog } from '../door-log.ts';
import type { PacketParser } from '../guard-parser.ts';
import type { GuessLimit } from '../guess-limit.ts';
import { type Refused, refuse } from '../login.ts';
import { createRetainedStore, type RetainedStore } from '../retained-store.ts';
import { createLink, type IntegrationLink, type LinkEvents, willOf } from './link.ts';
import type { IntegrationOptions } from './options.ts';
import { judgeIntegrationLogin } from './rules.ts';
import { createSession, type Qos, type Session, type SharedMemory } from './session.ts';
import { createTenantSpace, replaysOf, type TenantSpace } from './tenant-space.ts';

interface Needs {
  /** Absent = there are no integrations. */
  readonly directory: IntegrationDirectory | undefined;
  /** What devices retain. */
  readonly retained: RetainedStore;
  readonly door: DoorLog;
  readonly metrics: Metrics;
  readonly guesses: GuessLimit;
}

/** A connection that Aedes has let go. */
export interface Diverted {
  readonly connection: Connection;
  readonly parser: PacketParser;
  readonly connect: IConnectPacket;
}

export interface Integrations {
  start(): void;
  /** No login and no last will from here on. */
  stop(): void;
  /** Whether a CONNECT is an integration's to answer. */
  claims(connect: Pick<IConnectPacket, 'username' | 'protocolVersion'>): boolean;
  serve(diverted: Diverted): void;
  /** A device's publish, once it is durable. */
  offer(tenant: string, topic: string, payload: Uint8Array | string, qos: Qos): void;
  /** Forgets the sessions of an integration. Its connections are the broker's to close. */
  forget(ref: IntegrationRef): void;
  stats(): {
    readonly connected: number;
    readonly sessions: number;
    readonly waiting: number;
    readonly dropped: number;
  };
}

/** A session with its owner. */
interface Client {
  readonly key: string;
  readonly user: string;
  readonly space: TenantSpace;
  readonly session: Session;
  /** The session ends with its connection. */
  readonly isClean: boolean;
  connection: Connection | undefined;
  /** Monotonic ms at which a session without a connection is forgotten. */
  expiresAt: number;
}

const SWEEP_INTERVAL_MS = 1_000;
const ACCEPTED = 0;

export function createIntegrations(
  { directory, retained, door, metrics, guesses }: Needs,
  limits: IntegrationOptions,
): Integrations {
  /** by tenant; only tenants whose integrations came */
  const spaces = new Map<string, TenantSpace>();
  /** by user name and client id */
  const clients = new Map<string, Client>();
  /** by user name; only of those whose secret was right once */
  const logins = new Map<string, Bucket>();
  const memory: SharedMemory = { usedBytes: 0, maxBytes: limits.maxQueuedBytesInAll };
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;
  let dropped = 0;
  let unreportedDrops = 0;

  const onDropped = (): void => {
    dropped += 1;
    unreportedDrops += 1;
  };

  function report(): void {
    metrics.gauge('presage_mqtt_integrations', 'Integrations that are connected', connected());
    if (unreportedDrops === 0) return;
    const help = 'Messages that an integration was too slow or too long away for';
    metrics.count('presage_mqtt_integration_dropped_total', help, {}, unreportedDrops);
    unreportedDrops = 0;
  }

  const connected = (): number => [...clients.values()].filter((client) => client.connection).length;

  function spaceOf(tenant: string): TenantSpace {
    const known = spaces.get(tenant);
    if (known) return known;
    const own = { maxMessages: limits.maxRetainedPerTenant, maxBytes: limits.maxRetainedBytesPerTenant };
    const made = createTenantSpace(tenant, createRetainedStore(own, onDropped));
    spaces.set(tenant, made);
    return made;
  }

  function forget(client: Client): void {
    client.session.end();
    client.space.sessions.delete(client.session);
    client.space.changed();
    if (clients.get(client.key) === client) clients.delete(client.key);
  }

  function sweep(): void {
    const now = performance.now();
    for (const client of clients.values()) if (!client.connection && client.expiresAt <= now) forget(client);
    report();
  }

  /** Only who has the secret is counted, as with devices. */
  function mayLogIn(user: string): boolean {
    const bucket = logins.get(user) ?? newBucket();
    logins.set(user, bucket);
    return tryBook(bucket, limits.loginPace, performance.now());
  }

  /** Why there is no room for one more session. */
  function fullFor(user: string): string | undefined {
    if (clients.size >= limits.maxSessions) return `${clients.size} sessions`;
    const own = [...clients.values()].filter((client) => client.user === user).length;
    return own >= limits.maxSessionsPerIntegration ? `${own} sessions of this integration` : undefined;
  }

  /** The client that a connection speaks for: one that was there, or a new one. Takes over from who had it. */
  function enter(
    ref: IntegrationRef,
    clientId: string,
    isClean: boolean,
  ): { client: Client; present: boolean } | string {
    const user = userNameOf(ref);
    const key = `${user} ${clientId}`;
    const before = clients.get(key);
    const previous = before?.connection;
    if (before) leave(before, previous);
    if (previous) previous.ended = true;
    previous?.stream.destroy();
    const kept = clients.get(key);
    if (kept && !isClean) return { client: kept, present: true };
    if (kept) forget(kept);
    const full = fullFor(user);
    if (full) return full;
    const space = spaceOf(ref.tenant);
    const session = createSession(limits, memory, onDropped);
    const client = { key, user, space, session, isClean, connection: undefined, expiresAt: 0 };
    clients.set(key, client);
    space.sessions.add(session);
    return { client, present: false };
  }

  function leave(client: Client, connection: Connection | undefined): void {
    if (!connection || client.connection !== connection) return;
    client.connection = undefined;
    client.session.detach();
    if (client.isClean) forget(client);
    else client.expiresAt = performance.now() + limits.sessionExpiryMs;
  }

  async function judge({
    connection,
    connect,
  }: Diverted): Promise<{ ref: IntegrationRef; clientId: string } | Refused> {
    const verdict = judgeIntegrationLogin(connect, limits, connection.peer);
    if (verdict.kind === 'refused') return verdict;
    const attempt = guesses.attempt(
      connection.remoteAddress,
      userNameOf(verdict.ref),
      verdict.secret,
      performance.now(),
    );
    if (!attempt) return refuse('MQTT_WRONG_LOGINS', 'unavailable', 'its address was wrong too often');
    try {
      const admitted = directory && !stopping && (await directory.admits(verdict.ref, verdict.secret));
      if (admitted) attempt.right();
      else if (!stopping) attempt.wrong(performance.now());
      if (!admitted) return refuse('MQTT_CREDENTIALS', 'badCredentials', 'unknown, blocked, or the secret is wrong');
      if (!mayLogIn(userNameOf(verdict.ref))) return refuse('MQTT_RATE', 'unavailable', 'too many logins');
    } catch (error) {
      return refuse(asAppError(error).code, 'unavailable', `the directory failed: ${errorText(error)}`);
    }
    return { ref: verdict.ref, clientId: verdict.clientId || randomUUID() };
  }

  /** Logs in; resolves with the link, or with `undefined` when it came to nothing. */
  async function logIn(diverted: Diverted): Promise<IntegrationLink | undefined> {
    const { connection, connect } = diverted;
    const judged = await judge(diverted);
    if (connection.stream.destroyed) return undefined;
    if ('kind' in judged) return turnAway(connection, judged);
    const entered = enter(judged.ref, judged.clientId, connect.clean === true);
    if (typeof entered === 'string')
      return turnAway(connection, refuse('MQTT_CONNECTION_LIMIT', 'unavailable', entered));
    const { client, present } = entered;
    client.connection = connection;
    let will = willOf(connect);
    const events = eventsOf(client, judged.ref.tenant, connection, () => {
      will = undefined;
    });
    const { session } = client;
    const link = createLink(connection.stream, { tenant: judged.ref.tenant, session }, limits, events);
    connection.stream.once('close', () => {
      link.close();
      leave(client, connection);
      if (will && !stopping) events.published(will);
    });
    link.send({ cmd: 'connack', returnCode: ACCEPTED, sessionPresent: present });
    connection.loggedIn = true;
    connection.onLogin?.();
    session.attach(link);
    return link;
  }

  function turnAway(connection: Connection, refused: Refused): undefined {
    door.refuse(connection, refused.reason, refused.detail);
    const connack: Packet = { cmd: 'connack', returnCode: refused.returnCode, sessionPresent: false };
    connection.stream.end(mqttPacket.generate(connack), () => connection.stream.destroy());
    return undefined;
  }

  function eventsOf(client: Client, tenant: string, connection: Connection, farewell: () => void): LinkEvents {
    const { space } = client;
    return {
      farewell,
      published({ topic, payload, qos, retain }) {
        if (retain && space.retained.store({ topic, payload, qos }) === 'noRoom') onDropped();
        space.route(topic, payload, qos);
      },
      subscribed: () => space.changed(),
      replays: (filter) => replaysOf([retained, space.retained], tenant, filter),
      denied: (filter) =>
        door.deny(connection, 'MQTT_SUBSCRIPTION', `subscribe to ${JSON.stringify(filter.slice(0, 128))}`),
      stuck: () => end(connection, 'MQTT_NOT_READING', `took nothing for ${limits.drainTimeoutMs} ms`),
    };
  }

  function end(connection: Connection, reason: ErrorCode, detail: string): void {
    door.refuse(connection, reason, detail);
    connection.stream.destroy();
  }

  function serve(diverted: Diverted): void {
    const { connection, parser, connect } = diverted;
    connection.integration = (connect.username ?? '').slice(0, 64);
    const reader = createReader(connection, parser, connect.keepalive ?? 0);
    logIn(diverted)
      .then((link) => link && reader.open(link))
      .catch((error: unknown) => end(connection, asAppError(error).code, errorText(error)));
  }

  return {
    serve,
    start() {
      timer = setInterval(sweep, SWEEP_INTERVAL_MS).unref();
    },
    stop() {
      stopping = true;
      clearInterval(timer);
      report();
    },
    // Without a directory too: a user name with a slash is never a device's.
    claims: ({ username, protocolVersion }) =>
      username?.includes('/') === true && (protocolVersion === 3 || protocolVersion === 4),
    offer: (tenant, topic, payload, qos) => spaces.get(tenant)?.route(topic, payload, qos),
    forget(ref) {
      for (const client of clients.values()) if (client.user === userNameOf(ref)) forget(client);
    },
    stats: () => ({
      connected: connected(),
      sessions: clients.size,
      waiting: [...clients.values()].reduce((sum, client) => sum + client.session.waiting(), 0),
      dropped,
    }),
  };
}

/**
 * Reads packets from a connection and gives them to its link: one read at a time, and the next only when the client may
 * publish again, so that TCP slows it down. What comes before the login is decided waits; it is one read at most.
 */
function createReader(connection: Connection, parser: PacketParser, keepaliveS: number) {
  const { stream, gate } = connection;
  if (!gate) throw new AppError('INTERNAL', 'a connection without a gate');
  const early: Packet[] = [];
  let link: IntegrationLink | undefined;
  let waits: NodeJS.Timeout | undefined;
  let closed = false;
  // 3.1.2.10: one and a half times; 0 = the client does not want it.
  const silence = keepaliveS > 0 ? setTimeout(() => stream.destroy(), keepaliveS * 1_500) : undefined;

  gate.divert((packet) => {
    silence?.refresh();
    if (link) link.take(packet);
    else early.push(packet);
  });

  function read(): void {
    while (link && !waits && !closed) {
      const bytes: Buffer | null = stream.read();
      if (bytes === null) return;
      parser.parse(bytes);
      const owedMs = link.owedMs();
      if (owedMs > 0) {
        waits = setTimeout(() => {
          waits = undefined;
          read();
        }, owedMs);
      }
    }
  }

  stream.on('readable', read);
  stream.once('close', () => {
    closed = true;
    clearTimeout(silence);
    clearTimeout(waits);
  });
  return {
    open(to: IntegrationLink): void {
      link = to;
      for (const packet of early.splice(0)) if (!stream.destroyed) to.take(packet);
      read();
    },
  };
}
