/**
 * What is known of units' lives, and what survival analysis may be asked of it. A unit that was replaced early, is still
 * alive or was lost sight of has not failed: it is censored at the age at which it was last seen.
 */

/** One life as far as it was watched, in hours or cycles of age. */
export interface Observation {
  /** Age from which on it was watched (left truncation): had it failed before, it would not be in the data. 0 = from birth. */
  readonly entry: number;
  /** Age when it failed or was last seen. */
  readonly end: number;
  readonly failed: boolean;
}

/** One unit of a fleet. */
export interface UnitLife {
  readonly unit: string;
  readonly entry: number;
  readonly end: number;
  /** Failure mode that ended the life; absent = it did not fail. */
  readonly failedBy?: string;
  readonly batch?: string;
  readonly firmware?: string;
}

export type Grouping = 'batch' | 'firmware';

/** "Not enough data" is a result. */
export interface Refusal {
  readonly kind: 'refused';
  readonly reason: string;
}

export const refuse = (reason: string): Refusal => ({ kind: 'refused', reason });

/** Lives in view of one failure mode: a unit that another mode ended was watched until then, and did not fail by this one. */
export function livesOf(units: readonly UnitLife[], failureMode: string): Observation[] {
  return units.map(({ entry, end, failedBy }) => ({ entry, end, failed: failedBy === failureMode }));
}

/**
 * Units by batch or firmware; those without one are left out.
 * @example groupLives([{ unit: 'a', entry: 0, end: 5, batch: 'x' }], 'batch').size // => 1
 */
export function groupLives(units: readonly UnitLife[], by: Grouping): ReadonlyMap<string, readonly UnitLife[]> {
  const groups = new Map<string, UnitLife[]>();
  for (const unit of units) {
    const name = unit[by];
    if (name === undefined) continue;
    const group = groups.get(name);
    if (group) group.push(unit);
    else groups.set(name, [unit]);
  }
  return groups;
}

/** Why these lives cannot be used at all, or `undefined`. */
export function flawOf(lives: readonly Observation[]): string | undefined {
  if (lives.length === 0) return 'no unit was watched';
  const odd = lives.findIndex(
    ({ entry, end }) => !(Number.isFinite(entry) && Number.isFinite(end) && entry >= 0 && end > entry),
  );
  if (odd >= 0) return `life ${odd + 1} of ${lives.length} does not run from an age to a later one`;
  return undefined;
}
