/**
 * The last value of each signal by device time; of equal times the greater identity counts. `LatestTable` keeps it for
 * all devices of a store, column by column, moved on with every write: a question about a fleet reads no samples.
 */
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import type { DeviceLatest, LatestPage, LatestPageQuery } from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import type { StorableMessage } from './signal-kinds.ts';
import type { LatestPack, LatestValues } from './worker-protocol.ts';

/** Where a value stands among the others of its signal. */
export interface Rank {
  readonly observedAt: number;
  readonly boot: string;
  readonly seq: number;
  readonly index: number;
}

/** A value with all that its rank depends on. */
export interface LatestEntry extends Rank {
  readonly signal: string;
  readonly value: SignalValue;
}

/** An entry with the device that it is of. */
export interface FleetEntry extends LatestEntry, DeviceRef {
  readonly model: string;
}

/** Newest entry of each signal of one device. */
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

/** Newest entries of all devices. Holds at most `maxValues` places and gives up as a whole beyond them. */
export class LatestTable {
  readonly maxValues: number;
  /** by model, then tenant */
  readonly #fleets = new Map<string, Map<string, FleetColumns>>();
  #overflowed = false;

  constructor(maxValues: number) {
    this.maxValues = maxValues;
  }

  /** Nothing is known any more: more devices × signals than there are places. Ask the samples instead. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  /** Places that are allocated. */
  get places(): number {
    let places = 0;
    for (const tenants of this.#fleets.values()) for (const fleet of tenants.values()) places += fleet.places;
    return places;
  }

  overflow(): void {
    this.#overflowed = true;
    this.#fleets.clear();
  }

  /** Takes in what was just committed. */
  note(storable: readonly StorableMessage[]): void {
    for (const { message, samples } of storable) {
      if (message.backfill || this.#overflowed) continue;
      const { tenant, device, boot, seq } = message.identity;
      const fleet = this.#fleet(message.model, tenant);
      const before = fleet.places;
      const row = fleet.rowOf(device);
      // Newest first: most of the rest then fails the first comparison.
      for (let i = samples.length - 1; i >= 0; i--) {
        const { index, observedAt, signals } = samples[i] as (typeof samples)[number];
        for (const signal in signals) {
          fleet.set(row, signal, signals[signal] as SignalValue, observedAt, boot, seq, index);
        }
      }
      if (fleet.places !== before) this.#check();
    }
  }

  add(entry: FleetEntry): void {
    if (this.#overflowed) return;
    const { signal, value, observedAt, boot, seq, index } = entry;
    const fleet = this.#fleet(entry.model, entry.tenant);
    const before = fleet.places;
    fleet.set(fleet.rowOf(entry.device), signal, value, observedAt, boot, seq, index);
    if (fleet.places !== before) this.#check();
  }

  /**
   * Forgets the values of a model with device times in a range. @returns whether there were any
   * @param last only of devices up to this one, in the order of tenant and id
   */
  forget(model: string, from: number, to: number, last?: DeviceRef): boolean {
    let any = false;
    for (const [tenant, fleet] of this.#fleets.get(model) ?? []) {
      if (last && tenant > last.tenant) continue;
      any = fleet.forget(from, to, tenant === last?.tenant ? last.device : undefined) || any;
    }
    return any;
  }

  of({ tenant, device, model }: DeviceRef & { readonly model: string }): LatestValues {
    return this.#fleets.get(model)?.get(tenant)?.of(device) ?? new Map();
  }

  page({ tenant, model, limit, after }: LatestPageQuery): LatestPack {
    return this.#fleets.get(model)?.get(tenant)?.page(limit, after) ?? { devices: [], signals: [] };
  }

  *entries(): Generator<FleetEntry> {
    for (const [model, tenants] of this.#fleets) {
      for (const [tenant, fleet] of tenants) {
        for (const entry of fleet.entries()) yield { model, tenant, ...entry };
      }
    }
  }

  #fleet(model: string, tenant: string): FleetColumns {
    let tenants = this.#fleets.get(model);
    if (!tenants) {
      tenants = new Map();
      this.#fleets.set(model, tenants);
    }
    let fleet = tenants.get(tenant);
    if (!fleet) {
      fleet = new FleetColumns();
      tenants.set(tenant, fleet);
    }
    return fleet;
  }

  #check(): void {
    if (this.places > this.maxValues) this.overflow();
  }
}

const FIRST_ROWS = 16;

/** One signal of a fleet, by row. */
class Column {
  /** NaN where the device has no value. */
  observedAt = new Float64Array();
  seqs = new Float64Array();
  indexes = new Uint16Array();
  readonly values: (SignalValue | null)[] = [];
  readonly boots: string[] = [];

  grow(rows: number): void {
    const have = this.observedAt.length;
    this.observedAt = grown(this.observedAt, new Float64Array(rows));
    this.observedAt.fill(Number.NaN, have);
    this.seqs = grown(this.seqs, new Float64Array(rows));
    this.indexes = grown(this.indexes, new Uint16Array(rows));
    for (let row = have; row < rows; row++) {
      this.values.push(null);
      this.boots.push('');
    }
  }
}

/** The devices of one tenant and model, a row each. */
class FleetColumns {
  /** by device; bounded by the places of the table */
  readonly #rows = new Map<string, number>();
  readonly #devices: string[] = [];
  /** Values that each row has. */
  readonly #present: number[] = [];
  /** by signal */
  readonly #columns = new Map<string, Column>();
  #capacity = FIRST_ROWS;
  /** Rows in order of their devices; made again when there is another one. */
  #sorted: Uint32Array | undefined;

  get places(): number {
    return this.#capacity * Math.max(1, this.#columns.size);
  }

