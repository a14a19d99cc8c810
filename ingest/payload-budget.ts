/**
 * How many bytes of refused payloads are kept for a replay. A device that sends nothing but rubbish must not fill the log
 * and the database with it: beyond its share of an hour only the reason, the hash and the excerpt are kept.
 */
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { clientIdOf } from '../contract/kernel/ids.ts';
import { HOUR_MS } from '../contract/kernel/time.ts';
import { MAX_PAYLOAD_BYTES } from '../contract/wire/payloads.ts';
import type { ReceivedPublish } from './quarantine.ts';

export interface PayloadLimits {
  /** Kept bytes of one device within an hour. Default 8 MiB: an hour of one message of 2 KiB a second. */
  readonly maxBytesPerDeviceAndHour?: number;
}

/** Devices with refused payloads within an hour; the next one has nothing kept. */
const MAX_DEVICES = 10_000;
/** What no corrected rule can make good. */
const FOR_EVER: ReadonlySet<ErrorCode> = new Set(['PAYLOAD_TOO_LARGE', 'SEQUENCE_CONFLICT']);

export type Keeping = 'kept' | 'overBudget' | 'neverReplayable';

export class PayloadBudget {
  readonly #maxBytes: number;
  /** bytes kept within the current hour, by client id */
  readonly #kept = new Map<string, number>();
  #hour = 0;

  constructor({ maxBytesPerDeviceAndHour = 8 * 1024 * 1024 }: PayloadLimits = {}) {
    this.#maxBytes = maxBytesPerDeviceAndHour;
  }

  /** Decides about one refused message, and counts its bytes when they are kept. */
  admit(publish: ReceivedPublish, reason: ErrorCode): Keeping {
    const bytes = (publish.received ?? publish.payload).byteLength;
    if (publish.channel !== 'telemetry' || FOR_EVER.has(reason) || bytes > MAX_PAYLOAD_BYTES) return 'neverReplayable';
    const hour = Math.floor(publish.receivedAt / HOUR_MS);
    if (hour !== this.#hour) this.#kept.clear();
    this.#hour = hour;
    const key = clientIdOf(publish.device);
    const before = this.#kept.get(key);
    const isFull = before === undefined && this.#kept.size >= MAX_DEVICES;
    const sum = (before ?? 0) + bytes;
    if (isFull || sum > this.#maxBytes) return 'overBudget';
    this.#kept.set(key, sum);
    return 'kept';
  }
}
