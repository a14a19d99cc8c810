/**
 * Telemetry at the door, by hand: several times faster than a schema, and sample by sample, so that a bad sample never
 * blocks a good one. A property test holds it against contract/wire/payloads.ts: it refuses what the schema refuses,
 * and beyond that only what `docs/ingest.md` lists (unknown signals, types, times, empty samples, hostile names).
 */
import { isUtf8 } from 'node:buffer';
import { signalsOf } from '../contract/devices/catalogue.ts';
import type { SignalSpec } from '../contract/devices/device-model.ts';
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { BOOT_PATTERN, SIGNAL_PATTERN } from '../contract/kernel/ids.ts';
import { EARLIEST_DEVICE_TIME_MS, MAX_FUTURE_MS } from '../contract/kernel/time.ts';
import type { RegisteredDevice } from '../contract/ports/broker.ts';
import {
  CONTRACT_VERSION,
  FLAT_BOOT,
  isStorableText,
  MAX_PAYLOAD_BYTES,
  MAX_PAYLOAD_DEPTH,
  MAX_SAMPLES_PER_MESSAGE,
  MAX_SIGNALS_PER_SAMPLE,
  MAX_TEXT_VALUE_CHARS,
  type Signals,
} from '../contract/wire/payloads.ts';
import type { Sample, TelemetryMessage } from '../contract/wire/sample.ts';
import type { DeclaredSignals } from './declared-signals.ts';

export interface Refusal {
  readonly reason: ErrorCode;
  /** Where in the payload, for example `s[3].compressorCurrentA`; empty for the whole. */
  readonly at: string;
}

export interface SampleRefusal extends Refusal {
  readonly index: number;
}

/** A telemetry payload of which at least one sample is good. */
export interface DecodedTelemetry {
  readonly kind: 'decoded';
  readonly boot: string;
  readonly seq: number;
  readonly t: number;
  readonly hist: boolean;
  /** As sent, with `null` where a sample was refused. */
  readonly samples: readonly (readonly [offsetMs: number, signals: Signals] | null)[];
  readonly refusals: readonly SampleRefusal[];
  /** The refused samples as sent, for the excerpt. */
  readonly refused: readonly unknown[];
  /** What goes into the log: the received bytes when nothing was refused. */
  readonly body: Uint8Array;
}

/** Nothing of the message can be taken. */
export interface RefusedTelemetry extends Refusal {
  readonly kind: 'refused';
  readonly boot?: string;
  readonly seq?: number;
  /** Samples that were refused one by one; 0 when the message itself was not readable. */
  readonly samples: number;
}

type SignalKind = SignalSpec['kind'];
type ParsedObject = Readonly<Record<string, unknown>>;

const NO_REFUSALS: readonly SampleRefusal[] = [];
const KEYS: ReadonlySet<string> = new Set(['v', 'boot', 'seq', 't', 's', 'hist']);
/** Names that are harmless as data here but poison wherever somebody copies them into an object. */
const HOSTILE_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

export function isHostileName(name: string): boolean {
  return HOSTILE_NAMES.has(name);
}

/**
 * Decides about a telemetry payload that arrived at `now` (server clock, epoch ms). Known signals are those of the model
 * in the catalogue, and `declared`; the catalogue decides where both know one.
 */
export function decodeTelemetry(
  payload: Uint8Array,
  model: string,
  declared: DeclaredSignals,
  now: number,
): DecodedTelemetry | RefusedTelemetry {
  const parsed = parsePayload(payload);
  if (parsed.kind === 'refused') return { ...parsed, samples: 0 };
  const { value } = parsed;
  const invalid = checkEnvelope(value);
  if (invalid !== undefined && isFlat(value)) return decodeFlat(value, { catalogue: signalsOf(model), declared, now });
  if (invalid !== undefined) return refuseWhole(value, deepOr(value, 'PAYLOAD_INVALID'), invalid);
  return decodeSamples(payload, value as unknown as Envelope, { catalogue: signalsOf(model), declared, now });
}

function isFlat(value: ParsedObject): boolean {
  return Object.hasOwn(value, 'ts') && !Object.hasOwn(value, 'v');
}

/** A flat object becomes the usual form with its time as sequence number; places are named as the device wrote them. */
function decodeFlat(value: ParsedObject, context: SampleContext): DecodedTelemetry | RefusedTelemetry {
  const { ts, ...signals } = value;
  if (!isCount(ts)) return refuseWhole({}, deepOr(value, 'PAYLOAD_INVALID'), 'ts');
  const envelope = { v: CONTRACT_VERSION, boot: FLAT_BOOT, seq: ts, t: ts, s: [[0, signals]] };
  const outcome = decodeSamples(Buffer.from(JSON.stringify(envelope)), envelope, context);
  return outcome.kind === 'refused' ? { ...outcome, at: outcome.at.replace(/^s\[0\](\[1\])?\.?/, '') } : outcome;
}

