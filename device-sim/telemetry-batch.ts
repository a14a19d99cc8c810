/** Samples as telemetry messages of the device contract, within its limits. Pure. */
import {
  CONTRACT_VERSION,
  MAX_PAYLOAD_BYTES,
  MAX_SAMPLES_PER_MESSAGE,
  type Signals,
} from '../contract/wire/payloads.ts';

export interface TimedSignals {
  /** Device time, epoch ms. */
  readonly at: number;
  readonly signals: Signals;
}

/** One message, encoded once: whatever is sent again has the same bytes. */
export interface OutgoingMessage {
  readonly seq: number;
  readonly payload: Buffer;
  readonly samples: number;
  readonly lastSampleAt: number;
}

/** Room for `{"v":1,"boot":…,"seq":…,"t":…,"s":[…],"hist":false}` around the samples. */
const ENVELOPE_BYTES = 160;

/**
 * Splits samples into as few messages as the limits allow, numbered from `firstSeq`.
 * @throws RangeError when one sample alone passes the payload limit
 */
export function telemetryMessages(
  boot: string,
  firstSeq: number,
  samples: readonly TimedSignals[],
  maxBytes: number = MAX_PAYLOAD_BYTES,
): OutgoingMessage[] {
  const messages: OutgoingMessage[] = [];
  for (let from = 0; from < samples.length; ) {
    const message = encodeFrom(boot, firstSeq + messages.length, samples, from, maxBytes - ENVELOPE_BYTES);
    messages.push(message);
    from += message.samples;
  }
  return messages;
}

function encodeFrom(
  boot: string,
  seq: number,
  samples: readonly TimedSignals[],
  from: number,
  roomBytes: number,
): OutgoingMessage {
  const t = samples[from]?.at ?? 0;
  const parts: string[] = [];
  let bytes = 0;
  let lastSampleAt = t;
  for (let i = from; i < samples.length && parts.length < MAX_SAMPLES_PER_MESSAGE; i++) {
    const sample = samples[i] as TimedSignals;
    const part = `[${sample.at - t},${JSON.stringify(sample.signals)}]`;
    bytes += Buffer.byteLength(part) + 1;
    if (bytes > roomBytes) break;
    parts.push(part);
    lastSampleAt = sample.at;
  }
  if (parts.length === 0) throw new RangeError(`One sample alone passes the limit of ${roomBytes} bytes`);
  const text = `{"v":${CONTRACT_VERSION},"boot":${JSON.stringify(boot)},"seq":${seq},"t":${t},"s":[${parts.join(',')}]}`;
  return { seq, payload: Buffer.from(text), samples: parts.length, lastSampleAt };
}
