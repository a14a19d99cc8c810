/** Limits of the broker. Each has a unit, a default and the reason for it; `docs/broker.md` shows them to users. */

import type { IntegrationOptions } from './integrations/options.ts';
import type { ListenAddress } from './listener.ts';
import type { TlsOptions } from './tls-listener.ts';

export interface BrokerOptions {
  /** Address of the plain TCP listener. Loopback by default: without TLS the secret travels readable. */
  readonly host: string;
  /** TCP port; 0 = any free one, see `ports()`. */
  readonly port: number;
  /** `false` = no plain TCP listener. */
  readonly plain?: boolean;
  /** MQTT over TLS, beside or instead of the plain listener. */
  readonly tls?: TlsOptions;
  /** MQTT over WebSocket, without TLS of its own. */
  readonly webSocket?: ListenAddress;
  /** Limits of integrations that differ from DEFAULT_INTEGRATION_OPTIONS. */
  readonly integrations?: Partial<IntegrationOptions>;
  /** Open sockets, before and after login. About 20 KB each. */
  readonly maxConnections: number;
  /** Of these, from one address (IPv6: one /64). A quarter: a whole site behind one router, but not everything. */
  readonly maxConnectionsPerAddress: number;
  /**
   * From TCP to the CONNACK; over TLS first from TCP to the greeting, and then from the turn of the handshake to the
   * CONNACK. Silent sockets and slow CONNECTs end here.
   */
  readonly loginTimeoutMs: number;
  /** TLS handshakes under way at once: enough to cover the round trips of slow networks, and no more than that. */
  readonly maxHandshakes: number;
  /** Of these, from one address (IPv6: one /64): handshakes that stand still hold nobody else up. */
  readonly maxHandshakesPerAddress: number;
  /** Sockets that wait for their TLS handshake. */
  readonly maxHandshakesWaiting: number;
  /** How long they wait. Most devices give up after 10 to 30 s and come again. */
  readonly handshakeWaitMs: number;
  /** From the turn to the end of the handshake: a few round trips, also over a bad mobile network. */
  readonly handshakeTimeoutMs: number;
  /** How long a socket may refuse to take bytes before it is closed. Aedes' own 60 s would hold commands that long. */
  readonly drainTimeoutMs: number;
  /** A shorter keep-alive is a flood of pings. */
  readonly keepaliveMinS: number;
  /** A longer one (or 0 = none) leaves dead connections standing as if they were alive. */
  readonly keepaliveMaxS: number;
  /** Whoever has not logged in gets this much memory. A CONNECT with all its fields takes about 200 bytes. */
  readonly maxPacketBytesBeforeLogin: number;
  /** Larger packets close the connection. Twice the largest payload, so that a payload too large is quarantined instead. */
  readonly maxPacketBytes: number;
  readonly maxWillBytes: number;
  /** Publishes of one device. More are read only at this pace. A message carries up to 500 samples. */
  readonly deviceMessagesPerS: number;
  /** Publishes that a device may send at once after a rest: what it gathered while it was offline for a moment. */
  readonly deviceMessagesBurst: number;
  /** Publishes of all devices of one tenant, with a burst of one second; more are read only at this pace. */
  readonly tenantMessagesPerS: number;
  /** A device over its own limit for that long without a rest is closed. Long enough to work off a backlog. */
  readonly floodCloseMs: number;
  /** Successful logins of one device; also the burst. More are answered with code 3, so that nobody is thrown off. */
  readonly loginsPerMinute: number;
  /**
   * Wrong secrets that came from one address (IPv6: one /64) and were not tried before; also the burst. Beyond them it may
   * try nothing new: see `guess-limit.ts`.
   */
  readonly wrongLoginsPerMinute: number;
  /** SUBSCRIBE and UNSUBSCRIBE (one for each filter), PINGREQ and everything else but publishes and PUBACK; more closes. */
  readonly controlPacketsPerS: number;
  /** Of these, at once. Devices have two filters. */
  readonly controlPacketsBurst: number;
  /** Devices whose budgets are remembered when they are gone, addresses and logins too: twice the connections, some 20 MB. */
  readonly maxBudgets: number;
  /** Retained messages held in memory: four channels a device, so 10,000 devices. */
  readonly maxRetained: number;
  /** Bytes of retained payloads held in memory. */
  readonly maxRetainedBytes: number;
  /** Messages to one device that its socket has not taken yet; more are refused, not queued. */
  readonly maxPendingPerDevice: number;
  /** A bad connection writes this many log lines; the rest is only counted. */
  readonly maxLogLinesPerConnection: number;
  /** All bad connections together write this many log lines a second. */
  readonly maxLogLinesPerSecond: number;
  /** How long `stop` waits for deliveries under way, so that they are still acknowledged. */
  readonly stopTimeoutMs: number;
}

export const DEFAULT_BROKER_OPTIONS: BrokerOptions = {
  host: '127.0.0.1',
  port: 1883,
  maxConnections: 20_000,
  maxConnectionsPerAddress: 5_000,
  loginTimeoutMs: 8_000,
  maxHandshakes: 64,
  maxHandshakesPerAddress: 32,
  maxHandshakesWaiting: 10_000,
  handshakeWaitMs: 20_000,
  handshakeTimeoutMs: 5_000,
  drainTimeoutMs: 3_000,
  keepaliveMinS: 5,
  keepaliveMaxS: 1_200,
  maxPacketBytesBeforeLogin: 4 * 1024,
  maxPacketBytes: 256 * 1024,
  maxWillBytes: 4 * 1024,
  deviceMessagesPerS: 50,
  deviceMessagesBurst: 250,
  tenantMessagesPerS: 10_000,
  floodCloseMs: 60_000,
  loginsPerMinute: 60,
  wrongLoginsPerMinute: 60,
  controlPacketsPerS: 20,
  controlPacketsBurst: 100,
  maxBudgets: 40_000,
  maxRetained: 40_000,
  maxRetainedBytes: 64 * 1024 * 1024,
  maxPendingPerDevice: 64,
  maxLogLinesPerConnection: 5,
  maxLogLinesPerSecond: 100,
  stopTimeoutMs: 5_000,
};
