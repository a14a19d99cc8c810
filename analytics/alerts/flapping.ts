/**
 * An alert that comes and goes is one alert. With its Nth opening within a window it flaps: it stays open, its swings are
 * counted and reported to nobody, and it flaps no more once it has neither come nor gone for a while. Entering takes many
 * openings, leaving takes none at all: between the two lies the hysteresis.
 */
import type { AlertPolicy } from './policy.ts';

/** Plain JSON. */
export interface FlapState {
  /** Openings within the window that led to it. */
  readonly openings: number;
  /** Whether it would be open without flapping. */
  active: boolean;
  /** Time since it last came or went; silence does not count. */
  quietMs: number;
  /** How often it came or went since it flaps. */
  swings: number;
}

/** Notes an opening at `at` in the list of the newest ones; answers the flapping that begins with it. */
export function noteOpening(openings: number[], at: number, policy: AlertPolicy): FlapState | undefined {
  if (policy.flapOpenings === 0) return undefined;
  openings.push(at);
  while (openings.length > policy.flapOpenings) openings.shift();
  const first = openings[0] as number;
  if (openings.length < policy.flapOpenings || at - first > policy.flapWindowMs) return undefined;
  return { openings: openings.length, active: true, quietMs: 0, swings: 0 };
}

/** It came or went. */
export function noteSwing(flap: FlapState): void {
  flap.active = !flap.active;
  flap.quietMs = 0;
  flap.swings++;
}

/** Whether it flaps no more. */
export function hasSettled(flap: FlapState, policy: AlertPolicy): boolean {
  return flap.quietMs >= policy.flapQuietMs;
}
