/**
 * One device on real MQTT 3.1.1: birth, state with last will, telemetry over QoS 1. It keeps what is not acknowledged and,
 * after a reconnect, sends it again under the same boot and sequence, so that the server can tell a repetition from news.
 * MQTT.js' own store and reconnect are switched off: they resend without bound and in no order that we could state.
 */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import { clientIdOf, type DeviceRef } from '../contract/kernel/ids.ts';
import type { Random } from '../contract/kernel/random.ts';
import { DEFAULT_RETRY, type RetryPolicy, retryDelayMs } from '../contract/kernel/retry.ts';
import type { Clock, Logger, Service } from '../contract/ports/services.ts';
import { type BirthPayload, CONTRACT_VERSION, type StatePayload } from '../contract/wire/payloads.ts';
import { topicOf } from '../contract/wire/topics.ts';
import type { Network } from './network.ts';
import { createOutbox, type OutboxEntry } from './outbox.ts';
import type { OutgoingMessage } from './telemetry-batch.ts';

export interface DeviceClientDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Jitter of reconnects. */
  readonly random: Random;
  /** Mishaps on purpose; absent = none. */
  readonly network?: Network;
}

export interface DeviceClientConfig {
  /** `mqtt://host:port` or `mqtts://…`. */
  readonly brokerUrl: string;
  readonly ref: DeviceRef;
  readonly secret: string;
  readonly boot: string;
  readonly birth: Omit<BirthPayload, 'v' | 'boot' | 't'>;
}

export interface DeviceClientOptions {
  /** Messages sent and not acknowledged at once. */
  readonly maxInFlight: number;
  /** Messages kept in all, sent or not. */
  readonly maxPending: number;
  readonly keepaliveSeconds: number;
  readonly connectTimeoutMs: number;
  /** After how long a message that the simulated network lost is sent again. */
  readonly resendDelayMs: number;
  /** Give up when the first connection is not up by then; later breaks are retried for ever. */
  readonly firstConnectionMs: number;
  /** Refusals in a row (wrong password, unknown client) before giving up: a server that starts may refuse once. */
  readonly maxRefusals: number;
  readonly retry: RetryPolicy;
}

export const DEFAULT_DEVICE_CLIENT_OPTIONS: DeviceClientOptions = {
  maxInFlight: 4,
  maxPending: 8,
  keepaliveSeconds: 60,
  connectTimeoutMs: 10_000,
  resendDelayMs: 50,
  firstConnectionMs: 60_000,
  maxRefusals: 5,
  retry: { ...DEFAULT_RETRY, maxDelayMs: 5_000 },
};

export interface DeviceClientStats {
  /** Messages and samples handed in. */
  messages: number;
  samples: number;
  ackedMessages: number;
  ackedSamples: number;
  /** Publishes beyond the first of a message. */
  resent: number;
  reconnects: number;
  /** Connections that broke or never came up. */
  failedConnections: number;
  /** Mishaps made on purpose. */
  lost: number;
  duplicated: number;
  reordered: number;
  disconnected: number;
}

export interface DeviceClient extends Service {
  readonly ref: DeviceRef;
  hasRoom(): boolean;
  /** Takes a message into the outbox. @throws RangeError when it is full: ask `hasRoom` or await `room` before. */
  send(message: OutgoingMessage): void;
  /** Resolves when the outbox takes another message; rejects when the device gave up or was stopped. */
  room(): Promise<void>;
  /** Resolves when at most `maxPending` messages are not acknowledged (default 0); rejects as `room` does. */
  settled(maxPending?: number): Promise<void>;
  /** Highest message below which everything is acknowledged; `lastSampleAt` is its newest sample. */
  ackedThrough(): OutgoingMessage | undefined;
  /** Messages not acknowledged now. */
  pending(): number;
  stats(): Readonly<DeviceClientStats>;
}

interface Waiter {
  readonly ready: () => boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Only codes that say "you" and not "me": 1 protocol, 2 client id, 4 credentials, 5 not authorised (MQTT 3.1.1, 3.2.2.3). */
const REFUSALS: ReadonlySet<unknown> = new Set([1, 2, 4, 5]);
const STOP_GRACE_MS = 2_000;

/** Building opens nothing; `start` resolves once the first birth is acknowledged. */
export function createDeviceClient(
  deps: DeviceClientDeps,
  config: DeviceClientConfig,
  overrides: Partial<DeviceClientOptions> = {},
): DeviceClient {
  return new MqttDevice(deps, config, { ...DEFAULT_DEVICE_CLIENT_OPTIONS, ...overrides });
}

/** A class, not closures: two thousand devices share one set of functions. */
class MqttDevice implements DeviceClient {
  readonly ref: DeviceRef;
  private readonly deps: DeviceClientDeps;
  private readonly config: DeviceClientConfig;
  private readonly options: DeviceClientOptions;
  private readonly outbox;
  private readonly counts: DeviceClientStats = {
    messages: 0,
    samples: 0,
    ackedMessages: 0,
    ackedSamples: 0,
    resent: 0,
    reconnects: 0,
    failedConnections: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    disconnected: 0,
  };
  private waiters: Waiter[] = [];
  private client: MqttClient | undefined;
  private online = false;
  private born = false;
  private everOnline = false;
  private stopped = false;
  private failure: Error | undefined;
  private attempt = 0;
  private refusals = 0;
  private startedAt = 0;
  private lastError = 'no answer';
  private reconnectTimer: NodeJS.Timeout | undefined;
  private releaseTimer: NodeJS.Timeout | undefined;

