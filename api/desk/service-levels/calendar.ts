/**
 * When a service centre works: several intervals a day, holidays and make-up workdays, on the clocks of its own time zone.
 * One validated document; `working-time.ts` counts with it.
 */
import { z } from 'zod';
import { AppError } from '../../../contract/kernel/errors.ts';
import { isTimeZone } from '../../../contract/kernel/zone.ts';

export const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

const clockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'write HH:MM, at most 24:00');
const localDate = z.iso.date();
/** An offset such as +08:00 knows no summer time, a name does; spelling is checked by the runtime's own list. */
const zoneName = z
  .string()
  .max(64)
  .refine(isTimeZone, 'no time zone of that name; write for example Europe/Berlin, or UTC');

/** From … to on the wall clock of one day; `to` is not part of it. */
const interval = z
  .strictObject({ from: clockTime, to: clockTime })
  .refine(({ from, to }) => from < to, 'an interval ends after it begins, on the same day');
const hours = z.array(interval).max(8).refine(areApart, 'intervals of a day do not overlap');

export const workingCalendar = z.strictObject({
  name: z.string().min(1).max(100),
  zone: zoneName,
  /** A weekday that is not named is free. */
  week: z.partialRecord(z.enum(WEEKDAYS), hours),
  /** Free although the week says otherwise. */
  holidays: z
    .array(z.strictObject({ date: localDate, name: z.string().min(1).max(100) }))
    .max(2_000)
    .default([]),
  /** Worked although the week or a holiday says otherwise: make-up days, and days with special hours. */
  workdays: z
    .array(z.strictObject({ date: localDate, name: z.string().min(1).max(100), hours }))
    .max(2_000)
    .default([]),
  /** Holidays are decided upon year by year: what lies beyond this date is counted by the week alone, and said so. */
  knownUntil: localDate.optional(),
});
export type WorkingCalendar = z.infer<typeof workingCalendar>;
export type WorkingInterval = z.infer<typeof interval>;

/** @throws AppError CONFIG_INVALID naming the field */
export function parseCalendar(document: unknown): WorkingCalendar {
  const parsed = workingCalendar.safeParse(document);
  if (parsed.success) return parsed.data;
  const first = parsed.error.issues[0];
  throw new AppError('CONFIG_INVALID', `calendar.${first?.path.join('.') ?? ''}: ${first?.message ?? 'invalid'}`);
}

function areApart(intervals: readonly WorkingInterval[]): boolean {
  const sorted = [...intervals].sort((a, b) => (a.from < b.from ? -1 : 1));
  return sorted.every((one, index) => index === 0 || (sorted[index - 1] as WorkingInterval).to <= one.from);
}

/** Monday to Friday, 9 to 18 o'clock: until a centre says when it works. */
export function officeHours(zone: string): WorkingCalendar {
  const day = [{ from: '09:00', to: '18:00' }];
  return {
    name: 'office hours',
    zone,
    week: Object.fromEntries(WEEKDAYS.slice(0, 5).map((weekday) => [weekday, day])),
    holidays: [],
    workdays: [],
  };
}
