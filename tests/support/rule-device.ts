/** One simulated device under rules, in memory: sends samples and reports in any order, lets time pass, restarts at will. */
import { checkRule } from '../../analytics/rules/check.ts';
import { compileRule } from '../../analytics/rules/compile.ts';
import {
  letTimePass,
  RULE_LIMITS,
  type RuleLimits,
  takeRuleInput,
  wakeTime,
} from '../../analytics/rules/device-rules.ts';
import { knownModelOf } from '../../analytics/rules/known-models.ts';
import { type DeviceRuleState, initDeviceRules, type RuleSet } from '../../analytics/rules/rule-state.ts';
import { type Episode, mergeAlert, supersede } from '../../api/desk/merge-alert.ts';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { RunnableRule } from '../../contract/ports/rules.ts';
import type { Signals } from '../../contract/wire/payloads.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
/** Monday, 2026-03-02, 00:00 UTC. */
export const MONDAY = Date.UTC(2026, 2, 2);

const MODELS = DEVICE_MODELS.map(knownModelOf);

/** A rule as it would be stored. @throws Error when the text has problems */
export function ruleOf(text: string, id = 'my-rule', version = 1): RunnableRule {
  const checked = checkRule(text, MODELS);
  if (checked.kind === 'problems') throw new Error(`${text}: ${JSON.stringify(checked.problems)}`);
  return { id, version, name: id, text: checked.canonical, binding: checked.binding };
}

/** An alert as the desk has it in the end. */
export interface DeskAlert {
  readonly rule: string;
  readonly onset: number;
  readonly clearedAt: number | null;
}

export class RuledDevice {
  readonly device = { tenant: 'acme', device: 'fridge-1', model: 'refrigerator' };
  readonly findings: AlertFinding[] = [];
  readonly limits: RuleLimits;
  state: DeviceRuleState = initDeviceRules();
  #set: RuleSet = { key: '', rules: [] };
  #rules: readonly RunnableRule[] = [];
  #seq = 0;
  firmware: string | undefined;
  /** Restart (nothing but JSON survives) before every step. */
  restarts = false;

  constructor(rules: string | readonly RunnableRule[], limits: Partial<RuleLimits> = {}) {
    this.limits = { ...RULE_LIMITS, ...limits };
    this.use(typeof rules === 'string' ? [ruleOf(rules)] : rules);
  }

  use(rules: readonly RunnableRule[]): void {
    this.#rules = rules;
    this.#compile();
  }

  #compile(): void {
    const target = { ...this.device, firmware: this.firmware };
    const compiled = this.#rules.map((rule) => compileRule(rule, target)).filter((rule) => rule !== undefined);
    this.#set = { key: compiled.map(({ id, version }) => `${id}@${version}`).join(), rules: compiled };
  }

  #restart(): void {
    this.state = JSON.parse(JSON.stringify(this.state)) as DeviceRuleState;
    this.#compile();
  }

  /** A sample at device time `at`, received then unless said otherwise. */
  send(
    at: number,
    signals: Signals,
    more: { receivedAt?: number; seq?: number; reports?: Record<string, boolean> } = {},
  ): AlertFinding[] {
    if (this.restarts) this.#restart();
    const seq = more.seq ?? this.#seq++;
    const { receivedAt = at, reports } = more;
    const input = {
      identity: `b:${seq}:0`,
      seq,
      index: 0,
      at,
      receivedAt,
      position: seq + 1,
      signals,
      ...(reports ? { reports } : {}),
    };
    const found = takeRuleInput(this.state, this.#set, this.device, input, this.limits);
    this.findings.push(...found);
    return found;
  }

  report(at: number, key: string, stands = true): AlertFinding[] {
    return this.send(at, {}, { reports: { [key]: stands } });
  }

  /** The server's clock is at `now`. */
  wait(now: number): AlertFinding[] {
    if (this.restarts) this.#restart();
    const due = wakeTime(this.state);
    if (due === null || due > now) return [];
    const found = letTimePass(this.state, this.#set, this.device, now, this.limits);
    this.findings.push(...found);
    return found;
  }

  alerts(): DeskAlert[] {
    /** by episode */
    const episodes = new Map<string, Episode>();
    /** by fault key */
    const open = new Map<string, string>();
    for (const finding of this.findings) {
      const after = mergeAlert(episodes.get(finding.episode), finding);
      episodes.set(after.id, after);
      const other = open.get(after.faultKey);
      if (after.state === 'cleared') {
        if (other === after.id) open.delete(after.faultKey);
        continue;
      }
      open.set(after.faultKey, after.id);
      const replaced = other === undefined || other === after.id ? undefined : episodes.get(other);
      if (replaced) episodes.set(replaced.id, supersede(replaced, after.onset));
    }
    return [...episodes.values()]
      .map(({ faultKey, onset, clearedAt }) => ({ rule: faultKey, onset, clearedAt }))
      .sort((a, b) => a.onset - b.onset || (a.rule < b.rule ? -1 : 1));
  }

  kinds(): string[] {
    return this.findings.map(({ kind }) => kind);
  }
}
