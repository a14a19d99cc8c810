/**
 * Why an alert is there, as a list of statements: which sentence, with which values. Decides what is worth saying and in
 * which order; render.ts says it in a language. Pure: the same evidence gives the same statements.
 */
import { findModel } from '../../../contract/devices/catalogue.ts';
import type { FailureMode } from '../../../contract/devices/device-model.ts';
import type { ExplanationLine, ExplanationParam } from '../../../contract/http/explanation.ts';
import { type Contribution, type Evidence, NO_DATA, type RuleEvidence } from '../../../contract/ports/findings.ts';
import { explainRule } from './explain-rule.ts';
import type { MessageKey } from './messages.ts';
import { outlookOf, spanOfLife } from './outlook.ts';

/** The part of an alert that is explained. */
export interface ExplainedAlert {
  readonly model: string;
  readonly component: string;
  readonly faultKey: string;
  readonly state: 'open' | 'cleared';
  readonly confirmed: boolean;
  readonly onset: number;
  readonly raisedAt: number;
  readonly clearedAt?: number | undefined;
  readonly evidence: Evidence;
}

/** Earlier episodes of the same fault, as far as the reader may see them. */
export interface PastEpisodes {
  readonly onDevice: number;
  /** Newest of them. */
  readonly lastOnDevice?: number | undefined;
  /** On other devices of the model. */
  readonly onModel: number;
  readonly devices: number;
  /** Of all these: what was found, by their tickets' outcomes. Where nobody looked, nothing is known. */
  readonly confirmed: number;
  readonly otherCause: number;
  readonly noFault: number;
}

/** A fault that the device reported itself and that hints at this failure mode. */
export interface ReportedFault {
  readonly code: string;
  readonly occurrences: number;
  readonly lastSeenAt: number;
}

export interface ExplanationFacts {
  readonly past?: PastEpisodes | undefined;
  readonly reported?: readonly ReportedFault[] | undefined;
}

/** A line without its text. */
export interface Statement extends Pick<ExplanationLine, 'topic' | 'params'> {
  readonly key: MessageKey;
}

export const UNEXPLAINED = 'unexplained';
/** Component of what cannot be narrowed down. */
export const WHOLE_DEVICE = 'device';

/** More lines than this tell nobody more. */
const MAX_SIGNALS = 5;
const MAX_CAUSES = 3;
const MAX_REPORTED = 5;
const MINUTE_MS = 60_000;
/** Tails are not known beyond a million: a longer number would claim more than anybody measured. */
const RAREST = 1_000_000;

/** What there is to say about an alert, in the order of EXPLANATION_TOPICS. */
export function explainAlert(alert: ExplainedAlert, { past, reported = [] }: ExplanationFacts = {}): Statement[] {
  const { evidence } = alert;
  if (evidence.rule) return ruleStatements(alert, evidence.rule, { past, reported });
  return [
    summaryOf(alert),
    ...(alert.faultKey === NO_DATA ? silenceOf(evidence.because) : becauseOf(evidence.because.slice(0, MAX_SIGNALS))),
    ...sinceOf(alert),
    ...causesOf(alert),
    ...reported.slice(0, MAX_REPORTED).map(reportedOf),
    ...outlookOf(evidence.prediction),
    ...(alert.faultKey === NO_DATA ? [] : certaintyOf(alert)),
    ...(past ? similarOf(past) : []),
    ...clearingOf(alert),
    ...sourcesOf(evidence),
  ];
}

function ruleStatements(
  alert: ExplainedAlert,
  rule: RuleEvidence,
  { past, reported = [] }: ExplanationFacts,
): Statement[] {
  const { summary, because, causes, sure, clears, source } = explainRule(alert, rule);
  return [
    ...summary,
    ...because,
    ...sinceOf(alert),
    ...causes,
    ...reported.slice(0, MAX_REPORTED).map(reportedOf),
    ...sure,
    ...(past ? similarOf(past) : []),
    ...clears,
    ...source,
  ];
}

export const count = (value: number): ExplanationParam => ({ kind: 'count', value });
const share = (value: number): ExplanationParam => ({ kind: 'share', value });
const time = (at: number): ExplanationParam => ({ kind: 'time', at });
const duration = (ms: number): ExplanationParam => ({ kind: 'duration', ms });

