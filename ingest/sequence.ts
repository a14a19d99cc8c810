/**
 * What was already taken: for every device and boot the highest sequence number and a bitmap of the 4,096 numbers up to
 * it. A number counts as seen only once its entry is durable; until then it is in flight, and whoever sends it again
 * shares the outcome of the first. So a failed append leaves no trace, and a snapshot never claims what is not on disk.
 */
import type { DeviceRef } from '../contract/kernel/ids.ts';
import { clientIdOf } from '../contract/kernel/ids.ts';
import { ContentRing, MemoryBudget } from './content-ring.ts';
import { newQuality, type QualityCounts } from './data-quality.ts';
import type { DeclaredSignals } from './declared-signals.ts';

export const WINDOW_SIZE = 4_096;
const WORDS = WINDOW_SIZE / 32;
const ALL = 0xffffffff;
const NO_BUDGET = new MemoryBudget(0);

/** What a window knows about a sequence number. `unknown`: too far behind, or from before the window's memory. */
export type Sight = 'new' | 'inFlight' | 'seen' | 'unknown';

/** Called with the outcome of the message that was first. */
export type Waiter = (error: Error | undefined) => void;

/** A number in flight that others wait for too. */
interface Flight {
  readonly fingerprint: number;
  readonly waiters: Waiter[];
}

/** The sequence numbers of one device within one boot. */
export class SequenceWindow {
  /** Highest durable number; −1 = none. */
  highest = -1;
  /** Highest number on its way or durable, for gaps and lateness only. */
  newest = -1;
  /**
   * Below this only the numbers that are marked are known; Infinity = nothing is sure yet. After the first number that
   * proves to be new, those a whole window above it are believed: no device sends in greater disorder.
   */
  knownFrom: number;
  /** Ring of WINDOW_SIZE bits by `seq % WINDOW_SIZE`, valid for the WINDOW_SIZE numbers up to `highest`. */
  readonly bits = new Uint32Array(WORDS);
  /** by seq: only the fingerprint as long as nobody else waits, so that the usual case allocates nothing */
  readonly #inFlight = new Map<number, number | Flight>();
  readonly #budget: MemoryBudget;
  #contents: ContentRing | undefined;

  /**
   * `certain`: nothing of this boot was ever forgotten, so what is not here is new. `budget`: of the fingerprints of all
   * windows; without one none are kept.
   */
  constructor(certain: boolean, budget: MemoryBudget = NO_BUDGET) {
    this.knownFrom = certain ? 0 : Number.POSITIVE_INFINITY;
    this.#budget = budget;
  }

  look(seq: number): Sight {
    if (this.#inFlight.has(seq)) return 'inFlight';
    const reach = this.highest - seq;
    if (reach >= 0 && reach < WINDOW_SIZE && this.#isMarked(seq)) return 'seen';
    return seq < this.knownFrom || reach >= WINDOW_SIZE ? 'unknown' : 'new';
  }

  /** Fingerprint of a number that is in flight or seen; 0 = not known. */
  fingerprintOf(seq: number): number {
    const flight = this.#inFlight.get(seq);
    if (flight === undefined) return this.#contents?.of(seq) ?? 0;
    return typeof flight === 'number' ? flight : flight.fingerprint;
  }

  /** The number is on its way into the log. */
  begin(seq: number, fingerprint = 0): void {
    this.#inFlight.set(seq, fingerprint);
    if (seq > this.newest) this.newest = seq;
  }

  /** Shares the outcome of a number in flight. */
  wait(seq: number, waiter: Waiter): void {
    const flight = this.#inFlight.get(seq);
    if (typeof flight === 'object') flight.waiters.push(waiter);
    else this.#inFlight.set(seq, { fingerprint: flight ?? 0, waiters: [waiter] });
  }

  /**
   * The number's way has ended: in the log when `durable`, else it failed or proved to be stored long ago. The latter is
   * not marked: it says nothing about its neighbours, which must be looked up as well. Returns who else wants to know.
   */
  finish(seq: number, durable: boolean): readonly Waiter[] | undefined {
    const flight = this.#inFlight.get(seq);
    this.#inFlight.delete(seq);
    const isShared = typeof flight === 'object';
    if (durable) this.mark(seq, isShared ? flight.fingerprint : flight);
    return isShared ? flight.waiters : undefined;
  }

  /** The number is durable. */
  mark(seq: number, fingerprint = 0): void {
    if (fingerprint !== 0) this.#contents ??= ContentRing.create(WINDOW_SIZE, this.#budget);
    this.#contents?.set(seq, fingerprint);
    if (this.knownFrom === Number.POSITIVE_INFINITY) this.knownFrom = seq + WINDOW_SIZE;
    if (seq > this.highest) this.#advance(seq);
    if (this.highest - seq >= WINDOW_SIZE) return;
    this.#setBit(seq);
  }

  /** The window is forgotten: others may use its memory. */
  release(): void {
    this.#contents?.release();
    this.#contents = undefined;
  }

  /** Runs of seen numbers, oldest first, as [first, count] pairs. */
  runs(): [first: number, count: number][] {
    const runs: [number, number][] = [];
    const lowest = Math.max(0, this.highest - WINDOW_SIZE + 1);
    for (let seq = lowest; seq <= this.highest; ) {
      const step = this.#uniformStep(seq);
      const seen = this.#isMarked(seq);
      const last = runs.at(-1);
      if (seen && last && last[0] + last[1] === seq) last[1] += step;
      else if (seen) runs.push([seq, step]);
      seq += step;
    }
    return runs;
  }

  /** 32 where a whole word of the ring says the same, else 1. */
  #uniformStep(seq: number): number {
    if (seq % 32 !== 0 || seq + 31 > this.highest) return 1;
    const word = this.bits[(seq % WINDOW_SIZE) >>> 5];
    return word === 0 || word === ALL ? 32 : 1;
  }

  #advance(seq: number): void {
    if (seq - this.highest >= WINDOW_SIZE) this.bits.fill(0);
    else for (let passed = this.highest + 1; passed < seq; passed++) this.#clearBit(passed);
    this.highest = seq;
    if (seq > this.newest) this.newest = seq;
  }

