/**
 * Configuration: one schema, read once, here only. Precedence: built-in default < file < `PRESAGE_*` environment < flag.
 * Unknown keys are refused, and every value knows where it came from (`presage config print`).
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { AppError } from '../contract/kernel/errors.ts';

export const ROLES = ['broker', 'ingest', 'analytics', 'api'] as const;
export type AppRole = (typeof ROLES)[number];

const port = z.coerce.number().int().min(0).max(65_535);
const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean),
);
const flag = z.enum(['true', 'false', '1', '0']).transform((text) => text === 'true' || text === '1');

/** One setting: how it is checked, what it means without being set, and whether it must be kept out of print. */
interface Setting<Schema extends z.ZodType> {
  readonly env: string;
  readonly schema: Schema;
  readonly about: string;
  readonly secret?: true;
}

const setting = <Schema extends z.ZodType>(
  env: string,
  schema: Schema,
  about: string,
  options: { secret?: true } = {},
): Setting<Schema> => ({ env, schema, about, ...options });

/** Every setting, by its name in the configuration file. */
export const SETTINGS = {
  dataDir: setting('PRESAGE_DATA_DIR', z.string().min(1).default('presage-data'), 'Folder of everything Presage keeps'),
  bind: setting('PRESAGE_BIND', z.string().min(1).default('127.0.0.1'), 'Address to listen on'),
  httpPort: setting('PRESAGE_HTTP_PORT', port.default(8080), 'HTTP port; 0 takes a free one'),
  mqttPort: setting('PRESAGE_MQTT_PORT', port.default(1883), 'MQTT port; 0 takes a free one'),
  mqttPlain: setting(
    'PRESAGE_MQTT_PLAIN',
    flag.default(true),
    'Whether devices may connect without TLS; false needs a TLS port',
  ),
  mqttsPort: setting('PRESAGE_MQTTS_PORT', port.optional(), 'MQTT over TLS; 0 takes a free port, absent = off'),
  mqttsCertFile: setting('PRESAGE_MQTTS_CERT_FILE', z.string().optional(), 'Certificate chain of the TLS port (PEM)'),
  mqttsKeyFile: setting('PRESAGE_MQTTS_KEY_FILE', z.string().optional(), 'Its private key (PEM)'),
  mqttsCaFile: setting(
    'PRESAGE_MQTTS_CA_FILE',
    z.string().optional(),
    'Authorities whose device certificates replace the password (PEM)',
  ),
  mqttsCrlFile: setting('PRESAGE_MQTTS_CRL_FILE', z.string().optional(), 'Their revocation lists (PEM)'),
  mqttsClientCert: setting(
    'PRESAGE_MQTTS_CLIENT_CERT',
    z.enum(['optional', 'required']).default('optional'),
    'Whether a device needs a certificate on the TLS port',
  ),
  wsPort: setting('PRESAGE_WS_PORT', port.optional(), 'MQTT over WebSocket; 0 takes a free port, absent = off'),
  deviceMessagesPerS: setting(
    'PRESAGE_DEVICE_MESSAGES_PER_S',
    z.coerce.number().positive().default(50),
    'Messages a second that one device may send over MQTT; five times as many at once',
  ),
  tenantMessagesPerS: setting(
    'PRESAGE_TENANT_MESSAGES_PER_S',
    z.coerce.number().positive().default(10_000),
    'Messages a second that all devices of a tenant may send over MQTT',
  ),
  connectionsPerAddress: setting(
    'PRESAGE_MQTT_CONNECTIONS_PER_ADDRESS',
    z.coerce.number().int().positive().default(5_000),
    'MQTT connections from one address; raise it behind a load balancer',
  ),
  roles: setting(
    'PRESAGE_ROLES',
    list.pipe(z.array(z.enum(ROLES)).min(1)).default([...ROLES]),
    'Comma-separated roles of this process',
  ),
  store: setting('PRESAGE_STORE', z.enum(['embedded', 'influx']).default('embedded'), 'Telemetry store'),
  influxUrl: setting('INFLUX_URL', z.url().optional(), 'Address of InfluxDB'),
  influxToken: setting('INFLUX_TOKEN', z.string().optional(), 'Token of InfluxDB 2 or 3', { secret: true }),
  influxOrg: setting('INFLUX_ORG', z.string().optional(), 'Organisation in InfluxDB 2'),
  influxBucket: setting('INFLUX_BUCKET', z.string().default('presage'), 'Bucket, or database in InfluxDB 1'),
  influxUser: setting('INFLUX_USER', z.string().optional(), 'User of InfluxDB 1'),
  influxPassword: setting('INFLUX_PASSWORD', z.string().optional(), 'Password of InfluxDB 1', { secret: true }),
  influxApi: setting(
    'INFLUX_API',
    z.enum(['auto', 'v1', 'v2', 'v3']).default('auto'),
    'Generation of the InfluxDB API',
  ),
  retentionRawDays: setting(
    'PRESAGE_RETENTION_RAW_DAYS',
    z.coerce.number().int().min(0).default(90),
    'Days that raw samples are kept before only their roll-ups stay; 0 keeps them for ever',
  ),
  retentionMinuteDays: setting(
    'PRESAGE_RETENTION_MINUTE_DAYS',
    z.coerce.number().int().min(0).default(730),
    'Days that roll-ups of a minute are kept; those of an hour stay; 0 keeps them for ever',
  ),
  databaseUrl: setting('DATABASE_URL', z.string().optional(), 'PostgreSQL ≥ 15; embedded PostgreSQL when absent', {
    secret: true,
  }),
  logMaxMb: setting(
    'PRESAGE_LOG_MAX_MB',
    z.coerce.number().int().min(16).default(2048),
    'Limit of the telemetry log, MiB',
  ),
  diskMinFreeMb: setting(
    'PRESAGE_DISK_MIN_FREE_MB',
    z.coerce.number().int().min(0).default(512),
    'Free disk space below which nothing is acknowledged, MiB',
  ),
  seedFile: setting('PRESAGE_SEED_FILE', z.string().optional(), 'JSON file with tenants, users, devices to start with'),
  alertPolicyFile: setting(
    'PRESAGE_ALERT_POLICY_FILE',
    z.string().optional(),
    'JSON file with what the alert policy sets differently: delays, flapping, silence, exceptions',
  ),
  prognosisModels: setting(
    'PRESAGE_PROGNOSIS_MODELS',
    list
      .transform((items) => items.map((item) => item.split('=') as [string, string]))
      .pipe(z.array(z.tuple([z.string().min(1), z.string().min(1)])))
      .transform((pairs) => Object.fromEntries(pairs))
      .optional(),
    'Fitted models by device model, for example turbofan=/path/model.json; several with commas',
  ),
  publicUrl: setting('PRESAGE_PUBLIC_URL', z.url().optional(), 'Address of the console as users reach it'),
  webhookAllowPrivate: setting(
    'PRESAGE_WEBHOOK_ALLOW_PRIVATE',
    flag.default(false),
    'Let webhooks go to private addresses and over plain http',
  ),
  logLevel: setting(
    'PRESAGE_LOG_LEVEL',
    z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
    'Least level that is logged',
  ),
} as const;