  constructor(deps: DeviceClientDeps, config: DeviceClientConfig, options: DeviceClientOptions) {
    this.ref = config.ref;
    this.deps = deps;
    this.config = config;
    this.options = options;
    this.outbox = createOutbox(options.maxPending, options.maxInFlight);
  }

  async start(): Promise<void> {
    if (this.client || this.stopped) return;
    this.startedAt = this.deps.clock.now();
    this.connect();
    await this.until(() => this.born);
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    clearTimeout(this.reconnectTimer);
    clearTimeout(this.releaseTimer);
    this.rejectWaiters(new Error(`${clientIdOf(this.ref)} was stopped`));
    const client = this.client;
    this.client = undefined;
    if (!client) return;
    if (this.online)
      await sayGoodbye(client, topicOf(this.ref, 'state'), this.statePayload('offline', this.deps.clock.now()));
    this.online = false;
    discard(client);
  }

  hasRoom(): boolean {
    return this.outbox.hasRoom();
  }

  send(message: OutgoingMessage): void {
    this.outbox.add(message);
    this.counts.messages++;
    this.counts.samples += message.samples;
    this.pump();
  }

  room(): Promise<void> {
    return this.until(() => this.outbox.hasRoom());
  }

  settled(maxPending = 0): Promise<void> {
    return this.until(() => this.outbox.size <= maxPending);
  }

  ackedThrough(): OutgoingMessage | undefined {
    return this.outbox.ackedThrough();
  }

  pending(): number {
    return this.outbox.size;
  }

  stats(): Readonly<DeviceClientStats> {
    return this.counts;
  }

  private until(ready: () => boolean): Promise<void> {
    if (this.failure) return Promise.reject(this.failure);
    if (this.stopped) return Promise.reject(new Error(`${clientIdOf(this.ref)} was stopped`));
    if (ready()) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiters.push({ ready, resolve, reject }));
  }

  private wake(): void {
    if (this.waiters.length === 0) return;
    const waiting: Waiter[] = [];
    for (const waiter of this.waiters) {
      if (waiter.ready()) waiter.resolve();
      else waiting.push(waiter);
    }
    this.waiters = waiting;
  }

  private rejectWaiters(error: Error): void {
    for (const waiter of this.waiters) waiter.reject(error);
    this.waiters = [];
  }

  private connect(): void {
    const client = mqtt.connect(this.config.brokerUrl, this.connectOptions());
    this.client = client;
    client.on('connect', () => this.onConnected(client));
    client.on('error', (error) => this.onError(client, error));
    client.on('close', () => this.onClosed(client));
  }

  private connectOptions(): IClientOptions {
    const clientId = clientIdOf(this.ref);
    return {
      clientId,
      username: clientId,
      password: this.config.secret,
      protocolVersion: 4,
      clean: true,
      keepalive: this.options.keepaliveSeconds,
      reconnectPeriod: 0,
      connectTimeout: this.options.connectTimeoutMs,
      queueQoSZero: false,
      resubscribe: false,
      will: {
        topic: topicOf(this.ref, 'state'),
        payload: Buffer.from(this.statePayload('offline')),
        qos: 1,
        retain: true,
      },
    };
  }

  /** With a time it is said by the device itself: a last will cannot know when it is sent. */
  private statePayload(state: StatePayload['state'], at?: number): string {
    const payload: StatePayload = {
      v: CONTRACT_VERSION,
      boot: this.config.boot,
      state,
      ...(at === undefined ? {} : { t: at }),
    };
    return JSON.stringify(payload);
  }

  private onConnected(client: MqttClient): void {
    if (client !== this.client) return;
    if (this.everOnline) this.counts.reconnects++;
    this.everOnline = true;
    this.online = true;
    this.refusals = 0;
    client.publish(topicOf(this.ref, 'state'), this.statePayload('online'), { qos: 1, retain: true });
    if (this.born) this.pump();
    else this.announce(client);
  }

