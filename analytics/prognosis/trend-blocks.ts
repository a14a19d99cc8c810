/**
 * A signal's slow level in bounded memory: the median of each block of time, the last 64 blocks. When 64 blocks are
 * full, neighbours merge and blocks become twice as long, up to a longest length; from then on the oldest leave.
 * The usual rhythm (a day) is taken out with the offsets of its phases, learned together with the baseline.
 */

/** Where blocks lie on the axis of life (hours or cycles). */
export interface BlockPlan {
  /** Length of a block at the start and at most, in life units; the longest is a power of two times the first. */
  readonly firstLength: number;
  readonly longestLength: number;
  /** Blocks of the first length in one rhythm; 1 = no rhythm. */
  readonly phases: number;
  /** Blocks that make the baseline. */
  readonly baselineBlocks: number;
  /** Blocks with fewer values say nothing. */
  readonly minValues: number;
}

export interface Baseline {
  readonly level: number;
  /** Standard deviation of a block's level around it. */
  readonly noise: number;
  /** by phase: what that part of the rhythm adds. */
  readonly phaseOffsets: readonly number[];
}

/** Plain JSON: at most 64 blocks and 32 values. */
export interface BlockState {
  length: number;
  /** Number of the open block (life ÷ length); null before the first value. */
  open: number | null;
  /** Values of the open block, thinned evenly to at most 32. */
  values: number[];
  stride: number;
  seen: number;
  /** Middle of each closed block on the axis of life, and its level. */
  at: number[];
  levels: number[];
  baseline: Baseline | null;
  /** Blocks that left at the old end; from the first on, the baseline is known only from `baseline`. */
  forgotten: number;
}

const MAX_BLOCKS = 64;
const MAX_VALUES = 32;

export function initBlocks(plan: BlockPlan): BlockState {
  return {
    length: plan.firstLength,
    open: null,
    values: [],
    stride: 1,
    seen: 0,
    at: [],
    levels: [],
    baseline: null,
    forgotten: 0,
  };
}

/** Takes a value at `life`; true when that closed a block. A value older than the open block is left out. */
export function addToBlocks(plan: BlockPlan, state: BlockState, life: number, value: number): boolean {
  const block = Math.floor(life / state.length);
  if (state.open !== null && block < state.open) return false;
  const closed = state.open !== null && block > state.open && closeBlock(plan, state, state.open);
  // Closing may have made blocks longer: the number of the open block follows.
  state.open = Math.floor(life / state.length);
  keepValue(state, value);
  return closed;
}

/** Every stride-th value; when the room is used up, every second one goes and the stride doubles. */
function keepValue(state: BlockState, value: number): void {
  if (state.seen++ % state.stride !== 0) return;
  if (state.values.length === MAX_VALUES) {
    state.values = state.values.filter((_, index) => index % 2 === 0);
    state.stride *= 2;
    if ((state.seen - 1) % state.stride !== 0) return;
  }
  // Single precision is plenty, and short in a checkpoint.
  state.values.push(Math.fround(value));
}

function closeBlock(plan: BlockPlan, state: BlockState, block: number): boolean {
  const enough = state.values.length >= plan.minValues;
  if (enough) {
    state.at.push((block + 0.5) * state.length);
    state.levels.push(Math.fround(medianOf(state.values) - phaseOffset(plan, state, block)));
  }
  state.values = [];
  state.stride = 1;
  state.seen = 0;
  if (!enough) return false;
  if (state.baseline === null && state.levels.length >= plan.baselineBlocks) learnBaseline(plan, state);
  if (state.levels.length >= MAX_BLOCKS) shrink(plan, state);
  return true;
}

/** Blocks longer than a phase hold several phases; at the longest, whole rhythms, whose offsets sum to nothing. */
function phaseOffset(plan: BlockPlan, state: BlockState, block: number): number {
  if (!state.baseline) return 0;
  const phasesPerBlock = Math.min(plan.phases, Math.round(state.length / plan.firstLength));
  const first = (block * phasesPerBlock) % plan.phases;
  let sum = 0;
  for (let i = 0; i < phasesPerBlock; i++) sum += state.baseline.phaseOffsets[(first + i) % plan.phases] ?? 0;
  return sum / phasesPerBlock;
}

function learnBaseline(plan: BlockPlan, state: BlockState): void {
  const level = medianOf(state.levels);
  const phaseOf = (index: number) => Math.floor((state.at[index] as number) / plan.firstLength) % plan.phases;
  const phaseOffsets = Array.from({ length: plan.phases }, (_, phase) => {
    const members = state.levels.filter((_, index) => phaseOf(index) === phase);
    return members.length > 1 ? medianOf(members) - level : 0;
  });
  const mean = phaseOffsets.reduce((a, b) => a + b, 0) / plan.phases;
  const centred = phaseOffsets.map((offset) => offset - mean);
  state.levels = state.levels.map((value, index) => value - (centred[phaseOf(index)] ?? 0));
  state.baseline = { level: medianOf(state.levels), noise: noiseAround(state.levels), phaseOffsets: centred };
}

/** 1.4826 × the median absolute deviation estimates the standard deviation of normal noise. */
function noiseAround(levels: readonly number[]): number {
  const middle = medianOf(levels);
  return 1.4826 * medianOf(levels.map((level) => Math.abs(level - middle)));
}

function shrink(plan: BlockPlan, state: BlockState): void {
  if (state.length >= plan.longestLength || !state.baseline) {
    state.forgotten++;
    state.at.shift();
    state.levels.shift();
    return;
  }
  const length = state.length * 2;
  /** by number of the longer block: sum and count of its parts */
  const merged = new Map<number, { sum: number; count: number }>();
  state.at.forEach((at, index) => {
    const block = Math.floor(at / length);
    const part = merged.get(block) ?? { sum: 0, count: 0 };
    merged.set(block, { sum: part.sum + (state.levels[index] as number), count: part.count + 1 });
  });
  state.length = length;
  state.at = Array.from(merged.keys(), (block) => (block + 0.5) * length);
  state.levels = Array.from(merged.values(), ({ sum, count }) => sum / count);
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
