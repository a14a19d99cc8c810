/** What a replay cannot know: sequence numbers without a stored sample, and times without any. Named, not guessed. */
import type { StoredSample } from '../../contract/ports/telemetry-store.ts';

/** Sequence numbers of one boot of which the store has no sample: lost, refused, or deleted by retention. */
export interface MissingMessages {
  readonly device: string;
  readonly boot: string;
  readonly fromSeq: number;
  readonly toSeq: number;
}

/** No sample of the device in this time of its clock. */
export interface Silence {
  readonly device: string;
  readonly from: number;
  readonly to: number;
}

export interface MissingRows {
  readonly messages: readonly MissingMessages[];
  readonly silences: readonly Silence[];
}

/** A device that sends nothing for so many of its intervals is silent. */
const SILENT_INTERVALS = 24;
const LEAST_SILENCE_MS = 10 * 60_000;

export function missingRows(
  device: string,
  rows: readonly StoredSample[],
  range: { readonly from: number; readonly to: number },
  intervalMs: number,
): MissingRows {
  return {
    messages: missingMessages(device, rows),
    silences: silences(device, rows, range, Math.max(LEAST_SILENCE_MS, SILENT_INTERVALS * intervalMs)),
  };
}

function missingMessages(device: string, rows: readonly StoredSample[]): MissingMessages[] {
  /** sequence numbers, by boot */
  const boots = new Map<string, Set<number>>();
  for (const { boot, seq } of rows) boots.set(boot, (boots.get(boot) ?? new Set()).add(seq));
  const missing: MissingMessages[] = [];
  for (const [boot, seen] of boots) {
    const sorted = [...seen].sort((a, b) => a - b);
    for (let i = 1; i < sorted.length; i++) {
      const [before, next] = [sorted[i - 1] as number, sorted[i] as number];
      if (next > before + 1) missing.push({ device, boot, fromSeq: before + 1, toSeq: next - 1 });
    }
  }
  return missing;
}

function silences(
  device: string,
  rows: readonly StoredSample[],
  { from, to }: { readonly from: number; readonly to: number },
  longestMs: number,
): Silence[] {
  const times = rows.map((row) => row.observedAt).filter((at) => at >= from && at < to);
  const marks = [from, ...times.sort((a, b) => a - b), to];
  return marks.flatMap((at, i) => {
    const before = marks[i - 1];
    return before !== undefined && at - before > longestMs ? [{ device, from: before, to: at }] : [];
  });
}

/** Median distance of neighbours, where no catalogue says it; 0 with fewer than two samples. */
export function usualIntervalMs(rows: readonly StoredSample[]): number {
  const times = rows.map((row) => row.observedAt).sort((a, b) => a - b);
  const steps = times
    .slice(1)
    .map((at, i) => at - (times[i] as number))
    .filter((step) => step > 0);
  return steps.sort((a, b) => a - b)[steps.length >> 1] ?? 0;
}
