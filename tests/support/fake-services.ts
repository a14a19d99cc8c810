/** What a test gives to parts that ask for a log, metrics or a clock. */
import type { Clock } from '../../contract/ports/services.ts';

export const silentLogger = { debug() {}, info() {}, warn() {}, error() {} };
export const noMetrics = { count() {}, gauge() {} };

/** A clock that stands still until it is moved. */
export function manualClock(now: number): Clock & { advance(ms: number): void } {
  let current = now;
  return {
    now: () => current,
    advance(ms) {
      current += ms;
    },
  };
}
