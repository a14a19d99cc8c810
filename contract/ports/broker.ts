/** What the broker needs from the rest of the house, and what it tells it. */
import type { ErrorCode } from '../kernel/errors.ts';
import type { DeviceRef, IntegrationRef } from '../kernel/ids.ts';
import type { UpstreamChannel } from '../wire/topics.ts';

/** What is known about a device when it connects. */
export interface RegisteredDevice extends DeviceRef {
  readonly model: string;
  /** Signals declared by the last birth beyond the catalogue, by name. */
  readonly declaredSignals: ReadonlyMap<string, 'number' | 'boolean' | 'text'>;
}

export interface DeviceDirectory {
  /** The device when the secret is right and it is not blocked; compares in constant time. */
  authenticate(ref: DeviceRef, secret: string): Promise<RegisteredDevice | undefined>;
  /** The device when it is not blocked, for one that has proved who it is otherwise: by its certificate. */
  identify(ref: DeviceRef): Promise<RegisteredDevice | undefined>;
  /** The device as last known, without I/O; `undefined` before its first `authenticate` in this process. */
  peek(ref: DeviceRef): RegisteredDevice | undefined;
  /** Remembers the signals that a birth message declared, at once for `peek`. Storing them is the registry writer's work. */
  declare(ref: DeviceRef, signals: ReadonlyMap<string, 'number' | 'boolean' | 'text'>): void;
}

/** Who may read along: see docs/broker.md, "Integrations". */
export interface IntegrationDirectory {
  /** Whether the secret is right and the integration is not blocked; compares in constant time. */
  admits(ref: IntegrationRef, secret: string): Promise<boolean>;
}

/** One publish of an authenticated device on one of its own topics. */
export interface InboundPublish {
  readonly device: RegisteredDevice;
  readonly channel: UpstreamChannel;
  readonly payload: Uint8Array;
  readonly receivedAt: number;
}

/** Ingest as the broker sees it: calls back when the publish is durable and may be acknowledged. An error = do not acknowledge. */
export type DeliverPublish = (publish: InboundPublish, done: (error: Error | undefined) => void) => void;

/** A connection came or went. */
export interface PresenceChange extends DeviceRef {
  readonly connected: boolean;
  readonly at: number;
  readonly remoteAddress: string;
  /** Names the connection, unique for ever. */
  readonly connection?: string;
  /** Lower-case hex; of the certificate that proved who the device is. */
  readonly certificateSerial?: string;
}

/** Something at the device door that speaks of an attack rather than of a mistake. */
export interface SecurityEvent {
  readonly tenant: string;
  /** Absent when it is not about a device. */
  readonly device?: string;
  readonly kind: ErrorCode;
  /** Epoch ms. */
  readonly at: number;
  /** Absent when it is not known any more. */
  readonly remoteAddress?: string;
  /** Lower-case hex; of the certificate that was presented, good or not. */
  readonly certificateSerial?: string;
  /** What was tried, in words that the sender may have chosen: any length, any character. */
  readonly detail: string;
  /** Whether tenant and device have proved who they are. Anybody can claim a name, and fill lists with it. */
  readonly proved: boolean;
}
