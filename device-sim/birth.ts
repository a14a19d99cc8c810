/** What a simulated or replayed device says of itself in its birth message. */
import { randomBytes } from 'node:crypto';
import { signalsOf } from '../contract/devices/catalogue.ts';
import type { BirthPayload } from '../contract/wire/payloads.ts';

export type Birth = Omit<BirthPayload, 'v' | 'boot' | 't'>;

/** A boot id that no other start ever had: 72 random bits. */
export function newBootId(): string {
  return randomBytes(9).toString('base64url');
}

/** Birth of a device of a catalogue model; `extraSignals` are numbers that the catalogue does not know. */
export function birthOf(
  model: string,
  intervalMs: number,
  serial: string,
  extraSignals: readonly string[] = [],
): Birth {
  const known = [...signalsOf(model).values()].map(({ name, unit, kind }) => ({
    name,
    ...(unit ? { unit } : {}),
    kind,
    intervalMs,
  }));
  const extra = extraSignals
    .filter((name) => !signalsOf(model).has(name))
    .map((name) => ({ name, kind: 'number' as const, intervalMs }));
  return { model, serial, firmware: 'sim-1.0.0', hardware: 'simulated', signals: [...known, ...extra] };
}
