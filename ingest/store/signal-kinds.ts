/**
 * Which samples a store can take. Both stores fix the type of a signal once per model (a DuckDB column, an InfluxDB
 * field) and refuse what does not fit, one sample at a time, so that a bad sample never costs its neighbours. The rules
 * live here, apart from the stores, so that both refuse the same samples with the same words.
 */
import { signalsOf } from '../../contract/devices/catalogue.ts';
import { BOOT_PATTERN, DEVICE_PATTERN, SIGNAL_PATTERN, TENANT_PATTERN } from '../../contract/kernel/ids.ts';
import type { RejectedSample } from '../../contract/ports/telemetry-store.ts';
import { MAX_SAMPLES_PER_MESSAGE, MAX_SIGNALS_PER_MODEL, type SignalValue } from '../../contract/wire/payloads.ts';
import type { Sample, TelemetryMessage } from '../../contract/wire/sample.ts';

export type ValueKind = 'number' | 'boolean' | 'text';

/** Last millisecond that fits into 64-bit nanoseconds (year 2262): the end of InfluxDB's time. */
export const LAST_STORABLE_MS = 9_223_372_036_853;

/** A lone surrogate has no UTF-8 form: stores would replace it silently. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const MODEL_MAX_CHARS = 64;

export function kindOf(value: SignalValue): ValueKind {
  return typeof value === 'string' ? 'text' : (typeof value as 'number' | 'boolean');
}

/** A message with those of its samples that the store takes. */
export interface StorableMessage {
  readonly message: TelemetryMessage;
  readonly samples: readonly Sample[];
}

export interface StorePlan {
  readonly storable: readonly StorableMessage[];
  readonly rejected: readonly RejectedSample[];
}

/** Kinds of the signals that a store holds, by model and signal. The catalogue wins; otherwise the first value decides. */
export class SignalKinds {
  /** by model, then signal; bounded by the registered models × `maxSignals` */
  readonly #known = new Map<string, Map<string, ValueKind>>();
  readonly #maxSignals: number;

  constructor(maxSignals = MAX_SIGNALS_PER_MODEL) {
    this.#maxSignals = maxSignals;
  }

  /** Whether the kinds of `model` were loaded from the store. */
  has(model: string): boolean {
    return this.#known.has(model);
  }

  /** Takes over what the store holds already. */
  load(model: string, kinds: Iterable<readonly [signal: string, kind: ValueKind]>): void {
    this.#known.set(model, new Map(kinds));
  }

  /** Forgets everything: after a failed write only the store knows which kinds it fixed. */
  clear(): void {
    this.#known.clear();
  }

  /** Kinds of a model's signals by name. */
  of(model: string): ReadonlyMap<string, ValueKind> {
    return this.#known.get(model) ?? new Map();
  }

  /** Sorts the samples of a batch into those to store and those to refuse; learns the kinds of new signals. */
  plan(messages: readonly TelemetryMessage[]): StorePlan {
    const storable: StorableMessage[] = [];
    const rejected: RejectedSample[] = [];
    for (const message of messages) {
      const whole = messageRefusal(message);
      const samples: Sample[] = [];
      for (const sample of message.samples) {
        const reason = whole ?? sampleRefusal(sample) ?? this.#learn(message.model, sample);
        if (reason === undefined) samples.push(sample);
        else rejected.push(rejectedSample(message, sample, reason));
      }
      if (samples.length > 0) storable.push({ message, samples });
    }
    return { storable, rejected };
  }

  /** Why the sample's signals do not fit the model, or `undefined` after its new signals became known. */
  #learn(model: string, sample: Sample): string | undefined {
    const known = this.#known.get(model) ?? new Map<string, ValueKind>();
    let added: [string, ValueKind][] | undefined;
    for (const signal in sample.signals) {
      const kind = kindOf(sample.signals[signal] as SignalValue);
      const stored = known.get(signal);
      if (stored === kind) continue;
      const expected = stored ?? signalsOf(model).get(signal)?.kind;
      if (expected !== undefined && expected !== kind) {
        return `signal ${signal}: a ${kind} does not fit, the store holds it as ${expected}`;
      }
      if (!SIGNAL_PATTERN.test(signal)) return `signal ${JSON.stringify(signal)}: not a signal name`;
      added ??= [];
      added.push([signal, kind]);
    }
    if (!added) return undefined;
    if (known.size + added.length > this.#maxSignals) {
      return `signal ${added[0]?.[0]}: the model has ${known.size} signals, ${this.#maxSignals} are the limit`;
    }
    for (const [signal, kind] of added) known.set(signal, kind);
    this.#known.set(model, known);
    return undefined;
  }
}

/** The sample with its whole identity and the reason of the refusal. */
export function rejectedSample(message: TelemetryMessage, sample: Sample, reason: string): RejectedSample {
  return { sample: { ...message.identity, ...sample, receivedAt: message.receivedAt }, reason };
}

/** Why no sample of the message can be stored, or `undefined`. Ingest let it pass, so this guards against its mistakes. */
function messageRefusal({ identity, model }: TelemetryMessage): string | undefined {
  if (!TENANT_PATTERN.test(identity.tenant)) return `tenant ${JSON.stringify(identity.tenant)} is not a tenant id`;
  if (!DEVICE_PATTERN.test(identity.device)) return `device ${JSON.stringify(identity.device)} is not a device id`;
  if (!BOOT_PATTERN.test(identity.boot)) return `boot ${JSON.stringify(identity.boot)} is not a boot id`;
  if (!Number.isSafeInteger(identity.seq) || identity.seq < 0) return `seq ${identity.seq} is not a sequence number`;
  if (model.length === 0 || model.length > MODEL_MAX_CHARS || LONE_SURROGATE.test(model)) return 'not a model id';
  return undefined;
}

function sampleRefusal(sample: Sample): string | undefined {
  const { index, observedAt, signals } = sample;
  if (!Number.isInteger(index) || index < 0 || index >= MAX_SAMPLES_PER_MESSAGE) return `index ${index} out of range`;
  if (!(observedAt >= 0 && observedAt <= LAST_STORABLE_MS)) return `device time ${observedAt} cannot be stored`;
  for (const signal in signals) {
    const value = signals[signal];
    if (typeof value === 'number' ? !Number.isFinite(value) : typeof value === 'string' && LONE_SURROGATE.test(value)) {
      return `signal ${signal}: ${typeof value === 'number' ? 'not a finite number' : 'not well-formed Unicode'}`;
    }
  }
  return undefined;
}
