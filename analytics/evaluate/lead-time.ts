/** How long before failures the warnings came: the figure a service centre plans by. Pure; times and cycles alike. */

/** A warning for a device: a ticket, or an alert, at a time or cycle. */
export interface Warning {
  readonly device: string;
  readonly at: number;
}

/** How a device's record ends: with its failure, or healthy because it was stopped or replaced before. */
export interface DeviceEnd {
  readonly device: string;
  /** Time or cycle of the failure, in the unit of the warnings; absent = it did not fail. */
  readonly failedAt?: number;
}

export interface LeadTimeLimits {
  /** A warning with less time left than this came too late to act on: it counts as missed. */
  readonly leastLead: number;
  /** A warning with more time left than this came too early: the part would be thrown away half used. */
  readonly mostLead: number;
}

export interface LeadTimeReport {
  readonly failures: number;
  /** Failures whose first warning came with at least `leastLead` left. */
  readonly warned: number;
  /** Of those, the ones with more than `mostLead` left. */
  readonly tooEarly: number;
  /** Warned, but with less than `leastLead` left. */
  readonly tooLate: number;
  /** Without any warning before the failure. */
  readonly missed: number;
  /** Failed devices with exactly one warning up to the failure. */
  readonly exactlyOne: number;
  readonly healthy: number;
  /** Devices without a failure that were warned of all the same. */
  readonly falselyWarned: number;
  /** Of all failures with a warning before them; absent when there is none. */
  readonly lead?: {
    readonly count: number;
    readonly min: number;
    readonly lowerQuartile: number;
    readonly median: number;
    readonly upperQuartile: number;
    readonly max: number;
  };
}

/** Judges each device by its first warning; warnings after the failure do not count. */
export function reportLeadTimes(
  warnings: readonly Warning[],
  ends: readonly DeviceEnd[],
  { leastLead, mostLead }: LeadTimeLimits,
): LeadTimeReport {
  const failed = ends.filter((end): end is Required<DeviceEnd> => end.failedAt !== undefined);
  const healthy = ends.filter((end) => end.failedAt === undefined);
  const before = failed.map(({ device, failedAt }) =>
    warnings.filter((warning) => warning.device === device && warning.at <= failedAt).map(({ at }) => failedAt - at),
  );
  const leads = before.filter((all) => all.length > 0).map((all) => Math.max(...all));
  const warned = leads.filter((lead) => lead >= leastLead);
  return {
    failures: failed.length,
    warned: warned.length,
    tooEarly: warned.filter((lead) => lead > mostLead).length,
    tooLate: leads.length - warned.length,
    missed: failed.length - leads.length,
    exactlyOne: before.filter((all) => all.length === 1).length,
    healthy: healthy.length,
    falselyWarned: healthy.filter(({ device }) => warnings.some((warning) => warning.device === device)).length,
    ...(leads.length > 0 ? { lead: distributionOf(leads) } : {}),
  };
}

function distributionOf(leads: readonly number[]) {
  const sorted = [...leads].sort((a, b) => a - b);
  return {
    count: sorted.length,
    min: sorted[0] as number,
    lowerQuartile: quantile(sorted, 0.25),
    median: quantile(sorted, 0.5),
    upperQuartile: quantile(sorted, 0.75),
    max: sorted[sorted.length - 1] as number,
  };
}

function quantile(sorted: readonly number[], probability: number): number {
  const position = probability * (sorted.length - 1);
  const below = sorted[Math.floor(position)] as number;
  const above = sorted[Math.ceil(position)] as number;
  return below + (above - below) * (position - Math.floor(position));
}
