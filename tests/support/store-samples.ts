/** Small builders for what telemetry stores are fed with, and fakes of the services they need. */
import type { Logger, Metrics } from '../../contract/ports/services.ts';
import type { RangeQuery, StoredSample, TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { preferredSlot } from '../../ingest/store/influx-slots.ts';

/** 2026-10-01T00:00:00Z: a round time in the past. */
export const BASE_TIME_MS = 1_790_812_800_000;

export interface MessageParts {
  readonly tenant?: string;
  readonly device: string;
  readonly boot?: string;
  readonly seq: number;
  readonly model?: string;
  readonly backfill?: boolean;
  readonly receivedAt?: number;
  /** Device time and signals of each sample. */
  readonly samples: readonly (readonly [observedAt: number, signals: Signals])[];
}

/** A message as ingest accepts it. */
export function message(parts: MessageParts): TelemetryMessage {
  return {
    identity: { tenant: parts.tenant ?? 'acme', device: parts.device, boot: parts.boot ?? 'boot1', seq: parts.seq },
    model: parts.model ?? 'refrigerator',
    receivedAt: parts.receivedAt ?? BASE_TIME_MS + 1_000,
    backfill: parts.backfill ?? false,
    samples: parts.samples.map(([observedAt, signals], index) => ({ index, observedAt, signals })),
  };
}

/** What a store must give back for these messages: in export order, one by one. */
export function storedForm(messages: readonly TelemetryMessage[]): StoredSample[] {
  return messages
    .flatMap(({ identity, receivedAt, samples }) => samples.map((sample) => ({ ...identity, ...sample, receivedAt })))
    .sort((a, b) => a.observedAt - b.observedAt || text(a.boot, b.boot) || a.seq - b.seq || a.index - b.index);
}

const text = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Everything that the store holds of a device. */
export async function exported(
  store: Pick<TelemetryStore, 'export'>,
  query: Pick<RangeQuery, 'device'> & Partial<RangeQuery>,
): Promise<StoredSample[]> {
  const found: StoredSample[] = [];
  const range = { tenant: 'acme', model: 'refrigerator', from: 0, to: BASE_TIME_MS * 2, ...query };
  for await (const sample of store.export(range)) found.push(sample);
  return found;
}

/** Boot ids that InfluxDB's nanoseconds alone could not tell apart. */
export function sameSlotBoots(count: number): string[] {
  const wanted = preferredSlot({ boot: 'boot1', seq: 0 });
  const found = ['boot1'];
  for (let i = 0; found.length < count; i++) {
    const boot = `b${i}`;
    if (preferredSlot({ boot, seq: 0 }) === wanted) found.push(boot);
  }
  return found;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Metrics that can be asked: sums of counters and last values of gauges, by name. */
export function recordingMetrics(): Metrics & { readonly values: ReadonlyMap<string, number> } {
  const values = new Map<string, number>();
  return {
    values,
    count: (name, _help, _labels, by = 1) => values.set(name, (values.get(name) ?? 0) + by),
    gauge: (name, _help, value) => values.set(name, value),
  };
}
