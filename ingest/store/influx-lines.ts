/**
 * Samples as InfluxDB line protocol, and its names. Measurement = model; tags tenant and device; fields: identity,
 * receive time, backfill flag and the signals. InfluxDB keeps one point per series and timestamp, so the nanoseconds
 * below the device's millisecond carry the identity: two samples of one millisecond both survive, and a sample written
 * again lands on itself.
 */
import { escape as escapeLine } from '@influxdata/influxdb-client';
import { MAX_SAMPLES_PER_MESSAGE, type SignalValue } from '../../contract/wire/payloads.ts';
import type { Sample, TelemetryMessage } from '../../contract/wire/sample.ts';
import { type MovedSlots, preferredSlot } from './influx-slots.ts';

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

/** Nanoseconds since the epoch: the device's millisecond and, below it, the message's slot and the sample's index. */
export function timestampNs(slot: number, { index, observedAt }: Pick<Sample, 'index' | 'observedAt'>): string {
  const belowMs = slot * MAX_SAMPLES_PER_MESSAGE + index;
  return `${Math.floor(observedAt)}${String(belowMs).padStart(6, '0')}`;
}

/**
 * One line a sample. What goes in has been checked by `SignalKinds.plan`.
 * @param moved slots that are not the message's preferred one; each must be a slot
 */
export function linesOf(message: TelemetryMessage, samples: readonly Sample[], moved?: MovedSlots): string[] {
  const { identity, receivedAt, backfill } = message;
  const series = `${escapeLine.measurement(measurementOf(message.model))},device=${escapeLine.tag(identity.device)},tenant=${escapeLine.tag(identity.tenant)}`;
  const common = `boot=${escapeLine.quoted(identity.boot)},seq=${identity.seq}i,received_at=${receivedAt},backfill=${backfill}`;
  const preferred = preferredSlot(identity);
  return samples.map((sample) => {
    const slot = moved?.get(Math.floor(sample.observedAt)) ?? preferred;
    let fields = `${common},idx=${sample.index}i`;
    if (!Number.isInteger(sample.observedAt)) fields += `,observed_at=${sample.observedAt}`;
    for (const signal in sample.signals) {
      fields += `,${fieldOf(signal)}=${fieldValue(sample.signals[signal] as SignalValue)}`;
    }
    return `${series} ${fields} ${timestampNs(slot, sample)}`;
  });
}

/** Numbers are always floats: an integer field would refuse the first fraction. */
function fieldValue(value: SignalValue): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  return typeof value === 'string' ? escapeLine.quoted(value) : String(value);
}
