/** Run-to-failure history of a fleet as numbers: what models are fitted to and predictions are made for. */

/** One unit from its first to its last cycle. */
export interface UnitHistory {
  readonly id: string;
  /** Strictly rising. */
  readonly cycles: Float64Array;
  /** Row-major: value of column `c` at row `r` is `values[r * columnCount + c]`; NaN = missing. */
  readonly values: Float64Array;
}

/** Every unit of a training history ran until it failed: its last row is its last cycle. */
export interface FleetHistory {
  /** Names of the columns after unit and cycle; with signal names a fitted model can also follow live devices. */
  readonly columns: readonly string[];
  readonly units: readonly UnitHistory[];
}

/** The unit as it was known after its first `rowCount` rows. */
export function truncateUnit(unit: UnitHistory, rowCount: number, columnCount: number): UnitHistory {
  return {
    id: unit.id,
    cycles: unit.cycles.subarray(0, rowCount),
    values: unit.values.subarray(0, rowCount * columnCount),
  };
}

/** All values of one column over all units, in order. */
export function columnValues(history: FleetHistory, column: number): Float64Array {
  const width = history.columns.length;
  const total = history.units.reduce((sum, unit) => sum + unit.cycles.length, 0);
  const values = new Float64Array(total);
  let next = 0;
  for (const unit of history.units) {
    for (let row = 0; row < unit.cycles.length; row++) values[next++] = unit.values[row * width + column] as number;
  }
  return values;
}
