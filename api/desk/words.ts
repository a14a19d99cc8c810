/** What a ticket says in plain words, and how it is numbered. */
import { findModel } from '../../contract/devices/catalogue.ts';

/**
 * `lowPressureTurbine` as a person writes it.
 * @example componentWords('lowPressureTurbine') // => 'low pressure turbine'
 */
export function componentWords(component: string): string {
  return component.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase();
}

/**
 * Title of a preemptive ticket.
 * @example ticketTitle('refrigerator', 'compressor', 'compressorBearingWear') // => 'Compressor bearing wear: act before it fails'
 */
export function ticketTitle(model: string, component: string, faultKey: string): string {
  const mode = findModel(model)?.failureModes.find((one) => one.code === faultKey);
  return mode ? `${mode.name}: act before it fails` : `Unusual behaviour of the ${componentWords(component)}`;
}

const TITLE_CHARS = 80;

/**
 * Title of a ticket that people report: the first line of what they say.
 * @example reportTitle('It leaks.\nSince Monday.') // => 'It leaks.'
 */
export function reportTitle(symptom: string): string {
  const line = symptom.trim().split(/[\r\n]/, 1)[0] ?? '';
  // By code point: half of a character would be no text.
  const letters = [...line];
  return letters.length <= TITLE_CHARS
    ? line
    : `${letters
        .slice(0, TITLE_CHARS - 1)
        .join('')
        .trimEnd()}…`;
}

/**
 * Short key of a ticket, typable on a phone.
 * @example ticketKey(2026, 1203) // => 'SC-26-001203'
 */
export function ticketKey(year: number, number: number): string {
  return `SC-${String(year % 100).padStart(2, '0')}-${String(number).padStart(6, '0')}`;
}
