/**
 * When we ourselves were listening, told from the log alone. Its entries carry the server's clock and come at least every
 * {@link TICK_EVERY_MS} while somebody listens, so a longer gap was our own outage: in it nobody was silent, because nobody
 * was heard. The newest receive time is the only clock that silence is measured by. It is the same in every replay, stands
 * still while we are down, and needs no timer.
 */
import { type LogEntry, TICK_EVERY_MS } from '../../contract/ports/telemetry-log.ts';

/** Plain JSON. */
export interface Listening {
  /** Newest receive time so far, epoch ms; 0 = nothing was heard yet. */
  logTime: number;
  /** Gaps in which we did not listen, oldest first. */
  readonly outages: (readonly [from: number, until: number])[];
}

/** Three ticks may fail to come in time, on a disk that stalls. */
export const OUTAGE_MS = 3 * TICK_EVERY_MS;
/** What was received so long before the newest entry is an old message that was logged again: it says nothing of today. */
export const OLD_MS = 60_000;
/** Older ones concern nobody: who was silent then has long been told of. */
const MAX_OUTAGES = 16;

export function initListening(): Listening {
  return { logTime: 0, outages: [] };
}

/** Takes in the time of one entry, in the order of the log. */
export function passEntry(listening: Listening, entry: Pick<LogEntry, 'receivedAt'>): void {
  const { logTime, outages } = listening;
  if (entry.receivedAt <= logTime) return;
  if (logTime > 0 && entry.receivedAt - logTime > OUTAGE_MS) {
    outages.push([logTime, entry.receivedAt]);
    if (outages.length > MAX_OUTAGES) outages.shift();
  }
  listening.logTime = entry.receivedAt;
}

/** Whether the entry was received now, as far as the log can tell. */
export function isRecent(listening: Listening, entry: Pick<LogEntry, 'receivedAt'>): boolean {
  return entry.receivedAt >= listening.logTime - OLD_MS;
}

/**
 * When somebody who was last heard at `lastAt` counts as silent, `silenceMs` being what he may be. After an outage of ours
 * everybody begins anew, and has `graceMs` to come back. Does not depend on when it is asked.
 */
export function silentFrom(listening: Listening, lastAt: number, silenceMs: number, graceMs: number): number {
  let due = lastAt + silenceMs;
  for (const [from, until] of listening.outages) {
    if (until > lastAt && due > from) due = Math.max(due, until + graceMs + silenceMs);
  }
  return due;
}
