/**
 * Everything that analytics remembers of one device, as plain JSON: what a checkpoint holds. Its size is bounded by the
 * number of signals and modes, not by time.
 */
import type { BandState } from './alerts/bands.ts';
import type { EpisodeState } from './alerts/episode.ts';
import { type ContextState, initContext } from './detectors/context.ts';
import type { DesignState } from './detectors/design.ts';
import type { SensorState } from './detectors/sensor-health.ts';
import type { MonitorState } from './detectors/signal-monitor.ts';
import type { OrderState } from './event-order.ts';
import type { DevicePlan } from './plan.ts';
import type { ShadowStates } from './registry/shadow.ts';
import type { DeviceRuleState } from './rules/rule-state.ts';
import type { SilenceState } from './silence/no-data.ts';
import { packJson, unpackJson } from './state-codec.ts';

/** Rises when old states can no longer be continued: such a device starts anew. */
export const STATE_VERSION = 2;

/** The newest judgement of one signal in one mode; surprises are signed. */
export interface LastJudgement {
  at: number;
  value: number;
  expected: number;
  low: number;
  high: number;
  point: number;
  drift: number;
  driftSince: number | null;
}

export interface ModeState {
  readonly monitor: MonitorState;
  /** Which design of its mode it shares; absent where it has its own. */
  readonly design?: number;
  last: LastJudgement | null;
}

export interface SignalState {
  /** by operating mode; '' where there is none */
  readonly modes: Record<string, ModeState>;
  readonly band: BandState;
  /** Since when learning has been withheld, and for how many samples. */
  withheldSince: number | null;
  withheldSamples: number;
  /** Steps up and down of a signal of an unknown device: one that only rises is a counter. */
  last: number | null;
  rises: number;
  falls: number;
}

/** What the detectors of the whole device know. */
export interface WholeState {
  /** by operating mode ('' where there is none), then by name and version of the detector */
  readonly modes: Record<string, Record<string, unknown>>;
  /** Since when learning has been withheld, and for how many samples. */
  withheldSince: number | null;
  withheldSamples: number;
}

export interface PrognoserState {
  readonly name: string;
  readonly version: string;
  state: unknown;
  /** by fault key: what was last reported */
  readonly reported: Record<string, { median: number | null; due: boolean; sample: number }>;
}

export interface DeviceState {
  readonly v: typeof STATE_VERSION;
  readonly model: string;
  /** Samples taken in. */
  samples: number;
  /** Samples that came after a newer one was scored: counted, not scored. */
  late: number;
  /** Values outside what is physically possible: the sensor lies. */
  outOfRange: number;
  /** Device time of the newest sample. */
  newestAt: number;
  /** Time that the newest sample stands for: since the one before, without silence. Absent in states of older versions. */
  stepMs?: number;
  /** First intervals of a device that no catalogue describes; its rhythm is fixed once there are enough. */
  readonly intervals: number[];
  intervalMs: number | null;
  /** Values of a signal too many to remember. */
  overflow: number;
  context: ContextState | null;
  /** by operating mode: the rows that its signals were measured in */
  readonly designs: Record<string, DesignState[]>;
  /** by signal */
  readonly signals: Record<string, SignalState>;
  /** by fault key */
  readonly episodes: Record<string, EpisodeState>;
  readonly prognosers: PrognoserState[];
  /** by signal; only of models of the catalogue */
  sensors?: Record<string, SensorState>;
  /** Absent in states of older versions. */
  whole?: WholeState;
  /** Samples that wait for stragglers; only in production, where samples arrive. */
  order?: OrderState;
  /** Of the rules of people; absent where none is about the device. */
  rules?: DeviceRuleState;
  /** As its last birth said, since the tenant has rules. */
  firmware?: string;
  /** Whether the device sends at all; only in production. Absent before its first message. */
  silence?: SilenceState;
  /** States of versions that run beside the active one. */
  shadows?: ShadowStates;
  /** Day of the device's clock that was last counted, and for which version. */
  counted?: { readonly day: number; readonly by: string };
}

export function initDevice(modelId: string): DeviceState {
  return {
    v: STATE_VERSION,
    model: modelId,
    samples: 0,
    late: 0,
    outOfRange: 0,
    newestAt: 0,
    intervals: [],
    intervalMs: null,
    overflow: 0,
    context: null,
    designs: {},
    signals: {},
    episodes: {},
    prognosers: [],
  };
}

/** The device's scaler, made on first use. */
export function contextOf(state: DeviceState, plan: DevicePlan): ContextState {
  state.context ??= initContext(plan.contexts);
  return state.context;
}

/**
 * A stored state that this version can continue, else `undefined`. Our own writer made it inside one transaction, so
 * version and model (where one is expected) are checked and the rest is believed.
 */
export function reviveDevice(stored: unknown, modelId?: string): DeviceState | undefined {
  if (typeof stored !== 'object' || stored === null) return undefined;
  const { v, model, packed } = stored as { v?: unknown; model?: unknown; packed?: unknown };
  if (v !== STATE_VERSION || (modelId !== undefined && model !== modelId)) return undefined;
  return typeof packed === 'string' ? (unpackJson(packed) as DeviceState) : (stored as DeviceState);
}

/** What a checkpoint holds. */
export interface PackedDevice {
  readonly v: typeof STATE_VERSION;
  readonly model: string;
  readonly packed: string;
}

/** A state as short as it gets without loss, for {@link reviveDevice}. */
export function packDevice(state: DeviceState): PackedDevice {
  return { v: STATE_VERSION, model: state.model, packed: packJson(state) };
}
