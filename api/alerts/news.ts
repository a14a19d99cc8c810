/** What a batch of work on alarms changed, to be told once it is committed. */

import { resetTimers } from '../service-levels/timers.ts';
import type { AlarmRow } from './announce.ts';
import { type Batch, episodeKey, flush } from './batch.ts';

export interface AppliedAlerts {
  readonly episodes: readonly (AlarmRow & { ticketKey: string | undefined })[];
  /** Tickets that were opened or changed. */
  readonly ticketKeys: readonly { tenant: string; key: string }[];
  /** Groups that were opened or changed. */
  readonly groups: readonly { tenant: string; id: string }[];
  readonly opened: number;
}

export const NOTHING_APPLIED: AppliedAlerts = { episodes: [], ticketKeys: [], groups: [], opened: 0 };

/** Writes what is left, sets the clocks of the tickets that were touched, and answers what changed. */
export async function closeBatch(batch: Batch): Promise<AppliedAlerts> {
  await flush(batch);
  const touched = [...batch.touched.values()];
  for (const tenant of new Set(touched.map((one) => one.tenant))) {
    const keys = touched.filter((one) => one.tenant === tenant).map((one) => one.key);
    await resetTimers(batch.tx, tenant, keys);
  }
  return {
    episodes: [...batch.told].flatMap((key) => {
      const row = batch.known.episodes.get(key);
      return row ? [{ ...row, ticketKey: batch.known.attached.get(episodeKey(row)) }] : [];
    }),
    ticketKeys: [...batch.touched.values()],
    groups: [...batch.groups.values()],
    opened: batch.opened,
  };
}

export function mergeApplied(one: AppliedAlerts, other: AppliedAlerts): AppliedAlerts {
  return {
    episodes: [...one.episodes, ...other.episodes],
    ticketKeys: [...one.ticketKeys, ...other.ticketKeys],
    groups: [...one.groups, ...other.groups],
    opened: one.opened + other.opened,
  };
}
