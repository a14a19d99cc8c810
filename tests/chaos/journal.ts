/**
 * What the devices of a chaos run keep for themselves: every message they made, what of it is good, how often it left,
 * and how often it was acknowledged. It never asks the server, so that the server can be judged by it.
 */
import { createHash } from 'node:crypto';
import type { Signals } from '../../contract/wire/payloads.ts';

export interface JournalSample {
  /** Device time, epoch ms. */
  readonly time: number;
  readonly signals: Signals;
  /** Whether the device contract allows it: a bad one must be quarantined and never stored. */
  readonly good: boolean;
}

export interface JournalMessage {
  readonly tenant: string;
  readonly device: string;
  readonly boot: string;
  readonly seq: number;
  readonly payload: Buffer;
  /** Of the payload: how the quarantine names a message that cannot be read. */
  readonly sha256: string;
  /** Empty when the payload is not telemetry at all. */
  readonly samples: readonly JournalSample[];
  /** How often it was handed to a connection. */
  sends: number;
  /** How often the server said that it has it. */
  acks: number;
}

export function journalMessage(
  fields: Omit<JournalMessage, 'payload' | 'sha256' | 'sends' | 'acks'>,
  payload: string,
): JournalMessage {
  const bytes = Buffer.from(payload);
  return {
    ...fields,
    payload: bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    sends: 0,
    acks: 0,
  };
}

/** Samples that must be stored when the message was acknowledged. */
export function goodSamples(message: JournalMessage): number {
  return message.samples.filter((sample) => sample.good).length;
}
