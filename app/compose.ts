/**
 * The one place that knows every folder: builds the parts, joins them, and starts and stops them in order.
 * Start: database, logs, store, followers, desk and API, analytics, and the broker last, so that no device is answered
 * before what it sends can be kept. Stop is the reverse: first no more input, then everything drains.
 */

import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { runnableHere } from '../analytics/registry/ensemble.ts';
import { createRuleTools } from '../analytics/rules/rule-tools.ts';
import { type FirstDoor, openFirstDoor } from '../api/accounts/first-start.ts';
import { singleKey } from '../api/accounts/key-ring.ts';
import { createCheckpointStore } from '../api/checkpoints.ts';
import { createApi } from '../api/create-api.ts';
import { type Database, openDatabase } from '../api/db/database.ts';
import { migrate } from '../api/db/migrate.ts';
import { applySeed } from '../api/db/seed.ts';
import { createDeviceDirectory } from '../api/devices/directory.ts';
import { createRegistrySink } from '../api/devices/registry-sink.ts';
import { createSecurityEventWriter } from '../api/devices/security-events.ts';
import { createIntegrationDirectory } from '../api/integrations/directory.ts';
import { applyShipped } from '../api/registry/apply-shipped.ts';
import { createBroker } from '../broker/create-broker.ts';
import type { BrokerOptions } from '../broker/options.ts';
import { DEVICE_MODELS } from '../contract/devices/catalogue.ts';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import { type SeedFile, seedFile } from '../contract/kernel/seed.ts';
import type { Clock, Logger, Readiness, Service } from '../contract/ports/services.ts';
import type { Position } from '../contract/ports/telemetry-log.ts';
import { createIngest } from '../ingest/create-ingest.ts';
import type { LogDisk } from '../ingest/log/log-disk.ts';
import { openSegmentLog, type SegmentLog } from '../ingest/log/segment-log.ts';
import { createRegistryWriter } from '../ingest/registry-writer.ts';
import { createRetentionJob } from '../ingest/store/retention.ts';
import { createStoreWriter } from '../ingest/store-writer.ts';
import { readAlertPolicy } from './alert-policy.ts';
import { createAnalyticsHost } from './analytics-host.ts';
import { createBackupSteps } from './backup/backup-session.ts';
import { type AppRole, type Config, dataPaths, ROLES } from './config.ts';
import { createControl } from './control.ts';
import { createControlHandler } from './control-requests.ts';
import { noteDataFormat } from './data-format.ts';
import { lockDataDir } from './data-lock.ts';
import { settleKeys } from './key-operations.ts';
import { type KeyStore, openKeys } from './keys.ts';
import { createMetrics } from './metrics.ts';
import { createReadinessWatch } from './readiness-watch.ts';
import { versionsOfThisBuild } from './shipped-versions.ts';
import { createStore } from './store.ts';
import { VERSION } from './version.ts';

const MIB = 1024 * 1024;
const SNAPSHOT_EVERY_BYTES = 64 * MIB;
const FINDINGS_LOG_MAX_BYTES = 256 * MIB;
const FINDINGS_SEGMENT_BYTES = 16 * MIB;

export interface System extends Service {
  /** Facts of the last start, as the ready line prints them. */
  ready(): ReadyFacts;
  /** How the owner of a new installation comes in, while nobody else can let him in. */
  firstDoor(): (FirstDoor & { readonly url: string }) | undefined;
  readonly database: Database;
  /** Reads the certificate files of the MQTT listener again, as SIGHUP asks. */
  reloadCertificates(): Promise<void>;
}

export interface ReadyFacts {
  readonly roles: readonly AppRole[];
  /** 0 = not listening; those over TLS and WebSocket are there when they are switched on. */
  readonly ports: { readonly http: number; readonly mqtt: number; readonly mqtts?: number; readonly ws?: number };
  /** Bytes of a torn log tail that were dropped, and how long the start took. */
  readonly recovered: { readonly log: number; readonly ms: number };
}

