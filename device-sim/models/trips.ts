/** What a vehicle does on a day: legs of driving and stops between them. A function of its arguments alone. Pure. */
import { MINUTE_MS } from '../../contract/kernel/time.ts';

export interface Leg {
  /** Time of the day, ms after midnight. */
  readonly from: number;
  readonly to: number;
  /** Mean speed between two stops, km/h. */
  readonly speedKmH: number;
  /** 0..1 of the tour done before this leg. */
  readonly done: number;
}

/** One tour after another leg by leg; `drive` and `stop` draw how long they take (minutes), `speed` how fast it goes. */
export function legsOf(
  start: number,
  count: number,
  draw: { drive: () => number; stop: () => number; speed: () => number },
): Leg[] {
  const legs: Leg[] = [];
  let from = start;
  for (let i = 0; i < count; i++) {
    const to = from + draw.drive() * MINUTE_MS;
    legs.push({ from, to, speedKmH: draw.speed(), done: i / count });
    from = to + draw.stop() * MINUTE_MS;
  }
  return legs;
}

/** The leg that `timeOfDay` falls into; `from` is where the search begins and only grows within a day. */
export function legAt(legs: readonly Leg[], timeOfDay: number, from: number): { leg: Leg | undefined; next: number } {
  let next = from;
  while (next < legs.length && (legs[next] as Leg).to <= timeOfDay) next++;
  const leg = legs[next];
  return { leg: leg && leg.from <= timeOfDay ? leg : undefined, next };
}
