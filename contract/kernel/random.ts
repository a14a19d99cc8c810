/** Seeded randomness: simulators, training and jitter in tests take this instead of Math.random. */

/** Uniform in [0, 1). */
export type Random = () => number;

/**
 * Mulberry32: a small generator with 2^32 states, good enough for simulation, not for secrets.
 * @example seededRandom(1)() === seededRandom(1)() // => true
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Standard normal deviate by Box and Muller (1958). */
export function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