/** The message as it travels inside the house. */
export function toMessage(
  decoded: DecodedTelemetry,
  device: Pick<RegisteredDevice, 'tenant' | 'device' | 'model'>,
  receivedAt: number,
): TelemetryMessage {
  const samples: Sample[] = [];
  decoded.samples.forEach((sample, index) => {
    if (sample) samples.push({ index, observedAt: decoded.t + sample[0], signals: sample[1] });
  });
  return {
    identity: { tenant: device.tenant, device: device.device, boot: decoded.boot, seq: decoded.seq },
    model: device.model,
    receivedAt,
    backfill: decoded.hist,
    samples,
  };
}

/** What a sample is held against. */
interface SampleContext {
  readonly catalogue: ReadonlyMap<string, SignalSpec>;
  readonly declared: DeclaredSignals;
  readonly now: number;
}

interface Envelope {
  readonly boot: string;
  readonly seq: number;
  readonly t: number;
  readonly s: readonly unknown[];
  readonly hist?: boolean;
}

type Parsed = { readonly kind: 'object'; readonly value: ParsedObject } | ({ readonly kind: 'refused' } & Refusal);

/** Size, UTF-8, JSON, object: the same for the payloads of all channels. */
export function parsePayload(payload: Uint8Array): Parsed {
  if (payload.byteLength > MAX_PAYLOAD_BYTES) return { kind: 'refused', reason: 'PAYLOAD_TOO_LARGE', at: '' };
  if (!isUtf8(payload)) return { kind: 'refused', reason: 'PAYLOAD_NOT_JSON', at: '' };
  let value: unknown;
  try {
    value = JSON.parse(asBuffer(payload).toString('utf8'));
  } catch {
    return { kind: 'refused', reason: 'PAYLOAD_NOT_JSON', at: '' }; // The reason says all there is to say.
  }
  if (isObject(value)) return { kind: 'object', value };
  return { kind: 'refused', reason: deepOr(value, 'PAYLOAD_INVALID'), at: '' };
}

/** `PAYLOAD_TOO_DEEP` when that is what is wrong. Only refused payloads pay for the look: valid ones have fixed depth. */
export function deepOr(value: unknown, otherwise: ErrorCode): ErrorCode {
  return isDeeperThan(value, MAX_PAYLOAD_DEPTH) ? 'PAYLOAD_TOO_DEEP' : otherwise;
}

/** Name of the first wrong part of the envelope, or `undefined`. */
function checkEnvelope(value: ParsedObject): string | undefined {
  for (const key in value) if (!KEYS.has(key)) return printable(key);
  if (value.v !== CONTRACT_VERSION) return 'v';
  if (!isBoot(value.boot)) return 'boot';
  if (!isCount(value.seq)) return 'seq';
  if (!isCount(value.t)) return 't';
  if (value.hist !== undefined && typeof value.hist !== 'boolean') return 'hist';
  const samples = value.s;
  if (!Array.isArray(samples) || samples.length < 1 || samples.length > MAX_SAMPLES_PER_MESSAGE) return 's';
  return undefined;
}

function decodeSamples(
  payload: Uint8Array,
  envelope: Envelope,
  context: SampleContext,
): DecodedTelemetry | RefusedTelemetry {
  let refusals: SampleRefusal[] | undefined;
  for (let index = 0; index < envelope.s.length; index++) {
    const refusal = checkSample(envelope.s[index], index, envelope.t, context);
    if (!refusal) continue;
    refusals ??= [];
    refusals.push({ ...refusal, index });
  }
  if (!refusals) return decoded(envelope, envelope.s, NO_REFUSALS, payload);
  return withoutRefused(envelope, refusals);
}

/** The refused samples become holes, so that the places of the others stay what the device made them. */
function withoutRefused(envelope: Envelope, refusals: readonly SampleRefusal[]): DecodedTelemetry | RefusedTelemetry {
  const { boot, seq } = envelope;
  const [first] = refusals;
  if (isDeeperThan(envelope, MAX_PAYLOAD_DEPTH)) {
    return { kind: 'refused', reason: 'PAYLOAD_TOO_DEEP', at: first?.at ?? '', boot, seq, samples: 0 };
  }
  if (first && refusals.length === envelope.s.length) {
    return { kind: 'refused', reason: first.reason, at: first.at, boot, seq, samples: refusals.length };
  }
  const samples = [...envelope.s];
  for (const refusal of refusals) samples[refusal.index] = null;
  const body = Buffer.from(JSON.stringify({ ...envelope, s: samples }));
  return decoded(envelope, samples, refusals, body);
}

