/** Days of the week and times of the day as rules write them. */

/** Monday first, as in {@link Schedule.days}. */
export const DAY_NAMES = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

/** 1 = Monday … 7 = Sunday; `undefined` for anything else. */
export function dayNumber(name: string): number | undefined {
  const index = (DAY_NAMES as readonly string[]).indexOf(name);
  return index < 0 ? undefined : index + 1;
}

/** `08:00-18:00` in minutes of the day; `undefined` when there are no such times. */
export function parseSpan(text: string): { from: number; to: number } | undefined {
  const [from, to] = text.split('-').map((part) => minuteOf(part.trim()));
  if (from === undefined || to === undefined || from === 24 * 60 || from === to) return undefined;
  return { from, to };
}

function minuteOf(text: string): number | undefined {
  const [hour, minute] = text.split(':').map(Number) as [number, number];
  return minute < 60 && hour * 60 + minute <= 24 * 60 ? hour * 60 + minute : undefined;
}

/** @example timeText(510) // => '08:30' */
export function timeText(minuteOfDay: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(Math.floor(minuteOfDay / 60))}:${two(minuteOfDay % 60)}`;
}