  rowOf(device: string): number {
    const known = this.#rows.get(device);
    if (known !== undefined) return known;
    const row = this.#devices.push(device) - 1;
    this.#present.push(0);
    this.#rows.set(device, row);
    this.#sorted = undefined;
    if (row >= this.#capacity) {
      this.#capacity *= 2;
      for (const column of this.#columns.values()) column.grow(this.#capacity);
    }
    return row;
  }

  /** Spelled out, without an object for the entry: this runs for every value that is stored. */
  set(
    row: number,
    signal: string,
    value: SignalValue,
    observedAt: number,
    boot: string,
    seq: number,
    index: number,
  ): void {
    let column = this.#columns.get(signal);
    if (!column) {
      column = new Column();
      column.grow(this.#capacity);
      this.#columns.set(signal, column);
    }
    const present = column.observedAt[row] as number;
    if (observedAt < present) return;
    if (observedAt === present && compareIdentity(column, row, boot, seq, index) >= 0) return;
    if (Number.isNaN(present)) this.#present[row] = (this.#present[row] as number) + 1;
    column.observedAt[row] = observedAt;
    column.values[row] = value;
    column.boots[row] = boot;
    column.seqs[row] = seq;
    column.indexes[row] = index;
  }

  forget(from: number, to: number, lastDevice?: string): boolean {
    let any = false;
    for (const { observedAt } of this.#columns.values()) {
      for (let row = 0; row < this.#devices.length; row++) {
        const at = observedAt[row] as number;
        if (!(at >= from && at < to)) continue;
        if (lastDevice !== undefined && (this.#devices[row] as string) > lastDevice) continue;
        observedAt[row] = Number.NaN;
        this.#present[row] = (this.#present[row] as number) - 1;
        any = true;
      }
    }
    return any;
  }

  of(device: string): LatestValues {
    const values = new Map<string, { observedAt: number; value: SignalValue }>();
    const row = this.#rows.get(device);
    if (row === undefined) return values;
    for (const [signal, column] of this.#columns) {
      const observedAt = column.observedAt[row] as number;
      if (!Number.isNaN(observedAt)) values.set(signal, { observedAt, value: column.values[row] as SignalValue });
    }
    return values;
  }

  page(limit: number, after: string | undefined): LatestPack {
    const names = this.#devices;
    this.#sorted ??= Uint32Array.from(names.keys()).sort((a, b) => compareText(names[a] as string, names[b] as string));
    const sorted = this.#sorted;
    const rows: number[] = [];
    for (let i = after === undefined ? 0 : this.#firstBehind(after); i < sorted.length && rows.length < limit; i++) {
      const row = sorted[i] as number;
      if (this.#present[row] !== 0) rows.push(row);
    }
    const devices = rows.map((row) => names[row] as string);
    const signals = [...this.#columns].map(([signal, column]) => gathered(signal, column, rows));
    const last = devices.at(-1);
    return { devices, signals, ...(devices.length === limit && last !== undefined && { next: last }) };
  }

  /** Place of the first device behind `after` in the order. */
  #firstBehind(after: string): number {
    const sorted = this.#sorted ?? new Uint32Array();
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#devices[sorted[middle] as number] as string) <= after) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  *entries(): Generator<Omit<FleetEntry, 'model' | 'tenant'>> {
    for (const [signal, column] of this.#columns) {
      for (let row = 0; row < this.#devices.length; row++) {
        const observedAt = column.observedAt[row] as number;
        if (Number.isNaN(observedAt)) continue;
        const place = { boot: column.boots[row] as string, seq: column.seqs[row] as number };
        const value = column.values[row] as SignalValue;
        const index = column.indexes[row] as number;
        yield { device: this.#devices[row] as string, signal, observedAt, ...place, index, value };
      }
    }
  }
}

function gathered(signal: string, column: Column, rows: readonly number[]): LatestPack['signals'][number] {
  const observedAt = new Float64Array(rows.length);
  const values: (SignalValue | null)[] = [];
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as number;
    observedAt[i] = column.observedAt[row] as number;
    values.push(column.values[row] as SignalValue | null);
  }
  return { signal, observedAt, values };
}

/** A page made of the entries of some devices. */
export function packLatest(query: LatestPageQuery, byDevice: ReadonlyMap<string, readonly LatestEntry[]>): LatestPack {
  const table = new LatestTable(Number.POSITIVE_INFINITY);
  for (const [device, entries] of byDevice) {
    for (const entry of entries) table.add({ ...entry, device, tenant: query.tenant, model: query.model });
  }
  return table.page(query);
}

/** A page of values as the store's callers get it. */
export function unpackLatest({ devices, signals, next }: LatestPack): LatestPage {
  const found = devices.map((device, row): DeviceLatest => {
    const values = new Map<string, { observedAt: number; value: SignalValue }>();
    for (const column of signals) {
      const observedAt = column.observedAt[row] as number;
      if (!Number.isNaN(observedAt))
        values.set(column.signal, { observedAt, value: column.values[row] as SignalValue });
    }
    return { device, values };
  });
  return { devices: found, ...(next !== undefined && { next }) };
}

function grown<T extends Float64Array | Uint16Array>(before: T, after: T): T {
  after.set(before);
  return after;
}

function compareIdentity(column: Column, row: number, boot: string, seq: number, index: number): number {
  return (
    compareText(column.boots[row] as string, boot) ||
    (column.seqs[row] as number) - seq ||
    (column.indexes[row] as number) - index
  );
}

function compareRank(a: Rank, b: Rank): number {
  return a.observedAt - b.observedAt || compareText(a.boot, b.boot) || a.seq - b.seq || a.index - b.index;
}

/** By code unit, as the stores compare ids. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
