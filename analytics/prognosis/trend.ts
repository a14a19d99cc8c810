/**
 * Prognosis by trend to threshold: for each failure mode with an end of life (a signal and its limit), follows the
 * signal's slow level and says when it will reach the limit, once a trend towards it is beyond doubt. Needs no training.
 */
import type { DeviceModel, FailureMode } from '../../contract/devices/device-model.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import type { LifeUnit, Prediction } from '../../contract/ports/findings.ts';
import type { Prognoser, PrognosisInput } from './prognoser.ts';
import type { BlockPlan, BlockState } from './trend-blocks.ts';
import { addToBlocks, initBlocks } from './trend-blocks.ts';
import type { WearOutlook } from './wear-outlook.ts';
import { OUTLOOK_PROBABILITIES, wearOutlook } from './wear-outlook.ts';

type EndOfLife = NonNullable<FailureMode['endOfLife']>;

/** One failure mode's part of the state. */
export interface TrendModeState {
  blocks: BlockState;
  /** What the closed blocks say, and the life at which the last of them had its middle; null before there is a baseline. */
  outlook: WearOutlook | null;
  outlookAt: number;
}

/** Plain JSON, about 2 KiB a failure mode. */
export interface TrendState {
  /** by failure mode code */
  modes: Record<string, TrendModeState>;
  /** Newest life seen, in the model's life unit. */
  life: number;
  /** Device time and cycle of the first sample: how fast this device uses up cycles. */
  firstAt: number | null;
  firstLife: number;
  lastAt: number;
}

interface Followed {
  readonly mode: FailureMode;
  readonly end: EndOfLife;
  readonly range: readonly [number, number];
  readonly plan: BlockPlan;
}

const NAME = 'trend-to-threshold';
const VERSION = '1';
/** Days for which a chance of failure is given. */
const DAYS = [7, 14, 30, 90] as const;
/** Blocks in one rhythm of use. */
const PHASES = 4;
/** Rhythms that make the baseline. */
const BASELINE_RHYTHMS = 3;
const BASELINE_BLOCKS = 12;
/** Cycles in the first blocks of a cycle-based model. */
const CYCLES_PER_BLOCK = 4;
const MIN_PACE_CYCLES = 10;

/** Follows one device of the model. Life is device time in hours, or the sample's cycle where life is counted in cycles. */
export function createTrendPrognoser(model: DeviceModel): Prognoser<TrendState> {
  const plan = blockPlanOf(model);
  const followed = model.failureModes.flatMap((mode): Followed[] => {
    if (!mode.endOfLife) return [];
    const spec = model.signals.find((signal) => signal.name === mode.endOfLife?.signal);
    const range = spec?.range ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    return [{ mode, end: mode.endOfLife, range, plan }];
  });
  return {
    name: NAME,
    version: VERSION,
    init: () => ({
      modes: Object.fromEntries(
        followed.map(({ mode }) => [mode.code, { blocks: initBlocks(plan), outlook: null, outlookAt: 0 }]),
      ),
      life: 0,
      firstAt: null,
      firstLife: 0,
      lastAt: 0,
    }),
    update: (state, input) => takeSample(model.lifeUnit, followed, state, input),
    predict: (state) => followed.map((one) => predictMode(model.lifeUnit, one, state)),
  };
}

function blockPlanOf(model: DeviceModel): BlockPlan {
  if (model.lifeUnit === 'cycle') {
    return {
      firstLength: CYCLES_PER_BLOCK,
      longestLength: CYCLES_PER_BLOCK * 4,
      phases: 1,
      baselineBlocks: BASELINE_BLOCKS,
      minValues: 1,
    };
  }
  const season = (model.seasonMs ?? 0) / HOUR_MS;
  const firstLength = season > 0 ? season / PHASES : Math.max(1, (12 * model.intervalMs) / HOUR_MS);
  return {
    firstLength,
    // Four phases merge to whole rhythms after two doublings; without a rhythm blocks grow to about a day.
    longestLength: season > 0 ? season : firstLength * 16,
    phases: season > 0 ? PHASES : 1,
    baselineBlocks: season > 0 ? PHASES * BASELINE_RHYTHMS : BASELINE_BLOCKS,
    minValues: Math.max(1, Math.min(3, Math.floor((firstLength * HOUR_MS) / model.intervalMs))),
  };
}

