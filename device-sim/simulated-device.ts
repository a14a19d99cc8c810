/** One simulated device without its connection: when it samples, what it measures, and the truth about its fault. Pure. */
import { findModel } from '../contract/devices/catalogue.ts';
import type { DeviceRef } from '../contract/kernel/ids.ts';
import type { Confounder } from './confounders.ts';
import { type FaultPlan, failureModeOf } from './faults/fault-plan.ts';
import { findSimulatedModel, type SimulatedModel } from './models/catalogue.ts';
import { streamOf } from './models/simulation.ts';
import { createSensors, type SensorLie } from './sensors.ts';
import type { TimedSignals } from './telemetry-batch.ts';

export interface SimulatedDevice {
  readonly ref: DeviceRef;
  /** Model id of the catalogue. */
  readonly model: string;
  readonly seed: number;
  readonly fault?: FaultPlan;
  readonly confounders?: readonly Confounder[];
  readonly lies?: readonly SensorLie[];
}

/** What really happens to a device; never sent to the server, so that warnings can be judged against it. */
export interface GroundTruth extends DeviceRef {
  readonly model: string;
  readonly faultKey: string;
  readonly component: string;
  /** Severity leaves 0 then, epoch ms. */
  readonly onsetAt: number;
  /** The sample at which life ends, epoch ms; absent when it survives the run. */
  readonly failsAt?: number;
  /** Number of that sample's cycle, for models that count them. */
  readonly failsAtCycle?: number;
}

export interface SampleStream {
  /** Samples after the last call, up to and including `to`. */
  take(to: number): TimedSignals[];
  failedAt(): number | undefined;
}

const PHASE_STREAM = 99;

/** @throws Error for a model that cannot be simulated */
export function modelOf(device: SimulatedDevice): SimulatedModel {
  const model = findSimulatedModel(device.model);
  if (!model) throw new Error(`Model ${device.model} cannot be simulated`);
  return model;
}

/** The device's samples after `start`, one each `stepMs` (default: the model's interval), at a phase of its own so that a fleet does not pulse. */
export function createSampleStream(device: SimulatedDevice, start: number, stepMs?: number): SampleStream {
  const model = modelOf(device);
  const { seed, fault, confounders = [], lies = [] } = device;
  const simulation = model.create(seed, { startAt: start, confounders, ...(fault ? { fault } : {}) });
  const sense = createSensors(model.id, seed, lies, confounders);
  const intervalMs = stepMs ?? model.intervalMs;
  let next = start + 1 + Math.floor(streamOf(seed, PHASE_STREAM)() * intervalMs);
  return {
    take(to) {
      const samples: TimedSignals[] = [];
      for (; next <= to; next += intervalMs) {
        const signals = simulation.step(next);
        if (signals) samples.push({ at: next, signals: sense(next, signals) });
      }
      return samples;
    },
    failedAt: () => simulation.failedAt(),
  };
}

/** Plays the device alone, as fast as it computes, to learn when its fault ends its life. About 6 µs a sample. */
export function groundTruthOf(
  device: SimulatedDevice,
  start: number,
  end: number,
  stepMs?: number,
): GroundTruth | undefined {
  if (!device.fault || device.fault.peak === 0) return undefined;
  const stream = createSampleStream(device, start, stepMs);
  const cycles = stream.take(end).length;
  const failsAt = stream.failedAt();
  const countsCycles = findModel(device.model)?.lifeUnit === 'cycle';
  return {
    ...device.ref,
    model: device.model,
    faultKey: device.fault.faultKey,
    component: failureModeOf(device.model, device.fault.faultKey).component,
    onsetAt: device.fault.onsetAt,
    ...(failsAt === undefined ? {} : { failsAt }),
    ...(failsAt !== undefined && countsCycles ? { failsAtCycle: cycles } : {}),
  };
}
