/**
 * The embedded store inside its worker thread. Samples and the log position they belong to are committed in one
 * transaction, so that a batch is stored once whatever happens between. After an error nobody knows what DuckDB kept
 * (a full disk has been seen to store what it reported as failed), so the file is closed and opened again, and the
 * position in it decides what the next try has to do.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { AppError, errorText } from '../../contract/kernel/errors.ts';
import type { DeviceRef, MessageIdentity } from '../../contract/kernel/ids.ts';
import type { Position } from '../../contract/ports/telemetry-log.ts';
import type {
  AggregateQuery,
  LatestPageQuery,
  MessageReceipt,
  ModelAggregateQuery,
  ModelBucket,
  RangeQuery,
  RejectedSample,
  RetentionCut,
  RollUpSeries,
  Series,
  SeriesQuery,
  TakenFromLog,
} from '../../contract/ports/telemetry-store.ts';
import { decodeTelemetryEntry, isEntryOf } from '../../contract/wire/log-entry.ts';
import type { TelemetryMessage } from '../../contract/wire/sample.ts';
import { readLatestPage, readModelBuckets, readRollUps } from './embedded-aggregate.ts';
import { appendRows, rowsByModel } from './embedded-append.ts';
import { type BootRef, readBoot, readHasMessage, readReceipt } from './embedded-boots.ts';
import {
  checkpoint,
  closeDatabase,
  fileBytes,
  isFatal,
  type OpenDatabase,
  openDatabase,
  restrictFiles,
} from './embedded-file.ts';
import { saveLatest } from './embedded-latest.ts';
import { readLatest, readPage, readSeries } from './embedded-read.ts';
import { countHours, noteHours, sealStep } from './embedded-retain.ts';
import { LatestOfDevice, packLatest } from './latest-values.ts';
import { LogBatchReader } from './log-batch-reader.ts';
import { SignalKinds, type StorableMessage } from './signal-kinds.ts';
import type {
  LatestPack,
  LatestValues,
  Page,
  PageCursor,
  WorkerNotice,
  WorkerOperations,
  WorkerSetup,
} from './worker-protocol.ts';

/** Boots of which something changed since the last copy into the file. */
const MAX_BOOTS_IN_MEMORY = 100_000;

export class EmbeddedDatabase implements WorkerOperations {
  readonly #setup: WorkerSetup;
  readonly #notify: (notice: WorkerNotice) => void;
  readonly #kinds = new SignalKinds();
  #opening: Promise<OpenDatabase> | undefined;
  /** What `#opening` gave. */
  #database: OpenDatabase | undefined;
  /** Ends when the file is closed: opening it twice within one process would corrupt it. */
  #closing: Promise<void> = Promise.resolve();
  #log: LogBatchReader | undefined;
  /** Writes follow each other; each waits for this. */
  #lastWrite: Promise<unknown> = Promise.resolve();

  /** Set while writes are held back: what was open then. */
  #frozen: { readonly database: OpenDatabase | undefined; readonly thawed: () => void } | undefined;

  constructor(setup: WorkerSetup, notify: (notice: WorkerNotice) => void) {
    this.#setup = setup;
    this.#notify = notify;
  }

  async open(): Promise<void> {
    await this.#opened();
  }

  write(messages: readonly TelemetryMessage[], position: Position): Promise<readonly RejectedSample[]> {
    return this.#inTurn(() => this.#store(messages, position));
  }

  takeFrom(from: Position, durableEnd: Position): Promise<TakenFromLog> {
    return this.#inTurn(async () => {
      const { position: stored } = await this.#opened();
      const { entries, next } = await this.#logReader().read(from, durableEnd);
      const fresh = entries.filter((entry) => entry.position > stored);
      // What is stored already is only planned: its refusals are the same, in case they were lost the last time.
      const old = entries.filter((entry) => entry.position <= stored).map(decodeTelemetryEntry);
      const refusedBefore = old.length > 0 ? this.#kinds.plan(old).rejected : [];
      const rejected = [...refusedBefore, ...(await this.#store(fresh.map(decodeTelemetryEntry), next))];
      return {
        next,
        messages: entries.length,
        newestAt: entries.at(-1)?.receivedAt,
        rejected: rejected.flatMap((one) => {
          const entry = entries.find((candidate) => isEntryOf(candidate, one.sample));
          return entry ? [{ ...one, entry }] : [];
        }),
      };
    });
  }

