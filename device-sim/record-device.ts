/**
 * Labelled recordings of one device, offline and as fast as it computes: rows as they would be sent, and the truth beside them,
 * for whoever judges detectors. The truth never travels with the rows. Pure.
 */
import type { Confounder } from './confounders.ts';
import type { FaultPlan } from './faults/fault-plan.ts';
import type { SensorLie } from './sensors.ts';
import { createSampleStream, groundTruthOf, type SimulatedDevice } from './simulated-device.ts';
import type { TimedSignals } from './telemetry-batch.ts';

export interface RecordingRequest {
  /** Model id of the catalogue. */
  readonly model: string;
  readonly seed: number;
  /** Time before the first row, epoch ms. */
  readonly start: number;
  readonly durationMs: number;
  /** Between two rows; default: the model's interval. A machine at rest reports more seldom. */
  readonly stepMs?: number;
  readonly fault?: FaultPlan;
  readonly confounders?: readonly Confounder[];
  readonly lies?: readonly SensorLie[];
}

export interface RecordingTruth {
  /** Absent for a healthy machine, also when the fault's peak severity is 0. */
  readonly fault?: {
    readonly code: string;
    readonly component: string;
    /** Epoch ms. */
    readonly onsetAt: number;
    /** The sample at which life ends, epoch ms; absent when the machine survives the recording. */
    readonly failsAt?: number;
    /** Severity it grows to, 0..1. */
    readonly peak: number;
  };
  /** Changes that are no fault: an alert about them alone is false. */
  readonly confounders: readonly Confounder[];
  /** Sensors that lie: no fault of the machine either. */
  readonly lies: readonly SensorLie[];
}

export interface LabelledRecording {
  readonly model: string;
  readonly rows: readonly TimedSignals[];
  readonly truth: RecordingTruth;
}

/** The same request gives the same recording. @throws Error for a model or fault that cannot be simulated */
export function recordDevice(request: RecordingRequest): LabelledRecording {
  const device = deviceOf(request);
  const end = request.start + request.durationMs;
  const rows = createSampleStream(device, request.start, request.stepMs).take(end);
  return { model: request.model, rows, truth: truthOf(request) };
}

/** The truth alone; it plays the device when there is a fault, to learn when it fails. */
export function truthOf(request: RecordingRequest): RecordingTruth {
  const { fault, confounders = [], lies = [], start, durationMs, stepMs } = request;
  const truth = groundTruthOf(deviceOf(request), start, start + durationMs, stepMs);
  if (!truth || !fault || truth.onsetAt >= start + durationMs) return { confounders, lies };
  const { faultKey: code, component, onsetAt, failsAt } = truth;
  const peak = Math.min(1, fault.peak ?? 1);
  return {
    fault: { code, component, onsetAt, ...(failsAt === undefined ? {} : { failsAt }), peak },
    confounders,
    lies,
  };
}

function deviceOf({ model, seed, fault, confounders, lies }: RecordingRequest): SimulatedDevice {
  return {
    ref: { tenant: 'lab', device: `${model}-${seed}` },
    model,
    seed,
    ...(fault ? { fault } : {}),
    ...(confounders ? { confounders } : {}),
    ...(lies ? { lies } : {}),
  };
}
