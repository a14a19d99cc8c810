/** The decision about one message with a sequence number, with its reason. Pure: the caller appends, marks and counts. */
import type { SequenceWindow } from './sequence.ts';

export type Acceptance =
  /** `late`: behind a number that came before it. `gapBefore`: numbers missing since the newest one. */
  | { readonly kind: 'accepted'; readonly late?: true; readonly gapBefore?: number }
  /** `inFlight`: the first one is not durable yet. */
  | { readonly kind: 'duplicate'; readonly inFlight: boolean }
  /** The number was used for another content; the first one stays. */
  | { readonly kind: 'conflict'; readonly inFlight: boolean }
  /** The window does not reach back so far: ask the store. */
  | { readonly kind: 'lookup' };

const ACCEPTED: Acceptance = { kind: 'accepted' };
const LATE: Acceptance = { kind: 'accepted', late: true };
const SEEN: Acceptance = { kind: 'duplicate', inFlight: false };
const IN_FLIGHT: Acceptance = { kind: 'duplicate', inFlight: true };
const CONFLICT: Acceptance = { kind: 'conflict', inFlight: false };
const CONFLICT_IN_FLIGHT: Acceptance = { kind: 'conflict', inFlight: true };
const LOOKUP: Acceptance = { kind: 'lookup' };

/**
 * What to do with sequence number `seq`, given what its boot's window has seen. `fingerprint`: of the content; without
 * one, or without that of the first message, the same number is always a duplicate. Refused payloads never come here.
 */
export function accept(seq: number, window: SequenceWindow, fingerprint = 0): Acceptance {
  const sight = window.look(seq);
  switch (sight) {
    case 'inFlight':
      return isOther(fingerprint, window.fingerprintOf(seq)) ? CONFLICT_IN_FLIGHT : IN_FLIGHT;
    case 'seen':
      return isOther(fingerprint, window.fingerprintOf(seq)) ? CONFLICT : SEEN;
    case 'unknown':
      return LOOKUP;
    case 'new':
      return placed(seq, window.newest);
  }
}

function isOther(fingerprint: number, first: number): boolean {
  return fingerprint !== 0 && first !== 0 && fingerprint !== first;
}

/**
 * Where a new number stands beside the newest. Nothing can be said about the first of a boot; the newest itself comes
 * again when its first append failed.
 */
function placed(seq: number, newest: number): Acceptance {
  if (newest < 0 || seq === newest || seq === newest + 1) return ACCEPTED;
  return seq < newest ? LATE : { kind: 'accepted', gapBefore: seq - newest - 1 };
}