function isForeseen({ evidence }: ExplainedAlert): boolean {
  return evidence.score < evidence.threshold && evidence.prediction?.remainingLife !== undefined;
}

function summaryOf(alert: ExplainedAlert): Statement {
  const params = {
    fault: { kind: 'fault', id: alert.faultKey },
    component: { kind: 'component', id: alert.component },
  } as const;
  const stage = alert.confirmed ? 'confirmed' : 'watched';
  if (alert.faultKey === NO_DATA) return { topic: 'summary', key: 'summary.noData', params: {} };
  if (alert.faultKey === UNEXPLAINED) return { topic: 'summary', key: `summary.unexplained.${stage}`, params: {} };
  if (isForeseen(alert)) return { topic: 'summary', key: 'summary.foreseen', params };
  return { topic: 'summary', key: `summary.${stage}`, params };
}

function sideOf({ value, low, high }: Contribution): 'above' | 'below' | 'inside' {
  return value > high ? 'above' : value < low ? 'below' : 'inside';
}

function becauseOf(lines: readonly Contribution[]): Statement[] {
  if (lines.length === 0) return [{ topic: 'because', key: 'because.none', params: {} }];
  return lines.map((line) => {
    const side = sideOf(line);
    const band = {
      signal: { kind: 'signal', id: line.signal },
      value: { kind: 'number', value: line.value, unit: line.unit },
      low: { kind: 'number', value: line.low, unit: line.unit },
      high: { kind: 'number', value: line.high, unit: line.unit },
    } as const;
    return {
      topic: 'because',
      key: `because.${side}`,
      params: side === 'inside' ? band : { ...band, share: share(line.contribution) },
    };
  });
}

/** How long nothing came, and how long that may be. */
function silenceOf([line]: readonly Contribution[]): Statement[] {
  if (!line) return [];
  const params = { silent: duration(line.value * 1_000), allowed: duration(line.high * 1_000) };
  return [{ topic: 'because', key: 'because.noData', params }];
}

function sinceOf({ onset, raisedAt, evidence }: ExplainedAlert): Statement[] {
  const leadMs = raisedAt - onset;
  const began: Statement =
    leadMs < MINUTE_MS
      ? { topic: 'since', key: 'since.atOnce', params: { onset: time(onset) } }
      : { topic: 'since', key: 'since.before', params: { onset: time(onset), lead: duration(leadMs) } };
  const drifting = evidence.because.slice(0, MAX_SIGNALS).flatMap(({ signal, since }): Statement[] =>
    since === undefined
      ? []
      : [
          {
            topic: 'since',
            key: 'since.drifting',
            params: { signal: { kind: 'signal', id: signal }, since: time(since) },
          },
        ],
  );
  return [began, ...drifting];
}

function causesOf({ model, faultKey, evidence }: ExplainedAlert): Statement[] {
  const modes = findModel(model)?.failureModes ?? [];
  const ranked = evidence.likelyCauses.slice(0, MAX_CAUSES).map((cause, index): Statement => {
    const known = modes.some((mode) => mode.code === cause.faultKey);
    const probability = share(cause.probability);
    if (index > 0) {
      return {
        topic: 'cause',
        key: 'cause.other',
        params: { share: probability, fault: { kind: 'fault', id: cause.faultKey } },
      };
    }
    // The catalogue may have changed since: then what was said at that time is shown.
    const words: ExplanationParam = known ? { kind: 'cause', id: cause.faultKey } : { kind: 'text', text: cause.cause };
    return { topic: 'cause', key: 'cause.likely', params: { share: probability, cause: words } };
  });
  const none: Statement[] =
    ranked.length === 0 && faultKey === UNEXPLAINED ? [{ topic: 'cause', key: 'cause.none', params: {} }] : [];
  return [...ranked, ...none, ...effectOf(modes.find((mode) => mode.code === faultKey))];
}

function effectOf(mode: FailureMode | undefined): Statement[] {
  return mode ? [{ topic: 'cause', key: 'cause.effect', params: { effect: { kind: 'effect', id: mode.code } } }] : [];
}

function reportedOf({ code, occurrences, lastSeenAt }: ReportedFault): Statement {
  const params = { code: { kind: 'faultCode', id: code }, count: count(occurrences), last: time(lastSeenAt) } as const;
  return { topic: 'reported', key: 'reported.fault', params };
}

