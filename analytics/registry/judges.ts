/** Who judges a sample: the active version of its tenant and device model at its place in the log, and the shadows beside. */
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import type { VersionName } from '../../contract/ports/findings.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import { OTHER_MODELS, type RunnableVersion } from '../../contract/ports/versions.ts';
import type { AlertPolicy } from '../alerts/policy.ts';
import type { Prognoser } from '../prognosis/prognoser.ts';
import { createDeviceScorer, type DeviceScorer } from '../score-device.ts';
import { type EnsembleVersion, mutedBy, policyOf, runnableHere, shippedEnsemble } from './ensemble.ts';
import { assignmentAt, assignmentKey, type OrderBook, sameVersion } from './order-book.ts';

export interface Judge {
  readonly by: VersionName;
  /** Both in one, as devices remember it. */
  readonly label: string;
  readonly scorer: DeviceScorer;
}

export interface ShadowJudge extends Judge {
  /** Of its states on devices: version and run. */
  readonly key: string;
}

export interface Judges {
  readonly active: Judge;
  readonly shadows: readonly ShadowJudge[];
}

export interface JudgesSetup {
  readonly findModel: (id: string) => DeviceModel | undefined;
  readonly prognosersFor: (model: DeviceModel) => readonly Prognoser<unknown>[];
  /** Of the version that the build ships; what no version speaks of holds for all. */
  readonly policy: AlertPolicy;
}

export interface Bench {
  /** Who judges a sample of this tenant and model that stands at this position. */
  at(tenant: string, modelId: string, position: Position): Judges;
  /** The book has changed, or is another one. */
  use(book: OrderBook): void;
  /** Device model as the registry names it. */
  modelKey(modelId: string): string;
}

interface Span extends Judges {
  readonly from: Position;
}

/** Plans are kept with each scorer; beyond so many they are made anew. */
const MAX_SCORERS = 200;
const MAX_SPANS = 10_000;

export function createBench(setup: JudgesSetup): Bench {
  const shipped = shippedEnsemble(setup.policy);
  /** by content of the version */
  const scorers = new Map<string, DeviceScorer>();
  /** oldest first, by tenant, then model id */
  const spans = new Map<string, readonly Span[]>();
  let book: OrderBook | undefined;

  const scorerOf = (version: EnsembleVersion, prognosis: readonly VersionName[] | undefined): DeviceScorer => {
    const key = JSON.stringify([version, prognosis]);
    const known = scorers.get(key);
    if (known) return known;
    if (scorers.size >= MAX_SCORERS) scorers.clear();
    const scorer = createDeviceScorer({
      findModel: setup.findModel,
      prognosersFor: (model) => pick(setup.prognosersFor(model), prognosis),
      policy: policyOf(version.parameters, setup.policy),
      ensemble: { name: version.name, version: version.version },
      muted: mutedBy(version.parameters),
    });
    scorers.set(key, scorer);
    return scorer;
  };
  const judge = (version: RunnableVersion, prognosis: readonly VersionName[] | undefined): Judge => {
    const runnable = runnableHere(version, shipped);
    const by = { name: runnable.name, version: runnable.version };
    return { by, label: `${by.name} ${by.version}`, scorer: scorerOf(runnable, prognosis) };
  };

  /** One span for each position from which somebody else judges. */
  function spansOf(tenant: string, modelId: string): readonly Span[] {
    const model = modelKey(modelId);
    const ensembles = book?.assignments[assignmentKey(tenant, 'ensemble', model)];
    const prognoses = book?.assignments[assignmentKey(tenant, 'prognosis', model)];
    const starts = new Set([0, ...[...(ensembles ?? []), ...(prognoses ?? [])].map((one) => one.from)]);
    return [...starts]
      .sort((a, b) => a - b)
      .map((from): Span => {
        const assigned = assignmentAt(ensembles, from);
        const prognosis = assignmentAt(prognoses, from)?.active.parts;
        return {
          from,
          active: judge(assigned?.active ?? shipped, prognosis),
          shadows: (assigned?.shadows ?? []).map((shadow) => {
            const one = judge(shadow, prognosis);
            return { ...one, key: `${one.label} @${shadow.since}` };
          }),
        };
      });
  }

  function modelKey(modelId: string): string {
    return setup.findModel(modelId) ? modelId : OTHER_MODELS;
  }

  return {
    at(tenant, modelId, position) {
      const key = `${tenant}\n${modelId}`;
      let list = spans.get(key);
      if (!list) {
        if (spans.size >= MAX_SPANS) spans.clear();
        list = spansOf(tenant, modelId);
        spans.set(key, list);
      }
      for (let i = list.length - 1; i > 0; i--) if ((list[i] as Span).from <= position) return list[i] as Span;
      return list[0] as Span;
    },
    use(next) {
      book = next;
      spans.clear();
    },
    modelKey,
  };
}

/** Those that the version names, in its order; all when it names none that this process has. */
function pick(
  all: readonly Prognoser<unknown>[],
  named: readonly VersionName[] | undefined,
): readonly Prognoser<unknown>[] {
  const chosen = (named ?? []).flatMap((part) => all.filter((one) => sameVersion(one, part)));
  return chosen.length > 0 ? chosen : all;
}