export interface ComposeDeps {
  readonly logger: Logger;
  /** Called when a part died and the process should end. */
  readonly onFatal: (error: Error) => void;
  /** The configuration with its origins and without secrets, for backups. */
  readonly describedConfig?: readonly unknown[];
  /** Applied after the seed file. */
  readonly seed?: SeedFile;
  /** The disk under the telemetry log; tests make it fail. */
  readonly logDisk?: LogDisk;
}

export const systemClock: Clock = { now: () => Date.now() };
const clock = systemClock;

export function composeSystem(config: Config, deps: ComposeDeps): System {
  if (ROLES.some((role) => !config.roles.includes(role))) {
    throw new AppError(
      'CONFIG_INVALID',
      'roles: with the embedded log all roles run in one process; leave PRESAGE_ROLES unset',
    );
  }
  const { logger } = deps;
  const metrics = createMetrics();
  const tools = { clock, logger, metrics };
  const paths = dataPaths(config.dataDir);
  const database = openDatabase(config.databaseUrl ? { url: config.databaseUrl } : { embedded: paths.postgres }, tools);
  const store = createStore(config, paths.store, paths.telemetryLog, tools);
  /** Started, in order; stopped in reverse. */
  const started: { name: string; service: Service }[] = [];
  let facts: ReadyFacts | undefined;
  let firstDoor: (FirstDoor & { url: string }) | undefined;
  let releaseLock: (() => void) | undefined;
  let stopped: Promise<void> | undefined;
  let reloadCertificates = async (): Promise<void> => {};

  async function begin<Part extends Service>(name: string, part: Part): Promise<Part> {
    await part.start();
    started.push({ name, service: part });
    return part;
  }

  async function startAll(): Promise<void> {
    const startedAt = performance.now();
    releaseLock = lockDataDir(config.dataDir);
    // Node's file threads take the priority of whoever uses them first: not that of the store's thread, which steps back.
    await stat(config.dataDir);
    const keys = openKeys(paths.keys);
    const hmacKeys = keys.ring('device-secrets');
    const webhookKeys = keys.ring('webhooks');
    const [, door] = await Promise.all([begin('store', store), startDatabase(keys)]);
    const [telemetryLog, findingsLog] = await openLogs();
    const { log } = telemetryLog;

    const directory = createDeviceDirectory(database, { hmacKeys, clock });
    const integrations = createIntegrationDirectory(database, { hmacKeys, clock });
    const storeWriter = createStoreWriter({ log, store, ...tools });
    const passed = (position: Position): Promise<void> => storeWriter.passed(position);
    const ingest = createIngest(
      { log, directory, reader: store, passed, ...tools },
      {
        sequenceFile: paths.sequence,
        // The log keeps what the snapshot does not hold: in a small log that must not be all of it.
        snapshotEveryBytes: Math.min(SNAPSHOT_EVERY_BYTES, (config.logMaxMb * MIB) / 8),
      },
    );
    await begin('ingest', ingest);
    await begin('store writer', storeWriter);
    const keep = { rawDays: config.retentionRawDays, minuteDays: config.retentionMinuteDays };
    await begin('retention', createRetentionJob({ store, ...tools }, keep));
    const sink = createRegistrySink(database, metrics);
    const registryWriter = await begin('registry writer', createRegistryWriter({ log, sink, ...tools }));

    const securityEvents = await begin('security events', createSecurityEventWriter(database, tools));
    const broker = createBroker({ directory, integrations, deliver: ingest.deliver, ...tools }, brokerOptions(config));
    const analytics = createAnalyticsHost(
      { log, findings: findingsLog.log, onDeath: deps.onFatal, ...tools },
      {
        databaseUrl: database.url(),
        logDirectory: paths.telemetryLog,
        prognosisModels: config.prognosisModels ?? {},
        alertPolicy: readAlertPolicy(config.alertPolicyFile),
      },
    );
    const readiness = async (): Promise<Record<string, Readiness>> => ({
      sql: await answers(() => database.ping()),
      store: await answers(() => store.ping()),
      log: telemetryLog.readiness(),
      storeWriter: storeWriter.readiness(),
      registryWriter: registryWriter.readiness(),
      analytics: analytics.readiness(),
    });
    const api = createApi(
      {
        database,
        directory,
        hmacKeys,
        webhookKeys,
        reader: store,
        findings: findingsLog.log,
        orderLog: log,
        rules: createRuleTools(DEVICE_MODELS),
        storePassed: passed,
        live: (listener) => ingest.onAccepted(listener),
        dataQuality: (ref) => ingest.dataQuality(ref),
        replay: ingest.replay,
        receipt: (identity) => store.receipt(identity),
        broker,
        readiness,
        renderMetrics: () => metrics.render(),
        version: VERSION,
        ...tools,
      },
      {
        host: config.bind,
        port: config.httpPort,
        webhookAllowPrivate: config.webhookAllowPrivate,
        publicUrl: config.publicUrl,
      },
    );
    broker.onPresence((change) => ingest.presence(change));
    broker.onSecurityEvent(securityEvents.record);
    await begin('api', api);
    await begin('analytics', analytics);
    log.onDurable(() => analytics.grown());
    await begin('broker', broker);
    await begin('readiness watch', createReadinessWatch({ readiness, logger, metrics }));
    const backup = createBackupSteps({
      ...{ database, store, telemetryLog, findingsLog, logger },
      config: deps.describedConfig ?? [],
      models: config.prognosisModels ?? {},
    });
    const handleControl = createControlHandler({ keys, database, logger, backup });
    await begin('control', createControl(paths.control, handleControl, logger));
    reloadCertificates = () => broker.reloadCertificates();
    firstDoor = door && { ...door, url: `${api.publicUrl()}/#link=${door.link}` };
    facts = {
      roles: config.roles,
      ports: { http: api.ports().http, mqtt: 0, ...broker.ports() },
      recovered: { log: telemetryLog.recovered().droppedBytes, ms: Math.round(performance.now() - startedAt) },
    };
  }

  async function startDatabase(keys: KeyStore): Promise<FirstDoor | undefined> {
    await begin('database', database);
    await migrate(database);
    noteDataFormat(config.dataDir);
    await settleKeys(keys, database, logger);
    const rings = { hmacKeys: keys.ring('device-secrets'), webhookKeys: keys.ring('webhooks') };
    if (config.seedFile) await applySeed(database, readSeed(config.seedFile), rings, clock);
    if (deps.seed) await applySeed(database, deps.seed, rings, clock);
    const versions = versionsOfThisBuild(config.prognosisModels ?? {});
    await applyShipped(database, versions, { clock, successorOf: (version) => runnableHere(version) });
    return openFirstDoor(database, clock);
  }

  /** Followers that keep their own position must not take the entries of a replaced log for old ones. */
  async function openLogs(): Promise<[telemetry: SegmentLog, findings: SegmentLog]> {
    const [stored, scored, desked] = await Promise.all([
      store.storedPosition(),
      createCheckpointStore(database, 'analytics').position(),
      createCheckpointStore(database, 'desk').position(),
    ]);
    const minFreeBytes = config.diskMinFreeMb * MIB;
    const telemetry = openSegmentLog(
      { directory: paths.telemetryLog, onFailed: deps.onFatal, ...tools },
      {
        name: 'telemetry',
        ...(deps.logDisk ? { disk: deps.logDisk } : {}),
        maxBytes: config.logMaxMb * MIB,
        minFreeBytes,
        minimumEnd: Math.max(stored ?? 0, scored),
        consumers: ['store', 'registry', 'analytics', 'sequence'],
      },
    );
    const findings = openSegmentLog(
      { directory: paths.findingsLog, onFailed: deps.onFatal, ...tools },
      {
        name: 'findings',
        maxBytes: FINDINGS_LOG_MAX_BYTES,
        segmentBytes: FINDINGS_SEGMENT_BYTES,
        minFreeBytes,
        minimumEnd: desked,
        consumers: ['desk'],
      },
    );
    return Promise.all([begin('telemetry log', telemetry), begin('findings log', findings)]);
  }

  async function stopAll(): Promise<void> {
    for (const { name, service } of started.splice(0).reverse()) {
      await service
        .stop()
        .catch((error: unknown) => logger.error({ error: errorText(error) }, `${name} did not stop cleanly`));
    }
    releaseLock?.();
  }

  return {
    database,
    async start() {
      try {
        await startAll();
      } catch (error) {
        await stopAll();
        throw error;
      }
    },
    stop() {
      stopped ??= stopAll();
      return stopped;
    },
    reloadCertificates: () => reloadCertificates(),
    ready() {
      if (!facts) throw new AppError('NOT_READY', 'the system has not been started');
      return facts;
    },
    firstDoor: () => firstDoor,
  };
}