  async storedPosition(): Promise<Position> {
    return (await this.#opened()).position;
  }

  series(query: SeriesQuery): Promise<readonly Series[]> {
    return this.#read(async (database) => {
      const table = database.tables.get(query.model);
      if (!table) return query.signals.map((signal) => ({ signal, points: [] }));
      return database.readers.use((connection) => inSnapshot(connection, () => readSeries(connection, table, query)));
    });
  }

  latest(query: DeviceRef & { model: string }): Promise<LatestValues> {
    return this.#read(async (database) => {
      const table = database.tables.get(query.model);
      if (!table) return new Map();
      if (!database.latest.overflowed) return database.latest.of(query);
      const latest = new LatestOfDevice();
      for (const entry of await database.readers.use((connection) => readLatest(connection, table, query)))
        latest.add(entry);
      return latest.values();
    });
  }

  page(query: RangeQuery, cursor: PageCursor | undefined): Promise<Page> {
    return this.#read(async (database) => {
      const table = database.tables.get(query.model);
      if (!table) return { boots: [], seqs: [], indexes: [], observedAt: [], receivedAt: [], signals: [] };
      return database.readers.use((connection) => readPage(connection, table, query, this.#setup.pageRows, cursor));
    });
  }

  hasMessage(identity: MessageIdentity & { model: string }): Promise<boolean> {
    return this.#read(async (database) => {
      const table = database.tables.get(identity.model);
      if (!table) return false;
      return database.readers.use((connection) => readHasMessage(connection, table, database.boots, identity));
    });
  }

  receipt(identity: MessageIdentity & { model: string }): Promise<MessageReceipt | undefined> {
    return this.#read(async (database) => {
      const table = database.tables.get(identity.model);
      if (!table) return undefined;
      return database.readers.use((connection) => readReceipt(connection, table, database.boots, identity));
    });
  }

  highestSequence(boot: BootRef & { model: string }): Promise<number | undefined> {
    return this.#read(async (database) => {
      const table = database.tables.get(boot.model);
      if (!table) return undefined;
      return (await database.readers.use((connection) => readBoot(connection, table, database.boots, boot)))?.lastSeq;
    });
  }

  aggregate(query: AggregateQuery): Promise<readonly RollUpSeries[]> {
    return this.#read(async (database) => {
      const table = database.tables.get(query.model);
      if (!table) return query.signals.map((signal) => ({ signal, buckets: [] }));
      return database.readers.use((connection) => inSnapshot(connection, () => readRollUps(connection, table, query)));
    });
  }

  aggregateModel(query: ModelAggregateQuery): Promise<readonly ModelBucket[]> {
    return this.#read(async (database) => {
      const table = database.tables.get(query.model);
      if (!table) return [];
      return database.readers.use((connection) => readModelBuckets(connection, table, query));
    });
  }

  latestAll(query: LatestPageQuery): Promise<LatestPack> {
    return this.#read(async (database) => {
      const table = database.tables.get(query.model);
      if (!table) return { devices: [], signals: [] };
      if (!database.latest.overflowed) return database.latest.page(query);
      return packLatest(query, await database.readers.use((connection) => readLatestPage(connection, table, query)));
    });
  }

  /** Some devices of an hour at a time and between writes, so that no write waits long. */
  async retain(cut: RetentionCut): Promise<number | undefined> {
    await this.#hoursKnown();
    return this.#inTurn(async () => {
      const database = await this.#opened();
      // Opened anew meanwhile: the next step counts again.
      if (!database.hours?.isComplete) return 0;
      try {
        return await sealStep(database, database.hours, { ...cut, maxSamples: this.#setup.sealSamples });
      } catch (error) {
        this.#discard(database, error);
        throw new AppError('STORE_UNAVAILABLE', errorText(error));
      }
    });
  }

  /** Once an opening, and beside the writes: it looks through all samples. */
  #hoursKnown(): Promise<void> {
    return this.#read((database) => {
      database.hoursCounted ??= countHours(database).catch((error: unknown) => {
        database.hoursCounted = undefined;
        database.hours = undefined;
        throw error;
      });
      return database.hoursCounted;
    });
  }

  /** The file and its write-ahead log change only with a write: holding back the next one is enough. */
  freeze(): Promise<void> {
    return new Promise((frozen, failed) => {
      const rest = async (): Promise<void> => {
        const { writer } = await this.#opened();
        await checkpoint(writer);
        const until = new Promise<void>((thawed) => {
          this.#frozen = { database: this.#database, thawed };
        });
        frozen();
        await until;
      };
      this.#inTurn(rest).catch(failed);
    });
  }

  async thaw(): Promise<boolean> {
    const frozen = this.#frozen;
    this.#frozen = undefined;
    frozen?.thawed();
    return frozen?.database !== undefined && frozen.database === this.#database;
  }

  ping(): Promise<void> {
    return this.#read(async (database) => {
      await database.readers.use((connection) => connection.run('SELECT 1'));
    });
  }

  async close(): Promise<void> {
    await this.thaw();
    await this.#lastWrite.catch(() => undefined); // Its caller heard of the error.
    await this.#opening?.catch(() => undefined); // It did not open: nothing to close.
    if (this.#database) {
      await this.#copyLatest(this.#database, 0);
      if (this.#database) this.#closing = closeDatabase(this.#database);
    }
    this.#opening = undefined;
    this.#database = undefined;
    await this.#closing;
    await this.#log?.close();
  }

  #opened(): Promise<OpenDatabase> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<OpenDatabase> {
    await this.#closing;
    const database = await openDatabase(this.#setup);
    this.#kinds.clear();
    for (const [model, { columns }] of database.tables.models()) {
      this.#kinds.load(
        model,
        columns.map(({ signal, kind }) => [signal, kind] as const),
      );
    }
    this.#database = database;
    if (database.latest.overflowed) this.#notify({ kind: 'latestOverflow', maxValues: this.#setup.maxLatestValues });
    return database;
  }

  #inTurn<T>(write: () => Promise<T>): Promise<T> {
    const result = this.#lastWrite.then(write, write);
    this.#lastWrite = result;
    return result;
  }

  async #store(messages: readonly TelemetryMessage[], position: Position): Promise<readonly RejectedSample[]> {
    const database = await this.#opened();
    if (database.mayBeUnsynced) await this.#writeAnew(database);
    const { storable, rejected } = this.#kinds.plan(messages);
    // A batch that is stored already is only planned: its refusals are the same, in case they were lost the last time.
    if (position <= database.position) return rejected;
    try {
      await this.#commit(database, storable, position);
    } catch (error) {
      this.#discard(database, error);
      throw new AppError('STORE_UNAVAILABLE', errorText(error));
    }
    const samples = storable.reduce((sum, message) => sum + message.samples.length, 0);
    const { latest } = database;
    const overflowedBefore = latest.overflowed;
    latest.note(storable);
    if (latest.overflowed && !overflowedBefore) this.#notify({ kind: 'latestOverflow', maxValues: latest.maxValues });
    database.samplesSinceCopy += samples;
    // A copy costs by its size, so a large one is made less often.
    await this.#copyLatest(database, Math.max(this.#setup.latestCopyEvery, latest.places));
    restrictFiles(database.path);
    this.#notify({ kind: 'stored', samples, fileBytes: fileBytes(database.path) });
    return rejected;
  }

  /** Puts what a left write-ahead log held into the file, from memory, before anybody builds on its position. */
  async #writeAnew(database: OpenDatabase): Promise<void> {
    try {
      database.mayBeUnsynced = !(await checkpoint(database.writer));
    } catch (error) {
      this.#discard(database, error);
      throw new AppError('STORE_UNAVAILABLE', errorText(error));
    }
  }

  async #commit(database: OpenDatabase, storable: readonly StorableMessage[], position: Position): Promise<void> {
    const { writer, tables } = database;
    const byModel = rowsByModel(storable);
    for (const model of byModel.keys()) await tables.ensure(writer, model, this.#kinds.of(model));
    await writer.run('BEGIN');
    for (const [model, rows] of byModel) {
      const table = tables.get(model);
      if (!table) continue;
      await appendRows(writer, table, rows, position);
    }
    await writer.run('UPDATE progress SET position = $1', [BigInt(position)]);
    await writer.run('COMMIT');
    database.position = position;
    for (const [model, rows] of byModel) {
      const table = tables.get(model);
      if (!table) continue;
      database.boots.note(table, rows);
      if (database.hours) noteHours(database.hours, table, rows);
    }
  }

  /** Copies latest values and boots into the file when more samples than `atMost` came since. The batches are safe without it. */
  async #copyLatest(database: OpenDatabase, atMost: number): Promise<void> {
    const { writer, tables, latest, boots, position } = database;
    if (database.samplesSinceCopy <= atMost && boots.size < MAX_BOOTS_IN_MEMORY) return;
    try {
      await writer.run('BEGIN');
      await boots.save(writer);
      await saveLatest(writer, tables, latest, position);
      await writer.run('COMMIT');
      boots.clear();
      database.samplesSinceCopy = 0;
    } catch (error) {
      this.#discard(database, error);
    }
  }

  #logReader(): LogBatchReader {
    if (this.#setup.logDirectory === undefined) throw new AppError('INTERNAL', 'the store was not told of a log');
    this.#log ??= new LogBatchReader(this.#setup.logDirectory);
    return this.#log;
  }

  async #read<T>(query: (database: OpenDatabase) => Promise<T>): Promise<T> {
    const database = await this.#opened();
    try {
      return await query(database);
    } catch (error) {
      if (error instanceof AppError) throw error;
      if (isFatal(error)) this.#discard(database, error);
      throw new AppError('STORE_UNAVAILABLE', errorText(error));
    }
  }

  /** Gives the file up; the next call opens it again. */
  #discard(database: OpenDatabase, error: unknown): void {
    if (this.#database !== database) return; // Somebody else was faster.
    this.#notify({ kind: 'reopened', reason: errorText(error) });
    this.#opening = undefined;
    this.#database = undefined;
    this.#closing = closeDatabase(database).catch((failure: unknown) => {
      this.#notify({ kind: 'reopened', reason: `closing failed: ${errorText(failure)}` });
    });
  }
}

/** Runs several statements on one state of the file: retention moves data between tables meanwhile. */
async function inSnapshot<T>(connection: DuckDBConnection, query: () => Promise<T>): Promise<T> {
  await connection.run('BEGIN');
  try {
    return await query();
  } finally {
    await connection.run('ROLLBACK');
  }
}
