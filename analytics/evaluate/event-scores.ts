/**
 * Alerts judged by fault events, as a service centre meets them: was the fault found, how late, how many visits were for
 * nothing? An alert counts where it is raised, and only there: one that was open before a fault began has not found it,
 * and no row is credited to an alert that came later. What cannot be known is `undefined`, never 0. Pure.
 */

/** One recording. */
export interface JudgedRecording {
  /** Of each row: a fault is there. */
  readonly faulty: readonly boolean[];
  /** Of each row: an alert is open. */
  readonly alert: readonly boolean[];
  /** Time of each row, epoch ms or any other clock in ms; as many as rows. */
  readonly at: readonly number[];
  /** An alert in these rows says nothing: learning time. Absent = 0. */
  readonly unscoredRows?: number;
  /** A fault found later than this many rows after its onset is missed. Absent = any row of the fault will do. */
  readonly soonRows?: number;
}

export interface EventScores {
  /** Stretches of faulty rows. */
  readonly events: number;
  /** Of these, with an alert raised within them and none that was open before. */
  readonly found: number;
  /** `found / events`. */
  readonly recall: number | undefined;
  /** Median time from the onset of a found event to its alert. */
  readonly delayMs: number | undefined;
  /** Alerts raised. */
  readonly alerts: number;
  /** Of these, raised in rows without a fault. */
  readonly falseAlerts: number;
  /** Share of alerts raised within a fault. */
  readonly precision: number | undefined;
  /** Time without a fault, in days. */
  readonly healthyDays: number;
  readonly falseAlertsPerDay: number | undefined;
}

/**
 * Adds up all recordings.
 * @example scoreEvents([]).recall // => undefined
 */
export function scoreEvents(recordings: readonly JudgedRecording[]): EventScores {
  const delays: number[] = [];
  const total = { events: 0, alerts: 0, falseAlerts: 0, healthyMs: 0 };
  for (const recording of recordings) {
    const first = recording.unscoredRows ?? 0;
    const raised = startsOf(recording.alert, first);
    total.alerts += raised.length;
    total.falseAlerts += raised.filter((row) => !recording.faulty[row]).length;
    total.healthyMs += healthyTime(recording, first);
    for (const onset of startsOf(recording.faulty, first)) {
      total.events++;
      const found = raised.find((row) => row >= onset && row < endOf(recording, onset));
      if (found !== undefined) delays.push((recording.at[found] as number) - (recording.at[onset] as number));
    }
  }
  const days = total.healthyMs / 86_400_000;
  return {
    events: total.events,
    found: delays.length,
    recall: share(delays.length, total.events),
    delayMs: median(delays),
    alerts: total.alerts,
    falseAlerts: total.falseAlerts,
    precision: share(total.alerts - total.falseAlerts, total.alerts),
    healthyDays: days,
    falseAlertsPerDay: share(total.falseAlerts, days),
  };
}

/** Rows from `first` on where a stretch of `true` begins. */
function startsOf(flags: readonly boolean[], first: number): number[] {
  const starts: number[] = [];
  for (let i = first; i < flags.length; i++) {
    if (flags[i] && (i === first || !flags[i - 1])) starts.push(i);
  }
  return starts;
}

function endOf({ faulty, soonRows }: JudgedRecording, onset: number): number {
  let end = onset;
  while (end < faulty.length && faulty[end]) end++;
  return Math.min(end, onset + (soonRows ?? faulty.length));
}

function healthyTime({ faulty, at }: JudgedRecording, first: number): number {
  let sum = 0;
  for (let i = Math.max(1, first); i < faulty.length; i++) {
    if (!faulty[i]) sum += Math.max(0, (at[i] as number) - (at[i - 1] as number));
  }
  return sum;
}

function share(part: number, whole: number): number | undefined {
  return whole > 0 ? part / whole : undefined;
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return undefined;
  return sorted.length % 2 === 1 ? sorted[middle] : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