function decoded(
  envelope: Envelope,
  samples: readonly unknown[],
  refusals: readonly SampleRefusal[],
  body: Uint8Array,
): DecodedTelemetry {
  return {
    kind: 'decoded',
    boot: envelope.boot,
    seq: envelope.seq,
    t: envelope.t,
    hist: envelope.hist === true,
    samples: samples as DecodedTelemetry['samples'],
    refusals,
    refused: refusals.map((refusal) => envelope.s[refusal.index]),
    body,
  };
}

function checkSample(sample: unknown, index: number, t: number, context: SampleContext): Refusal | undefined {
  if (!Array.isArray(sample) || sample.length !== 2) return { reason: 'SAMPLE_INVALID', at: `s[${index}]` };
  const offset: unknown = sample[0];
  if (!Number.isSafeInteger(offset)) return { reason: 'SAMPLE_INVALID', at: `s[${index}][0]` };
  const observedAt = t + (offset as number);
  if (observedAt > context.now + MAX_FUTURE_MS) return { reason: 'TIME_IN_FUTURE', at: `s[${index}]` };
  if (observedAt < EARLIEST_DEVICE_TIME_MS) return { reason: 'TIME_INVALID', at: `s[${index}]` };
  const signals: unknown = sample[1];
  if (!isObject(signals)) return { reason: 'SAMPLE_INVALID', at: `s[${index}][1]` };
  return checkSignals(signals, index, context);
}

function checkSignals(
  signals: ParsedObject,
  index: number,
  { catalogue, declared }: SampleContext,
): Refusal | undefined {
  let count = 0;
  for (const name in signals) {
    count++;
    const kind = catalogue.get(name)?.kind ?? declared.get(name);
    const reason = kind === undefined || isHostileName(name) ? unknownName(name) : checkValue(signals[name], kind);
    if (reason) return { reason, at: `s[${index}].${printable(name)}` };
    if (count > MAX_SIGNALS_PER_SAMPLE) return { reason: 'SAMPLE_INVALID', at: `s[${index}][1]` };
  }
  return count === 0 ? { reason: 'SAMPLE_INVALID', at: `s[${index}][1]` } : undefined;
}

function unknownName(name: string): ErrorCode {
  return SIGNAL_PATTERN.test(name) && !isHostileName(name) ? 'SIGNAL_UNKNOWN' : 'SAMPLE_INVALID';
}

function checkValue(value: unknown, kind: SignalKind): ErrorCode | undefined {
  switch (kind) {
    case 'number':
      if (typeof value !== 'number') return 'SIGNAL_TYPE';
      return Number.isFinite(value) ? undefined : 'SIGNAL_NOT_FINITE';
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'SIGNAL_TYPE';
    case 'text':
      if (typeof value !== 'string') return 'SIGNAL_TYPE';
      return value.length <= MAX_TEXT_VALUE_CHARS && isStorableText(value) ? undefined : 'SAMPLE_INVALID';
  }
}

/** Keeps what could be read of the identity, so that the device's owner finds the message. */
function refuseWhole(value: ParsedObject, reason: ErrorCode, at: string): RefusedTelemetry {
  return { kind: 'refused', reason, at, samples: 0, ...identityOf(value) };
}

/** Boot and sequence number of a payload that was refused, as far as they are valid. */
export function identityOf(value: ParsedObject): { boot?: string; seq?: number } {
  const boot = value.boot;
  const seq = value.seq;
  return { ...(isBoot(boot) ? { boot } : {}), ...(isCount(seq) ? { seq } : {}) };
}

function isBoot(value: unknown): value is string {
  return typeof value === 'string' && BOOT_PATTERN.test(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isObject(value: unknown): value is ParsedObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Without recursion: the payload that needs this check is the one that would overflow the stack. */
function isDeeperThan(value: unknown, limit: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 1; level.length > 0; depth++) {
    const next: unknown[] = [];
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue;
      if (depth > limit) return true;
      for (const child of Object.values(item)) next.push(child);
    }
    level = next;
  }
  return false;
}

/** A name that a device chose, for a path: bounded and without control characters. */
export function printable(name: string): string {
  return name.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
