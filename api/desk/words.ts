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

/**
 * Short key of a ticket, typable on a phone.
 * @example ticketKey(2026, 1203) // => 'SC-26-001203'
 */
export function ticketKey(year: number, number: number): string {
  return `SC-${String(year % 100).padStart(2, '0')}-${String(number).padStart(6, '0')}`;
}
