/** The `Metrics` port on prom-client: metrics come into being on first use. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Labels, Metrics } from '../contract/ports/services.ts';

export interface MetricsRegistry extends Metrics {
  /** Prometheus text format. */
  render(): Promise<string>;
}

export function createMetrics(): MetricsRegistry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  /** by metric name */
  const counters = new Map<string, Counter>();
  /** by metric name */
  const gauges = new Map<string, Gauge>();
  const labelNames = (labels: Labels | undefined): string[] => Object.keys(labels ?? {});

  return {
    count(name, help, labels, by = 1) {
      let counter = counters.get(name);
      if (!counter) {
        counter = new Counter({ name, help, labelNames: labelNames(labels), registers: [registry] });
        counters.set(name, counter);
      }
      counter.inc({ ...labels }, by);
    },
    gauge(name, help, value, labels) {
      let gauge = gauges.get(name);
      if (!gauge) {
        gauge = new Gauge({ name, help, labelNames: labelNames(labels), registers: [registry] });
        gauges.set(name, gauge);
      }
      gauge.set({ ...labels }, value);
    },
    render: () => registry.metrics(),
  };
}