  /** Telemetry waits for the first birth's acknowledgement: only then does the server know signals beyond the catalogue. */
  private announce(client: MqttClient): void {
    const { boot, birth } = this.config;
    const payload: BirthPayload = { v: CONTRACT_VERSION, boot, t: this.deps.clock.now(), ...birth };
    client.publish(topicOf(this.ref, 'birth'), JSON.stringify(payload), { qos: 1, retain: true }, (error) => {
      if (error || client !== this.client) return; // The close that caused it leads to another try.
      this.born = true;
      this.attempt = 0;
      this.wake();
      this.pump();
    });
  }

  private onError(client: MqttClient, error: Error & { code?: unknown }): void {
    if (client !== this.client) return;
    this.lastError = errorText(error) || String(error.code ?? 'connection failed');
    if (REFUSALS.has(error.code)) this.refusals++;
    if (this.refusals >= this.options.maxRefusals) {
      this.giveUp(new AppError('MQTT_CREDENTIALS', `${clientIdOf(this.ref)}: ${this.lastError}`));
      return;
    }
    this.onClosed(client); // MQTT.js does not close by itself after every error.
  }

  private onClosed(client: MqttClient): void {
    if (client !== this.client) return;
    this.client = undefined;
    this.online = false;
    discard(client);
    this.outbox.rewind();
    this.counts.failedConnections++;
    if (this.stopped || this.failure) return;
    if (!this.everOnline && this.deps.clock.now() - this.startedAt >= this.options.firstConnectionMs) {
      this.giveUp(new AppError('NOT_READY', `no MQTT broker at ${this.config.brokerUrl}: ${this.lastError}`));
      return;
    }
    const delayMs = retryDelayMs(++this.attempt, this.deps.random(), this.options.retry);
    this.deps.logger.debug({ device: clientIdOf(this.ref), delayMs, reason: this.lastError }, 'device reconnects');
    this.reconnectTimer = setTimeout(() => this.connect(), delayMs);
  }

  private giveUp(error: Error): void {
    this.failure = error;
    const client = this.client;
    this.client = undefined;
    this.online = false;
    if (client) discard(client);
    this.rejectWaiters(error);
  }

  private pump(): void {
    while (this.online && this.born) {
      const entry = this.outbox.next();
      if (!entry) return;
      this.dispatch(entry);
    }
  }

  private dispatch(entry: OutboxEntry): void {
    const fate = this.deps.network?.fate() ?? 'deliver';
    if (fate === 'lose') {
      this.counts.lost++;
      entry.state = 'lost';
      this.releaseLater();
      return;
    }
    const held = this.outbox.held();
    if (fate === 'holdBack' && !held) {
      this.counts.reordered++;
      entry.state = 'held';
      this.releaseLater();
      return;
    }
    this.publish(entry);
    if (held) this.publish(held);
    if (fate === 'duplicate') {
      this.counts.duplicated++;
      this.publish(entry);
    }
    if (fate === 'disconnect') this.breakConnection();
  }

  private releaseLater(): void {
    this.releaseTimer ??= setTimeout(() => {
      this.releaseTimer = undefined;
      this.outbox.release();
      this.pump();
    }, this.options.resendDelayMs);
  }

  private publish(entry: OutboxEntry): void {
    const client = this.client;
    if (!client) return;
    if (entry.tries++ > 0) this.counts.resent++;
    entry.state = 'sent';
    client.publish(topicOf(this.ref, 'telemetry'), entry.message.payload, { qos: 1 }, (error) => {
      if (!error) this.onAcked(entry);
    });
  }

  /** Also counts when it comes from a connection that has been given up meanwhile: acknowledged is acknowledged. */
  private onAcked(entry: OutboxEntry): void {
    if (!this.outbox.acknowledge(entry)) return;
    this.attempt = 0;
    this.counts.ackedMessages++;
    this.counts.ackedSamples += entry.message.samples;
    this.wake();
    this.pump();
  }

  private breakConnection(): void {
    this.counts.disconnected++;
    this.lastError = 'disconnected on purpose';
    this.client?.stream.destroy();
  }
}

/**
 * Ends a connection for good. Its listeners stay: MQTT.js clears its own timers in some of them, and ours recognise a
 * connection that is no longer the current one.
 */
function discard(client: MqttClient): void {
  client.end(true);
}

/** A regular end: tells the state and lets the broker drop the will; bounded, because the broker may be gone. */
async function sayGoodbye(client: MqttClient, topic: string, payload: string): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, STOP_GRACE_MS);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    client.once('close', done);
    client.publish(topic, payload, { qos: 1, retain: true }, () => client.end(false, {}, done));
  });
}
