/**
 * Detectors of whole devices, in the order in which they are asked. To add one, add its line here: its state is kept, its
 * learning withheld and its findings explained like those of the others. See docs/adding-a-detector.md.
 */
import type { DeviceDetector } from './device-detector.ts';
import { relations } from './relations.ts';

export const DEVICE_DETECTORS: readonly DeviceDetector<unknown>[] = [relations as DeviceDetector<unknown>];
