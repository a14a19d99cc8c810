/**
 * Short fingerprints of the newest messages of one boot, so that the same sequence number with another content is not
 * taken for a duplicate. 16 bits each: one forged copy in 65,536 passes as a duplicate, and is dropped as one.
 */
import { crc32 } from 'node:zlib';

const FIRST_SIZE = 64;

/** Bytes that all rings together may take. Beyond it a ring keeps its size and forgets older fingerprints earlier. */
export class MemoryBudget {
  #leftBytes: number;
  /** How often a ring could not grow. */
  refusals = 0;

  constructor(bytes: number) {
    this.#leftBytes = bytes;
  }

  take(bytes: number): boolean {
    if (bytes > this.#leftBytes) {
      this.refusals++;
      return false;
    }
    this.#leftBytes -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#leftBytes += bytes;
  }
}

/** Fingerprint of a message's bytes, 1..65535; 0 stands for "not known". */
export function fingerprintOf(bytes: Uint8Array): number {
  const crc = crc32(bytes);
  return (crc ^ (crc >>> 16)) & 0xffff || 1;
}

/** A ring of fingerprints up to the highest number; begins small and doubles up to `maxSize`. */
export class ContentRing {
  readonly #maxSize: number;
  readonly #budget: MemoryBudget;
  #slots: Uint16Array;
  #top = -1;
  /** First number since the ring was empty: until the ring is full there is no need to grow it. */
  #first = 0;

  /** @returns nothing when the budget has no room for even the smallest ring */
  static create(maxSize: number, budget: MemoryBudget): ContentRing | undefined {
    return budget.take(FIRST_SIZE * 2) ? new ContentRing(maxSize, budget) : undefined;
  }

  private constructor(maxSize: number, budget: MemoryBudget) {
    this.#maxSize = maxSize;
    this.#budget = budget;
    this.#slots = new Uint16Array(FIRST_SIZE);
  }

  /** Fingerprint of a number, 0 when it is not known any more. */
  of(seq: number): number {
    const reach = this.#top - seq;
    return reach >= 0 && reach < this.#slots.length ? (this.#slots[seq % this.#slots.length] ?? 0) : 0;
  }

  set(seq: number, fingerprint: number): void {
    if (seq > this.#top) this.#advance(seq);
    if (this.#top - seq < this.#slots.length) this.#slots[seq % this.#slots.length] = fingerprint;
  }

  /** Gives its memory back. */
  release(): void {
    this.#budget.give(this.#slots.length * 2);
  }

  #advance(seq: number): void {
    const isFarAhead = this.#top < 0 || seq - this.#top >= this.#maxSize;
    if (isFarAhead) this.#first = seq;
    while (seq - this.#first >= this.#slots.length && this.#grow());
    const size = this.#slots.length;
    if (isFarAhead || seq - this.#top >= size) this.#slots.fill(0);
    else for (let passed = this.#top + 1; passed < seq; passed++) this.#slots[passed % size] = 0;
    this.#top = seq;
  }

  #grow(): boolean {
    const size = this.#slots.length;
    if (size >= this.#maxSize || !this.#budget.take(size * 2)) return false;
    const slots = new Uint16Array(size * 2);
    for (let seq = Math.max(this.#first, this.#top - size + 1); seq <= this.#top; seq++) {
      slots[seq % slots.length] = this.of(seq);
    }
    this.#slots = slots;
    return true;
  }
}
