/** What a silence covers, and whether it runs. A scope that is not named means all. */

export interface SilenceSpan {
  readonly device: string | null;
  readonly model: string | null;
  readonly centre: string | null;
  readonly faultKey: string | null;
  readonly from: number;
  readonly until: number | null;
  readonly endedAt: number | null;
}

export interface ScopedAlarm {
  readonly device: string;
  readonly model: string;
  readonly faultKey: string;
  /** Of its device; absent when the registry does not know it. */
  readonly centre?: string | undefined;
}

/** Whether the silence is about this alarm. */
export function covers(silence: SilenceSpan, alarm: ScopedAlarm): boolean {
  return (
    isOrAll(silence.device, alarm.device) &&
    isOrAll(silence.model, alarm.model) &&
    isOrAll(silence.centre, alarm.centre) &&
    isOrAll(silence.faultKey, alarm.faultKey)
  );
}

const isOrAll = (scope: string | null, value: string | undefined) => scope === null || scope === value;

/** `from` belongs to it, `until` does not. */
export function isRunning(silence: Pick<SilenceSpan, 'from' | 'until' | 'endedAt'>, now: number): boolean {
  return silence.endedAt === null && silence.from <= now && (silence.until === null || now < silence.until);
}