function brokerOptions(config: Config): Partial<BrokerOptions> {
  const { bind: host, mqttsPort, mqttsCertFile: certFile, mqttsKeyFile: keyFile } = config;
  const files = { caFile: config.mqttsCaFile, crlFile: config.mqttsCrlFile };
  const tls = mqttsPort !== undefined && certFile !== undefined && keyFile !== undefined;
  return {
    host,
    port: config.mqttPort,
    plain: config.mqttPlain,
    ...(tls && {
      tls: { host, port: mqttsPort, certFile, keyFile, ...files, clientCertificate: config.mqttsClientCert },
    }),
    ...(config.wsPort !== undefined && { webSocket: { host, port: config.wsPort } }),
    deviceMessagesPerS: config.deviceMessagesPerS,
    deviceMessagesBurst: 5 * config.deviceMessagesPerS,
    tenantMessagesPerS: config.tenantMessagesPerS,
    maxConnectionsPerAddress: config.connectionsPerAddress,
  };
}

/** The API's OpenAPI document; nothing is opened for it. */
export function describeApi(logger: Logger): Promise<object> {
  const tools = { clock, logger, metrics: createMetrics() };
  const nothing = (): never => {
    throw new AppError('NOT_READY', 'the API is only described');
  };
  const database = openDatabase({ url: 'postgresql://nobody@localhost/nothing' }, tools);
  const reader = { series: nothing, latest: nothing, export: nothing, hasMessage: nothing, aggregateModel: nothing };
  const log = {
    read: nothing,
    end: nothing,
    start: nothing,
    committed: nothing,
    commit: nothing,
    lagBytes: nothing,
    onDurable: nothing,
  };
  return createApi({
    database,
    directory: { authenticate: nothing, invalidate: nothing },
    hmacKeys: singleKey(Buffer.alloc(0)),
    webhookKeys: singleKey(Buffer.alloc(0)),
    reader,
    findings: log,
    storePassed: nothing,
    live: nothing,
    dataQuality: nothing,
    broker: { onPresence: nothing, disconnect: nothing, disconnectIntegration: nothing },
    readiness: nothing,
    renderMetrics: nothing,
    version: VERSION,
    ...tools,
  }).openapi();
}

async function answers(ping: () => Promise<void>): Promise<Readiness> {
  try {
    await ping();
    return { ok: true };
  } catch (error) {
    return { ok: false, detail: errorText(error) };
  }
}

/** @throws AppError CONFIG_INVALID naming each bad field */
function readSeed(path: string): SeedFile {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', `seedFile: ${path} is not readable JSON`, { cause });
  }
  const checked = seedFile.safeParse(parsed);
  if (checked.success) return checked.data;
  const problems = checked.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new AppError('CONFIG_INVALID', `seedFile ${path}: ${problems.join('; ')}`);
}
