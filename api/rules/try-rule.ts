/** A rule on stored samples: which alerts it would have made, had it been there. */
import type { RuleTried } from '../../contract/http/rules.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import type { RuleTrial } from '../../contract/ports/rules.ts';
import type { StoredSample } from '../../contract/ports/telemetry-store.ts';

export const MAX_TRIED_SAMPLES = 50_000;
const MAX_ALERTS = 500;
/** After so many samples others get their turn on the event loop. */
const TURN_SAMPLES = 500;

export interface TrialOutcome {
  readonly samples: number;
  readonly truncatedAt: number | undefined;
  readonly alerts: RuleTried['alerts'];
}

export async function runTrial(trial: RuleTrial, samples: AsyncIterable<StoredSample>): Promise<TrialOutcome> {
  let taken = 0;
  let truncatedAt: number | undefined;
  let lastAt = 0;
  for await (const sample of samples) {
    if (taken === MAX_TRIED_SAMPLES) {
      truncatedAt = lastAt;
      break;
    }
    trial.take(sample);
    lastAt = sample.observedAt;
    if (++taken % TURN_SAMPLES === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return { samples: taken, truncatedAt, alerts: alertsOf(trial.findings()).slice(0, MAX_ALERTS) };
}

/** One line an episode, as the desk would have it. */
function alertsOf(findings: readonly AlertFinding[]): RuleTried['alerts'] {
  const byEpisode = new Map<string, RuleTried['alerts'][number]>();
  for (const { kind, episode, severity, component, onset, at, evidence } of findings) {
    const known = byEpisode.get(episode);
    if (known && kind === 'alertCleared') byEpisode.set(episode, { ...known, clearedAt: at });
    if (known) continue;
    const tests = evidence.rule?.tests ?? [];
    const over = kind === 'alertCleared' ? { clearedAt: at } : {};
    byEpisode.set(episode, { severity, component, onset, raisedAt: at, ...over, tests });
  }
  return [...byEpisode.values()].sort((a, b) => a.raisedAt - b.raisedAt);
}
