/**
 * Causal features of one unit, built cycle by cycle. Training, batch prediction and live devices all run through
 * `observe` and `featuresOf`, so what a model learned on is what it sees later, to the last bit.
 */

import type { Regimes } from './regimes.ts';
import { regimeOf } from './regimes.ts';

/** How raw columns become the channels that features are made of. Part of the model file. */
export interface FeaturePlan {
  readonly regimes: Regimes;
  /** Informative columns, by index into the columns of the history. */
  readonly channels: readonly ChannelPlan[];
  /** Health indices: weighted sums of the channels, less noisy than any one of them. */
  readonly indices: readonly { readonly offset: number; readonly weights: readonly number[] }[];
}

export interface ChannelPlan {
  readonly column: number;
  /** by regime */
  readonly mean: readonly number[];
  /** by regime; 0 = constant there. */
  readonly deviation: readonly number[];
}

/** What is remembered of one unit; plain JSON, at most 60 values a channel. */
export interface FeatureState {
  /** Rows taken so far. */
  count: number;
  firstCycle: number;
  lastCycle: number;
  /** Where the next value goes in every ring. */
  next: number;
  /** by channel, then indices: last values in deviations from the regime's mean; null = missing. */
  rings: (number | null)[][];
  /** by channel, then indices: sum and count over the unit's own first rows. */
  headSums: number[];
  headCounts: number[];
}

export const WINDOW = 60;
export const HEAD = 20;
const MEANS: readonly number[] = [5, 15, 30, 60];
const SLOPES: readonly number[] = [15, 30, 60];
/** All windows are multiples of it. */
const WINDOW_STEP = 5;
/** Means, mean over 15 less the unit's own start, slopes. */
const FEATURES_PER_CHANNEL = MEANS.length + 1 + SLOPES.length;
/** Deviations are cut here, so that one wild reading moves no mean far. */
const MAX_DEVIATION = 8;

export function initFeatures(plan: FeaturePlan): FeatureState {
  const channels = plan.channels.length + plan.indices.length;
  return {
    count: 0,
    firstCycle: 0,
    lastCycle: 0,
    next: 0,
    rings: Array.from({ length: channels }, () => []),
    headSums: new Array<number>(channels).fill(0),
    headCounts: new Array<number>(channels).fill(0),
  };
}

/** Takes one row into the state, O(channels). `readingOf(column)` is NaN where the reading is missing. */
export function observe(
  plan: FeaturePlan,
  state: FeatureState,
  cycle: number,
  readingOf: (column: number) => number,
): void {
  if (state.count === 0) state.firstCycle = cycle;
  state.lastCycle = cycle;
  const regime = regimeOf(plan.regimes, readingOf);
  const deviations = plan.channels.map((channel) => deviationOf(channel, regime, readingOf(channel.column)));
  for (const index of plan.indices) {
    let sum = index.offset;
    for (let i = 0; i < index.weights.length; i++) sum += (index.weights[i] as number) * (deviations[i] ?? 0);
    deviations.push(toFourDigits(sum));
  }
  const inHead = state.count < HEAD;
  for (let channel = 0; channel < deviations.length; channel++) {
    const value = deviations[channel] ?? null;
    (state.rings[channel] as (number | null)[])[state.next] = value;
    if (inHead && value !== null) {
      state.headSums[channel] = (state.headSums[channel] as number) + value;
      state.headCounts[channel] = (state.headCounts[channel] as number) + 1;
    }
  }
  state.next = (state.next + 1) % WINDOW;
  state.count++;
}

/** Deviation from the regime's mean in its standard deviations; null when missing. Four digits keep the state small. */
function deviationOf(channel: ChannelPlan, regime: number, value: number): number | null {
  if (!Number.isFinite(value)) return null;
  const deviation = channel.deviation[regime] ?? 0;
  if (deviation === 0) return 0;
  const z = (value - (channel.mean[regime] ?? 0)) / deviation;
  return toFourDigits(Math.max(-MAX_DEVIATION, Math.min(MAX_DEVIATION, z)));
}

function toFourDigits(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}

export function featureCount(plan: FeaturePlan): number {
  return 1 + (plan.channels.length + plan.indices.length) * FEATURES_PER_CHANNEL;
}

/** Features after the last observed row, written to `out` from `offset`. NaN = not known. */
export function featuresOf(state: FeatureState, out: Float64Array, offset = 0): void {
  let at = offset;
  out[at++] = state.lastCycle - state.firstCycle + 1;
  for (let channel = 0; channel < state.rings.length; channel++) {
    at = channelFeatures(state, channel, out, at);
  }
}

/** One pass backwards from the newest value: sums for the means and for the least-squares slopes. */
function channelFeatures(state: FeatureState, channel: number, out: Float64Array, offset: number): number {
  const ring = state.rings[channel] as (number | null)[];
  const held = Math.min(state.count, WINDOW);
  let n = 0;
  let sum = 0;
  let sumK = 0;
  let sumKK = 0;
  let sumKV = 0;
  let mean15 = Number.NaN;
  for (let k = 0; k < WINDOW; k++) {
    if (k < held) {
      const value = ring[(state.next - 1 - k + WINDOW) % WINDOW];
      if (value !== null && value !== undefined) {
        n++;
        sum += value;
        sumK += k;
        sumKK += k * k;
        sumKV += k * value;
      }
    }
    const reached = k + 1;
    if (reached % WINDOW_STEP !== 0) continue;
    const mean = n > 0 ? sum / n : Number.NaN;
    const meanSlot = MEANS.indexOf(reached);
    if (meanSlot >= 0) out[offset + meanSlot] = mean;
    if (reached === 15) mean15 = mean;
    const slopeSlot = SLOPES.indexOf(reached);
    if (slopeSlot >= 0) {
      const spread = n * sumKK - sumK * sumK;
      // k counts backwards, so a rising channel has a negative slope in k.
      out[offset + MEANS.length + 1 + slopeSlot] =
        n >= 5 && spread > 0 ? -(n * sumKV - sumK * sum) / spread : Number.NaN;
    }
  }
  const headCount = state.headCounts[channel] as number;
  out[offset + MEANS.length] = headCount > 0 ? mean15 - (state.headSums[channel] as number) / headCount : Number.NaN;
  return offset + FEATURES_PER_CHANNEL;
}
