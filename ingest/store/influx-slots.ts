/**
 * Gives every message a slot of its own below the millisecond, so that InfluxDB, which keeps one point per series and
 * timestamp, keeps every sample. A message has a preferred slot; when another message is there it takes the next free one.
 *
 * Why a repetition finds the same slot: messages are placed in the log's order, and each sees all that came before it. A
 * message that is stored is found where it is; one that is not finds the slots taken that were taken the first time, and
 * its own still free, because whoever came later saw it there.
 */
import { fnv1a, type MessageIdentity } from '../../contract/kernel/ids.ts';
import { MAX_SAMPLES_PER_MESSAGE } from '../../contract/wire/payloads.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import type { StorableMessage } from './signal-kinds.ts';

/** Messages that one millisecond of a device can tell apart: 1,000,000 ns / 500 samples. */
export const MESSAGE_SLOTS = 1_000_000 / MAX_SAMPLES_PER_MESSAGE;
/** Slots are left for one of the same parity: answers come in microseconds, which hold two of them. */
const SLOT_STEP = 2;
/** Late samples closer than this are asked for in one question. */
const MERGE_GAP_MS = 60_000;
/** Devices that are asked about at once. */
const PARALLEL_READS = 8;

/** One device's points of one model. */
export interface SeriesRef {
  readonly tenant: string;
  readonly device: string;
  readonly model: string;
}

export interface TakenSlot {
  readonly ms: number;
  readonly slot: number;
  readonly boot: string;
  readonly seq: number;
}

/** What the server holds. */
export interface SlotReader {
  /** Slots taken in whole milliseconds from `fromMs` up to and with `lastMs`. */
  taken(series: SeriesRef, fromMs: number, lastMs: number): Promise<readonly TakenSlot[]>;
  /** First millisecond behind `ms` that holds anything. */
  firstBehind(series: SeriesRef, ms: number): Promise<number | undefined>;
}

/** Slots of a message by whole millisecond, where it did not get the preferred one; `undefined` = no slot was free. */
export type MovedSlots = ReadonlyMap<number, number | undefined>;

/** What is known of a series: who is in the millisecond `ms`, and that there is nothing between it and `until`. */
interface Frontier {
  readonly ms: number;
  readonly taken: ReadonlyMap<number, string>;
  readonly until: number;
}

export function preferredSlot({ boot, seq }: Pick<MessageIdentity, 'boot' | 'seq'>): number {
  return ((seq % MESSAGE_SLOTS) + (fnv1a(boot) % MESSAGE_SLOTS)) % MESSAGE_SLOTS;
}

/** The slot of a message that is stored in a microsecond. */
export function slotAt(microsecond: number, identity: Pick<MessageIdentity, 'boot' | 'seq'>): number {
  return (microsecond % 1_000) * SLOT_STEP + (preferredSlot(identity) % SLOT_STEP);
}

export class SlotKeeper {
  readonly #reader: SlotReader;
  readonly #maxSeries: number;
  /** by series, least recently written first: forgetting one costs a question */
  readonly #frontiers = new Map<string, Frontier>();

  constructor(reader: SlotReader, maxSeries = 50_000) {
    this.#reader = reader;
    this.#maxSeries = maxSeries;
  }

  /** Forgets everything: after a failed write only the server knows what it holds. */
  clear(): void {
    this.#frontiers.clear();
  }

  /** Places the messages of a batch. Asks the server only about times that are not known to be empty. */
  async place(storable: readonly StorableMessage[]): Promise<ReadonlyMap<TelemetryMessage, MovedSlots>> {
    const moved = new Map<TelemetryMessage, MovedSlots>();
    const slow: (readonly StorableMessage[])[] = [];
    for (const [key, messages] of bySeries(storable)) {
      const frontier = this.#ahead(this.#frontiers.get(key), messages);
      if (frontier) this.#remember(key, frontier);
      else slow.push(messages);
    }
    const rest = slow.values();
    const lane = async (): Promise<void> => {
      for (const messages of rest) await this.#placeSlowly(messages, moved);
    };
    // All of them end before a failure is told: none may remember anything after `clear`.
    const lanes = await Promise.allSettled(Array.from({ length: PARALLEL_READS }, lane));
    for (const outcome of lanes) if (outcome.status === 'rejected') throw outcome.reason;
    return moved;
  }

