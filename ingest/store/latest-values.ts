/**
 * The last value of each signal of the devices that somebody asks about, kept in memory and moved on with every write,
 * so that a page of devices does not read the whole store. By device time; of equal times the greater identity counts.
 */
import { clientIdOf, type DeviceRef } from '../../contract/kernel/ids.ts';
import type { LatestPage } from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import type { StorableMessage } from './signal-kinds.ts';
import type { LatestValues } from './worker-protocol.ts';

/** A value with all that its rank depends on. */
export interface LatestEntry {
  readonly signal: string;
  readonly value: SignalValue;
  readonly observedAt: number;
  readonly boot: string;
  readonly seq: number;
  readonly index: number;
}

/** Newest entry of each signal. */
export class LatestOfDevice {
  /** by signal */
  readonly #newest = new Map<string, LatestEntry>();

  add(entry: LatestEntry): void {
    const present = this.#newest.get(entry.signal);
    if (!present || compareRank(entry, present) > 0) this.#newest.set(entry.signal, entry);
  }

  values(): LatestValues {
    return new Map([...this.#newest].map(([signal, { observedAt, value }]) => [signal, { observedAt, value }]));
  }
}

export class LatestCache {
  readonly #maxDevices: number;
  /** by model and client id, least recently asked first; a promise while it is read from the store */
  readonly #devices = new Map<string, { readonly latest: LatestOfDevice; loaded: Promise<void> }>();

  constructor(maxDevices: number) {
    this.#maxDevices = maxDevices;
  }

  /** The device's values; `load` is asked once. What is written meanwhile is not missed. */
  async get(query: DeviceRef & { model: string }, load: () => Promise<readonly LatestEntry[]>): Promise<LatestValues> {
    const key = keyOf(query, query.model);
    const entry = this.#devices.get(key) ?? this.#load(key, load);
    this.#devices.delete(key);
    this.#devices.set(key, entry);
    this.#shrink();
    await entry.loaded;
    return entry.latest.values();
  }

  /** Takes in what was just committed. */
  note(storable: readonly StorableMessage[]): void {
    if (this.#devices.size === 0) return;
    for (const { message, samples } of storable) {
      const entry = message.backfill ? undefined : this.#devices.get(keyOf(message.identity, message.model));
      if (!entry) continue;
      const { boot, seq } = message.identity;
      for (const { index, observedAt, signals } of samples) {
        for (const signal in signals) {
          entry.latest.add({ signal, value: signals[signal] as SignalValue, observedAt, boot, seq, index });
        }
      }
    }
  }

  clear(): void {
    this.#devices.clear();
  }

  #load(key: string, load: () => Promise<readonly LatestEntry[]>) {
    const latest = new LatestOfDevice();
    const entry = { latest, loaded: Promise.resolve() };
    this.#devices.set(key, entry);
    entry.loaded = load().then(
      (entries) => {
        for (const found of entries) latest.add(found);
      },
      (error: unknown) => {
        this.#devices.delete(key);
        throw error;
      },
    );
    return entry;
  }

  #shrink(): void {
    for (const oldest of this.#devices.keys()) {
      if (this.#devices.size <= this.#maxDevices) return;
      this.#devices.delete(oldest);
    }
  }
}

/** A page from the candidates of at most `limit` devices; as many as that, and there may be more. */
export function latestPage(byDevice: ReadonlyMap<string, readonly LatestEntry[]>, limit: number): LatestPage {
  const devices = [...byDevice].map(([device, entries]) => {
    const latest = new LatestOfDevice();
    for (const entry of entries) latest.add(entry);
    return { device, values: latest.values() };
  });
  const last = devices.at(-1)?.device;
  return { devices, ...(devices.length === limit && last !== undefined && { next: last }) };
}

function keyOf(ref: DeviceRef, model: string): string {
  return `${clientIdOf(ref)} ${model}`;
}

function compareRank(a: LatestEntry, b: LatestEntry): number {
  return a.observedAt - b.observedAt || compareText(a.boot, b.boot) || a.seq - b.seq || a.index - b.index;
}

/** By code unit, as the stores compare ids. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
