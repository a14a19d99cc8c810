/**
 * Stored samples of one device through the code of production, in the order in which they came: the receive time of each is
 * stored, so a sample that came late then comes late here. From the device's first sample on the findings are those of
 * production, alert by alert; from a later one they agree once the detectors have learned again.
 */
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import type { Finding, VersionName } from '../../contract/ports/findings.ts';
import type { StoredSample } from '../../contract/ports/telemetry-store.ts';
import { initDevice } from '../device-state.ts';
import { arrive, DEFAULT_ORDER, initOrder, type OrderedSample, type OrderLimits } from '../event-order.ts';
import { dayOf } from '../registry/order-book.ts';
import type { DeviceScorer } from '../score-device.ts';

export interface ReplayVersion {
  readonly by: VersionName;
  readonly scorer: DeviceScorer;
}

export interface ReplayedVersion {
  readonly by: VersionName;
  readonly findings: readonly Finding[];
}

export interface DeviceReplayed {
  readonly samples: number;
  /** Came after a newer one was scored: not scored, as in production. */
  readonly late: number;
  /** Days of the device's clock with a scored sample from `countFrom` on. */
  readonly days: number;
  readonly versions: readonly ReplayedVersion[];
}

export interface DeviceReplay {
  readonly ref: DeviceRef;
  readonly model: string;
  /** In any order. */
  readonly rows: readonly StoredSample[];
  readonly versions: readonly ReplayVersion[];
  /** Device days count from here on; what lies before only teaches. */
  readonly countFrom?: number;
  readonly order?: OrderLimits;
}

/** The versions do not see each other: each has a state of its own, and the same samples. */
export function replayDevice({ ref, model, rows, versions, countFrom, order }: DeviceReplay): DeviceReplayed {
  const limits = order ?? DEFAULT_ORDER;
  const seats = versions.map(({ by, scorer }) => ({ by, scorer, state: initDevice(model), findings: [] as Finding[] }));
  const days = new Set<number>();
  const first = seats[0]?.state ?? initDevice(model);

  const score = (samples: readonly OrderedSample[]): void => {
    for (const { identity, observedAt, position, signals } of samples) {
      const sample = { ref, identity, observedAt, position, signals };
      const late = first.late;
      for (const { scorer, state, findings } of seats) findings.push(...scorer.score(state, sample).findings);
      if (first.late === late && observedAt >= (countFrom ?? Number.NEGATIVE_INFINITY)) days.add(dayOf(observedAt));
    }
  };

  const messages = messagesOf(rows);
  const ordering = initOrder(limits, messages[0]?.[0]?.receivedAt ?? 0);
  for (const message of messages) {
    const scoredUpTo = first.samples > 0 ? first.newestAt : Number.NEGATIVE_INFINITY;
    score(arrive(ordering, message, (message[0] as OrderedSample).receivedAt, scoredUpTo, limits).ready);
  }
  score(ordering.waiting.splice(0));
  return {
    samples: rows.length,
    late: first.late,
    days: days.size,
    versions: seats.map(({ by, findings }) => ({ by, findings })),
  };
}

/** Samples by message, in the order of their receipt; of two in one millisecond the lower sequence number came first. */
function messagesOf(rows: readonly StoredSample[]): readonly (readonly OrderedSample[])[] {
  const sorted = [...rows].sort(
    (a, b) => a.receivedAt - b.receivedAt || compare(a.boot, b.boot) || a.seq - b.seq || a.index - b.index,
  );
  const messages: OrderedSample[][] = [];
  let last: StoredSample | undefined;
  sorted.forEach((row, i) => {
    const sample: OrderedSample = {
      identity: `${row.boot}:${row.seq}:${row.index}`,
      ...{ seq: row.seq, index: row.index, observedAt: row.observedAt, receivedAt: row.receivedAt },
      position: i + 1,
      signals: row.signals,
    };
    const own = last && last.boot === row.boot && last.seq === row.seq && last.receivedAt === row.receivedAt;
    if (own) messages.at(-1)?.push(sample);
    else messages.push([sample]);
    last = row;
  });
  return messages;
}

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
