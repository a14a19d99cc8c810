/** What the doctor hears from running services: ports, PostgreSQL, InfluxDB, and Presage itself while it runs. */
import { createServer } from 'node:net';
import pg from 'pg';
import { z } from 'zod';
import type { Clock, Logger } from '../../contract/ports/services.ts';
import type { Config } from '../config.ts';
import { createMetrics } from '../metrics.ts';
import { createStore } from '../store.ts';
import { VERSION } from '../version.ts';
import { examined, type Finding, fail, ok, warn } from './finding.ts';

const OLDEST_POSTGRES = 150_000;
const CLOCK_DIFFERENCE_MS = 5_000;
const ANSWER_LIMIT_MS = 5_000;
const LOOPBACK = /^(127\.|::1$|localhost$)/;

const readyAnswer = z.object({
  components: z.record(z.string(), z.object({ ok: z.boolean(), detail: z.string().optional() })),
});
const versionAnswer = z.object({ version: z.string() });

export interface DoctorTools {
  readonly logger: Logger;
  readonly clock: Clock;
}

export async function checkServices(
  config: Config,
  holder: number | undefined,
  tools: DoctorTools,
): Promise<Finding[]> {
  const running = holder !== undefined;
  const findings = running
    ? await examined('server', 'It may hang: see its log.', () => checkRunning(config))
    : await checkPorts(config);
  if (config.databaseUrl)
    findings.push(
      ...(await examined('sql', 'Check DATABASE_URL and that server.', () => checkPostgres(config, tools.clock))),
    );
  if (config.store === 'influx')
    findings.push(...(await examined('store', 'Check INFLUX_URL and that server.', () => checkInflux(config, tools))));
  findings.push(checkExposure(config));
  return findings;
}

async function checkPorts({ bind, httpPort, mqttPort, mqttPlain, mqttsPort, wsPort }: Config): Promise<Finding[]> {
  const ports: [name: string, port: number | undefined][] = [
    ['HTTP', httpPort],
    ['MQTT', mqttPlain ? mqttPort : undefined],
    ['MQTT over TLS', mqttsPort],
    ['WebSocket', wsPort],
  ];
  const findings: Finding[] = [];
  for (const [name, port] of ports) {
    if (port === undefined) continue;
    const problem = await canListen(bind, port);
    const check = `${name} port`;
    findings.push(
      problem
        ? fail(check, `${bind}:${port}: ${problem}`, 'Choose another port, or end what uses it.')
        : ok(check, port === 0 ? 'any free one' : `${bind}:${port} is free`),
    );
  }
  return findings;
}

/** Why not, or `undefined`. */
function canListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(error.message));
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

async function checkRunning(config: Config): Promise<Finding[]> {
  if (config.httpPort === 0)
    return [warn('server', 'it runs, on a port that only it knows', 'Give --http-port as its ready line says.')];
  const host = config.bind === '0.0.0.0' || config.bind === '::' ? '127.0.0.1' : config.bind;
  const base = `http://${host.includes(':') ? `[${host}]` : host}:${config.httpPort}`;
  const { version } = versionAnswer.parse(await (await ask(`${base}/version`)).json());
  const { components } = readyAnswer.parse(await (await ask(`${base}/readyz`)).json());
  const lost = /^presage_log_lost_bytes\{[^}]*\} (\S+)$/gm;
  const metrics = await (await ask(`${base}/metrics`)).text();
  const lostBytes = [...metrics.matchAll(lost)].reduce((sum, match) => sum + Number(match[1]), 0);
  return [
    version === VERSION
      ? ok('server', `version ${version} answers at ${base}`)
      : warn(
          'server',
          `version ${version} answers at ${base}, this program is ${VERSION}`,
          'Restart it after the upgrade.',
        ),
    ...Object.entries(components).map(([name, state]) =>
      state.ok
        ? ok(`server: ${name}`, state.detail ?? 'works')
        : fail(`server: ${name}`, state.detail ?? 'does not work', 'See the server’s log and docs/operations.md.'),
    ),
    lostBytes > 0
      ? fail(
          'server: lost bytes',
          `${lostBytes} acknowledged bytes were missing at its start`,
          'Check the disk; restore.',
        )
      : ok('server: lost bytes', 'none'),
  ];
}

function ask(url: string): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
}

async function checkPostgres(config: Config, clock: Clock): Promise<Finding[]> {
  const client = new pg.Client({
    connectionString: config.databaseUrl,
    connectionTimeoutMillis: ANSWER_LIMIT_MS,
    query_timeout: ANSWER_LIMIT_MS,
  });
  client.on('error', () => undefined); // The query under way fails with it.
  await client.connect();
  try {
    const { rows } = await client.query<{ number: number; name: string; now: number }>(
      `SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS name,
        (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`,
    );
    const [facts] = rows;
    const number = facts?.number ?? 0;
    const awayMs = Math.round(Math.abs((facts?.now ?? 0) - clock.now()));
    return [
      number < OLDEST_POSTGRES
        ? fail('sql', `PostgreSQL ${facts?.name}`, 'Presage needs PostgreSQL 15 or newer.')
        : ok('sql', `PostgreSQL ${facts?.name} answers`),
      awayMs > CLOCK_DIFFERENCE_MS
        ? warn('sql clock', `${awayMs} ms from ours`, 'Keep both machines’ clocks with NTP.')
        : ok('sql clock', `within ${CLOCK_DIFFERENCE_MS} ms of ours`),
    ];
  } finally {
    await client.end();
  }
}

async function checkInflux(config: Config, tools: DoctorTools): Promise<Finding[]> {
  const store = createStore(config, '', '', { ...tools, metrics: createMetrics() });
  try {
    await store.ping();
  } finally {
    await store.stop(); // Ends its idle connections, which would keep the command from ending.
  }
  return [ok('store', `InfluxDB answers at ${new URL(config.influxUrl ?? '').origin}`)];
}

/** Whoever can read the network can read secrets of devices and users that travel without TLS. */
function checkExposure({ bind, mqttPlain, wsPort }: Config): Finding {
  if (LOOPBACK.test(bind)) return ok('exposure', `${bind}: this machine only`);
  const open = ['HTTP', ...(mqttPlain ? ['MQTT'] : []), ...(wsPort === undefined ? [] : ['WebSocket'])].join(', ');
  return warn(
    'exposure',
    `${bind}: open to the network without TLS: ${open}; secrets travel readable`,
    'Put a TLS proxy before HTTP, or bind to 127.0.0.1; for devices PRESAGE_MQTTS_PORT and PRESAGE_MQTT_PLAIN=false.',
  );
}
