/** `presage demo` keeps what the README says: failures foreseen with evidence, the healthy left alone. */
import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../app/demo/verdict.ts';
import { runCli } from '../support/run-cli.ts';

describe('presage demo', () => {
  it('foresees the failures of its stories and stays within the budget of false alerts', async () => {
    const result = await runCli([
      'demo',
      '--exit',
      '--json',
      '--speed',
      '60000',
      '--http-port',
      '0',
      '--mqtt-port',
      '0',
    ]);
    expect(result.code, result.stderr).toBe(0);
    const verdict = JSON.parse(result.stdout) as Verdict;
    expect(verdict.stories).toHaveLength(4);
    for (const story of verdict.stories) {
      expect(story).toMatchObject({ tickets: 1, causeNamed: true, evidenceComplete: true, webhookReceived: true });
      expect(story.leadMs).toBeGreaterThan(0);
    }
    expect(verdict.falseAlerts).toBeLessThanOrEqual(verdict.allowedFalseAlerts);
  }, 180_000);
});
