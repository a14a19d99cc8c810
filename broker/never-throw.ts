/**
 * A logger and metrics that never throw. They are called inside hooks and event handlers of Aedes, where a throw is an
 * uncaught exception: a broken log must not close the door for every device.
 */
import type { Logger, Metrics } from '../contract/ports/services.ts';

export function unbreakableLogger(logger: Logger): Logger {
  return {
    debug: (facts, message) => quietly(() => logger.debug(facts, message)),
    info: (facts, message) => quietly(() => logger.info(facts, message)),
    warn: (facts, message) => quietly(() => logger.warn(facts, message)),
    error: (facts, message) => quietly(() => logger.error(facts, message)),
  };
}

export function unbreakableMetrics(metrics: Metrics): Metrics {
  return {
    count: (name, help, labels, by) => quietly(() => metrics.count(name, help, labels, by)),
    gauge: (name, help, value, labels) => quietly(() => metrics.gauge(name, help, value, labels)),
  };
}

function quietly(act: () => void): void {
  try {
    act();
  } catch {
    // What reports is itself broken: there is nobody left to tell.
  }
}
