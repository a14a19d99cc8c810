/** An alert of a rule as it leaves analytics: in the same shape as those of the detectors, with the rule as its reason. */
import { findModel } from '../../contract/devices/catalogue.ts';
import type { AlertFinding, Contribution, LikelyCause } from '../../contract/ports/findings.ts';
import { ruleFaultKey } from '../../contract/ports/rules.ts';
import { stableId } from '../alerts/identity.ts';
import type { Fact } from './node.ts';

/** Why an alert changed although the device did not. */
export type Correction = 'lateData' | 'ruleChanged' | 'ruleRemoved';

export interface RuleFindingFacts {
  readonly device: { readonly tenant: string; readonly device: string; readonly model: string };
  readonly rule: { readonly id: string; readonly version: number; readonly name: string; readonly text: string };
  readonly component: string;
  readonly severity: AlertFinding['severity'];
  readonly failure: string | null;
  readonly episode: string;
  /** Which finding of the episode it is, from 1. */
  readonly number: number;
  readonly kind: AlertFinding['kind'];
  readonly at: number;
  readonly onset: number;
  readonly position: number;
  readonly facts: readonly Fact[];
  readonly correction: Correction | undefined;
}

export function ruleFinding(facts: RuleFindingFacts): AlertFinding {
  const { device, rule, episode, kind, at, onset } = facts;
  return {
    id: stableId(episode, kind, facts.number),
    kind,
    ...device,
    at,
    position: facts.position,
    episode,
    faultKey: ruleFaultKey(rule.id),
    component: facts.component,
    severity: facts.severity,
    // A person has decided that this is worth acting on.
    confirmed: true,
    onset,
    evidence: {
      detector: { name: ruleFaultKey(rule.id), version: String(rule.version) },
      score: 1,
      threshold: 1,
      because: becauseOf(facts.facts),
      likelyCauses: causesOf(device.model, facts.failure),
      bands: {},
      rule: {
        ...rule,
        from: onset,
        to: at,
        tests: [...facts.facts],
        ...(facts.correction ? { correction: facts.correction } : {}),
      },
    },
  };
}

/** Numbers and switches whose test holds; a limit has no width. */
function becauseOf(facts: readonly Fact[]): Contribution[] {
  const held = facts.filter(
    (fact): fact is Fact & { signal: string; value: number | boolean } =>
      fact.holds === true &&
      fact.signal !== undefined &&
      (typeof fact.value === 'number' || typeof fact.value === 'boolean'),
  );
  return held.map(({ signal, value, limit, unit }) => {
    const expected = limit ?? Number(value !== true);
    return {
      signal,
      value: Number(value),
      expected,
      low: expected,
      high: expected,
      unit: unit ?? '',
      contribution: 1 / held.length,
    };
  });
}

/** The failure mode that the rule names. */
function causesOf(modelId: string, failure: string | null): LikelyCause[] {
  const mode = findModel(modelId)?.failureModes.find(({ code }) => code === failure);
  if (!mode) return [];
  return [{ faultKey: mode.code, cause: mode.cause, probability: 1, parts: mode.parts.map((part) => ({ ...part })) }];
}
