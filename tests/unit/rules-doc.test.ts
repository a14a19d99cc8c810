/** docs/rules.md tells the truth: its examples are rules, its mistake is that mistake, its bounds and metrics are the real ones. */
import { describe, expect, it } from 'vitest';
import { checkRule } from '../../analytics/rules/check.ts';
import { RULE_LIMITS } from '../../analytics/rules/device-rules.ts';
import { knownModelOf } from '../../analytics/rules/known-models.ts';
import { MAX_DEPTH, MAX_NAMES, MAX_TESTS } from '../../analytics/rules/parse.ts';
import { MAX_RULES_PER_MODEL, MAX_RULES_PER_TENANT } from '../../analytics/rules/rule-book.ts';
import { reportRules } from '../../analytics/rules/rule-reports.ts';
import { MAX_RULE_CHARS } from '../../analytics/rules/tokens.ts';
import * as desk from '../../api/rules/rule-versions.ts';
import { MAX_TRIED_SAMPLES } from '../../api/rules/try-rule.ts';
import { DEVICE_MODELS } from '../../contract/devices/catalogue.ts';
import { readTracked } from '../support/source-files.ts';

const page = readTracked('docs/rules.md');
const models = DEVICE_MODELS.map(knownModelOf);
const examples = [...page.matchAll(/```rule\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

describe('docs/rules.md', () => {
  it.each(examples.map((text) => [text]))('shows a rule:\n%s', (text) => {
    expect(checkRule(text, models)).toMatchObject({ kind: 'rule', notes: [] });
  });

  it('shows a mistake as it is told', () => {
    const [, text = '', line] = /check --text '(.*)'\n(.*)\n/.exec(page) ?? [];
    const checked = checkRule(text, models);
    const [first] = checked.kind === 'problems' ? checked.problems : [];
    expect(line).toBe(
      `${first?.line}:${first?.column} ${first?.message}; expected ${first?.expected.join(', ')}; did you mean ${first?.nearest}?`,
    );
  });

  it('names the bounds', () => {
    expect(page).toContain(
      `${MAX_RULE_CHARS.toLocaleString('en-US')} characters, ${MAX_TESTS} tests, ${MAX_DEPTH} levels, ${MAX_NAMES} names a list, ${MAX_RULES_PER_TENANT} rules a tenant, ${MAX_RULES_PER_MODEL} that run`,
    );
    expect(desk).toMatchObject({ MAX_RULES_PER_TENANT, MAX_RULES_PER_MODEL });
    expect(RULE_LIMITS).toMatchObject({ latenessMs: 15 * 60_000, maxWindow: 64 });
    expect(page).toContain(`${MAX_TRIED_SAMPLES.toLocaleString('en-US')} samples`);
  });

  it('lists the metrics', () => {
    const names: string[] = [];
    const metrics = { count: () => {}, gauge: (name: string) => names.push(name) };
    reportRules(metrics as never, { rules: 0, late: 0, replaced: 0, waiting: 0, refused: 0, overflow: 0 });
    expect([...page.matchAll(/^\| `(presage_\w+)`/gm)].map((match) => match[1])).toEqual(names);
  });
});
