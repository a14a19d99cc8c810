/** Names of time zones. The rules of the zones are the runtime's (IANA). */

/**
 * Whether it is a zone by name. Offsets such as `+02:00` and abbreviations such as `EST` are none: they know no summer time.
 * @example isTimeZone('Europe/Berlin') // => true
 */
export function isTimeZone(name: string): boolean {
  if (name !== 'UTC' && !/^[A-Za-z_]+\//.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }) !== undefined;
  } catch {
    return false; // RangeError is how Intl says that it knows no such zone.
  }
}
