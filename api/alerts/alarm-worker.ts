/**
 * Looks after everything about alarms that happens by time. Every moment is a row in the database and every step one
 * transaction under the tenant's lock, so that a restart, or a second process, neither forgets nor repeats one.
 */
import type { Clock, Logger, Metrics } from '../../contract/ports/services.ts';
import type { Database } from '../db/database.ts';
import { createPollingWorker, type PollingWorker } from '../polling-worker.ts';
import type { AppliedAlerts } from './news.ts';
import { escalateDue, releaseDue, settleGroup } from './settle-alarms.ts';
import { dueSilences, type Settled, settleSilence } from './settle-silences.ts';

export interface AlarmWorkerDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Base of links in webhooks. */
  readonly publicUrl: () => string;
  /** After the commit. */
  readonly onApplied: (applied: AppliedAlerts) => void;
  readonly onEnded: (ended: NonNullable<Settled['ended']>) => void;
}

const BATCH = 8;
const IDLE_MS = 1_000;

export function createAlarmWorker(deps: AlarmWorkerDeps): PollingWorker {
  const { database, clock, metrics } = deps;
  const context = () => ({ now: clock.now(), publicUrl: deps.publicUrl() });

  function tell(applied: AppliedAlerts): boolean {
    const some = applied.episodes.length > 0 || applied.groups.length > 0;
    if (some) deps.onApplied(applied);
    return some;
  }

  /** Answers whether there is more to do. */
  async function settleOne(which: { tenant: string; id: string }): Promise<boolean> {
    const { applied, ended, more } = await database.withSystem((tx) => settleSilence(tx, which, context()));
    tell(applied);
    if (ended) {
      const labels = { kind: ended.silence.kind };
      metrics.count(
        'presage_silences_ended_total',
        'Times of shelves, maintenance and out of service that ended',
        labels,
      );
      deps.onEnded(ended);
    }
    return more;
  }

  async function settleSilences(): Promise<boolean> {
    const due = await database.withSystem((tx) => dueSilences(tx, clock.now(), BATCH));
    let more = due.length === BATCH;
    for (const one of due) more = (await settleOne(one)) || more;
    return more;
  }

  return createPollingWorker('alarms', deps.logger, async () => {
    let more = await settleSilences();
    const group = await database.withSystem((tx) => settleGroup(tx, context()));
    tell(group.applied);
    more = group.more || more;
    more = tell(await database.withSystem((tx) => releaseDue(tx, context()))) || more;
    const escalated = await database.withSystem((tx) => escalateDue(tx, context()));
    if (tell(escalated)) {
      more = true;
      const done = escalated.episodes.length;
      metrics.count('presage_alarm_reminders_total', 'Reminders of unacknowledged alarms looked at', {}, done);
    }
    return more ? 0 : IDLE_MS;
  });
}