type SettingName = keyof typeof SETTINGS;
export type Config = { readonly [Name in SettingName]: z.output<(typeof SETTINGS)[Name]['schema']> };
/** Where a value came from: `default`, `file`, an environment variable's name, or a flag. */
export type Origins = { readonly [Name in SettingName]: string };

const NAMES = Object.keys(SETTINGS) as SettingName[];
/** Names with our prefix that other programs of ours read. */
const FOREIGN_PREFIXES = ['PRESAGE_TEST_', 'PRESAGE_BENCH_'];

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Values given as flags, by setting name. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
  /** JSON file; `presage.json` in the working folder when absent and there. */
  readonly file?: string | undefined;
}

/**
 * Reads, checks and joins all sources.
 * @throws AppError CONFIG_INVALID naming each bad key and its origin
 */
export function loadConfig(sources: ConfigSources): { config: Config; origins: Origins } {
  const file = readConfigFile(sources.file);
  refuseUnknownEnvironment(sources.env);
  const values: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  const problems: string[] = [];
  for (const name of NAMES) {
    const { value, origin } = pick(name, sources, file);
    origins[name] = origin;
    const parsed = SETTINGS[name].schema.safeParse(value);
    if (parsed.success) values[name] = parsed.data;
    else problems.push(`${name} (from ${origin}): ${parsed.error.issues.map((issue) => issue.message).join('; ')}`);
  }
  problems.push(...faultsOfTls(values));
  if (values.store === 'influx' && !values.influxUrl)
    problems.push('influxUrl: needed when store is influx (INFLUX_URL)');
  if (problems.length > 0) throw new AppError('CONFIG_INVALID', problems.join(' | '));
  return { config: values as Config, origins: origins as Origins };
}

