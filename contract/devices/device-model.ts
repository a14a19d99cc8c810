/** What a device model is, as data: the simulator, ingest, analytics, desk and pages all read it. */
import type { LifeUnit, Severity } from '../ports/findings.ts';

export interface SignalSpec {
  readonly name: string;
  /** What a person calls it. */
  readonly label: string;
  /** Canonical unit (SI or the trade's), empty for counts and texts. */
  readonly unit: string;
  readonly kind: 'number' | 'boolean' | 'text';
  /** Physically possible values; outside means the sensor lies, not that the machine is ill. */
  readonly range?: readonly [low: number, high: number];
  readonly component: string;
  /**
   * `condition`: reacts to wear, is scored. `context`: explains the condition signals (load, weather, setting), not scored.
   * `mode`: names the operating mode. `counter`: only rises (cycles, hours).
   */
  readonly role: 'condition' | 'context' | 'mode' | 'counter';
}

export interface Part {
  readonly number: string;
  readonly name: string;
  readonly quantity: number;
}

export interface FailureMode {
  /** Also the fault key. */
  readonly code: string;
  readonly name: string;
  readonly component: string;
  readonly cause: string;
  readonly effect: string;
  readonly severity: Severity;
  /** People may come to harm: its alarm stands until a person has looked and reset it. */
  readonly safety?: true;
  readonly parts: readonly Part[];
  /** How the mode shows in signals: direction of the change, and how typical it is (0..1). */
  readonly shows: readonly { readonly signal: string; readonly direction: 'up' | 'down'; readonly weight: number }[];
  /** Where a trend ends: the machine has failed once the smoothed signal passes the limit. */
  readonly endOfLife?: {
    readonly signal: string;
    readonly direction: 'up' | 'down';
    readonly limit: number;
    readonly mode?: string;
  };
}

export interface FaultCode {
  readonly code: string;
  readonly text: string;
  readonly severity: Severity;
  /** Failure modes it hints at, by code. */
  readonly hintsAt: readonly string[];
}

/** The names of a model in another language, by what they name. A test holds each language to every name of the model. */
export interface ModelWords {
  readonly name: string;
  /** by id of the operating mode */
  readonly modes: Readonly<Record<string, string>>;
  /** by signal name */
  readonly signals: Readonly<Record<string, string>>;
  readonly components: Readonly<Record<string, string>>;
  /** by code */
  readonly failureModes: Readonly<
    Record<string, { readonly name: string; readonly cause: string; readonly effect: string }>
  >;
  /** by code */
  readonly faultCodes: Readonly<Record<string, string>>;
  /** by part number */
  readonly parts: Readonly<Record<string, string>>;
}

export interface DeviceModel {
  readonly id: string;
  readonly name: string;
  readonly kind: 'appliance' | 'vehicle' | 'machine';
  /** Expected interval between samples. */
  readonly intervalMs: number;
  readonly lifeUnit: LifeUnit;
  /** The signal that counts cycles, when life is counted in cycles. */
  readonly cycleSignal?: string;
  /** Length of the usual rhythm of use, for seasonal baselines; absent when there is none. */
  readonly seasonMs?: number;
  readonly modes: readonly { readonly id: string; readonly name: string }[];
  readonly signals: readonly SignalSpec[];
  readonly failureModes: readonly FailureMode[];
  readonly faultCodes: readonly FaultCode[];
  /** The same in other languages; what stands above is English. */
  readonly words?: { readonly 'zh-CN': ModelWords };
}
