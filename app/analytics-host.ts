/**
 * The event loop's side of the analytics worker: tells it how far the log is durable, appends its findings to the findings
 * log, and notes how far it has got. A worker that dies takes the process along: a restart resumes at the checkpoint.
 */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import type { AlertPolicy } from '../analytics/alerts/policy.ts';
import type { AnalyticsStats } from '../analytics/create-analytics.ts';
import { AppError } from '../contract/kernel/errors.ts';
import type { Finding } from '../contract/ports/findings.ts';
import type { Clock, Logger, Metrics, Readiness, Service } from '../contract/ports/services.ts';
import type { LogAppender, LogConsumers, LogReader, Position } from '../contract/ports/telemetry-log.ts';
import { spawnWorker } from '../ingest/store/spawn-worker.ts';
import type { AnalyticsWorkerData, FromWorker, ToWorker } from './analytics-protocol.ts';

export interface AnalyticsHost extends Service {
  /** As of half a second ago; `undefined` before the first report. */
  stats(): AnalyticsStats | undefined;
  readiness(): Readiness;
  /** Says that the durable part of the log has grown. */
  grown(): void;
}

export interface AnalyticsHostDeps {
  readonly log: LogReader & LogConsumers;
  readonly findings: LogAppender;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called when the worker ended without being asked to. */
  readonly onDeath: (error: Error) => void;
}

export interface AnalyticsHostOptions {
  readonly databaseUrl: string;
  readonly logDirectory: string;
  readonly prognosisModels: Readonly<Record<string, string>>;
  readonly alertPolicy: AlertPolicy;
}

/** Under load the log grows a thousand times a second; waking the thread for each would cost more than the scoring. */
const GROWN_EVERY_MS = 50;

export function createAnalyticsHost(deps: AnalyticsHostDeps, options: AnalyticsHostOptions): AnalyticsHost {
  const durableEnd = new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
  const durableEndView = new BigInt64Array(durableEnd);
  let worker: Worker | undefined;
  let growing: NodeJS.Timeout | undefined;
  let stopping = false;
  let stats: AnalyticsStats | undefined;

  const send = (message: ToWorker): void => worker?.postMessage(message);

  async function appendFindings(findings: readonly Finding[]): Promise<void> {
    await Promise.all(findings.map((finding) => appendFinding(deps.findings, finding, deps.clock.now())));
  }

  function onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'findings':
        appendFindings(message.findings).then(
          () => send({ type: 'appended', id: message.id }),
          (error: Error) => send({ type: 'appended', id: message.id, error: error.message }),
        );
        break;
      case 'committed':
        deps.log.commit('analytics', message.position).catch((error: Error) => {
          deps.logger.error({ error: error.message }, 'cannot note how far analytics got in the log');
        });
        break;
      case 'stats':
        stats = message.stats;
        break;
      case 'log':
        deps.logger[message.level](message.facts, message.message);
        break;
      case 'metric':
        if (message.kind === 'count') deps.metrics.count(message.name, message.help, message.labels, message.value);
        else deps.metrics.gauge(message.name, message.help, message.value, message.labels);
        break;
      case 'ready':
      case 'stopped':
        break;
    }
  }

  return {
    async start() {
      Atomics.store(durableEndView, 0, BigInt(deps.log.end()));
      const workerData: AnalyticsWorkerData = { ...options, durableEnd };
      worker = spawnWorker('analytics-worker', import.meta.url, { name: 'presage-analytics', workerData });
      worker.on('message', onMessage);
      worker.on('exit', (code) => {
        if (!stopping) deps.onDeath(new AppError('INTERNAL', `the analytics worker ended with code ${code}`));
      });
      await untilReady(worker);
    },
    async stop() {
      if (!worker || stopping) return;
      stopping = true;
      clearTimeout(growing);
      const exited = once(worker, 'exit');
      send({ type: 'stop' });
      await exited;
    },
    grown() {
      growing ??= setTimeout(() => {
        growing = undefined;
        Atomics.store(durableEndView, 0, BigInt(deps.log.end()));
        send({ type: 'grown' });
      }, GROWN_EVERY_MS).unref();
    },
    stats: () => stats,
    readiness: () => (worker && !stopping ? { ok: true } : { ok: false, detail: 'the analytics worker does not run' }),
  };
}

function appendFinding(log: LogAppender, finding: Finding, receivedAt: number): Promise<Position> {
  const body = Buffer.from(JSON.stringify(finding));
  const { tenant, device, model } = finding;
  return new Promise((resolve, reject) => {
    log.append({ kind: 'finding', tenant, device, model, receivedAt, body }, (error, position) =>
      error ? reject(error) : resolve(position),
    );
  });
}

function untilReady(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'ready') resolve();
    });
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new AppError('INTERNAL', `the analytics worker ended with code ${code}`)));
  });
}
