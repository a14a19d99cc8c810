/**
 * Payloads that do not come as plain JSON. gzip and CBOR become JSON text here, at the door, so that one validation, one
 * form in the log and one reader behind it serve all of them. Recognised by the first bytes, which no JSON can begin with.
 */
import { gunzipSync } from 'node:zlib';
import { decode } from 'cborg';
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH } from '../contract/wire/payloads.ts';

export type Unpacked =
  | { readonly kind: 'json'; readonly payload: Uint8Array }
  | { readonly kind: 'refused'; readonly reason: ErrorCode };

/** Major type 5 of RFC 8949: a map. Every payload of the contract is one. */
const CBOR_MAP = 5;
/** The tag "this is CBOR" (RFC 8949, 3.4.6). */
const SELF_DESCRIBED = [0xd9, 0xd9, 0xf7];
const GZIP = [0x1f, 0x8b];

/** Whether a payload has to be unpacked before it is JSON. */
export function isPacked(payload: Uint8Array): boolean {
  return isGzip(payload) || isCbor(payload);
}

/**
 * The JSON text of a packed payload. At most MAX_PAYLOAD_BYTES come out: what would inflate beyond is given up while it
 * inflates. That bound also keeps the time short enough (under a millisecond) to stay on the event loop, where messages
 * keep their order.
 */
export function unpack(payload: Uint8Array): Unpacked {
  if (payload.byteLength > MAX_PAYLOAD_BYTES) return refused('PAYLOAD_TOO_LARGE');
  const inflated = isGzip(payload) ? inflate(payload) : { kind: 'json' as const, payload };
  if (inflated.kind === 'refused' || !isCbor(inflated.payload)) return inflated;
  return transcode(inflated.payload);
}

function isGzip(payload: Uint8Array): boolean {
  return startsWith(payload, GZIP);
}

function isCbor(payload: Uint8Array): boolean {
  return (payload[0] ?? 0) >>> 5 === CBOR_MAP || startsWith(payload, SELF_DESCRIBED);
}

function startsWith(payload: Uint8Array, bytes: readonly number[]): boolean {
  return bytes.every((byte, index) => payload[index] === byte);
}

function refused(reason: ErrorCode): Unpacked {
  return { kind: 'refused', reason };
}

function inflate(payload: Uint8Array): Unpacked {
  try {
    return { kind: 'json', payload: gunzipSync(payload, { maxOutputLength: MAX_PAYLOAD_BYTES }) };
  } catch (error) {
    const isTooLarge = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
    return refused(isTooLarge ? 'PAYLOAD_TOO_LARGE' : 'PAYLOAD_ENCODING');
  }
}

function transcode(payload: Uint8Array): Unpacked {
  const body = startsWith(payload, SELF_DESCRIBED) ? payload.subarray(SELF_DESCRIBED.length) : payload;
  try {
    const value: unknown = decode(body, { allowUndefined: false, rejectDuplicateMapKeys: true });
    return { kind: 'json', payload: Buffer.from(jsonOf(value, 1)) };
  } catch (error) {
    // A stack that overflows in the decoder is a payload of thousands of arrays in each other.
    const isTooDeep = error instanceof RangeError || error instanceof TooDeep;
    return refused(isTooDeep ? 'PAYLOAD_TOO_DEEP' : 'PAYLOAD_ENCODING');
  }
}

class TooDeep extends Error {}

/** JSON that keeps what JSON.stringify would change or hide, so that the validation behind it sees every fault. */
function jsonOf(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'number':
      return numberText(value);
    case 'bigint':
      return value.toString();
    case 'boolean':
      return String(value);
    case 'string':
      // The decoder puts this character where the text is not UTF-8; a value must never be changed silently.
      if (value.includes('\ufffd')) throw new Error('text that is not UTF-8');
      return JSON.stringify(value);
    case 'object':
      if (value === null) return 'null';
      if (depth > MAX_PAYLOAD_DEPTH) throw new TooDeep();
      return containerText(value, depth);
    default:
      throw new Error(`no JSON for ${typeof value}`);
  }
}

function containerText(value: object, depth: number): string {
  if (Array.isArray(value)) return `[${value.map((item) => jsonOf(item, depth + 1)).join(',')}]`;
  if (value instanceof Uint8Array) throw new Error('byte strings have no place in the contract');
  return `{${Object.entries(value)
    .map(([name, item]) => `${jsonOf(name, depth)}:${jsonOf(item, depth + 1)}`)
    .join(',')}}`;
}

/** NaN and infinities become numbers that overflow: the door then refuses their sample alone, as not finite. */
function numberText(value: number): string {
  if (Number.isNaN(value)) return '1e999';
  if (!Number.isFinite(value)) return value > 0 ? '1e999' : '-1e999';
  return Object.is(value, -0) ? '-0' : String(value);
}
