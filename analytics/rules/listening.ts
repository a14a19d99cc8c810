/**
 * How long we have been listening, told from the log: while we were down nobody was silent, because nobody was heard. Plain
 * JSON, saved with the states.
 */

export interface Listening {
  /** Newest receive time in the log, epoch ms; 0 = none yet. */
  logTime: number;
  /** Gaps in which nothing at all was received: we were down, or might as well have been. Oldest first. */
  readonly outages: (readonly [from: number, until: number])[];
}

/** Something comes more often than this while we listen: three beats of the slowest models of the catalogue. */
const OUTAGE_MS = 15 * 60_000;
const MAX_OUTAGES = 16;

export function initListening(): Listening {
  return { logTime: 0, outages: [] };
}

export function reviveListening(stored: unknown): Listening {
  return (stored as Listening | undefined) ?? initListening();
}

/** Takes in the receive time of an entry of the log. */
export function passTime(listening: Listening, receivedAt: number): void {
  const { logTime, outages } = listening;
  if (receivedAt <= logTime) return;
  if (logTime > 0 && receivedAt - logTime > OUTAGE_MS) {
    outages.push([logTime, receivedAt]);
    if (outages.length > MAX_OUTAGES) outages.shift();
  }
  listening.logTime = receivedAt;
}

/**
 * Of the time between two moments the part in which we listened.
 * @param since when this process began to: between the newest entry and then it did not
 */
export function listenedBetween(listening: Listening, since: number, from: number, to: number): number {
  const { logTime, outages } = listening;
  let ms = to - from;
  for (const [start, end] of outages) ms -= overlap(start, end, from, to);
  if (logTime > 0) ms -= overlap(logTime, since, from, to);
  return ms;
}

function overlap(start: number, end: number, from: number, to: number): number {
  return Math.max(0, Math.min(end, to) - Math.max(start, from));
}
