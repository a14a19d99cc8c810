/** The memory of sequence numbers as a file, with the log position it belongs to. What came later is read from the log. */
import { z } from 'zod';
import type { Position } from '../contract/ports/telemetry-log.ts';
import { newQuality, type QualityCounts } from './data-quality.ts';
import { type DeviceMemory, type SequenceBook, SequenceWindow, WINDOW_SIZE } from './sequence.ts';

/** Enough for what a device sends again after a reconnect; all of them would make a large fleet's snapshot slow. */
const KEPT_FINGERPRINTS = 64;

const count = z.number().int().nonnegative();
const windowShape = z.tuple([
  z.string(),
  /** Below this the window has no memory. */
  count,
  /** Runs of seen numbers: first, how many. */
  z.array(z.tuple([count, count.max(WINDOW_SIZE)])),
  /** Fingerprints of the newest numbers, little-endian u16 in base64, the highest last. */
  z
    .string()
    .max(KEPT_FINGERPRINTS * 4)
    .optional(),
]);
/** Messages, missing, late, refused, and the clock's skew: what the data-quality score is made of. */
const qualityShape = z.tuple([count, count, count, count, z.number().nullable()]);
const deviceShape = z.tuple([
  z.string(),
  z.string().nullable(),
  z.boolean(),
  z.array(windowShape),
  qualityShape.optional(),
]);
const snapshotFile = z.strictObject({
  version: z.literal(1),
  position: count,
  forgotDevices: z.boolean(),
  devices: z.array(deviceShape),
});

type WindowShape = z.infer<typeof windowShape>;
type Rest<T extends readonly unknown[]> = T extends readonly [unknown, ...infer R] ? R : never;
type DeviceShape = z.infer<typeof deviceShape>;

/** The whole book as text; `position` = every entry up to there is marked in it. */
export function encodeSnapshot(book: SequenceBook, position: Position): string {
  const devices: DeviceShape[] = [];
  for (const [clientId, memory] of book.entries()) {
    const { messages, missing, late, refused, skewMs } = memory.quality;
    const quality: z.infer<typeof qualityShape> = [messages, missing, late, refused, skewMs ?? null];
    devices.push([clientId, memory.currentBoot ?? null, memory.forgotBoots, encodeWindows(memory), quality]);
  }
  return JSON.stringify({ version: 1, position, forgotDevices: book.forgotDevices, devices });
}

/** A window without a durable number has nothing to tell. */
function encodeWindows(memory: DeviceMemory): WindowShape[] {
  return [...memory.windows]
    .filter(([, window]) => window.highest >= 0)
    .map(([key, window]): WindowShape => {
      const fingerprints = encodeFingerprints(window);
      const { knownFrom } = window;
      return fingerprints ? [key, knownFrom, window.runs(), fingerprints] : [key, knownFrom, window.runs()];
    });
}

function encodeFingerprints(window: SequenceWindow): string | undefined {
  const kept = Math.min(KEPT_FINGERPRINTS, window.highest + 1);
  const bytes = Buffer.alloc(kept * 2);
  for (let i = 0; i < kept; i++) bytes.writeUInt16LE(window.fingerprintOf(window.highest - kept + 1 + i), i * 2);
  return bytes.some((byte) => byte !== 0) ? bytes.toString('base64') : undefined;
}

/** by seq, those that are known */
function decodeFingerprints(text: string, highest: number): ReadonlyMap<number, number> {
  const bytes = Buffer.from(text, 'base64');
  const kept = bytes.length >>> 1;
  return new Map(Array.from({ length: kept }, (_, i) => [highest - kept + 1 + i, bytes.readUInt16LE(i * 2)]));
}

/** Fills `book` from the text and returns its position, or `undefined` when it is not a snapshot of this version. */
export function restoreSnapshot(text: string, book: SequenceBook): Position | undefined {
  const parsed = snapshotFile.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  book.forgotDevices ||= parsed.data.forgotDevices;
  for (const [clientId, currentBoot, forgotBoots, windows, quality] of parsed.data.devices) {
    book.restore(clientId, {
      currentBoot: currentBoot ?? undefined,
      declared: undefined,
      quality: decodeQuality(quality),
      forgotBoots,
      windows: new Map(windows.map(([key, ...window]) => [key, decodeWindow(window, book)])),
    });
  }
  return parsed.data.position;
}

function decodeQuality(shape: z.infer<typeof qualityShape> | undefined): QualityCounts {
  if (!shape) return newQuality();
  const [messages, missing, late, refused, skewMs] = shape;
  return { ...newQuality(), messages, missing, late, refused, skewMs: skewMs ?? undefined };
}

function decodeWindow(shape: Rest<WindowShape>, book: SequenceBook): SequenceWindow {
  const [knownFrom, runs, text = ''] = shape;
  const window = new SequenceWindow(true, book.budget);
  window.knownFrom = knownFrom;
  const [first, length] = runs.at(-1) ?? [0, 0];
  const fingerprints = decodeFingerprints(text, first + length - 1);
  for (const [from, many] of runs) {
    for (let seq = from; seq < from + many; seq++) window.mark(seq, fingerprints.get(seq));
  }
  return window;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The schema then refuses it.
  }
}
