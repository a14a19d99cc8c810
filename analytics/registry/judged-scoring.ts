/**
 * Samples judged by whoever the registry says: orders come in with their place in the log, every sample goes to the versions
 * that hold at its own place, and what each of them has seen is counted. The order book is saved with the devices' states.
 */
import type { DeviceRef } from '../../contract/kernel/ids.ts';
import type { Finding } from '../../contract/ports/findings.ts';
import { decodeOrder, type Order } from '../../contract/ports/orders.ts';
import type { LoggedEntry, Position } from '../../contract/ports/telemetry-log.ts';
import type { VersionExposure } from '../../contract/ports/versions.ts';
import type { DeviceState } from '../device-state.ts';
import type { DevicePlan } from '../plan.ts';
import type { SampleOutcome, SampleToScore } from '../scoring/sample.ts';
import { createBench, type Judge, type JudgesSetup, type ShadowJudge } from './judges.ts';
import {
  assign,
  dayOf,
  exposureOf,
  noteOrder,
  type OrderBook,
  reviveOrderBook,
  shadowedDevices,
} from './order-book.ts';
import { scoreBeside, seatShadows } from './shadow.ts';

export interface JudgedOptions extends JudgesSetup {
  /** Devices of all tenants that may have a state beside the active one, counted once a shadow. */
  readonly maxShadowedDevices: number;
}

export interface JudgedOutcome extends SampleOutcome {
  readonly findings: readonly Finding[];
}

export interface OrderTaken {
  /** `again`: it stood in the log before. `unknown`: of a kind that this version does not know. `full`: no room is left. */
  readonly kind: 'taken' | 'again' | 'unknown' | 'full';
  readonly order?: Order;
}

export interface JudgedScoring {
  /** Takes one sample in; mutates `state`. */
  score(state: DeviceState, sample: SampleToScore): JudgedOutcome;
  /** What the active version plans for the device at this place of the log. */
  planOf(ref: DeviceRef, state: DeviceState, at: Position): DevicePlan | undefined;
  /** Orders about a single device are taken, and left to the caller. @throws SyntaxError when the entry is no JSON */
  takeOrder(entry: LoggedEntry): OrderTaken;
  /** Goes on with a stored book, or with an empty one. */
  resume(stored: unknown): void;
  /** The book when it has changed since it was saved. */
  unsaved(): OrderBook | undefined;
  saved(): void;
  stats(): { readonly shadowedDevices: number; readonly shadowRefused: number; readonly shadowFailures: number };
}

export function createJudgedScoring(options: JudgedOptions): JudgedScoring {
  const bench = createBench(options);
  let book = reviveOrderBook(undefined);
  let changed = false;
  let refused = 0;
  let failures = 0;
  bench.use(book);

  function exposure(sample: SampleToScore, state: DeviceState, role: VersionExposure['role'], { by }: Judge) {
    const facts = { tenant: sample.ref.tenant, model: bench.modelKey(state.model), role, ...by };
    return exposureOf(book, facts, sample.observedAt);
  }

  function askForRoom(sample: SampleToScore, state: DeviceState, shadow: ShadowJudge): boolean {
    const seen = exposure(sample, state, 'shadow', shadow);
    changed = true;
    if (shadowedDevices(book) < options.maxShadowedDevices) {
      seen.devices++;
      return true;
    }
    seen.refusedDevices++;
    refused++;
    return false;
  }

  /** A device counts once a day of its own clock for each version that judges it. */
  function countDay(state: DeviceState, sample: SampleToScore, role: VersionExposure['role'], judge: Judge): void {
    const day = dayOf(sample.observedAt);
    if (state.counted?.day === day && state.counted.by === judge.label) return;
    state.counted = { day, by: judge.label };
    const seen = exposure(sample, state, role, judge);
    seen.deviceDays++;
    seen.firstAt = Math.min(seen.firstAt, sample.observedAt);
    seen.lastAt = Math.max(seen.lastAt, sample.observedAt);
    changed = true;
  }

  /** What goes wrong beside must not touch the active version: such a device is judged by the active one alone. */
  function judgeBeside(state: DeviceState, seated: readonly ShadowJudge[], sample: SampleToScore): readonly Finding[] {
    const found: Finding[] = [];
    for (const shadow of seated) {
      const own = state.shadows?.[shadow.key];
      if (!own) continue;
      try {
        found.push(...scoreBeside(own, shadow, sample));
        if (own.newestAt === sample.observedAt) countDay(own, sample, 'shadow', shadow);
      } catch {
        failures++;
        if (state.shadows) state.shadows[shadow.key] = null;
      }
    }
    return found;
  }

  return {
    score(state, sample) {
      const judges = bench.at(sample.ref.tenant, state.model, sample.position);
      const seated = seatShadows(state, judges.shadows, (shadow) => askForRoom(sample, state, shadow));
      const beside = seated.map(({ by }) => by);
      const outcome = judges.active.scorer.score(state, seated.length > 0 ? { ...sample, beside } : sample);
      if (outcome.kind !== 'late') countDay(state, sample, 'active', judges.active);
      if (seated.length === 0) return outcome;
      const found = judgeBeside(state, seated, sample);
      return found.length === 0 ? outcome : { ...outcome, findings: [...outcome.findings, ...found] };
    },
    planOf: (ref, state, at) => bench.at(ref.tenant, state.model, at).active.scorer.planOf(state),
    takeOrder(entry) {
      const order = decodeOrder(entry);
      if (!order) return { kind: 'unknown' };
      if (!noteOrder(book, order.id, entry.position)) return { kind: 'again', order };
      changed = true;
      if (order.kind === 'assign') {
        if (!assign(book, order, entry.position)) return { kind: 'full', order };
        bench.use(book);
      }
      return { kind: 'taken', order };
    },
    resume(stored) {
      book = reviveOrderBook(stored);
      changed = false;
      bench.use(book);
    },
    unsaved: () => (changed ? book : undefined),
    saved() {
      changed = false;
    },
    stats: () => ({ shadowedDevices: shadowedDevices(book), shadowRefused: refused, shadowFailures: failures }),
  };
}
