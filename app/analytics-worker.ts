/** The analytics worker thread: reads the log's segment files, scores, and sends findings to the event loop's log. */
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { createAnalytics } from '../analytics/create-analytics.ts';
import { createFittedPrognoser } from '../analytics/prognosis/fitted-model.ts';
import { parseModel } from '../analytics/prognosis/model-file.ts';
import type { Prognoser } from '../analytics/prognosis/prognoser.ts';
import { createTrendPrognoser } from '../analytics/prognosis/trend.ts';
import { createCheckpointStore } from '../api/checkpoints.ts';
import { openDatabase } from '../api/db/database.ts';
import { findModel } from '../contract/devices/catalogue.ts';
import type { DeviceModel } from '../contract/devices/device-model.ts';
import { AppError, errorText } from '../contract/kernel/errors.ts';
import type { Finding } from '../contract/ports/findings.ts';
import type { Clock, Logger, Metrics } from '../contract/ports/services.ts';
import { openSegmentLogReader } from '../ingest/log/segment-reader.ts';
import type { AnalyticsWorkerData, FromWorker, ToWorker } from './analytics-protocol.ts';

const STATS_EVERY_MS = 500;
const ANALYTICS_NICENESS = 10;
/** The worker asks for one state at a time and saves in one transaction. */
const SQL_CONNECTIONS = 2;

if (!parentPort) throw new Error('analytics-worker.ts runs as a worker thread only');
const port = parentPort;
try {
  // Acknowledgements come first: on Linux this lowers the calling thread alone. Scoring may lag in a burst; the log holds.
  if (process.platform === 'linux') setPriority(ANALYTICS_NICENESS);
} catch {
  // Not allowed here: then analytics competes on equal terms.
}
const setup = workerData as AnalyticsWorkerData;
const send = (message: FromWorker): void => port.postMessage(message);

const clock: Clock = { now: () => Date.now() };
const say =
  (level: 'debug' | 'info' | 'warn' | 'error') =>
  (facts: object, message: string): void =>
    send({ type: 'log', level, facts, message });
const logger: Logger = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
const metrics: Metrics = {
  count: (name, help, labels, by = 1) =>
    send({ type: 'metric', kind: 'count', name, help, value: by, ...(labels ? { labels } : {}) }),
  gauge: (name, help, value, labels) =>
    send({ type: 'metric', kind: 'gauge', name, help, value, ...(labels ? { labels } : {}) }),
};

/** Findings that the event loop has not yet put on disk, by the id of their message. */
const waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
let nextId = 1;

function appendFindings(findings: readonly Finding[]): Promise<void> {
  if (findings.length === 0) return Promise.resolve();
  const id = nextId++;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    send({ type: 'findings', id, findings });
  });
}

const fitted = new Map(Object.entries(setup.prognosisModels).map(([model, path]) => [model, loadFitted(model, path)]));

/** @throws AppError MODEL_FILE_INVALID, CONFIG_INVALID for a device model that is not in the catalogue */
function loadFitted(modelId: string, path: string): Prognoser<unknown> {
  const model = findModel(modelId);
  if (!model) throw new AppError('CONFIG_INVALID', `prognosisModels: there is no device model ${modelId}`);
  return createFittedPrognoser(parseModel(readFileSync(path, 'utf8'), path), model) as Prognoser<unknown>;
}

function prognosersFor(model: DeviceModel): readonly Prognoser<unknown>[] {
  const trend = createTrendPrognoser(model) as Prognoser<unknown>;
  const learnt = fitted.get(model.id);
  return learnt ? [learnt, trend] : [trend];
}

const durableEnd = new BigInt64Array(setup.durableEnd);
const database = openDatabase({ url: setup.databaseUrl }, { logger, clock }, { maxConnections: SQL_CONNECTIONS });
const reader = openSegmentLogReader(setup.logDirectory, { durableEnd: () => Number(Atomics.load(durableEnd, 0)) });
const analytics = createAnalytics(
  {
    log: reader,
    checkpoints: createCheckpointStore(database, 'analytics'),
    findings: { append: appendFindings },
    findModel,
    prognosersFor,
    clock,
    logger,
    metrics,
    onSaved: (position) => send({ type: 'committed', position }),
  },
  { policy: setup.alertPolicy },
);

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'grown':
      analytics.wake();
      break;
    case 'appended': {
      const entry = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) entry?.reject(new AppError('LOG_FAILED', message.error));
      else entry?.resolve();
      break;
    }
    case 'stop':
      void stop();
      break;
  }
});

const stats = setInterval(() => send({ type: 'stats', stats: analytics.stats() }), STATS_EVERY_MS);

async function stop(): Promise<void> {
  clearInterval(stats);
  try {
    await analytics.stop();
    await database.stop();
  } catch (error) {
    logger.error({ error: errorText(error) }, 'analytics did not stop cleanly');
  }
  send({ type: 'stopped' });
  port.close();
}

await database.start();
await analytics.start();
send({ type: 'ready' });
