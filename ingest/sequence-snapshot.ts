/** The memory of sequence numbers as a file, with the log position it belongs to. What came later is read from the log. */
import { z } from 'zod';
import type { Position } from '../contract/ports/telemetry-log.ts';
import { type DeviceMemory, type SequenceBook, SequenceWindow, WINDOW_SIZE } from './sequence.ts';

const count = z.number().int().nonnegative();
const windowShape = z.tuple([
  z.string(),
  /** Below this the window has no memory. */
  count,
  /** Runs of seen numbers: first, how many. */
  z.array(z.tuple([count, count.max(WINDOW_SIZE)])),
]);
const deviceShape = z.tuple([z.string(), z.string().nullable(), z.boolean(), z.array(windowShape)]);
const snapshotFile = z.strictObject({
  version: z.literal(1),
  position: count,
  forgotDevices: z.boolean(),
  devices: z.array(deviceShape),
});

type WindowShape = z.infer<typeof windowShape>;
type DeviceShape = z.infer<typeof deviceShape>;

/** The whole book as text; `position` = every entry up to there is marked in it. */
export function encodeSnapshot(book: SequenceBook, position: Position): string {
  const devices: DeviceShape[] = [];
  for (const [clientId, memory] of book.entries()) {
    devices.push([clientId, memory.currentBoot ?? null, memory.forgotBoots, encodeWindows(memory)]);
  }
  return JSON.stringify({ version: 1, position, forgotDevices: book.forgotDevices, devices });
}

/** A window without a durable number has nothing to tell. */
function encodeWindows(memory: DeviceMemory): WindowShape[] {
  return [...memory.windows]
    .filter(([, window]) => window.highest >= 0)
    .map(([key, window]) => [key, window.knownFrom, window.runs()]);
}

/** Fills `book` from the text and returns its position, or `undefined` when it is not a snapshot of this version. */
export function restoreSnapshot(text: string, book: SequenceBook): Position | undefined {
  const parsed = snapshotFile.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  book.forgotDevices ||= parsed.data.forgotDevices;
  for (const [clientId, currentBoot, forgotBoots, windows] of parsed.data.devices) {
    book.restore(clientId, {
      currentBoot: currentBoot ?? undefined,
      declared: undefined,
      forgotBoots,
      windows: new Map(windows.map(([key, knownFrom, runs]) => [key, decodeWindow(knownFrom, runs)])),
    });
  }
  return parsed.data.position;
}

function decodeWindow(knownFrom: number, runs: readonly (readonly [number, number])[]): SequenceWindow {
  const window = new SequenceWindow(true);
  window.knownFrom = knownFrom;
  for (const [first, length] of runs) {
    for (let seq = first; seq < first + length; seq++) window.mark(seq);
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
