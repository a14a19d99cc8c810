/**
 * Counts what comes through the door. Messages are counted in plain numbers and handed to the metrics four times a
 * second: a labelled counter costs more than the check of a message's topic.
 */
import type { Metrics } from '../contract/ports/services.ts';
import { UPSTREAM_CHANNELS, type UpstreamChannel } from '../contract/wire/topics.ts';

const FLUSH_INTERVAL_MS = 250;

type Settled = (error: Error | undefined) => void;

export interface Traffic {
  start(): void;
  /** Hands the last counts over. */
  stop(): void;
  /** Counts a publish, and again when it is settled. Returns `settled` guarded against being called twice. */
  receive(channel: UpstreamChannel, settled: Settled): Settled;
  connected(now: number): void;
  retainStripped(): void;
  retainedOverflow(): void;
  takenOver(sameAddress: boolean): void;
  /** A publish has to wait because of a limit. */
  throttled(because: 'device' | 'tenant'): void;
  budgetForgotten(): void;
  /** Waits until nothing is in flight, at most so long. Resolves with how many are left. */
  idle(limitMs: number): Promise<number>;
  stats(): { received: number; inFlight: number; retainStripped: number; takeovers: number; throttled: number };
}

export function createTraffic(metrics: Metrics): Traffic {
  const unreported = new Map<UpstreamChannel, number>(UPSTREAM_CHANNELS.map((channel) => [channel, 0]));
  const totals = { received: 0, inFlight: 0, retainStripped: 0, takeovers: 0, throttled: 0 };
  let timer: NodeJS.Timeout | undefined;
  let onIdle: (() => void) | undefined;

  const flush = (): void => {
    for (const [channel, count] of unreported) {
      if (count === 0) continue;
      unreported.set(channel, 0);
      metrics.count('presage_mqtt_received_total', 'Publishes handed on, by channel', { channel }, count);
    }
  };

  return {
    start() {
      timer = setInterval(flush, FLUSH_INTERVAL_MS).unref();
    },
    stop() {
      clearInterval(timer);
      flush();
    },
    receive(channel, settled) {
      unreported.set(channel, (unreported.get(channel) ?? 0) + 1);
      totals.received += 1;
      totals.inFlight += 1;
      let open = true;
      return (error) => {
        if (!open) return;
        open = false;
        totals.inFlight -= 1;
        settled(error);
        if (totals.inFlight === 0) onIdle?.();
      };
    },
    connected: (now) => metrics.gauge('presage_mqtt_connections', 'Devices that are logged in', now),
    retainStripped() {
      totals.retainStripped += 1;
      metrics.count('presage_mqtt_retain_stripped_total', 'Publishes whose retain flag was ignored');
    },
    retainedOverflow: () =>
      metrics.count('presage_mqtt_retained_overflow_total', 'Retained messages dropped because the store was full'),
    takenOver(sameAddress) {
      totals.takeovers += 1;
      const from = sameAddress ? 'same address' : 'other address';
      metrics.count('presage_mqtt_takeovers_total', 'Connections ended by a newer one of the same device', { from });
    },
    throttled(because) {
      totals.throttled += 1;
      metrics.count('presage_mqtt_throttled_total', 'Publishes that had to wait because of a limit', { because });
    },
    budgetForgotten: () =>
      metrics.count(
        'presage_mqtt_budgets_forgotten_total',
        'Limits of devices and addresses that were forgotten to make room',
      ),
    async idle(limitMs) {
      if (totals.inFlight === 0) return 0;
      await new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, limitMs);
        onIdle = () => {
          clearTimeout(limit);
          resolve();
        };
      });
      return totals.inFlight;
    },
    stats: () => ({ ...totals }),
  };
}
