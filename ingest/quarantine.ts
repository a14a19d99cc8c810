/** What is kept of a payload that was refused: why, where, its hash, and a short excerpt that cannot harm who reads it. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../contract/kernel/errors.ts';
import { deviceId, tenantId } from '../contract/kernel/ids.ts';
import type { InboundPublish } from '../contract/ports/broker.ts';
import type { QuarantineRecord } from '../contract/ports/registry.ts';
import type { LogEntry, LoggedEntry } from '../contract/ports/telemetry-log.ts';
import type { RejectedSample } from '../contract/ports/telemetry-store.ts';
import type { Refusal } from './decode.ts';

export const MAX_EXCERPT_BYTES = 200;

export interface QuarantineFacts extends Refusal {
  readonly boot?: string | undefined;
  readonly seq?: number | undefined;
  /** Samples refused by this record. */
  readonly samples: number;
  /** The part that was refused, when it is not the whole payload. */
  readonly part?: unknown;
  /** Places of the refused samples, when others of the message were taken. */
  readonly places?: readonly number[];
}

/** `received`: the bytes as they came, when `payload` is what they were unpacked to. */
export type ReceivedPublish = InboundPublish & { readonly received?: Uint8Array };

/** `keep`: the payload goes with it, so that it can be decoded again. */
export function quarantineRecord(publish: ReceivedPublish, facts: QuarantineFacts, keep = false): QuarantineRecord {
  const { device, channel, payload, receivedAt } = publish;
  return {
    tenant: device.tenant,
    device: device.device,
    reason: facts.reason,
    at: facts.at,
    channel,
    receivedAt,
    sha256: sha256Of(publish.received ?? payload),
    excerpt: facts.part === undefined ? excerptOfBytes(payload) : excerptOf(partText(facts.part)),
    ...(facts.boot === undefined ? {} : { boot: facts.boot }),
    ...(facts.seq === undefined ? {} : { seq: facts.seq }),
    samples: facts.samples,
    model: device.model,
    ...(facts.places ? { places: facts.places } : {}),
    ...(keep ? { payload: base64Of(publish.received ?? payload) } : {}),
  };
}

/** The log entry of a quarantine record. */
export function quarantineEntry(record: QuarantineRecord, model: string): LogEntry {
  return {
    kind: 'quarantine',
    tenant: record.tenant,
    device: record.device,
    model,
    receivedAt: record.receivedAt,
    body: Buffer.from(JSON.stringify(record)),
  };
}

/** Of a sample that passed our door but that the store will never take. `entry` = its message in the log. */
export function refusedSampleRecord(rejected: RejectedSample, entry: LoggedEntry | undefined): QuarantineRecord {
  const { sample, reason } = rejected;
  return {
    tenant: sample.tenant,
    device: sample.device,
    reason: 'STORE_WRITE_REJECTED',
    at: `s[${sample.index}]`,
    channel: 'telemetry',
    receivedAt: sample.receivedAt,
    sha256: sha256Of(entry?.body ?? new Uint8Array()),
    excerpt: excerptOf(`${reason}: ${partText(sample.signals)}`),
    boot: sample.boot,
    seq: sample.seq,
    ...(entry ? { source: sourceOf(entry, `s${sample.index}`) } : {}),
    samples: 1,
    places: [sample.index],
    ...(entry ? { model: entry.model, payload: base64Of(entry.body) } : {}),
  };
}

/** Of a whole message that the store will never take, nobody can say why. */
export function refusedEntryRecord(entry: LoggedEntry, words: string): QuarantineRecord {
  return {
    tenant: entry.tenant,
    device: entry.device,
    reason: 'STORE_WRITE_REJECTED',
    at: '',
    channel: 'telemetry',
    receivedAt: entry.receivedAt,
    sha256: sha256Of(entry.body),
    excerpt: excerptOf(words),
    source: sourceOf(entry, 'all'),
    samples: 0,
    model: entry.model,
    payload: base64Of(entry.body),
  };
}

/** Fixed width, so that it sorts as positions do. */
function sourceOf({ position }: LoggedEntry, part: string): string {
  return `${String(position).padStart(16, '0')}-${part}`;
}

/** A quarantine entry of the log, read back. */
export const quarantineRecordSchema = z.object({
  tenant: tenantId,
  device: deviceId,
  reason: z.custom<ErrorCode>((value) => typeof value === 'string' && Object.hasOwn(ERRORS, value)),
  at: z.string(),
  channel: z.string(),
  receivedAt: z.number(),
  sha256: z.string(),
  excerpt: z.string(),
  boot: z.string().optional(),
  seq: z.number().optional(),
  source: z.string().max(64).optional(),
  samples: z.number(),
  model: z.string().optional(),
  places: z.array(z.number()).optional(),
  payload: z.string().optional(),
});

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function excerptOfBytes(payload: Uint8Array): string {
  const head = Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.byteLength, MAX_EXCERPT_BYTES));
  return excerptOf(head.toString('utf8'));
}

/**
 * At most 200 bytes of UTF-8. Control and format characters are escaped, among them those that turn the direction of
 * writing, and lone surrogates: the excerpt is shown to people, logged and stored.
 * @example excerptOf('a\nb') // => 'a\\u000ab'
 */
export function excerptOf(text: string): string {
  let excerpt = '';
  let bytes = 0;
  for (const character of text) {
    const shown = /[\p{C}\p{Zl}\p{Zp}]/u.test(character) ? escapeUnits(character) : character;
    bytes += Buffer.byteLength(shown);
    if (bytes > MAX_EXCERPT_BYTES) break;
    excerpt += shown;
  }
  return excerpt;
}

function escapeUnits(character: string): string {
  return [...Array(character.length).keys()]
    .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
    .join('');
}

/** JSON has no word for the numbers that are the most frequent reason to be here. */
function partText(part: unknown): string {
  const text: string | undefined = JSON.stringify(part, (_key, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
  return text ?? '';
}
