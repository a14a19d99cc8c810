/** Analytics without the rest of the house: a log, checkpoints and findings in memory, each of which can be made to fail. */

import type { Prognoser, PrognosisInput } from '../../analytics/prognosis/prognoser.ts';
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import { clientIdOf, partitionOf } from '../../contract/kernel/ids.ts';
import type { CheckpointStore, DeviceCheckpoint, FindingsSink } from '../../contract/ports/analytics.ts';
import { type Finding, finding, type Prediction } from '../../contract/ports/findings.ts';
import type { Logger, Metrics } from '../../contract/ports/services.ts';
import type { LogBatch, LoggedEntry, LogReader, Position } from '../../contract/ports/telemetry-log.ts';
import type { Signals } from '../../contract/wire/payloads.ts';

export const QUIET_LOGGER: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
export const NO_METRICS: Metrics = { count: () => {}, gauge: () => {} };

export class MemoryLog implements LogReader {
  readonly entries: LoggedEntry[] = [];
  oldest: Position = 0;

  /** Appends a message of one sample. */
  append(ref: DeviceRef, model: string, seq: number, at: number, signals: Signals, hist = false): void {
    const body = { boot: 'boot1', seq, t: at, s: [[0, signals]], ...(hist ? { hist } : {}) };
    this.appendBody(ref, model, at, JSON.stringify(body));
  }

  appendBody(ref: DeviceRef, model: string, receivedAt: number, body: string): void {
    const position = this.end() + body.length;
    this.entries.push({ kind: 'telemetry', ...ref, model, receivedAt, body: new TextEncoder().encode(body), position });
  }

  read(from: Position, options: { partitions?: ReadonlySet<number>; maxEntries: number }): Promise<LogBatch> {
    const entries: LoggedEntry[] = [];
    let next = from;
    for (let i = this.firstAfter(from); i < this.entries.length && entries.length < options.maxEntries; i++) {
      const entry = this.entries[i] as LoggedEntry;
      next = entry.position;
      if (!options.partitions || options.partitions.has(partitionOf(entry))) entries.push(entry);
    }
    return Promise.resolve({ entries, next });
  }

  private firstAfter(from: Position): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.entries[middle] as LoggedEntry).position <= from) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  end(): Position {
    return this.entries.at(-1)?.position ?? 0;
  }

  start(): Position {
    return this.oldest;
  }
}

export class MemoryCheckpoints implements CheckpointStore {
  /** by client id, as JSON: nothing but plain JSON survives */
  readonly states = new Map<string, string>();
  saved: Position = 0;
  saves = 0;
  /** Makes the next saves fail. */
  failures = 0;

  position(): Promise<Position> {
    return Promise.resolve(this.saved);
  }

  load(ref: DeviceRef): Promise<unknown> {
    const json = this.states.get(clientIdOf(ref));
    return Promise.resolve(json === undefined ? undefined : (JSON.parse(json) as unknown));
  }

  save(changed: readonly DeviceCheckpoint[], position: Position): Promise<void> {
    if (this.failures > 0) {
      this.failures--;
      return Promise.reject(new Error('the database is away'));
    }
    for (const one of changed) this.states.set(clientIdOf(one), JSON.stringify(one.state));
    this.saved = position;
    this.saves++;
    return Promise.resolve();
  }
}

export class MemoryFindings implements FindingsSink {
  /** Everything ever appended, repeats included; each checked against the contract. */
  readonly appended: Finding[] = [];
  failures = 0;

  append(findings: readonly Finding[]): Promise<void> {
    if (this.failures > 0) {
      this.failures--;
      return Promise.reject(new Error('the findings log is away'));
    }
    for (const one of findings) this.appended.push(finding.parse(JSON.parse(JSON.stringify(one))));
    return Promise.resolve();
  }

  /** What a consumer that upserts by id has in the end. */
  unique(): readonly Finding[] {
    return [...new Map(this.appended.map((one) => [one.id, one])).values()];
  }
}

interface CountdownState {
  samples: number;
}

/** Foresees that `faultKey` comes after `total` samples, ± `spread`; needs ten samples to begin. */
export function countdownPrognoser(
  faultKey: string,
  component: string,
  total: number,
  spread: number,
  unit: 'h' | 'cycle',
): (model: DeviceModel) => readonly Prognoser<unknown>[] {
  const method = { name: 'countdown', version: '1' };
  const prognoser: Prognoser<CountdownState> = {
    ...method,
    init: () => ({ samples: 0 }),
    update: (state: CountdownState, _input: PrognosisInput) => {
      state.samples++;
      return state;
    },
    predict: ({ samples }): readonly Prediction[] => {
      const median = Math.max(0, total - samples);
      const base = { faultKey, component, probabilityWithin: [], method };
      if (samples < 10) return [{ ...base, reason: 'too few samples' }];
      return [
        { ...base, remainingLife: { median, lower: Math.max(0, median - spread), upper: median + spread, unit } },
      ];
    },
  };
  return () => [prognoser as Prognoser<unknown>];
}