/** Settings of the TLS port that only make sense together. */
function faultsOfTls(values: Readonly<Record<string, unknown>>): string[] {
  const has = (name: SettingName): boolean => values[name] !== undefined;
  const faults: string[] = [];
  if (has('mqttsPort') && !(has('mqttsCertFile') && has('mqttsKeyFile')))
    faults.push('mqttsPort: needs mqttsCertFile and mqttsKeyFile');
  if (!has('mqttsPort') && values.mqttPlain === false) faults.push('mqttPlain: without it devices need mqttsPort');
  if (values.mqttsClientCert === 'required' && !has('mqttsCaFile'))
    faults.push('mqttsClientCert: required needs mqttsCaFile');
  if (has('mqttsCrlFile') && !has('mqttsCaFile')) faults.push('mqttsCrlFile: needs mqttsCaFile');
  return faults;
}

function pick(
  name: SettingName,
  sources: ConfigSources,
  file: Readonly<Record<string, unknown>>,
): { value: unknown; origin: string } {
  const { env } = SETTINGS[name];
  const fromFlag = sources.flags?.[name];
  if (fromFlag !== undefined) return { value: fromFlag, origin: `flag --${kebab(name)}` };
  const fromEnv = sources.env[env];
  if (fromEnv !== undefined && fromEnv !== '') return { value: fromEnv, origin: env };
  const secretPath = sources.env[`${env}_FILE`];
  // PRESAGE_SEED_FILE is itself a path: only names that are no setting of their own are read as "value in that file".
  if (secretPath) return { value: readSecret(`${env}_FILE`, secretPath), origin: `${env}_FILE` };
  if (name in file) return { value: asText(file[name]), origin: 'file' };
  return { value: undefined, origin: 'default' };
}

/** Values of a JSON file may be numbers, booleans or lists; the schemas read text, as the environment gives it. */
function asText(value: unknown): unknown {
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
}

function readSecret(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `${variable} names ${path}, which cannot be read`, { cause });
  }
}

function readConfigFile(path: string | undefined): Readonly<Record<string, unknown>> {
  const chosen = path ?? (existsSync('presage.json') ? 'presage.json' : undefined);
  if (!chosen) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(chosen, 'utf8'));
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `${chosen} is not readable JSON`, { cause });
  }
  const checked = z.record(z.string(), z.unknown()).safeParse(parsed);
  if (!checked.success) throw new AppError('CONFIG_INVALID', `${chosen} must hold one JSON object`);
  const unknown = Object.keys(checked.data).filter((key) => !(key in SETTINGS));
  if (unknown.length > 0) throw new AppError('CONFIG_INVALID', `${chosen}: unknown key ${unknown.join(', ')}`);
  return checked.data;
}

function refuseUnknownEnvironment(env: ConfigSources['env']): void {
  const known = new Set(NAMES.flatMap((name) => [SETTINGS[name].env, `${SETTINGS[name].env}_FILE`]));
  const unknown = Object.keys(env).filter(
    (key) =>
      key.startsWith('PRESAGE_') && !known.has(key) && !FOREIGN_PREFIXES.some((prefix) => key.startsWith(prefix)),
  );
  if (unknown.length > 0) throw new AppError('CONFIG_INVALID', `unknown environment variable ${unknown.join(', ')}`);
}

/** @example kebab('httpPort') // => 'http-port' */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

const MASK = '********';

/** The configuration as it stands, secrets masked, each with its origin. */
export function describeConfig(
  config: Config,
  origins: Origins,
): { name: string; env: string; value: unknown; origin: string }[] {
  return NAMES.map((name) => {
    const setting: Setting<z.ZodType> = SETTINGS[name];
    const value = setting.secret && config[name] !== undefined ? MASK : withoutPassword(config[name]);
    return { name, env: setting.env, value: value ?? null, origin: origins[name] };
  });
}

/** A password may also stand inside an address: `http://user:password@host`. */
function withoutPassword(value: unknown): unknown {
  if (typeof value !== 'string' || !URL.canParse(value)) return value;
  const address = new URL(value);
  if (address.password === '') return value;
  address.password = MASK;
  return address.href;
}

/** Places inside the data directory. */
export function dataPaths(dataDir: string) {
  return {
    keys: join(dataDir, 'keys'),
    /** Where commands on this machine reach the running server. */
    control: join(dataDir, 'run', 'control.sock'),
    postgres: join(dataDir, 'postgres'),
    telemetryLog: join(dataDir, 'log', 'telemetry'),
    findingsLog: join(dataDir, 'log', 'findings'),
    store: join(dataDir, 'store'),
    sequence: join(dataDir, 'sequence.json'),
  } as const;
}