  #isMarked(seq: number): boolean {
    const bit = seq % WINDOW_SIZE;
    return (((this.bits[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1;
  }

  #setBit(seq: number): void {
    const bit = seq % WINDOW_SIZE;
    this.bits[bit >>> 5] = (this.bits[bit >>> 5] ?? 0) | (1 << (bit & 31));
  }

  #clearBit(seq: number): void {
    const bit = seq % WINDOW_SIZE;
    this.bits[bit >>> 5] = (this.bits[bit >>> 5] ?? 0) & ~(1 << (bit & 31));
  }
}

/** Telemetry and events count apart. */
export type SequenceStream = 'telemetry' | 'event';

/** What is remembered of one device. */
export interface DeviceMemory {
  /** by boot, or `event/boot`; oldest first */
  readonly windows: Map<string, SequenceWindow>;
  /** Boot of the newest birth or `online`; the first telemetry of an unknown device also sets it. */
  currentBoot: string | undefined;
  /** What births since the last start declared: known here before the directory has it from the database. */
  declared: DeclaredSignals | undefined;
  readonly quality: QualityCounts;
  /** A boot of this device was dropped: a boot that is not here may be an old one. */
  forgotBoots: boolean;
}

export interface SequenceLimits {
  /** Devices remembered, at least; at most twice as many. */
  readonly maxDevices: number;
  /** Windows remembered a device. */
  readonly maxWindowsPerDevice: number;
  /** Fingerprints of all windows together; a window has 128 bytes to 8 KiB of them. */
  readonly maxFingerprintBytes?: number;
}

export const DEFAULT_SEQUENCE_LIMITS: SequenceLimits = { maxDevices: 25_000, maxWindowsPerDevice: 16 };
/** All 4,096 fingerprints of 8,000 devices; a larger fleet remembers fewer each. */
const DEFAULT_FINGERPRINT_BYTES = 64 * 1024 * 1024;

/**
 * The memory of all devices, bounded in two generations: whoever is used moves to the young one; when that is full it
 * becomes the old one and the former old one is forgotten. Forgotten devices are looked up in the store.
 */
export class SequenceBook {
  readonly #limits: SequenceLimits;
  /** by client id */
  #young = new Map<string, DeviceMemory>();
  /** by client id */
  #old = new Map<string, DeviceMemory>();
  /** Some device was forgotten once, or the past was never known: a device that is not here may be an old one. */
  forgotDevices = false;
  /** Devices and windows dropped to keep the bounds. */
  evictions = 0;

  /** Of the fingerprints of all windows. */
  readonly budget: MemoryBudget;

  constructor(limits: SequenceLimits = DEFAULT_SEQUENCE_LIMITS) {
    this.#limits = limits;
    this.budget = new MemoryBudget(limits.maxFingerprintBytes ?? DEFAULT_FINGERPRINT_BYTES);
  }

  get deviceCount(): number {
    return this.#young.size + this.#old.size;
  }

  device(ref: DeviceRef): DeviceMemory {
    const key = clientIdOf(ref);
    return this.#young.get(key) ?? this.#rejuvenate(key);
  }

  /** What is remembered of a device, if anything; looking does not keep it from being forgotten. */
  peek(ref: DeviceRef): DeviceMemory | undefined {
    const key = clientIdOf(ref);
    return this.#young.get(key) ?? this.#old.get(key);
  }

  window(memory: DeviceMemory, stream: SequenceStream, boot: string): SequenceWindow {
    const key = stream === 'telemetry' ? boot : `event/${boot}`; // A boot id holds no slash: the streams share no key.
    return memory.windows.get(key) ?? this.#addWindow(memory, key);
  }

  /** All devices, for the snapshot. */
  *entries(): Iterable<[clientId: string, memory: DeviceMemory]> {
    yield* this.#old;
    yield* this.#young;
  }

  /** Puts a device back as a snapshot remembers it. */
  restore(clientId: string, memory: DeviceMemory): void {
    this.#keep(clientId, memory);
  }

  #rejuvenate(key: string): DeviceMemory {
    const known = this.#old.get(key);
    this.#old.delete(key);
    const memory = known ?? {
      windows: new Map(),
      currentBoot: undefined,
      declared: undefined,
      quality: newQuality(),
      forgotBoots: this.forgotDevices,
    };
    this.#keep(key, memory);
    return memory;
  }

  #keep(key: string, memory: DeviceMemory): void {
    if (this.#young.size >= this.#limits.maxDevices) {
      this.evictions += this.#old.size;
      if (this.#old.size > 0) this.forgotDevices = true;
      for (const { windows } of this.#old.values()) for (const window of windows.values()) window.release();
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, memory);
  }

  #addWindow(memory: DeviceMemory, key: string): SequenceWindow {
    const window = new SequenceWindow(!memory.forgotBoots, this.budget);
    if (memory.windows.size >= this.#limits.maxWindowsPerDevice) {
      const [oldest] = memory.windows;
      oldest?.[1].release();
      if (oldest) memory.windows.delete(oldest[0]);
      memory.forgotBoots = true;
      this.evictions++;
    }
    memory.windows.set(key, window);
    return window;
  }
}
