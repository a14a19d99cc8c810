/** What a rule remembers between two samples of a device. Plain JSON, bounded by the rule and not by time. */
import type { SignalValue } from '../../contract/wire/payloads.ts';

/** One part of a condition. */
export interface NodeState {
  /** Since when it is true; `null` while it is not, or unknown. */
  since: number | null;
  /** Beyond its limit and not yet back behind the dead band; of a count: whether the counted was true last. */
  on?: boolean;
  /** Of a count: when it became true, newest last, at most as many as are counted. */
  times?: number[];
  /** Of a rate: [slot, samples, mean time, mean value] of each part of the time that the slope is taken over. */
  slots?: [slot: number, samples: number, at: number, value: number][];
  /** Of a rate: the newest slope, in units a ms. */
  slope?: number | null;
  /** Since when it has been watched. */
  from?: number;
}

/** One rule on one device. */
export interface RuleState {
  readonly version: number;
  readonly nodes: NodeState[];
  open: { onset: number; raisedAt: number } | null;
  /** Since when the condition is false although an alert is open. */
  calmSince: number | null;
  /** When time alone may change something. */
  due: number | null;
  /** The same, where it may raise or clear an alert. */
  wake: number | null;
}

/** The newest value of a signal, or the newest report of a fault or event. */
export interface Held {
  readonly at: number;
  readonly value: SignalValue;
}

/** All rules of one device at one time of its clock. */
export interface EvaluationState {
  /** Of the last sample, report or timer. */
  at: number;
  /** Of the last sample or report; `null` before the first. */
  heardAt: number | null;
  /** Up to here we did not listen: nobody was silent. */
  resumedAt?: number;
  /** by signal, only those that rules ask for */
  readonly values: Record<string, Held>;
  /** by `fault:code` or `event:name`; the value says whether it stands */
  readonly reports: Record<string, Held>;
  /** by rule id */
  readonly rules: Record<string, RuleState>;
}

export function initEvaluation(at: number): EvaluationState {
  return { at, heardAt: null, values: {}, reports: {}, rules: {} };
}
