/** Signals that a birth message declares, by name. */
import type { BirthPayload } from '../contract/wire/payloads.ts';

export type DeclaredSignals = ReadonlyMap<string, 'number' | 'boolean' | 'text'>;

/** A declaration without a kind means a number, as nearly all signals are. */
export function declaredSignals(birth: BirthPayload): DeclaredSignals {
  return new Map((birth.signals ?? []).map((signal) => [signal.name, signal.kind ?? 'number']));
}
