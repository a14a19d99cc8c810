/** Why an alert of a rule is there: a person wrote down what is asked for, so the rule itself is the reason. */
import { findModel } from '../../../contract/devices/catalogue.ts';
import type { ExplanationParam } from '../../../contract/http/explanation.ts';
import type { RuleEvidence } from '../../../contract/ports/findings.ts';
import type { ExplainedAlert, Statement } from './explain.ts';

const MAX_TESTS = 5;

const text = (value: string): ExplanationParam => ({ kind: 'text', text: value });

/** Statements by topic; what all alerts have in common stands between them. */
export function explainRule(
  alert: ExplainedAlert,
  rule: RuleEvidence,
): Readonly<Record<'summary' | 'because' | 'causes' | 'sure' | 'clears' | 'source', readonly Statement[]>> {
  const { state, clearedAt } = alert;
  const held = rule.tests.filter((one) => one.holds === true).slice(0, MAX_TESTS);
  const cleared: Statement[] =
    clearedAt === undefined
      ? []
      : [{ topic: 'clears', key: 'clears.cleared', params: { at: { kind: 'time', at: clearedAt } } }];
  const name = text(rule.name);
  return {
    summary: [
      { topic: 'summary', key: state === 'open' ? 'summary.rule' : 'summary.ruleEnded', params: { rule: name } },
    ],
    because: [
      ...held.map(testOf),
      ...(rule.correction ? [{ topic: 'because', key: `because.${rule.correction}`, params: {} } as const] : []),
    ],
    causes: causesOf(alert),
    sure: [{ topic: 'sure', key: 'sure.rule', params: {} }],
    clears:
      state === 'open' && rule.text !== ''
        ? [{ topic: 'clears', key: 'clears.rule', params: { condition: text(rule.text) } }]
        : cleared,
    source: [
      { topic: 'source', key: 'source.rule', params: { rule: name, version: { kind: 'count', value: rule.version } } },
    ],
  };
}

function testOf({ test, value, unit }: RuleEvidence['tests'][number]): Statement {
  const condition = text(test);
  if (value === undefined || typeof value === 'boolean') {
    return { topic: 'because', key: 'because.held', params: { condition } };
  }
  const shown: ExplanationParam = typeof value === 'number' ? { kind: 'number', value, unit: unit ?? '' } : text(value);
  return { topic: 'because', key: 'because.heldBy', params: { condition, value: shown } };
}

/** The failure mode that the rule names, where it names one. */
function causesOf({ model, evidence }: ExplainedAlert): Statement[] {
  const named = evidence.likelyCauses[0]?.faultKey;
  const mode = findModel(model)?.failureModes.find((one) => one.code === named);
  if (!mode) return [];
  return [
    { topic: 'cause', key: 'cause.named', params: { cause: { kind: 'cause', id: mode.code } } },
    { topic: 'cause', key: 'cause.effect', params: { effect: { kind: 'effect', id: mode.code } } },
  ];
}
