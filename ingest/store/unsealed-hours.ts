/**
 * Which hours of which models hold raw samples, and how many: so that retention knows what is due without looking through
 * all of them. Kept in memory, moved on with every commit; a start works it out again from the samples. Pure.
 */
import { HOUR_MS } from '../../contract/kernel/time.ts';

interface Hour {
  samples: number;
  /** Newest receipt of one of them, epoch ms. */
  receivedAt: number;
}

export interface DueHour {
  /** Epoch ms. */
  readonly from: number;
  readonly samples: number;
}

/** A model holds some 2,200 hours in 90 days; samples of any time since 2000 can make 100 times as many. */
const MAX_HOURS = 500_000;

export class UnsealedHours {
  /** by model id, then start of the hour */
  readonly #byModel = new Map<number, Map<number, Hour>>();
  readonly #maxHours: number;
  #size = 0;
  #overflowed = false;
  #complete = false;

  constructor(maxHours = MAX_HOURS) {
    this.#maxHours = maxHours;
  }

  /** Set: there were too many to remember, and whoever asks must look at the samples. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  /** Whether everything that was stored when it was made is in it. */
  get isComplete(): boolean {
    return this.#complete;
  }

  complete(): void {
    this.#complete = true;
  }

  /** @param observedAt device time of one sample, or of all of them in that hour */
  add(modelId: number, observedAt: number, receivedAt: number, samples = 1): void {
    if (this.#overflowed) return;
    const hours = this.#of(modelId);
    const from = Math.floor(observedAt / HOUR_MS) * HOUR_MS;
    const hour = hours.get(from);
    if (hour) {
      hour.samples += samples;
      if (receivedAt > hour.receivedAt) hour.receivedAt = receivedAt;
      return;
    }
    if (++this.#size > this.#maxHours) {
      this.#overflowed = true;
      this.#byModel.clear();
      return;
    }
    hours.set(from, { samples, receivedAt });
  }

  /** The oldest hour that ended before `rawBefore`, and of which everything came before it too. */
  oldestDue(modelId: number, rawBefore: number): DueHour | undefined {
    let oldest: DueHour | undefined;
    for (const [from, { samples, receivedAt }] of this.#byModel.get(modelId) ?? []) {
      const isDue = from + HOUR_MS <= rawBefore && receivedAt < rawBefore;
      if (isDue && (!oldest || from < oldest.from)) oldest = { from, samples };
    }
    return oldest;
  }

  /** Samples of an hour were deleted. */
  remove(modelId: number, from: number, samples: number): void {
    const hours = this.#byModel.get(modelId);
    const hour = hours?.get(from);
    if (!hours || !hour) return;
    hour.samples -= samples;
    if (hour.samples > 0) return;
    hours.delete(from);
    this.#size--;
  }

  #of(modelId: number): Map<number, Hour> {
    const hours = this.#byModel.get(modelId) ?? new Map<number, Hour>();
    this.#byModel.set(modelId, hours);
    return hours;
  }
}
