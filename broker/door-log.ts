/**
 * Says which connection was refused and why: a counter by reason, and log lines within bounds. One fuzzed connection
 * makes thousands of errors; a log that repeats them all is an attack that worked.
 */
import type { ErrorCode } from '../contract/kernel/errors.ts';
import { clientIdOf } from '../contract/kernel/ids.ts';
import type { Clock, Logger, Metrics } from '../contract/ports/services.ts';
import type { Connection } from './connection.ts';
import type { BrokerOptions } from './options.ts';
import type { Watch } from './watch.ts';

export interface DoorLog {
  /** The connection ends for this reason. Only the first one is a refusal; what follows is its echo. */
  refuse(connection: Connection, reason: ErrorCode, detail: string): void;
  /** Something was refused and the connection stays. */
  deny(connection: Connection, reason: ErrorCode, detail: string): void;
  stats(): { readonly refused: number; readonly suppressed: number };
}

type DoorLimits = Pick<BrokerOptions, 'maxLogLinesPerConnection' | 'maxLogLinesPerSecond'>;

export function createDoorLog(
  needs: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly metrics: Metrics;
    readonly watch: Pick<Watch, 'refused'>;
  },
  limits: DoorLimits,
): DoorLog {
  const { clock, logger, metrics, watch } = needs;
  const mayLog = createLineBudget(limits.maxLogLinesPerSecond);
  let refused = 0;
  let suppressed = 0;

  const suppress = (): void => {
    suppressed += 1;
    metrics.count('presage_mqtt_log_lines_suppressed_total', 'Log lines about bad connections that were not written');
  };

  const deny = (connection: Connection, reason: ErrorCode, detail: string): void => {
    refused += 1;
    metrics.count('presage_mqtt_refused_total', 'Connections, publishes and subscriptions refused', { reason });
    watch.refused(connection, reason, detail);
    if (connection.logLines < limits.maxLogLinesPerConnection && mayLog(clock.now())) {
      connection.logLines += 1;
      logger.warn({ ...whoOf(connection), reason, detail }, 'MQTT refused');
    } else {
      suppress();
    }
  };

  return {
    deny,
    refuse(connection, reason, detail) {
      if (connection.ended) suppress();
      else deny(connection, reason, detail);
      connection.ended = true;
    },
    stats: () => ({ refused, suppressed }),
  };
}

function whoOf(connection: Connection): object {
  const { ref, integration, remoteAddress } = connection;
  if (integration !== undefined) return { integration, remoteAddress };
  return ref ? { clientId: clientIdOf(ref), remoteAddress } : { remoteAddress };
}

/** At most so many lines in any second that starts with a line. */
function createLineBudget(maxPerSecond: number): (now: number) => boolean {
  let secondStartedAt = Number.NEGATIVE_INFINITY;
  let lines = 0;
  return (now) => {
    // A clock that was set back must not silence the log for that long.
    if (now - secondStartedAt >= 1_000 || now < secondStartedAt) {
      secondStartedAt = now;
      lines = 0;
    }
    lines += 1;
    return lines <= maxPerSecond;
  };
}
