/** The telemetry store that the configuration asks for. */
import type { Clock, Logger, Metrics } from '../contract/ports/services.ts';
import type { TelemetryStore } from '../contract/ports/telemetry-store.ts';
import { createEmbeddedStore } from '../ingest/store/embedded.ts';
import { createInfluxStore } from '../ingest/store/influx.ts';
import type { Config } from './config.ts';

export function createStore(
  config: Config,
  directory: string,
  logDirectory: string,
  deps: { clock: Clock; logger: Logger; metrics: Metrics },
): TelemetryStore {
  if (config.store === 'embedded')
    return createEmbeddedStore({ directory, logDirectory, logger: deps.logger, metrics: deps.metrics });
  return createInfluxStore({
    url: config.influxUrl ?? '',
    bucket: config.influxBucket,
    api: config.influxApi,
    ...(config.influxToken ? { token: config.influxToken } : {}),
    ...(config.influxOrg ? { org: config.influxOrg } : {}),
    ...(config.influxUser ? { username: config.influxUser } : {}),
    ...(config.influxPassword ? { password: config.influxPassword } : {}),
    ...deps,
  });
}
