/** What the doctor sees on the disk: the data directory, its lock, keys, logs, databases and models. Nothing is changed. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { createFittedPrognoser } from '../../analytics/prognosis/fitted-model.ts';
import { parseModel } from '../../analytics/prognosis/model-file.ts';
import { findModel } from '../../contract/devices/catalogue.ts';
import { AppError } from '../../contract/kernel/errors.ts';
import { DAY_MS } from '../../contract/kernel/time.ts';
import { inspectLog } from '../../ingest/log/inspect-log.ts';
import { readLastBackup } from '../backup/last-backup.ts';
import { type Config, dataPaths } from '../config.ts';
import { KEY_NAMES, readKeys } from '../keys.ts';
import { examined, type Finding, fail, ok, warn } from './finding.ts';

const MIB = 1024 * 1024;
const OTHERS_MAY = 0o077;
/** Newest file times may be a little ahead: network file systems have clocks of their own. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;
const RENEW_BEFORE_MS = 14 * DAY_MS;
/** A backup that is older deserves a word. */
const BACKUP_DAYS = 7;
/** Nobody runs this before it was written. */
const EARLIEST_NOW_MS = Date.UTC(2026, 0, 1);
const LATEST_NOW_MS = Date.UTC(2100, 0, 1);

const mib = (bytes: number): string => `${Math.round(bytes / MIB).toLocaleString('en')} MiB`;
const octal = (facts: Stats): string => (facts.mode & 0o777).toString(8).padStart(4, '0');

/** @param holder process id of the server that has the directory, if one does */
export async function checkFiles(config: Config, holder: number | undefined, now: number): Promise<Finding[]> {
  const paths = dataPaths(config.dataDir);
  const findings = await examined('data directory', 'Choose a folder that you may write to.', () =>
    checkFolder(config),
  );
  if (!existsSync(config.dataDir)) return [...findings, ...(await checkModels(config)), checkClock(undefined, now)];
  findings.push(checkLock(holder), ...checkKeys(paths), checkBackup(config.dataDir, now));
  if (holder === undefined) {
    for (const [name, path] of [
      ['telemetry log', paths.telemetryLog],
      ['findings log', paths.findingsLog],
    ] as const)
      findings.push(
        ...(await examined(name, 'Restore the directory from a backup.', () => checkLog(name, path, config))),
      );
    findings.push(...checkEmbedded(config));
  }
  findings.push(...(await checkCertificate(config, now)));
  findings.push(...(await checkModels(config)), checkClock(newestChange(config.dataDir), now));
  return findings;
}

async function checkFolder({ dataDir, diskMinFreeMb }: Config): Promise<Finding[]> {
  const check = 'data directory';
  if (!existsSync(dataDir))
    return [warn(check, `${dataDir} does not exist yet`, 'Nothing, if this is the first start: it is made then.')];
  accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  const facts = statSync(dataDir);
  // Run by root, the embedded PostgreSQL's user must pass through: 0711 lets him, and shows him nothing.
  const open = (facts.mode & 0o066) !== 0;
  const { bavail, bsize } = await statfs(dataDir);
  const freeBytes = bavail * bsize;
  const limit = diskMinFreeMb * MIB;
  const space = `${mib(freeBytes)} free, ${mib(limit)} needed`;
  return [
    open
      ? warn(
          check,
          `${dataDir} is open to others (${octal(facts)})`,
          `chmod 700 ${dataDir} (711 when root runs Presage)`,
        )
      : ok(check, `${dataDir} (${octal(facts)})`),
    freeBytes < limit
      ? fail('disk space', space, 'Nothing is acknowledged below the limit: make room or move the data directory.')
      : freeBytes < 2 * limit
        ? warn('disk space', space, 'Make room soon: nothing is acknowledged below the limit.')
        : ok('disk space', space),
  ];
}

function checkLock(holder: number | undefined): Finding {
  return ok('lock', holder === undefined ? 'free: the server is stopped' : `held by the running server (${holder})`);
}

function checkKeys({ keys: folder, postgres }: ReturnType<typeof dataPaths>): Finding[] {
  const check = 'keys';
  if (!existsSync(folder)) return [warn(check, `${folder} does not exist yet`, 'They are made at the first start.')];
  const open = [folder, ...readdirSync(folder).map((name) => join(folder, name))].filter(
    (path) => (statSync(path).mode & OTHERS_MAY) !== 0,
  );
  const missing = missingKeys(folder, existsSync(postgres));
  if (open.length === 0) return [missing ?? ok(check, 'all there, readable by their owner only')];
  return [
    ...(missing ? [missing] : []),
    fail(check, `others may read ${open.join(', ')}`, `chmod -R go= ${folder}, and think of them as known.`),
  ];
}

/** The next start makes what is missing; but what was made with a lost key is lost with it. */
function missingKeys(folder: string, hasData: boolean): Finding | undefined {
  const check = 'keys';
  const listed = readKeys(folder).list();
  const missing = KEY_NAMES.filter((name) => !listed.some((key) => key.name === name));
  if (missing.length === 0) return undefined;
  const detail = `missing: ${missing.join(', ')}`;
  return missing.includes('device-secrets') && hasData
    ? fail(check, detail, 'Restore the keys folder from a backup: without it every device needs a new secret.')
    : warn(check, detail, 'The next start makes them.');
}

