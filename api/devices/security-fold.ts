/**
 * What speaks of an attack, folded: equal events of a minute become one with a count, within bounds, so that a flood
 * fills neither memory nor table. Pure; security-events.ts writes what is here.
 */
import { createHash } from 'node:crypto';
import { MINUTE_MS } from '../../contract/kernel/time.ts';
import type { SecurityEvent } from '../../contract/ports/broker.ts';

/** Equal events of a minute. */
export interface FoldedEvent {
  readonly tenant: string;
  /** Of what makes events equal: tenant, minute, device, kind and address. */
  readonly id: string;
  readonly minute: number;
  readonly device: string | undefined;
  readonly kind: string;
  readonly remoteAddress: string | undefined;
  firstAt: number;
  lastAt: number;
  times: number;
  /** This and the detail are of the last one. */
  certificateSerial: string | undefined;
  detail: string;
}

export interface FoldLimits {
  /** Different events in memory. */
  readonly maxEvents: number;
  /** Of these, of one tenant: also how many rows a tenant gets in a minute. */
  readonly maxEventsPerTenant: number;
}

export interface SecurityFold {
  /** Whether there was room: what is equal to something known always finds some. */
  add(event: SecurityEvent): boolean;
  /** What was not written yet, as it is now. */
  pending(): FoldedEvent[];
  /** These were written. Their minute is remembered until it is over at `now`, so that it stays one row within the bounds. */
  written(events: readonly FoldedEvent[], now: number): void;
}

const MAX_DETAIL = 200;
const MAX_ADDRESS = 64;
/** A serial number has 20 bytes (RFC 5280, 4.1.2.2); whoever signs for himself may write more. */
const MAX_SERIAL = 64;

export function createSecurityFold(limits: FoldLimits): SecurityFold {
  /** by tenant and id */
  const events = new Map<string, FoldedEvent>();
  /** number of events, by tenant */
  const perTenant = new Map<string, number>();

  /** Names that were only claimed get half of the room: whoever invents them must not keep out what is proved. */
  function hasRoom(tenant: string, proved: boolean): boolean {
    const share = proved ? 1 : 0.5;
    if (events.size >= limits.maxEvents * share) return false;
    return (perTenant.get(tenant) ?? 0) < limits.maxEventsPerTenant * share;
  }

  function forget(event: FoldedEvent): void {
    events.delete(keyOf(event));
    const left = (perTenant.get(event.tenant) ?? 0) - 1;
    if (left > 0) perTenant.set(event.tenant, left);
    else perTenant.delete(event.tenant);
  }

  return {
    add(event) {
      const folded = foldedOf(event);
      const known = events.get(keyOf(folded));
      if (known) {
        merge(known, folded);
        return true;
      }
      if (!hasRoom(event.tenant, event.proved)) return false;
      events.set(keyOf(folded), folded);
      perTenant.set(event.tenant, (perTenant.get(event.tenant) ?? 0) + 1);
      return true;
    },
    pending: () => [...events.values()].filter(({ times }) => times > 0).map((event) => ({ ...event })),
    written(batch, now) {
      for (const { times, ...event } of batch) {
        const known = events.get(keyOf(event));
        if (known) known.times -= times;
      }
      for (const event of events.values()) {
        if (event.times <= 0 && Math.abs(now - event.minute) >= MINUTE_MS) forget(event);
      }
    },
  };
}

/** Equal events joined, in the order in which they came. */
export function foldAll(events: readonly FoldedEvent[]): FoldedEvent[] {
  const joined = new Map<string, FoldedEvent>();
  for (const event of events) {
    const known = joined.get(keyOf(event));
    if (known) merge(known, event);
    else joined.set(keyOf(event), { ...event });
  }
  return [...joined.values()];
}

/** One event, cut to what is kept of it: what the other end chose becomes short and printable. */
export function foldedOf(event: SecurityEvent): FoldedEvent {
  const { tenant, kind, at, device } = event;
  const facts = { tenant, minute: Math.floor(at / MINUTE_MS) * MINUTE_MS, device, kind };
  const remoteAddress = event.remoteAddress?.slice(0, MAX_ADDRESS);
  return {
    ...facts,
    id: idOf({ ...facts, remoteAddress }),
    remoteAddress,
    firstAt: at,
    lastAt: at,
    times: 1,
    certificateSerial: event.certificateSerial?.slice(0, MAX_SERIAL),
    detail: printable(event.detail).slice(0, MAX_DETAIL),
  };
}

/** The same event about a device that its tenant does not have. */
export function ofNoDevice(event: FoldedEvent): FoldedEvent {
  const changed = { ...event, device: undefined };
  return { ...changed, id: idOf(changed) };
}

function merge(known: FoldedEvent, later: FoldedEvent): void {
  known.firstAt = Math.min(known.firstAt, later.firstAt);
  known.lastAt = Math.max(known.lastAt, later.lastAt);
  known.times += later.times;
  known.certificateSerial = later.certificateSerial;
  known.detail = later.detail;
}

const keyOf = ({ tenant, id }: Pick<FoldedEvent, 'tenant' | 'id'>): string => `${tenant} ${id}`;

function idOf(event: Pick<FoldedEvent, 'minute' | 'device' | 'kind' | 'remoteAddress'>): string {
  const parts = [event.minute, event.device ?? null, event.kind, event.remoteAddress ?? null];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22);
}

/** Controls, what turns the writing direction, and halves of characters, as their numbers. Cut before, because it grows. */
function printable(text: string): string {
  return text
    .slice(0, MAX_DETAIL)
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (found) => `\\u{${found.codePointAt(0)?.toString(16)}}`);
}
