/**
 * What is the largest a statistic usually gets? Its record is cut into blocks, of each the largest value is kept, and a
 * new value is judged against those maxima: extreme-value thinking, which needs neither a distribution nor independent
 * rows. Blocks double in length as the record grows, so there are always a handful of them and each is as long as the
 * record allows: what varies slowly (from day to day, from trip to trip) ends up between blocks, where it belongs.
 */
import { studentToNormal } from './normal.ts';

/** Plain JSON. */
export interface MaximaState {
  /** Rows of a block. */
  length: number;
  /** Logarithms of the maxima of complete blocks, at most {@link MOST_BLOCKS}. */
  readonly maxima: number[];
  /** The same of the newest blocks, oldest first: not believed yet. */
  readonly held: number[];
  /** The block under way: its largest size so far, and its rows. */
  top: number;
  rows: number;
  /** Of `maxima`: mean and unbiased spread. */
  mean: number;
  spread: number;
}

const FIRST_LENGTH = 8;
const MOST_BLOCKS = 32;
/** Blocks before the first judgement. */
export const FEWEST_BLOCKS = 8;
/** A block counts once so many more have passed: a fault that is only beginning must not become usual first. */
const HELD_BLOCKS = 4;
/** Smaller sizes are all the same. */
const SMALLEST = 1e-3;
/** Maxima that hardly differ do not make a hair's breadth more a surprise. */
const MIN_SPREAD = 0.15;

/** @param length rows of the first blocks: more than over what neighbouring sizes hang together */
export function initMaxima(length = FIRST_LENGTH): MaximaState {
  return { length, maxima: [], held: [], top: SMALLEST, rows: 0, mean: 0, spread: 0 };
}

/**
 * Normal deviate as surprising as it would be for the maximum of a healthy block to reach `size`; 0 below the usual
 * maximum and while there are too few blocks. Student's distribution stands in for the doubt that few blocks leave.
 * @param size dimensionless, ≥ 0
 * @example maximaDeviate(initMaxima(), 100) // => 0
 */
export function maximaDeviate(state: MaximaState, size: number): number {
  const count = state.maxima.length;
  if (count < FEWEST_BLOCKS || size <= SMALLEST) return 0;
  const above = Math.log(size) - state.mean;
  if (above <= 0) return 0;
  const deviate = above / (Math.max(MIN_SPREAD, state.spread) * Math.sqrt(1 + 1 / count));
  return studentToNormal(deviate, count - 1);
}

export interface MaximaRules {
  /** How many blocks must have passed before one counts; 0 where what was seen once is no longer news. */
  readonly heldBlocks: number;
  /** Whether the oldest block, made when least was known of the stream, is forgotten whenever blocks double. */
  readonly dropsOldest: boolean;
}

const DEFAULT_RULES: MaximaRules = { heldBlocks: HELD_BLOCKS, dropsOldest: false };

/** Takes one size in. O(1) but for the end of a block. */
export function learnMaximum(state: MaximaState, size: number, rules: MaximaRules = DEFAULT_RULES): void {
  if (size > state.top) state.top = size;
  if (++state.rows < state.length) return;
  state.held.push(Math.round(Math.log(state.top) * 1e3) / 1e3);
  state.top = SMALLEST;
  state.rows = 0;
  if (state.held.length <= rules.heldBlocks) return;
  state.maxima.push(state.held.shift() as number);
  if (state.maxima.length > MOST_BLOCKS) {
    if (rules.dropsOldest) state.maxima.shift();
    mergePairs(state);
  }
  summarise(state);
}

/** Takes back what is not believed yet. */
export function forgetHeld(state: MaximaState): void {
  state.held.length = 0;
  state.top = SMALLEST;
  state.rows = 0;
}

/** Two blocks become one of twice the length; an odd one out is kept as it is. */
function mergePairs(state: MaximaState): void {
  for (const blocks of [state.maxima, state.held]) {
    const count = Math.ceil(blocks.length / 2);
    for (let i = 0; i < count; i++) {
      const first = blocks[2 * i] as number;
      blocks[i] = Math.max(first, blocks[2 * i + 1] ?? first);
    }
    blocks.length = count;
  }
  state.length *= 2;
}

function summarise(state: MaximaState): void {
  const count = state.maxima.length;
  let sum = 0;
  for (const one of state.maxima) sum += one;
  state.mean = sum / count;
  let squares = 0;
  for (const one of state.maxima) squares += (one - state.mean) ** 2;
  state.spread = count > 1 ? Math.sqrt(squares / (count - 1)) : 0;
}
