/** What analytics needs from outside: checkpoints and a place for its findings. */
import type { DeviceRef } from '../kernel/ids.ts';
import type { Finding } from './findings.ts';
import type { Position } from './telemetry-log.ts';

/** Plain JSON of one device's whole analytic state. */
export interface DeviceCheckpoint extends DeviceRef {
  readonly state: unknown;
}

export interface CheckpointStore {
  /** Position that the saved states belong to; 0 when there are none. */
  position(): Promise<Position>;
  /** The device's state, or `undefined`. */
  load(ref: DeviceRef): Promise<unknown>;
  /** Saves the states of the changed devices and the position they belong to in one transaction. */
  save(changed: readonly DeviceCheckpoint[], position: Position): Promise<void>;
}

export interface FindingsSink {
  /** Resolves when the findings are durable. Appending a finding again is harmless: consumers upsert by id. */
  append(findings: readonly Finding[]): Promise<void>;
}
