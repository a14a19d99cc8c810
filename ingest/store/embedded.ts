/**
 * The embedded telemetry store: DuckDB in a worker thread, for one machine. One process owns the file. What `write`
 * confirmed survives kill -9; see docs/stores.md for its schema and limits.
 */
import type { Logger, Metrics } from '../../contract/ports/services.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type { RangeQuery, StoredSample, TakenFromLog, TelemetryStore } from '../../contract/ports/telemetry-store.ts';
import type { SignalValue } from '../../contract/wire/payloads.ts';
import { unpackLatest } from './latest-values.ts';
import { checkLatestPage, checkRange, checkSeries, wholeBuckets } from './queries.ts';
import { spawnWorker } from './spawn-worker.ts';
import { meterWrite } from './store-meter.ts';
import { WorkerLink } from './worker-link.ts';
import type { EmbeddedLimits, Page, PageCursor, WorkerNotice, WorkerSetup } from './worker-protocol.ts';

export interface EmbeddedStoreDeps {
  /** Folder of its own for the file; made when missing, mode 0700. */
  readonly directory: string;
  /** Folder of the telemetry log's segment files: the store then reads them in its own thread (`takeFrom`). */
  readonly logDirectory?: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export type EmbeddedStoreOptions = Partial<EmbeddedLimits>;

export const DEFAULT_EMBEDDED_LIMITS: EmbeddedLimits = {
  memoryLimitMb: 256,
  walLimitMb: 128,
  spillLimitMb: 4_096,
  readers: 2,
  maxWaitingQueries: 256,
  maxLatestValues: 2_000_000,
  latestCopyEvery: 500_000,
  sealSamples: 50_000,
  pageRows: 2_000,
};

/**
 * The store over `directory`. `start` throws DATA_DIR_LOCKED when another process has the file open.
 * `series`, `latest`, `export` and `hasMessage` answer while a write runs.
 */
export function createEmbeddedStore(deps: EmbeddedStoreDeps, options: EmbeddedStoreOptions = {}): TelemetryStore {
  const { directory, logDirectory, logger, metrics } = deps;
  const files = { directory, ...(logDirectory === undefined ? {} : { logDirectory }) };
  const setup: WorkerSetup = { ...DEFAULT_EMBEDDED_LIMITS, ...options, ...files };
  const link = new WorkerLink(
    () => spawnWorker('embedded-worker', import.meta.url, { name: 'presage-store', workerData: setup }),
    (notice) => report(notice, logger, metrics),
  );
  const write: TelemetryStore['write'] = (messages, position) =>
    meterWrite(metrics, 'embedded', () => link.call('write', [messages, position]));
  const takeFrom = (from: Position, durableEnd: Position): Promise<TakenFromLog> =>
    meterWrite(metrics, 'embedded', () => link.call('takeFrom', [from, durableEnd]));

  return {
    start: () => link.open(),
    stop: () => link.close(),
    ping: () => link.call('ping', []),
    write,
    ...(logDirectory === undefined ? {} : { takeFrom }),
    async freeze() {
      await link.call('freeze', []);
      return () => link.call('thaw', []);
    },
    storedPosition: () => link.call('storedPosition', []),
    async series(query) {
      checkSeries(query);
      return link.call('series', [query]);
    },
    latest: (query) => link.call('latest', [query]),
    export: (query) => exportPages(link, query),
    hasMessage: (identity) => link.call('hasMessage', [identity]),
    receipt: (identity) => link.call('receipt', [identity]),
    highestSequence: (boot) => link.call('highestSequence', [boot]),
    aggregate: async (query) => link.call('aggregate', [wholeBuckets(query)]),
    aggregateModel: async (query) => link.call('aggregateModel', [wholeBuckets(query)]),
    retain: (cut) => link.call('retain', [cut]),
    async latestAll(query) {
      checkLatestPage(query);
      return unpackLatest(await link.call('latestAll', [query]));
    },
  };
}

/** A page is fetched when the one before has been consumed: the reader's pace is the worker's. */
async function* exportPages(link: WorkerLink, query: RangeQuery): AsyncGenerator<StoredSample> {
  checkRange(query);
  let cursor: PageCursor | undefined;
  do {
    const page: Page = await link.call('page', [query, cursor]);
    for (let row = 0; row < page.boots.length; row++) yield sampleOf(query, page, row);
    cursor = page.next;
  } while (cursor);
}

function sampleOf({ tenant, device }: RangeQuery, page: Page, row: number): StoredSample {
  const signals: Record<string, SignalValue> = {};
  for (const { signal, values } of page.signals) {
    const value = values[row];
    if (value !== null && value !== undefined) signals[signal] = value;
  }
  return {
    tenant,
    device,
    boot: page.boots[row] as string,
    seq: page.seqs[row] as number,
    index: page.indexes[row] as number,
    observedAt: page.observedAt[row] as number,
    receivedAt: page.receivedAt[row] as number,
    signals,
  };
}

function report(notice: WorkerNotice, logger: Logger, metrics: Metrics): void {
  const engine = { engine: 'embedded' };
  if (notice.kind === 'reopened') {
    metrics.count('presage_store_reopened_total', 'Times the store was opened again after an error', engine);
    logger.error({ reason: notice.reason }, 'the embedded store is opened again');
    return;
  }
  if (notice.kind === 'latestOverflow') {
    metrics.count('presage_store_latest_overflow_total', 'Times the latest values did not fit into memory', engine);
    logger.warn({ maxValues: notice.maxValues }, 'too many latest values for memory; they are read from the samples');
    return;
  }
  metrics.count('presage_store_samples_total', 'Samples stored', engine, notice.samples);
  metrics.gauge('presage_store_bytes', 'Size of the store on disk', notice.fileBytes, engine);
}