function certaintyOf(alert: ExplainedAlert): Statement[] {
  return [
    { topic: 'sure', ...rarityOf(alert) },
    { topic: 'sure', key: alert.confirmed ? 'sure.confirmed' : 'sure.unconfirmed', params: {} },
  ];
}

function rarityOf(alert: ExplainedAlert): Pick<Statement, 'key' | 'params'> {
  const { score, threshold } = alert.evidence;
  const m = count(oneIn(threshold));
  if (score < threshold) return { key: isForeseen(alert) ? 'sure.foreseen' : 'sure.fading', params: { m } };
  if (1 - score < 1 / RAREST) return { key: 'sure.rarest', params: { n: count(RAREST), m } };
  return { key: 'sure.rare', params: { n: count(oneIn(score)), m } };
}

function oneIn(score: number): number {
  return Math.round(1 / Math.max(1 - score, 1 / RAREST));
}

function similarOf(past: PastEpisodes): Statement[] {
  const { onDevice, lastOnDevice, onModel, devices, confirmed, otherCause, noFault } = past;
  const statements: Statement[] = [
    onDevice > 0 && lastOnDevice !== undefined
      ? { topic: 'similar', key: 'similar.device', params: { count: count(onDevice), last: time(lastOnDevice) } }
      : { topic: 'similar', key: 'similar.device.none', params: {} },
    onModel > 0
      ? { topic: 'similar', key: 'similar.model', params: { count: count(onModel), devices: count(devices) } }
      : { topic: 'similar', key: 'similar.model.none', params: {} },
  ];
  if (onDevice + onModel === 0) return statements;
  const known = confirmed + otherCause + noFault;
  const outcome: Statement =
    known > 0
      ? {
          topic: 'similar',
          key: 'similar.outcome',
          params: {
            count: count(known),
            confirmed: count(confirmed),
            otherCause: count(otherCause),
            noFault: count(noFault),
          },
        }
      : { topic: 'similar', key: 'similar.noOutcome', params: {} };
  return [...statements, outcome];
}

function clearingOf({ state, faultKey, clearedAt, evidence }: ExplainedAlert): Statement[] {
  if (state === 'cleared') {
    return clearedAt === undefined ? [] : [{ topic: 'clears', key: 'clears.cleared', params: { at: time(clearedAt) } }];
  }
  if (faultKey === NO_DATA) return [{ topic: 'clears', key: 'clears.noData', params: {} }];
  const outside = evidence.because.filter((line) => sideOf(line) !== 'inside').slice(0, MAX_SIGNALS);
  const limits = outside.map((line): Statement => {
    const above = sideOf(line) === 'above';
    const limit = { kind: 'number', value: above ? line.high : line.low, unit: line.unit } as const;
    return {
      topic: 'clears',
      key: above ? 'clears.below' : 'clears.above',
      params: { signal: { kind: 'signal', id: line.signal }, limit },
    };
  });
  return [
    ...(limits.length > 0 ? limits : [{ topic: 'clears', key: 'clears.usual', params: {} } as const]),
    ...lastingOf(evidence),
  ];
}

function lastingOf({ clears, prediction }: Evidence): Statement[] {
  if (!clears) return [{ topic: 'clears', key: 'clears.policy', params: {} }];
  const lasting: Statement = {
    topic: 'clears',
    key: 'clears.lasting',
    params: { count: count(clears.samples), span: duration(clears.ms) },
  };
  const unit = prediction?.remainingLife?.unit;
  if (unit === undefined || clears.warnHorizon === undefined) return [lasting];
  const horizon = spanOfLife(clears.warnHorizon, unit);
  return [lasting, { topic: 'clears', key: 'clears.life', params: { horizon } }];
}

function sourcesOf({ detector, prediction }: Evidence): Statement[] {
  const source = (key: 'source.detector' | 'source.prediction', of: Evidence['detector']): Statement => ({
    topic: 'source',
    key,
    params: { method: { kind: 'method', id: of.name }, version: { kind: 'text', text: of.version } },
  });
  const method = prediction?.method;
  if (!method) return [source('source.detector', detector)];
  if (method.name === detector.name) return [source('source.prediction', method)];
  return [source('source.detector', detector), source('source.prediction', method)];
}