function checkBackup(dataDir: string, now: number): Finding {
  const check = 'backup';
  const advice = 'presage backup create; it may run while the server does.';
  const last = readLastBackup(dataDir);
  if (!last) {
    const firstKey = statSync(join(dataPaths(dataDir).keys, 'device-secrets.key'), { throwIfNoEntry: false });
    const isNew = (firstKey?.mtimeMs ?? now) > now - BACKUP_DAYS * DAY_MS;
    return isNew ? ok(check, 'none yet') : warn(check, 'none was made', advice);
  }
  const ageDays = Math.floor((now - Date.parse(last.createdAt)) / DAY_MS);
  const detail = `last one ${last.createdAt}, ${last.directory}`;
  return ageDays > BACKUP_DAYS ? warn(check, `${detail}: ${ageDays} days ago`, advice) : ok(check, detail);
}

async function checkLog(check: string, path: string, { logMaxMb }: Config): Promise<Finding[]> {
  const { segments, bytes, tornBytes } = await inspectLog(path);
  const torn = tornBytes > 0 ? `; ${tornBytes} bytes of an unfinished write at its end will be dropped` : '';
  const detail = `${segments} segments, ${mib(bytes)} of ${mib(logMaxMb * MIB)}${torn}`;
  const full = check === 'telemetry log' && bytes > 0.9 * logMaxMb * MIB;
  return [
    full
      ? warn(check, detail, 'A follower is behind: start the server and see /readyz, or raise PRESAGE_LOG_MAX_MB.')
      : ok(check, detail),
  ];
}

/** Of a stopped server; they are not opened, so that a look changes nothing. */
function checkEmbedded(config: Config): Finding[] {
  const paths = dataPaths(config.dataDir);
  const findings: Finding[] = [];
  if (!config.databaseUrl) {
    const made = existsSync(join(paths.postgres, 'pgdata', 'PG_VERSION'));
    const left = existsSync(join(paths.postgres, 'pgdata', 'postmaster.pid'));
    const detail = made ? `embedded PostgreSQL${left ? ', not shut down in order' : ''}` : 'embedded, not made yet';
    findings.push(ok('sql', `${detail}${left ? ': the next start adopts or recovers it' : ''}`));
  }
  if (config.store === 'embedded') {
    const file = join(paths.store, 'telemetry.duckdb');
    const facts = statSync(file, { throwIfNoEntry: false });
    findings.push(ok('store', facts ? `embedded, ${mib(facts.size)}` : 'embedded, not made yet'));
  }
  return findings;
}

async function checkModels({ prognosisModels }: Config): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [modelId, path] of Object.entries(prognosisModels ?? {})) {
    const check = `prognosis model ${modelId}`;
    findings.push(
      ...(await examined(check, 'Fit it again with this version: presage prognosis fit.', async () => {
        const model = findModel(modelId);
        if (!model) throw new AppError('CONFIG_INVALID', `there is no device model ${modelId}`);
        const fitted = createFittedPrognoser(parseModel(readFileSync(path, 'utf8'), path), model);
        return [ok(check, `${path}, version ${fitted.version}`)];
      })),
    );
  }
  return findings;
}

/** The certificate of the TLS port: its own, in time, and its key closed to others. */
async function checkCertificate({ mqttsCertFile, mqttsKeyFile }: Config, now: number): Promise<Finding[]> {
  const check = 'TLS certificate';
  if (mqttsCertFile === undefined || mqttsKeyFile === undefined) return [];
  return examined(check, 'Name a readable certificate and its key (PEM).', async () => {
    const certificate = new X509Certificate(readFileSync(mqttsCertFile));
    const until = Date.parse(certificate.validTo);
    const detail = `${mqttsCertFile}, until ${new Date(until).toISOString()}`;
    if (!certificate.checkPrivateKey(createPrivateKey(readFileSync(mqttsKeyFile))))
      return [fail(check, `${mqttsKeyFile} is not the key of ${mqttsCertFile}`, 'Name the key that belongs to it.')];
    if ((statSync(mqttsKeyFile).mode & 0o007) !== 0)
      return [fail(check, `others may read ${mqttsKeyFile}`, `chmod o= ${mqttsKeyFile}, and think of it as known.`)];
    if (until < now || Date.parse(certificate.validFrom) > now)
      return [fail(check, `${detail}: not valid now`, 'Renew it: devices refuse it.')];
    if (until < now + RENEW_BEFORE_MS) return [warn(check, detail, 'Renew it soon.')];
    return [ok(check, detail)];
  });
}

/** A clock that went back would refuse good samples as coming from the future. */
function checkClock(newest: number | undefined, now: number): Finding {
  const shown = new Date(now).toISOString();
  const advice = 'Set the clock and keep it with NTP: samples are judged by it.';
  if (now < EARLIEST_NOW_MS || now > LATEST_NOW_MS) return fail('clock', `${shown} cannot be right`, advice);
  if (newest !== undefined && newest > now + CLOCK_TOLERANCE_MS)
    return fail('clock', `${shown}, but files were written at ${new Date(newest).toISOString()}`, advice);
  return ok('clock', shown);
}

function newestChange(dataDir: string): number {
  const paths = dataPaths(dataDir);
  const folders = [dataDir, paths.telemetryLog, paths.findingsLog, paths.store].filter((path) => existsSync(path));
  const files = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  return Math.max(0, ...files.map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0));
}
