/** A sample on its way through scoring, and what came of it. */
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import type { Finding, VersionName } from '../../contract/ports/findings.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';

/** One sample on its way through analytics. */
export interface SampleToScore {
  readonly ref: DeviceRef;
  /** Unique on the device: boot, sequence number and index. */
  readonly identity: string;
  readonly observedAt: number;
  /** Position in the telemetry log. */
  readonly position: number;
  readonly signals: Readonly<Record<string, SignalValue>>;
  /** Known to be healthy: everything in it is learned, nothing is alerted. */
  readonly healthy?: boolean;
  /** Versions that judge it beside the active one. */
  readonly beside?: readonly VersionName[];
}

export interface SampleOutcome {
  readonly kind: 'scored' | 'late' | 'learningInterval';
  readonly findings: readonly Finding[];
  /** Values that a detector has seen. */
  readonly values: number;
  /** Surprise of the strongest fault key, with operating modes seen last. */
  readonly surprise: number;
  /** Rarity of the rarest signal in this very sample; only for devices that no catalogue describes. */
  readonly novelty: number;
}
