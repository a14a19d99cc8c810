/** The highest rate at which something holds: by steps to a bracket, then by halving it. */

export interface RateSearch {
  readonly start: number;
  /** Factor between tries until one holds and one does not. Default 2. */
  readonly step?: number;
  /** Ends when the failing rate is at most so many times the holding one. Default 1.15. */
  readonly resolution?: number;
  /** Nothing above is tried. */
  readonly max: number;
  /** Below this the search gives up and answers 0. Default `start` ÷ 100. */
  readonly min?: number;
  /** One trial at this rate. */
  readonly holds: (rate: number) => Promise<boolean>;
}

/**
 * @returns the highest rate that held in a trial, or 0
 * @example await findRate({ start: 1_000, max: 100_000, holds: async (rate) => rate <= 5_000 }) // => 4757
 */
export async function findRate(search: RateSearch): Promise<number> {
  const { start, step = 2, resolution = 1.15, max, min = start / 100, holds } = search;
  let held = 0;
  let failed = Number.POSITIVE_INFINITY;
  let rate = Math.min(start, max);
  while (rate >= min) {
    if (await holds(Math.round(rate))) held = rate;
    else failed = rate;
    if (held >= max || failed <= held * resolution) break;
    if (held === 0) rate = failed / step;
    else if (failed === Number.POSITIVE_INFINITY) rate = Math.min(max, held * step);
    else rate = Math.sqrt(held * failed);
  }
  return Math.round(held);
}
