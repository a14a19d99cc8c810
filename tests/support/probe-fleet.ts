/**
 * Devices whose alerts a test has in its hand, through the whole of analytics: a catalogue of one model whose only prognosis
 * is the signal `life`, and a log whose receive times the test sets. Below the warn horizon (336 h) is a fault.
 */

import { type AlertPolicy, DEFAULT_POLICY } from '../../analytics/alerts/policy.ts';
import { type Analytics, type AnalyticsOptions, createAnalytics } from '../../analytics/create-analytics.ts';
import type { Prognoser } from '../../analytics/prognosis/prognoser.ts';
import type { DeviceModel } from '../../contract/devices/device-model.ts';
import { DAY_MS, HOUR_MS } from '../../contract/kernel/time.ts';
import type { AlertFinding } from '../../contract/ports/findings.ts';
import { type Order, orderEntry } from '../../contract/ports/orders.ts';
import { type LogEntry, TICK_NAME } from '../../contract/ports/telemetry-log.ts';
import type { Signals } from '../../contract/wire/payloads.ts';
import { MemoryCheckpoints, MemoryFindings, MemoryLog, NO_METRICS, QUIET_LOGGER } from './analytics-harness.ts';

export const PROBE_INTERVAL_MS = HOUR_MS;
export const PROBE_START = Date.UTC(2026, 0, 5);
export const FAULT = 'bearingWear';

export const PROBE_MODEL: DeviceModel = {
  id: 'probe',
  name: 'Probe',
  kind: 'machine',
  intervalMs: PROBE_INTERVAL_MS,
  lifeUnit: 'h',
  modes: [],
  signals: [
    { name: 'life', label: 'Life', unit: 'h', kind: 'number', component: 'bearing', role: 'context' },
    { name: 'level', label: 'Level', unit: '', kind: 'number', component: 'bearing', role: 'condition' },
  ],
  failureModes: [
    {
      code: FAULT,
      name: 'Bearing wear',
      component: 'bearing',
      cause: 'Wear',
      effect: 'It stops',
      severity: 'major',
      parts: [],
      shows: [{ signal: 'level', direction: 'up', weight: 1 }],
    },
  ],
  faultCodes: [],
};

/** Two predictions raise, two quiet samples clear. */
export const PROBE_POLICY: AlertPolicy = {
  ...DEFAULT_POLICY,
  foreseenPredictions: 2,
  offSamples: 2,
  offMs: 0,
  flapQuietMs: 2 * DAY_MS,
};

const lifeProbe: Prognoser<{ life: number | null }> = {
  name: 'probe',
  version: '1',
  init: () => ({ life: null }),
  update: (state, { signals }) => {
    state.life = signals.life ?? state.life;
    return state;
  },
  predict: ({ life }) => {
    const base = {
      faultKey: FAULT,
      component: 'bearing',
      probabilityWithin: [],
      method: { name: 'probe', version: '1' },
    };
    if (life === null) return [{ ...base, reason: 'nothing said yet' }];
    return [{ ...base, remainingLife: { median: life, lower: life, upper: life, unit: 'h' } }];
  },
};

export const HEALTHY: Signals = { life: 5_000, level: 1 };
export const FAULTY: Signals = { life: 100, level: 1 };

/** A log that a test writes with the server's clock in its hand. */
export class ProbeLog {
  readonly log = new MemoryLog();
  /** Server clock. */
  now = PROBE_START;
  #seq = 0;

  /** The clock goes on; ticks are written as an idle server would. */
  pass(ms: number): this {
    const until = this.now + ms;
    for (this.now += 18_000; this.now <= until; this.now += 18_000) this.tick();
    this.now = until;
    return this;
  }

  /** The clock goes on, and nobody listens. */
  down(ms: number): this {
    this.now += ms;
    return this;
  }

  tick(): void {
    this.#push({ kind: 'tick', tenant: TICK_NAME, device: TICK_NAME, model: '' }, '');
  }

  /** One message of one sample, `lagMs` after it was observed. */
  send(device: string, signals: Signals = HEALTHY, { at = this.now, hist = false, model = 'probe' } = {}): this {
    const body = { boot: 'b1', seq: this.#seq++, t: at, s: [[0, signals]], ...(hist ? { hist } : {}) };
    this.#push({ kind: 'telemetry', tenant: 'acme', device, model }, JSON.stringify(body));
    return this;
  }

  /** One message of several samples, an interval apart, the last one now. */
  sendBatch(device: string, count: number): this {
    const first = this.now - (count - 1) * PROBE_INTERVAL_MS;
    const s = Array.from({ length: count }, (_, i) => [i * PROBE_INTERVAL_MS, HEALTHY]);
    this.#push(
      { kind: 'telemetry', tenant: 'acme', device, model: 'probe' },
      JSON.stringify({ boot: 'b1', seq: this.#seq++, t: first, s }),
    );
    return this;
  }

  /** `onPurpose`: as the device itself says it; else as its last will does. */
  offline(device: string, onPurpose: boolean): this {
    const body = { v: 1, boot: 'b1', state: 'offline', ...(onPurpose ? { t: this.now } : {}) };
    this.#push({ kind: 'state', tenant: 'acme', device, model: 'probe' }, JSON.stringify(body));
    return this;
  }

  order(order: Order): this {
    const entry = orderEntry(order, this.now);
    this.#push(entry, new TextDecoder().decode(entry.body));
    return this;
  }

  #push(entry: Pick<LogEntry, 'kind' | 'tenant' | 'device' | 'model'>, body: string) {
    const { kind, tenant, device, model } = entry;
    this.log.entries.push({
      ...{ kind, tenant, device, model },
      receivedAt: this.now,
      position: this.log.end() + body.length + 30,
      body: new TextEncoder().encode(body),
    });
  }
}

export interface ProbeWorld {
  readonly log: MemoryLog;
  readonly checkpoints: MemoryCheckpoints;
  readonly findings: MemoryFindings;
}

export const worldOf = (log: MemoryLog): ProbeWorld => ({
  log,
  checkpoints: new MemoryCheckpoints(),
  findings: new MemoryFindings(),
});

/** Analytics over a world; its clock stands at the end of the log. */
export function probeAnalytics(world: ProbeWorld, options: Partial<AnalyticsOptions> = {}): Analytics {
  return createAnalytics(
    {
      ...world,
      findModel: (id) => (id === PROBE_MODEL.id ? PROBE_MODEL : undefined),
      prognosersFor: () => [lifeProbe as Prognoser<unknown>],
      clock: { now: () => world.log.entries.at(-1)?.receivedAt ?? 0 },
      logger: QUIET_LOGGER,
      metrics: NO_METRICS,
    },
    { pollMs: 1, policy: PROBE_POLICY, ...options },
  );
}

/** Scores all of the log in one life and stops. */
export async function runProbe(
  world: ProbeWorld,
  options: Partial<AnalyticsOptions> = {},
): Promise<readonly AlertFinding[]> {
  const analytics = probeAnalytics(world, options);
  await analytics.start();
  await analytics.drain();
  await analytics.stop();
  return alertsIn(world);
}

export function alertsIn({ findings }: ProbeWorld): readonly AlertFinding[] {
  return findings.unique().filter((one) => one.kind !== 'prediction') as AlertFinding[];
}

/** `device fault kind reason`, in order. */
export const inWords = (alerts: readonly AlertFinding[]): string[] =>
  alerts.map(({ device, faultKey, kind, reason }) =>
    [device, faultKey, kind.replace('alert', '').toLowerCase(), reason ?? ''].join(' ').trim(),
  );
