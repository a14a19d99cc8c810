/** What the desk asks of rules: whether a text is one, and what it would have said about recorded samples. */
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { RuleTools } from '../../contract/ports/rules.ts';
import { checkRule } from './check.ts';
import { compileRule } from './compile.ts';
import { RULE_LIMITS, takeRuleInput } from './device-rules.ts';
import { declaredModel, knownModelOf } from './known-models.ts';
import { initDeviceRules } from './rule-state.ts';

/** Alerts of a trial beyond this are counted by nobody: such a rule is a bad one. */
const MAX_FINDINGS = 2_000;

export function createRuleTools(catalogue: readonly DeviceModel[]): RuleTools {
  const known = catalogue.map(knownModelOf);
  return {
    check(text, declared) {
      const models = [...known, ...declared.map(({ id, signals }) => declaredModel(id, signals))];
      const checked = checkRule(text, models);
      if (checked.kind === 'problems') return checked;
      const { canonical, binding, notes } = checked;
      return { kind: 'rule', canonical, binding, notes };
    },
    trial(rule, { tenant, device, model, firmware }) {
      const compiled = compileRule(rule, { device, model, firmware });
      if (!compiled) return undefined;
      const state = initDeviceRules();
      const set = { key: rule.id, rules: [compiled] };
      const found: AlertFinding[] = [];
      return {
        take({ boot, seq, index, observedAt, signals }) {
          // In the order of the device's clock, and as if each had come at once.
          const at = { at: observedAt, receivedAt: observedAt };
          const input = { identity: `${boot}:${seq}:${index}`, seq: 0, index: 0, ...at, position: 0, signals };
          const said = takeRuleInput(state, set, { tenant, device, model }, input, RULE_LIMITS);
          if (found.length < MAX_FINDINGS) found.push(...said);
        },
        findings: () => found,
      };
    },
  };
}
