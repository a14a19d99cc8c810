/** What a prediction says, or why it says nothing, as statements. */
import type { ExplanationParam } from '../../../contract/http/explanation.ts';
import { DAY_MS, HOUR_MS } from '../../../contract/kernel/time.ts';
import type { LifeUnit, Prediction } from '../../../contract/ports/findings.ts';
import type { Statement } from './explain.ts';
import type { MessageKey } from './messages.ts';

/** Life in its unit: hours are a duration, cycles are counted. */
export function spanOfLife(value: number, unit: LifeUnit): ExplanationParam {
  return unit === 'h' ? { kind: 'duration', ms: value * HOUR_MS } : { kind: 'cycles', value };
}

export function outlookOf(prediction: Prediction | undefined): Statement[] {
  if (!prediction) return [{ topic: 'outlook', key: 'outlook.none', params: {} }];
  const life = prediction.remainingLife;
  const chances = prediction.probabilityWithin.map(
    ({ days, p, lower, upper }): Statement => ({
      topic: 'outlook',
      key: 'outlook.within',
      params: {
        span: { kind: 'duration', ms: days * DAY_MS },
        p: { kind: 'share', value: p },
        lower: { kind: 'share', value: lower },
        upper: { kind: 'share', value: upper },
      },
    }),
  );
  if (!life) return [unestimated(prediction.reason ?? ''), ...chances];
  const params = {
    median: spanOfLife(life.median, life.unit),
    lower: spanOfLife(life.lower, life.unit),
    upper: spanOfLife(life.upper, life.unit),
  };
  return [{ topic: 'outlook', key: 'outlook.life', params }, ...chances];
}

/** The reasons that our own models give; the named groups are numbers of the sentence. */
const REASONS: readonly (readonly [pattern: RegExp, key: MessageKey])[] = [
  [/^warming up: have (?<have>\d+), need (?<need>\d+)/, 'outlook.warmingUp'],
  [/^no trend towards the limit$/, 'outlook.noTrend'],
  [/^cannot estimate: beyond the limit from the start$/, 'outlook.beyond'],
  [/^history starts at cycle \d+;/, 'outlook.lateStart'],
  [/^no trend: chances by age, from (?<failures>\d+) failures among (?<units>\d+) units$/, 'outlook.byAge'],
  [/^missing inputs: (?<missing>\d+) of (?<total>\d+) signals/, 'outlook.missing'],
];

/** A reason of ours in the reader's language; another one as it was given. */
function unestimated(reason: string): Statement {
  for (const [pattern, key] of REASONS) {
    const match = pattern.exec(reason);
    if (!match) continue;
    const numbers = Object.entries(match.groups ?? {});
    const params = Object.fromEntries(
      numbers.map(([name, value]): [string, ExplanationParam] => [name, { kind: 'count', value: Number(value) }]),
    );
    return { topic: 'outlook', key, params };
  }
  if (reason === '') return { topic: 'outlook', key: 'outlook.none', params: {} };
  return { topic: 'outlook', key: 'outlook.unknown', params: { reason: { kind: 'text', text: reason } } };
}