  /** The new frontier when each message lies wholly in what is known to be empty, which is the usual case. */
  #ahead(frontier: Frontier | undefined, messages: readonly StorableMessage[]): Frontier | undefined {
    if (!frontier) return undefined;
    let newest = frontier.ms;
    let newestMessage: TelemetryMessage | undefined;
    for (const { message, samples } of messages) {
      let last = newest;
      for (const { observedAt } of samples) {
        const ms = Math.floor(observedAt);
        if (ms <= newest || ms >= frontier.until) return undefined;
        last = Math.max(last, ms);
      }
      newest = last;
      newestMessage = message;
    }
    if (!newestMessage) return frontier;
    const { identity } = newestMessage;
    return { ms: newest, until: frontier.until, taken: new Map([[preferredSlot(identity), nameOf(identity)]]) };
  }

  async #placeSlowly(messages: readonly StorableMessage[], moved: Map<TelemetryMessage, MovedSlots>): Promise<void> {
    const series = seriesOf(messages[0] as StorableMessage);
    const key = keyOf(series);
    const times = [...new Set(messages.flatMap(({ samples }) => samples.map((one) => Math.floor(one.observedAt))))];
    const taken = await this.#takenAt(series, times, this.#frontiers.get(key));
    for (const { message, samples } of messages) {
      const slots = placeMessage(message, new Set(samples.map((one) => Math.floor(one.observedAt))), taken);
      if (slots.size > 0) moved.set(message, slots);
    }
    const last = (messages.at(-1) as StorableMessage).samples.map((one) => Math.floor(one.observedAt));
    const ms = Math.max(...last);
    const stored = (await this.#reader.firstBehind(series, ms)) ?? Number.POSITIVE_INFINITY;
    const until = times.reduce((first, time) => (time > ms ? Math.min(first, time) : first), stored);
    this.#remember(key, { ms, until, taken: taken.get(ms) ?? new Map() });
  }

  /** Who is where in each of these milliseconds: from memory, from the server, or nobody. */
  async #takenAt(
    series: SeriesRef,
    times: readonly number[],
    frontier: Frontier | undefined,
  ): Promise<Map<number, Map<number, string>>> {
    const taken = new Map(times.map((ms) => [ms, new Map<number, string>()]));
    const unknown = times.filter((ms) => !frontier || ms < frontier.ms || ms >= frontier.until);
    if (frontier) taken.set(frontier.ms, new Map(frontier.taken));
    for (const [from, to] of ranges(unknown)) {
      for (const { ms, slot, ...identity } of await this.#reader.taken(series, from, to)) {
        taken.get(ms)?.set(slot, nameOf(identity));
      }
    }
    return taken;
  }

  #remember(key: string, frontier: Frontier): void {
    this.#frontiers.delete(key);
    this.#frontiers.set(key, frontier);
    for (const oldest of this.#frontiers.keys()) {
      if (this.#frontiers.size <= this.#maxSeries) return;
      this.#frontiers.delete(oldest);
    }
  }
}

/** Takes the message's slot in each millisecond. @returns those that are not the preferred one */
function placeMessage(
  { identity }: TelemetryMessage,
  times: ReadonlySet<number>,
  taken: Map<number, Map<number, string>>,
): MovedSlots {
  const moved = new Map<number, number | undefined>();
  const preferred = preferredSlot(identity);
  for (const ms of times) {
    const slots = taken.get(ms) ?? new Map<number, string>();
    const slot = slotFor(nameOf(identity), preferred, slots);
    if (slot !== undefined) slots.set(slot, nameOf(identity));
    if (slot !== preferred) moved.set(ms, slot);
  }
  return moved;
}

/** Where the message is, or else the first free slot. The search goes first: a slot before its own may have become free. */
function slotFor(name: string, preferred: number, slots: ReadonlyMap<number, string>): number | undefined {
  if (slots.size === 0) return preferred;
  for (const [slot, owner] of slots) if (owner === name) return slot;
  for (let step = 0; step < MESSAGE_SLOTS; step += SLOT_STEP) {
    const slot = (preferred + step) % MESSAGE_SLOTS;
    if (!slots.has(slot)) return slot;
  }
  return undefined;
}

function bySeries(storable: readonly StorableMessage[]): ReadonlyMap<string, readonly StorableMessage[]> {
  const series = new Map<string, StorableMessage[]>();
  for (const one of storable) {
    const key = keyOf(seriesOf(one));
    const messages = series.get(key);
    if (messages) messages.push(one);
    else series.set(key, [one]);
  }
  return series;
}

/** Times as few ranges, ends included. */
function ranges(times: readonly number[]): [from: number, to: number][] {
  const found: [number, number][] = [];
  for (const ms of [...times].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && ms - last[1] <= MERGE_GAP_MS) last[1] = ms;
    else found.push([ms, ms]);
  }
  return found;
}

function seriesOf({ message: { identity, model } }: StorableMessage): SeriesRef {
  return { tenant: identity.tenant, device: identity.device, model };
}

function keyOf({ tenant, device, model }: SeriesRef): string {
  return `${tenant}.${device} ${model}`;
}

function nameOf({ boot, seq }: Pick<MessageIdentity, 'boot' | 'seq'>): string {
  return `${boot} ${seq}`;
}
