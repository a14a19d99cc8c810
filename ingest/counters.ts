/** Counters for the hot path: added up in a map here, handed to the metrics once a second. */
import type { Metrics } from '../contract/ports/services.ts';

export interface Counter {
  add(label: string, by?: number): void;
}

export class Counters {
  readonly #metrics: Metrics;
  readonly #flushes: (() => void)[] = [];

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /**
   * A counter with at most one label. `known` label values are shown from the start, so that a zero can be read as zero.
   * Without `labelName` the label is ignored.
   */
  create(name: string, help: string, labelName?: string, known: readonly string[] = []): Counter {
    /** by label value */
    const sums = new Map<string, number>((labelName ? known : ['']).map((label) => [label, 0]));
    this.#flushes.push(() => {
      for (const [label, by] of sums) {
        this.#metrics.count(name, help, labelName ? { [labelName]: label } : {}, by);
        sums.set(label, 0);
      }
    });
    return { add: (label, by = 1) => sums.set(label, (sums.get(label) ?? 0) + by) };
  }

  flush(): void {
    for (const flush of this.#flushes) flush();
  }
}
