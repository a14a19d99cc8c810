/**
 * Units that people write in rules, and how they turn into each other. A temperature and a difference of temperatures are
 * kept apart: 10 K more is not 10 K.
 */

interface UnitSpec {
  /** As the canonical text writes it. */
  readonly name: string;
  readonly dimension: string;
  /** value in the base unit = value × factor + offset */
  readonly factor: number;
  readonly offset: number;
  readonly aliases: readonly string[];
}

const unit = (
  dimension: string,
  name: string,
  factor: number,
  aliases: readonly string[] = [],
  offset = 0,
): UnitSpec => ({ name, dimension, factor, offset, aliases });

const FAHRENHEIT = 5 / 9;

const UNITS: readonly UnitSpec[] = [
  unit('temperature', 'degC', 1, ['°C', 'C', 'celsius']),
  unit('temperature', 'degF', FAHRENHEIT, ['°F', 'F', 'fahrenheit'], -32 * FAHRENHEIT),
  unit('temperature difference', 'K', 1, ['kelvin']),
  unit('current', 'A', 1, ['amp', 'amps']),
  unit('current', 'mA', 1e-3),
  unit('voltage', 'V', 1, ['volt', 'volts']),
  unit('voltage', 'mV', 1e-3),
  unit('voltage', 'kV', 1e3),
  unit('power', 'W', 1, ['watt', 'watts']),
  unit('power', 'kW', 1e3),
  unit('energy', 'Wh', 1),
  unit('energy', 'kWh', 1e3),
  unit('energy', 'MJ', 1e6 / 3600),
  unit('resistance', 'Ohm', 1, ['Ω', 'ohm']),
  unit('resistance', 'kOhm', 1e3, ['kΩ', 'kohm']),
  unit('resistance', 'MOhm', 1e6, ['MΩ']),
  unit('pressure', 'Pa', 1),
  unit('pressure', 'hPa', 1e2, ['mbar']),
  unit('pressure', 'kPa', 1e3),
  unit('pressure', 'bar', 1e5),
  unit('pressure', 'MPa', 1e6),
  unit('pressure', 'psi', 6894.757293168361, ['psia']),
  unit('speed', 'm/s', 1),
  unit('speed', 'mm/s', 1e-3),
  unit('speed', 'km/h', 1 / 3.6, ['kmh', 'kph']),
  unit('speed', 'mph', 0.44704),
  unit('frequency', 'Hz', 1, ['1/s']),
  unit('frequency', 'kHz', 1e3),
  unit('frequency', 'rpm', 1 / 60, ['1/min']),
  unit('length', 'm', 1),
  unit('length', 'mm', 1e-3),
  unit('length', 'cm', 1e-2),
  unit('length', 'km', 1e3),
  unit('mass', 'kg', 1),
  unit('mass', 'g', 1e-3),
  unit('mass', 't', 1e3),
  unit('mass flow', 'kg/s', 1),
  unit('mass flow', 'g/s', 1e-3),
  unit('mass flow', 'kg/h', 1 / 3600),
  unit('flow', 'l/min', 1, ['L/min']),
  unit('flow', 'l/h', 1 / 60, ['L/h']),
  unit('flow', 'm3/h', 1000 / 60, ['m³/h']),
  unit('ratio', '%', 0.01, ['percent']),
  unit('temperature rate', 'K/min', 1),
  unit('temperature rate', 'K/h', 1 / 60),
  unit('time', 's', 1, ['sec', 'second', 'seconds']),
  unit('time', 'min', 60, ['minute', 'minutes']),
  unit('time', 'h', 3600, ['hour', 'hours', 'hr']),
  unit('time', 'd', 86_400, ['day', 'days']),
];

/** by every way of writing it */
const BY_WORD: ReadonlyMap<string, UnitSpec> = new Map(
  UNITS.flatMap((spec) => [spec.name, ...spec.aliases].map((word) => [word, spec] as const)),
);

/** A plain number as a ratio: 0.5 is 50 %. */
const PLAIN: UnitSpec = unit('ratio', '', 1);

/** The canonical way of writing a unit; what is not in the table stays as it is. */
export function canonicalUnit(word: string): string {
  return BY_WORD.get(word)?.name ?? word;
}

/** Units that {@link convert} can turn into `word`, itself included, for messages. */
export function compatibleUnits(word: string): string[] {
  const known = specOf(word);
  if (!known) return [word];
  return UNITS.filter((one) => one.dimension === known.dimension).map((one) => one.name);
}

export function knownUnits(): string[] {
  return [...BY_WORD.keys()];
}

function specOf(word: string): UnitSpec | undefined {
  return word === '' ? PLAIN : BY_WORD.get(word);
}

/**
 * `value` in `from` as a value in `to`, or `undefined` when they do not measure the same thing.
 * @example convert(14, 'degF', 'degC') // => -10
 */
export function convert(value: number, from: string, to: string): number | undefined {
  const a = specOf(from);
  const b = specOf(to);
  if (!a || !b) return from === to ? value : undefined;
  if (a === b) return value;
  if (a.dimension !== b.dimension) return undefined;
  return tidy((value * a.factor + a.offset - b.offset) / b.factor);
}

/**
 * A difference of `value` in `from` as a difference in `to`: where the scale begins plays no part, so a rise in K or °F fits
 * a signal in °C.
 * @example convertDifference(9, 'degF', 'degC') // => 5
 */
export function convertDifference(value: number, from: string, to: string): number | undefined {
  const a = specOf(from);
  const b = specOf(to);
  if (!a || !b) return from === to ? value : undefined;
  return dimensionOfDifference(a) === dimensionOfDifference(b) ? tidy((value * a.factor) / b.factor) : undefined;
}

function dimensionOfDifference({ dimension }: UnitSpec): string {
  return dimension === 'temperature' ? 'temperature difference' : dimension;
}

/** Twelve digits: 8,000 mA are 8 A, not 8.000000000000002. */
function tidy(value: number): number {
  return Number(value.toPrecision(12));
}
