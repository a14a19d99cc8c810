/**
 * The regression row of one sample, worked out once for all signals that share a design. Only for models of the
 * catalogue: the signals of other devices come and go as they like, so each keeps a design of its own.
 */
import {
  type BaselineRow,
  type DesignState,
  designRow,
  featuresOf,
  joinDesign,
  learnDesign,
} from '../detectors/design.ts';
import type { DeviceState, ModeState } from '../device-state.ts';
import type { DevicePlan } from '../plan.ts';
import type { Judged } from './judge-signals.ts';

export interface BaselineRows {
  /** The sample's row in the design that this signal uses. */
  row(mode: ModeState): BaselineRow | undefined;
  /** The design that a new signal joins. */
  join(): number;
}

/** @param doubted a sensor of the context lies */
export function baselineRows(
  state: DeviceState,
  plan: DevicePlan,
  modeName: string,
  at: number,
  context: readonly number[],
  doubted: boolean,
): BaselineRows | undefined {
  if (!plan.baseline) return undefined;
  const features = featuresOf(plan.contexts.length, plan.baseline.seasonMs, at, context);
  const designs = designsOf(state, modeName);
  const rows: (BaselineRow | undefined)[] = [];
  return {
    row(mode) {
      const design = mode.design === undefined ? undefined : designs[mode.design];
      if (mode.design === undefined || !design) return undefined;
      rows[mode.design] ??= doubtful(designRow(design, features), doubted);
      return rows[mode.design];
    },
    join: () => joinDesign(designs, usedDesigns(state, modeName), features.length, plan.contexts.length),
  };
}

/** With a context sensor that lies nobody knows what the context is. */
function doubtful(row: BaselineRow, doubted: boolean): BaselineRow {
  return doubted ? { ...row, strangeness: Math.max(1, row.strangeness) } : row;
}

/** Takes the sample's rows into every design from which some signal has learned. */
export function learnRows(
  state: DeviceState,
  plan: DevicePlan,
  modeName: string,
  learned: readonly Pick<Judged, 'mode' | 'input'>[],
): void {
  if (!plan.baseline) return;
  const designs = designsOf(state, modeName);
  const done = new Set<number>();
  for (const { mode, input } of learned) {
    const design = mode.design === undefined ? undefined : designs[mode.design];
    if (!design || mode.design === undefined || done.has(mode.design) || !input.row) continue;
    done.add(mode.design);
    learnDesign(design, input.row, plan.baseline.memorySamples);
  }
}

function designsOf(state: DeviceState, modeName: string): DesignState[] {
  const known = Object.hasOwn(state.designs, modeName) ? state.designs[modeName] : undefined;
  if (known) return known;
  const fresh: DesignState[] = [];
  state.designs[modeName] = fresh;
  return fresh;
}

function usedDesigns(state: DeviceState, modeName: string): ReadonlySet<number> {
  const used = new Set<number>();
  for (const signal of Object.values(state.signals)) {
    const design = Object.hasOwn(signal.modes, modeName) ? signal.modes[modeName]?.design : undefined;
    if (design !== undefined) used.add(design);
  }
  return used;
}
