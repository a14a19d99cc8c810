/**
 * Which rows of a recording are replayed, by which device, when, and in which message. Pure and a function of its arguments
 * alone: a replay that was killed makes the same messages again, so that (device, boot, seq) always names the same content.
 */
import { AppError } from '../../contract/kernel/errors.ts';
import { DEVICE_PATTERN } from '../../contract/kernel/ids.ts';
import { MAX_PAYLOAD_BYTES, MAX_SAMPLES_PER_MESSAGE } from '../../contract/wire/payloads.ts';
import type { TimedSignals } from '../telemetry-batch.ts';
import type { RecordedRow, RecordedUnit, Recording } from './recording.ts';

export interface ReplaySelection {
  /** `51-100`, `1-5,8`, names; absent = all. */
  readonly units?: string;
  /** Replays only this share of each unit's life, from its start; 1 = all. */
  readonly untilFraction: number;
  /** Device id = prefix + unit, whole numbers padded to three digits. */
  readonly prefix: string;
}

export interface ReplayDevice {
  readonly device: string;
  readonly rows: readonly RecordedRow[];
}

export interface ReplayTiming {
  readonly cycleMs: number;
  /** Time of the last row of the recording, epoch ms. */
  readonly end: number;
  /** Cycles in one message. */
  readonly batch: number;
  /** Rows carry times (see {@link Recording}); then a cycle lasts 1 ms, and this is the usual time between two rows. */
  readonly rowIntervalMs?: number;
}

/** Messages of one device: number `seq` (from 1) holds rows `from` up to, not including, `to`. */
export interface PlannedMessage {
  readonly seq: number;
  readonly from: number;
  readonly to: number;
  /** End of its frame, epoch ms: when it is sent. */
  readonly frameEnd: number;
}

export interface ReplayPlan {
  readonly columns: readonly string[];
  readonly devices: readonly ReplayDevice[];
  readonly cycleMs: number;
  /** Rows carry times instead of cycles. */
  readonly timed: boolean;
  /** Usual time between two rows of a device. */
  readonly intervalMs: number;
  /** Rows in one message at most. */
  readonly maxRows: number;
  readonly frameMs: number;
  /** Time before the first frame, and time of the last sample, epoch ms. */
  readonly start: number;
  readonly end: number;
  /** Added to `cycle × cycleMs` to make the time of a row. */
  readonly shiftMs: number;
  readonly samples: number;
}

/** Bytes that a number with its name takes at most in JSON. */
const MAX_NUMBER_CHARS = 28;
const ENVELOPE_BYTES = 512;
/** Rows of a device that are looked at to find their usual interval. */
const MAX_GAPS = 5_000;

/**
 * The devices of a recording and their rows.
 * @throws AppError CONFIG_INVALID when the selection names no unit or a name breaks the grammar of device ids
 */
export function selectDevices(recording: Recording, selection: ReplaySelection): ReplayDevice[] {
  if (!(selection.untilFraction > 0 && selection.untilFraction <= 1)) {
    throw new AppError(
      'CONFIG_INVALID',
      `--until-fraction must be above 0 and at most 1, not ${selection.untilFraction}`,
    );
  }
  const wanted = unitFilter(selection.units, recording.units);
  return recording.units.filter(wanted).map((unit) => ({
    device: deviceNameOf(unit.unit, selection.prefix),
    rows: unit.rows.slice(0, Math.max(1, Math.floor(unit.rows.length * selection.untilFraction))),
  }));
}

/** @example deviceNameOf('7', 'engine-') // => 'engine-007' */
export function deviceNameOf(unit: string, prefix: string): string {
  const name = prefix + (/^\d+$/.test(unit) ? unit.padStart(3, '0') : unit);
  if (!DEVICE_PATTERN.test(name))
    throw new AppError('CONFIG_INVALID', `"${name}" is not a device id; choose another --prefix`);
  return name;
}

function unitFilter(text: string | undefined, units: readonly RecordedUnit[]): (unit: RecordedUnit) => boolean {
  if (text === undefined) return () => true;
  const known = new Set(units.map((unit) => unit.unit));
  const chosen = new Set(text.split(',').flatMap((part) => expand(part.trim(), known)));
  return (unit) => chosen.has(unit.unit);
}

