/** What ingest's registry writer hands to whoever owns devices' metadata and the quarantine. */

import type { ErrorCode } from '../kernel/errors.ts';
import type { DeviceRef } from '../kernel/ids.ts';
import type { BirthPayload, EventPayload, StatePayload } from '../wire/payloads.ts';
import type { Position } from './telemetry-log.ts';

export interface QuarantineRecord extends DeviceRef {
  readonly reason: ErrorCode;
  /** Where in the payload, for example `s[3].compressorCurrentA`; empty for the whole. */
  readonly at: string;
  readonly channel: string;
  readonly receivedAt: number;
  /** Lower-case hex of the payload as received. */
  readonly sha256: string;
  /** At most 200 bytes of the payload, control characters escaped. */
  readonly excerpt: string;
  readonly boot?: string;
  readonly seq?: number;
  /** Names the refusal where it can be found again after a crash, so that it is kept once; else its log position does. */
  readonly source?: string;
  /** Samples refused by this record; 0 when the whole message was not readable. */
  readonly samples: number;
  /** The device's model at that time. */
  readonly model?: string;
  /** Places of the refused samples in their message; absent when nothing of the message was taken. */
  readonly places?: readonly number[];
  /** Base64 of the payload as received, for a replay; absent when it can never be replayed or a bound was reached. */
  readonly payload?: string;
}

export type RegistryRecord =
  | { readonly kind: 'quarantine'; readonly position: Position; readonly record: QuarantineRecord }
  | {
      readonly kind: 'session';
      readonly position: Position;
      readonly ref: DeviceRef;
      readonly session: DeviceSession;
      readonly receivedAt: number;
    }
  | {
      readonly kind: 'birth';
      readonly position: Position;
      readonly ref: DeviceRef;
      readonly birth: BirthPayload;
      readonly receivedAt: number;
    }
  | {
      readonly kind: 'state';
      readonly position: Position;
      readonly ref: DeviceRef;
      readonly state: StatePayload;
      readonly receivedAt: number;
    }
  | {
      readonly kind: 'event';
      readonly position: Position;
      readonly ref: DeviceRef;
      readonly event: EventPayload;
      readonly receivedAt: number;
    };

/** A login of a device, as the log holds it. */
export interface DeviceSession {
  readonly connection: string;
  readonly remoteAddress: string;
  /** Lower-case hex; absent without a client certificate. */
  readonly certificateSerial?: string;
}

export interface RegistrySink {
  /**
   * Stores the records of a log batch in one transaction; a record with a position stored before is skipped.
   * @throws AppError STORE_WRITE_REJECTED when the database will never take one of them; nothing is stored then
   */
  store(records: readonly RegistryRecord[]): Promise<void>;
}
