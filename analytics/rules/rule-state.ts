/** What is kept of a device for its rules. */
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { CompiledRule } from './compile.ts';
import type { RuleInput } from './evaluate.ts';
import { type EvaluationState, initEvaluation } from './node-state.ts';

/** Rules as they apply to one device. */
export interface RuleSet {
  /** Changes with every change of the rules. */
  readonly key: string;
  readonly rules: readonly CompiledRule[];
}

/** An alert as it was told. */
export interface Told {
  readonly id: string;
  onset: number;
  readonly raisedAt: number;
  clearedAt: number | null;
  /** Time of its last finding: none after it is earlier. */
  at: number;
  findings: number;
  /** Late data showed that it was none, or another one took its place. */
  gone: boolean;
}

export interface ToldByRule {
  readonly version: number;
  readonly component: string;
  readonly severity: AlertFinding['severity'];
  /** Alerts so far: numbers their ids. */
  count: number;
  readonly alerts: Told[];
}

/** Plain JSON. */
export interface DeviceRuleState {
  readonly v: 1;
  /** Key of the rule set it was made for. */
  set: string;
  firmware?: string;
  base: EvaluationState;
  now: EvaluationState;
  readonly window: RuleInput[];
  /** by rule id */
  readonly told: Record<string, ToldByRule>;
  newest: Omit<RuleInput, 'signals' | 'reports' | 'resumedAt'> | null;
  /** Device time up to which alerts were told without data; `null` when nothing was. */
  ahead: number | null;
  /** Device time at which silence may next raise or clear an alert. */
  wake: number | null;
  /** Came too late to be put in their place. */
  late: number;
  /** Were put in their place. */
  replaced: number;
}

export interface RuleDevice {
  readonly tenant: string;
  readonly device: string;
  readonly model: string;
}

export function initDeviceRules(): DeviceRuleState {
  return {
    v: 1,
    set: '',
    base: initEvaluation(0),
    now: initEvaluation(0),
    window: [],
    told: {},
    newest: null,
    ahead: null,
    wake: null,
    late: 0,
    replaced: 0,
  };
}
