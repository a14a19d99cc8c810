/** The decision about one message with a sequence number, with its reason. Pure: the caller appends, marks and counts. */
import type { SequenceWindow } from './sequence.ts';

export type Acceptance =
  /** `late`: behind a number that came before it. `gapBefore`: numbers missing since the newest one. */
  | { readonly kind: 'accepted'; readonly late?: true; readonly gapBefore?: number }
  /** `inFlight`: the first one is not durable yet. */
  | { readonly kind: 'duplicate'; readonly inFlight: boolean }
  /** The window does not reach back so far: ask the store. */
  | { readonly kind: 'lookup' };

const ACCEPTED: Acceptance = { kind: 'accepted' };
const LATE: Acceptance = { kind: 'accepted', late: true };
const SEEN: Acceptance = { kind: 'duplicate', inFlight: false };
const IN_FLIGHT: Acceptance = { kind: 'duplicate', inFlight: true };
const LOOKUP: Acceptance = { kind: 'lookup' };

/** What to do with sequence number `seq`, given what its boot's window has seen. Refused payloads never come here. */
export function accept(seq: number, window: SequenceWindow): Acceptance {
  const sight = window.look(seq);
  switch (sight) {
    case 'inFlight':
      return IN_FLIGHT;
    case 'seen':
      return SEEN;
    case 'unknown':
      return LOOKUP;
    case 'new':
      return placed(seq, window.newest);
  }
}

/** Where a new number stands beside the newest. Nothing can be said about the first of a boot. */
function placed(seq: number, newest: number): Acceptance {
  if (newest < 0 || seq === newest + 1) return ACCEPTED;
  return seq < newest ? LATE : { kind: 'accepted', gapBefore: seq - newest - 1 };
}