function expand(part: string, known: ReadonlySet<string>): string[] {
  if (known.has(part)) return [part];
  const range = /^(\d+)-(\d+)$/.exec(part);
  const from = Number(range?.[1]);
  const to = Number(range?.[2]);
  const found = range
    ? [...known].filter((unit) => /^\d+$/.test(unit) && Number(unit) >= from && Number(unit) <= to)
    : [];
  if (found.length === 0)
    throw new AppError('CONFIG_INVALID', `--units: the recording has no unit ${JSON.stringify(part)}`);
  return found;
}

/** Rows in time: all devices start together, and the last row of the longest one stands at `timing.end`. */
export function planReplay(
  columns: readonly string[],
  devices: readonly ReplayDevice[],
  timing: ReplayTiming,
): ReplayPlan {
  const first = devices.reduce((least, { rows }) => Math.min(least, rows[0]?.cycle ?? least), Number.POSITIVE_INFINITY);
  const last = devices.reduce((most, { rows }) => Math.max(most, rows.at(-1)?.cycle ?? most), 0);
  const maxRows = batchWithinLimits(columns, timing.batch);
  const intervalMs = timing.rowIntervalMs ?? timing.cycleMs;
  const frameMs = maxRows * intervalMs;
  const shiftMs = timing.end - last * timing.cycleMs;
  return {
    columns,
    devices,
    cycleMs: timing.cycleMs,
    timed: timing.rowIntervalMs !== undefined,
    intervalMs,
    maxRows,
    frameMs,
    // Just before the first row, so that its frame begins there.
    start: (first - 1) * timing.cycleMs + shiftMs,
    end: timing.end,
    shiftMs,
    samples: devices.reduce((sum, device) => sum + device.rows.length, 0),
  };
}

/** Judged by the longest text a number can have, so that it depends on nothing but the columns. */
function batchWithinLimits(columns: readonly string[], batch: number): number {
  const sampleBytes = columns.reduce((sum, name) => sum + name.length + MAX_NUMBER_CHARS, 64);
  return Math.max(
    1,
    Math.min(batch, MAX_SAMPLES_PER_MESSAGE, Math.floor((MAX_PAYLOAD_BYTES - ENVELOPE_BYTES) / sampleBytes)),
  );
}

/** Usual time between two rows of a timed recording: the median over its devices, at least 1 ms. */
export function rowIntervalMs(devices: readonly ReplayDevice[]): number {
  const gaps = devices
    .flatMap(({ rows }) => rows.slice(1, MAX_GAPS).map((row, i) => row.cycle - (rows[i]?.cycle ?? row.cycle)))
    .filter((gap) => gap > 0)
    .sort((a, b) => a - b);
  return gaps[Math.floor(gaps.length / 2)] ?? 1_000;
}

/** Time of a row, epoch ms. */
export function timeOf(plan: ReplayPlan, cycle: number): number {
  return cycle * plan.cycleMs + plan.shiftMs;
}

/** The messages of a device: the rows of each frame that has any. */
export function plannedMessages(plan: ReplayPlan, device: ReplayDevice): PlannedMessage[] {
  const messages: PlannedMessage[] = [];
  let open: { from: number; frameEnd: number } | undefined;
  const close = (to: number): void => {
    if (open) messages.push({ seq: messages.length + 1, from: open.from, to, frameEnd: open.frameEnd });
  };
  device.rows.forEach((row, i) => {
    const time = timeOf(plan, row.cycle);
    if (open && time <= open.frameEnd && i - open.from < plan.maxRows) return;
    close(i);
    const frame = Math.ceil((time - plan.start) / plan.frameMs);
    open = { from: i, frameEnd: Math.min(plan.end, plan.start + frame * plan.frameMs) };
  });
  close(device.rows.length);
  return messages;
}

/** Rows as samples; an empty cell is left out. */
export function samplesOf(plan: ReplayPlan, rows: readonly RecordedRow[]): TimedSignals[] {
  return rows.map((row) => {
    const signals: Record<string, number> = plan.timed ? {} : { cycle: row.cycle };
    plan.columns.forEach((name, i) => {
      const value = row.values[i];
      if (value !== undefined && !Number.isNaN(value)) signals[name] = value;
    });
    return { at: timeOf(plan, row.cycle), signals };
  });
}