function takeSample(
  unit: LifeUnit,
  followed: readonly Followed[],
  state: TrendState,
  input: PrognosisInput,
): TrendState {
  const life = unit === 'cycle' ? input.cycle : input.at / HOUR_MS;
  if (life === undefined || !Number.isFinite(life)) return state;
  if (state.firstAt === null) {
    state.firstAt = input.at;
    state.firstLife = life;
  }
  state.life = Math.max(state.life, life);
  state.lastAt = Math.max(state.lastAt, input.at);
  for (const one of followed) {
    const value = input.signals[one.end.signal];
    const rightMode = one.end.mode === undefined || one.end.mode === input.mode;
    if (value === undefined || !rightMode || !(value >= one.range[0] && value <= one.range[1])) continue;
    const own = state.modes[one.mode.code];
    if (own && addToBlocks(one.plan, own.blocks, life, value)) renewOutlook(one, own);
  }
  return state;
}

/** Only when a block closes: between blocks nothing new is known. */
function renewOutlook({ end, plan }: Followed, own: TrendModeState): void {
  const { baseline, levels, at } = own.blocks;
  if (!baseline) return;
  const up = end.direction === 'up' ? 1 : -1;
  own.outlook = wearOutlook({
    at,
    levels: levels.map((level) => up * level),
    baseline: { level: up * baseline.level, noise: baseline.noise },
    baselineBlocks: own.blocks.forgotten > 0 ? plan.baselineBlocks : 0,
    limit: up * end.limit,
  });
  own.outlookAt = at[at.length - 1] ?? 0;
}

function predictMode(unit: LifeUnit, { mode, plan }: Followed, state: TrendState): Prediction {
  const about = { faultKey: mode.code, component: mode.component, method: { name: NAME, version: VERSION } };
  const own = state.modes[mode.code];
  if (!own?.outlook) {
    const have = Math.min(own?.blocks.levels.length ?? 0, plan.baselineBlocks);
    const length = unit === 'h' ? `${plan.firstLength} h` : `${plan.firstLength} cycles`;
    const reason = `warming up: have ${have}, need ${plan.baselineBlocks} blocks of ${length}`;
    return { ...about, probabilityWithin: [], reason };
  }
  switch (own.outlook.kind) {
    case 'noTrend':
      return { ...about, probabilityWithin: [], reason: 'no trend towards the limit' };
    case 'limitNotApplicable':
      return { ...about, probabilityWithin: [], reason: 'cannot estimate: beyond the limit from the start' };
    case 'limitReached': {
      const probabilityWithin = DAYS.map((days) => ({ days, p: 1, lower: 1, upper: 1 }));
      return { ...about, remainingLife: { median: 0, lower: 0, upper: 0, unit }, probabilityWithin };
    }
    case 'trend': {
      const elapsed = Math.max(0, state.life - own.outlookAt);
      const remaining = own.outlook.remaining.map((life) => Math.max(0, life - elapsed));
      const at = (probability: (typeof OUTLOOK_PROBABILITIES)[number]) =>
        remaining[OUTLOOK_PROBABILITIES.indexOf(probability)] ?? 0;
      return {
        ...about,
        remainingLife: { median: at(0.5), lower: at(0.05), upper: at(0.95), unit },
        probabilityWithin: probabilities(unit, state, remaining, own.outlook.blocks),
      };
    }
  }
}

/** Empty while the pace of a cycle-based device is not known. */
function probabilities(
  unit: LifeUnit,
  state: TrendState,
  remaining: readonly number[],
  blocks: number,
): Prediction['probabilityWithin'] {
  const lifePerDay = unit === 'h' ? 24 : pacePerDay(state);
  if (lifePerDay === undefined) return [];
  return DAYS.map((days) => {
    const p = shareWithin(remaining, days * lifePerDay);
    // What few blocks can tell apart: standard error of a share seen in that many cases.
    const spread = 1.645 * Math.sqrt((p * (1 - p)) / Math.max(1, blocks));
    return { days, p, lower: Math.max(0, p - spread), upper: Math.min(1, p + spread) };
  });
}

function pacePerDay(state: TrendState): number | undefined {
  const days = (state.lastAt - (state.firstAt ?? state.lastAt)) / DAY_MS;
  const cycles = state.life - state.firstLife;
  return days > 0 && cycles >= MIN_PACE_CYCLES ? cycles / days : undefined;
}

/** Chance of having crossed within `life`: linear between the quantiles, 0 and 1 outside them. */
function shareWithin(remaining: readonly number[], life: number): number {
  const above = remaining.findIndex((value) => value > life);
  if (above < 0) return 1;
  if (above === 0) return 0;
  const [x0 = 0, x1 = 0] = [remaining[above - 1], remaining[above]];
  const [p0 = 0, p1 = 1] = [OUTLOOK_PROBABILITIES[above - 1], OUTLOOK_PROBABILITIES[above]];
  return p0 + ((p1 - p0) * (life - x0)) / Math.max(1e-12, x1 - x0);
}
