/**
 * Samples as InfluxDB line protocol, and its names. Measurement = model; tags tenant and device; fields: identity,
 * receive time, backfill flag and the signals. InfluxDB keeps one point per series and timestamp, so the nanoseconds
 * below the device's millisecond carry the identity: two samples of one millisecond both survive, and a sample written
 * again lands on itself.
 */
import { escape as escapeLine } from '@influxdata/influxdb-client';
import { fnv1a, type MessageIdentity } from '../../contract/kernel/ids.ts';
import { MAX_SAMPLES_PER_MESSAGE, type SignalValue } from '../../contract/wire/payloads.ts';
import type { Sample, TelemetryMessage } from '../../contract/wire/sample.ts';

/** Messages of one boot that one millisecond can tell apart: 1,000,000 ns / 500 samples. */
const MESSAGE_SLOTS = 1_000_000 / MAX_SAMPLES_PER_MESSAGE;

/** Names that InfluxDB or this schema takes for itself. */
const RESERVED: ReadonlySet<string> = new Set([
  'time',
  'tenant',
  'device',
  'boot',
  'seq',
  'idx',
  'observed_at',
  'received_at',
  'backfill',
]);
/** No signal name holds a dot, so a name behind this prefix is nobody else's. */
const SIGNAL_PREFIX = 'signal.';

/** Field of a signal: its own name, unless that is taken. */
export function fieldOf(signal: string): string {
  return RESERVED.has(signal) ? SIGNAL_PREFIX + signal : signal;
}

/** The signal of a field, or `undefined` for a field of the schema. */
export function signalOf(field: string): string | undefined {
  if (RESERVED.has(field)) return undefined;
  return field.startsWith(SIGNAL_PREFIX) ? field.slice(SIGNAL_PREFIX.length) : field;
}

/**
 * Measurement of a model: its id, with every byte but letters, digits, `_ : -` as `%XX`. A line cannot escape a trailing
 * backslash, and InfluxDB reserves names that start with an underscore.
 * @example measurementOf('pump 3') // => 'pump%203'
 */
export function measurementOf(model: string): string {
  return model.replace(/^_|[^A-Za-z0-9_:-]/gu, (character) =>
    Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

/** Nanoseconds since the epoch: the device's millisecond and, below it, the sample's place among its neighbours. */
export function timestampNs({ boot, seq }: MessageIdentity, { index, observedAt }: Sample): string {
  const slot = ((seq % MESSAGE_SLOTS) + (fnv1a(boot) % MESSAGE_SLOTS)) % MESSAGE_SLOTS;
  const belowMs = slot * MAX_SAMPLES_PER_MESSAGE + index;
  return `${Math.floor(observedAt)}${String(belowMs).padStart(6, '0')}`;
}

/** One line a sample. What goes in has been checked by `SignalKinds.plan`. */
export function linesOf(message: TelemetryMessage, samples: readonly Sample[]): string[] {
  const { identity, receivedAt, backfill } = message;
  const series = `${escapeLine.measurement(measurementOf(message.model))},device=${escapeLine.tag(identity.device)},tenant=${escapeLine.tag(identity.tenant)}`;
  const common = `boot=${escapeLine.quoted(identity.boot)},seq=${identity.seq}i,received_at=${receivedAt},backfill=${backfill}`;
  return samples.map((sample) => {
    let fields = `${common},idx=${sample.index}i`;
    if (!Number.isInteger(sample.observedAt)) fields += `,observed_at=${sample.observedAt}`;
    for (const signal in sample.signals) {
      fields += `,${fieldOf(signal)}=${fieldValue(sample.signals[signal] as SignalValue)}`;
    }
    return `${series} ${fields} ${timestampNs(identity, sample)}`;
  });
}

/** Numbers are always floats: an integer field would refuse the first fraction. */
function fieldValue(value: SignalValue): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  return typeof value === 'string' ? escapeLine.quoted(value) : String(value);
}
