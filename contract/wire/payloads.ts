/** Payloads of device contract v1, one zod schema a channel. `docs/device-contract.md` shows an example of each. */
import { z } from 'zod';
import { bootId, signalName } from '../kernel/ids.ts';

export const CONTRACT_VERSION = 1;
export const MAX_PAYLOAD_BYTES = 128 * 1024;
export const MAX_SIGNALS_PER_SAMPLE = 64;
export const MAX_SAMPLES_PER_MESSAGE = 500;
export const MAX_SIGNALS_PER_MODEL = 200;
export const MAX_PAYLOAD_DEPTH = 6;
export const MAX_TEXT_VALUE_CHARS = 256;

const epochMs = z.number().int().nonnegative();
const shortText = z.string().min(1).max(64);

/** NUL and halves of surrogate pairs: JSON can say them, and no SQL database can store them. */
const UNSTORABLE = /[\0\p{Surrogate}]/u;

/** Whether every store can keep the text as it is. */
export function isStorableText(text: string): boolean {
  return !UNSTORABLE.test(text);
}

const textValue = z.string().max(MAX_TEXT_VALUE_CHARS).refine(isStorableText, 'NUL or half a surrogate pair');

/** A value of one signal. Numbers are finite; nothing is ever converted. */
export type SignalValue = number | boolean | string;
export type Signals = Readonly<Record<string, SignalValue>>;

/** `signals: {name: value}` as a device sends it. */
export const signalsPayload = z.record(signalName, z.union([z.number(), z.boolean(), textValue]));

/** Batch of samples. `t` = device epoch ms; each sample is `[offsetMs, signals]` at `t + offsetMs`, whole milliseconds. */
export const telemetryPayload = z.strictObject({
  v: z.literal(CONTRACT_VERSION),
  boot: bootId,
  /** Rises strictly within a boot. */
  seq: z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER),
  t: epochMs,
  s: z
    .array(z.tuple([z.number().int(), signalsPayload]))
    .min(1)
    .max(MAX_SAMPLES_PER_MESSAGE),
  /** Backfill: stored and scored in event order, but does not move `latest` or online. */
  hist: z.boolean().optional(),
});
export type TelemetryPayload = z.infer<typeof telemetryPayload>;

/** Boot of messages that come without one; their sequence number is their time. */
export const FLAT_BOOT = 'flat';

/**
 * The other form of telemetry: one sample as a flat object, `ts` = device epoch ms, every other field a signal. It has no
 * sequence number: device and `ts` are its identity, and gaps cannot be found.
 */
export const flatTelemetryPayload = z.object({ ts: epochMs }).catchall(z.union([z.number(), z.boolean(), textValue]));

export const signalDeclaration = z.strictObject({
  name: signalName,
  unit: z.string().max(24).optional(),
  kind: z.enum(['number', 'boolean', 'text']).optional(),
  /** Expected interval between samples. */
  intervalMs: z.number().int().positive().optional(),
});

/** Recommended first message of a boot; retained. Declares what the device is and which signals it will send. */
export const birthPayload = z.strictObject({
  v: z.literal(CONTRACT_VERSION),
  boot: bootId,
  t: epochMs,
  model: shortText.optional(),
  serial: shortText.optional(),
  firmware: shortText.optional(),
  hardware: shortText.optional(),
  signals: z.array(signalDeclaration).max(MAX_SIGNALS_PER_MODEL).optional(),
});
export type BirthPayload = z.infer<typeof birthPayload>;

/** Presence as the device sees it; also its last will. A will counts only while its boot is the current one. */
export const statePayload = z.strictObject({
  v: z.literal(CONTRACT_VERSION),
  boot: bootId,
  state: z.enum(['online', 'offline']),
  t: epochMs.optional(),
});
export type StatePayload = z.infer<typeof statePayload>;

/** One fault as cars (ISO 14229 status bits) and appliances report it. */
export const faultReport = z.strictObject({
  code: z.string().min(1).max(32),
  scope: z.string().max(64).optional(),
  /** Named status bits, for example `{ testFailed: true, confirmed: true }`. */
  status: z.record(z.string().max(32), z.boolean()).optional(),
  severity: z.enum(['info', 'minor', 'major', 'critical']).optional(),
  firstSeen: epochMs.optional(),
  lastSeen: epochMs.optional(),
  /** At most what a database column of 32 bits holds. */
  occurrences: z.number().int().positive().max(2_147_483_647).optional(),
  freezeFrame: signalsPayload.optional(),
});
export type FaultReport = z.infer<typeof faultReport>;

export const eventPayload = z.strictObject({
  v: z.literal(CONTRACT_VERSION),
  boot: bootId,
  seq: z.number().int().nonnegative(),
  t: epochMs,
  faults: z.array(faultReport).max(64).optional(),
  /** Lifecycle events, for example `doorOpened`, `firmwareUpdated`. */
  events: z
    .array(z.strictObject({ name: z.string().min(1).max(64), detail: signalsPayload.optional() }))
    .max(64)
    .optional(),
});
export type EventPayload = z.infer<typeof eventPayload>;

export const twinPayload = z.strictObject({
  v: z.literal(CONTRACT_VERSION),
  /** A lower version than the last one seen is ignored. */
  version: z.number().int().nonnegative(),
  values: signalsPayload,
});

export const logPayload = z.strictObject({
  v: z.literal(CONTRACT_VERSION),
  session: z.string().max(64),
  chunk: z.number().int().nonnegative(),
  last: z.boolean().optional(),
  /** Base64. */
  data: z.string(),
});

export const commandRequestPayload = z.strictObject({
  v: z.literal(CONTRACT_VERSION),
  id: z.string().min(1).max(64),
  name: z.string().min(1).max(64),
  arguments: signalsPayload,
  /** The device refuses the command after this time. */
  notAfter: epochMs,
  nonce: z.string().min(16).max(64),
  session: z.string().max(64),
  /** Compact JWS (EdDSA) over the fields above. */
  signature: z.string().max(2048),
});

export const commandResponsePayload = z.strictObject({
  v: z.literal(CONTRACT_VERSION),
  id: z.string().min(1).max(64),
  state: z.enum(['accepted', 'progress', 'done', 'failed', 'refused']),
  reason: z.string().max(256).optional(),
  progress: z.number().min(0).max(1).optional(),
  result: signalsPayload.optional(),
});

/** Schema of each channel's payload, by channel. */
export const PAYLOADS = {
  birth: birthPayload,
  state: statePayload,
  telemetry: telemetryPayload,
  event: eventPayload,
  log: logPayload,
  'cmd/req': commandRequestPayload,
  'cmd/res': commandResponsePayload,
  'twin/desired': twinPayload,
  'twin/reported': twinPayload,
} as const;
