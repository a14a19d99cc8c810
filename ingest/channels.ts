/** Payloads of the channels other than telemetry: rare, so their schemas check them. */
import type { z } from 'zod';
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { isStorableText, PAYLOADS } from '../contract/wire/payloads.ts';
import type { UpstreamChannel } from '../contract/wire/topics.ts';
import { deepOr, identityOf, isHostileName, parsePayload, printable, type RefusedTelemetry } from './decode.ts';

export type RareChannel = Exclude<UpstreamChannel, 'telemetry'>;
type PayloadOf<C extends RareChannel> = z.infer<(typeof PAYLOADS)[C]>;

export type ParsedPayload<T> = { readonly kind: 'parsed'; readonly payload: T } | RefusedTelemetry;

/** The payload when it meets its channel's schema, or why it does not and where. */
export function parseChannelPayload<C extends RareChannel>(channel: C, bytes: Uint8Array): ParsedPayload<PayloadOf<C>> {
  const json = parsePayload(bytes);
  if (json.kind === 'refused') return { ...json, samples: 0 };
  const refuse = (reason: ErrorCode, at: string): RefusedTelemetry => ({
    kind: 'refused',
    reason,
    at,
    samples: 0,
    ...identityOf(json.value),
  });
  if (deepOr(json.value, 'PAYLOAD_INVALID') === 'PAYLOAD_TOO_DEEP') return refuse('PAYLOAD_TOO_DEEP', '');
  const hostile = hostileNameIn(json.value);
  if (hostile !== undefined) return refuse('PAYLOAD_INVALID', hostile);
  const unstorable = unstorableTextIn(json.value, '');
  if (unstorable !== undefined) return refuse('PAYLOAD_INVALID', printable(unstorable));
  const result = PAYLOADS[channel].safeParse(json.value);
  if (!result.success) return refuse('PAYLOAD_INVALID', pathOf(result.error));
  return { kind: 'parsed', payload: result.data as PayloadOf<C> };
}

/** Path of the first issue; of the key itself when it is one too many. */
function pathOf(error: z.ZodError): string {
  const issue = error.issues[0];
  const keys = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  return [...(issue?.path ?? []), ...keys].map((part) => printable(String(part))).join('.');
}

/** The first name anywhere that could poison an object. Depth is bounded by the check before. */
function hostileNameIn(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, child] of Object.entries(value)) {
    if (isHostileName(name)) return name;
    const inside = hostileNameIn(child);
    if (inside !== undefined) return inside;
  }
  return undefined;
}

/** Name of the first field anywhere that no SQL database would take: acknowledged, it would be tried for ever. */
function unstorableTextIn(value: unknown, name: string): string | undefined {
  if (typeof value === 'string') return isStorableText(value) ? undefined : name;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, child] of Object.entries(value)) {
    const inside = isStorableText(key) ? unstorableTextIn(child, key) : key;
    if (inside !== undefined) return inside;
  }
  return undefined;
}
