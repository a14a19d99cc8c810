/** Samples as they travel inside the house, after a device's message was accepted. */
import type { MessageIdentity } from '../kernel/ids.ts';
import type { Signals } from './payloads.ts';

/** The signals of one device at one time. Its identity is its message's identity plus `index`. */
export interface Sample {
  /** Place within the message, from 0; refused neighbours leave holes. */
  readonly index: number;
  /** Device clock, epoch ms, unchanged. */
  readonly observedAt: number;
  readonly signals: Signals;
}

/** An accepted telemetry message. */
export interface TelemetryMessage {
  readonly identity: MessageIdentity;
  readonly model: string;
  /** Server clock, epoch ms. */
  readonly receivedAt: number;
  readonly backfill: boolean;
  readonly samples: readonly Sample[];
}
